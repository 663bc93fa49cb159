"""Many runs of experiments on this machine or on a cluster: resumable, time-boxed."""

from erfbook.sweep import bare

bare.stand_in()
