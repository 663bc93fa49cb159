"""Effective receptive fields of many independent random networks at once (luo section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from erfbook.erf.random_networks import as_generator, backpropagate, check_counts, draw_networks
from erfbook.theory import Layer, receptive_field_size

# Memory that the stored activations of one block of networks may take; chosen by us.
BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class MeanMap:
    """An average over runs, and how many of them it was taken over.

    Args:
        values: mean of the statistic at each pixel of the theoretical receptive field.
        statistic: ``abs``, the gradient's magnitude, or ``square``, its power.
        n_kept: runs averaged.
        n_dropped: runs left out because their gradient is zero everywhere.
    """

    values: Float[np.ndarray, "height width"]
    statistic: str
    n_kept: int
    n_dropped: int


@dataclass(frozen=True)
class EnsembleMaps:
    """Signed input gradients of the centre unit, one map a run: one network with one input.

    Args:
        gradients: runs of the same network with several inputs follow one another.
    """

    gradients: Float[Tensor, "run height width"]

    @property
    def n_runs(self) -> int:
        """Number of runs, those with an all-zero gradient included."""
        return len(self.gradients)

    @property
    def n_dead(self) -> int:
        """Number of runs whose gradient is zero at every pixel."""
        return int((self.gradients == 0).flatten(1).all(1).sum())

    def statistic(self, name: str = "abs") -> Float[np.ndarray, "run height width"]:
        """Return every run's gradient as magnitude (``abs``) or power (``square``).

        Raises:
            ValueError: another name.
        """
        if name not in ("abs", "square"):
            raise ValueError(f"statistic must be 'abs' or 'square', not {name!r}")
        gradients = self.gradients.double().cpu().numpy()
        return np.abs(gradients) if name == "abs" else gradients**2

    def mean(
        self,
        name: str = "abs",
        *,
        runs: Int[np.ndarray, " resampled"] | None = None,
        equal: bool = False,
    ) -> MeanMap:
        """Average a statistic over the runs whose gradient is not all zero.

        An all-zero run would scale the mean and leave its shape as it is.

        Args:
            name: ``abs`` or ``square``.
            runs: indices of the runs to average, repeats allowed; all of them if None.
            equal: whether every run is first scaled to a sum of 1, so that all weigh the same.

        Raises:
            ValueError: another name, or no run that has a gradient.
        """
        maps = self.statistic(name) if runs is None else self.statistic(name)[runs]
        totals = maps.sum((1, 2))
        alive = totals > 0
        if not alive.any():
            raise ValueError(f"the gradients of all {len(maps)} runs are zero: there is no mean")
        kept = maps[alive] / totals[alive, None, None] if equal else maps[alive]
        return MeanMap(kept.mean(0), name, int(alive.sum()), int((~alive).sum()))


def measure_ensemble(
    layers: Sequence[Layer],
    n_networks: int,
    *,
    activation: str | None = None,
    channels: int = 1,
    weights: str = "random",
    order: str = "after",
    n_inputs: int = 1,
    seed: int | torch.Generator = 0,
    device: torch.device | str = "cpu",
) -> EnsembleMaps:
    """Measure the centre unit's input gradient in many independent random networks.

    Args:
        layers: the architecture, from the input up.
        n_networks: independent draws of all weights, see
            :func:`erfbook.erf.random_networks.draw_networks`.
        activation: ``relu``, ``tanh``, ``sigmoid``, or None for linear networks.
        channels: width of every inner layer.
        weights: ``random``, or ``ones`` for equal weights.
        order: activation ``after`` each convolution, the last one included, or ``before`` each,
            the input included.
        n_inputs: standard normal inputs a network.
        seed: of weights, inputs and dropout; drawn on the CPU, so that all devices agree.
        device: where the convolutions run.

    Returns:
        ``n_networks * n_inputs`` maps of exactly the theoretical receptive field, in float32.

    Raises:
        ValueError: an argument outside its range or a name that does not exist.

    >>> maps = measure_ensemble([Layer()] * 20, 8, seed=1)
    >>> maps.gradients.shape, maps.n_dead
    (torch.Size([8, 41, 41]), 0)
    """
    check_counts(n_networks=n_networks, channels=channels, n_inputs=n_inputs, layers=len(layers))
    generator, side = as_generator(seed), receptive_field_size(layers)
    bytes_each = 4 * len(layers) * channels * n_inputs * side**2
    block = max(1, min(n_networks, BLOCK_BYTES // bytes_each))
    parts = []
    for start in range(0, n_networks, block):
        networks = draw_networks(
            layers,
            min(block, n_networks - start),
            activation=activation,
            channels=channels,
            weights=weights,
            order=order,
            seed=generator,
        )
        inputs = torch.randn((n_inputs, networks.n_networks, side, side), generator=generator)
        gradients = backpropagate(networks, inputs, seed=generator, device=device)
        parts.append(gradients.transpose(0, 1).flatten(0, 1).cpu())
    return EnsembleMaps(torch.cat(parts))
