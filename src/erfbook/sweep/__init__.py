"""Many runs of experiments on this machine or on a cluster: resumable, time-boxed."""
