"""Parameters of the notebooks that train networks."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class ErfTraining(Parameters):
    """The effective receptive field before, during and after training."""

    notebook = "erf_training"
    limits = {"smoke": "-", "laptop": "-", "paper": "-"}
    n_seeds: int = param("training runs", unit="runs", low=2, high=100, smoke=2, laptop=3, paper=5)


class ErfDistance(Parameters):
    """How far the field grows when the task asks for evidence at a distance."""

    notebook = "erf_distance"
    limits = {"smoke": "-", "laptop": "-", "paper": "-"}
    n_seeds: int = param("training runs", unit="runs", low=2, high=100, smoke=2, laptop=3, paper=5)


class GaussianDamage(Parameters):
    """Initialisations and connections that were proposed against the Gaussian."""

    notebook = "gaussian_damage"
    limits = {"smoke": "-", "laptop": "-", "paper": "-"}
    n_seeds: int = param("training runs", unit="runs", low=2, high=100, smoke=2, laptop=5, paper=10)
