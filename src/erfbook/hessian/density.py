"""The density of all eigenvalues, by stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import progress
from erfbook.hessian import memory
from erfbook.hessian.basis import Basis
from erfbook.hessian.inputs import Batch
from erfbook.hessian.lanczos import Symmetric
from erfbook.hessian.operator import HessianOperator, LossFunction


@dataclass(frozen=True)
class SpectralDensity:
    """Share of a symmetric operator's eigenvalues near each value, averaged over random vectors.

    Args:
        grid: values.
        density: per unit of value, smoothed by a Gaussian; its integral is 1.
        bandwidth: standard deviation of that Gaussian.
        nodes, weights: (n_probes, n_steps) quadrature of each probe; a probe that ended early is
            filled up with weights of 0. The weights of a probe sum to 1.
        n_parameters: eigenvalues there are.
        n_matvecs: products with the operator.
        seed: of the probes.
    """

    grid: Float[np.ndarray, " points"]
    density: Float[np.ndarray, " points"]
    bandwidth: float
    nodes: Float[np.ndarray, "n_probes n_steps"]
    weights: Float[np.ndarray, "n_probes n_steps"]
    n_parameters: int
    n_matvecs: int
    seed: int

    def moment(self, power: int) -> float:
        """Return the mean of the eigenvalues' power.

        Exact for each probe up to power ``2 n_steps - 1``.
        """
        return float(self._powers(power).mean())

    def moment_error(self, power: int) -> float:
        """Return the moment's standard error over probes; not a number for one probe."""
        return _standard_error(self._powers(power))

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues."""
        return self.n_parameters * self.moment(1)

    @property
    def trace_error(self) -> float:
        """Standard error of the trace."""
        return self.n_parameters * self.moment_error(1)

    @property
    def frobenius(self) -> float:
        """Root of the sum of squared eigenvalues."""
        return float(np.sqrt(self.n_parameters * self.moment(2)))

    @property
    def frobenius_error(self) -> float:
        """Standard error of the Frobenius norm, to first order."""
        root = self.frobenius
        return self.n_parameters * self.moment_error(2) / (2 * root) if root else 0.0

    def mass(self, low: float = -np.inf, high: float = np.inf) -> float:
        """Return the share of eigenvalues in [low, high)."""
        return float(self._shares(low, high).mean())

    def mass_error(self, low: float = -np.inf, high: float = np.inf) -> float:
        """Return the standard error of that share over probes."""
        return _standard_error(self._shares(low, high))

    def _powers(self, power: int) -> np.ndarray:
        return (self.weights * self.nodes**power).sum(axis=1)

    def _shares(self, low: float, high: float) -> np.ndarray:
        inside = (self.nodes >= low) & (self.nodes < high)
        return (self.weights * inside).sum(axis=1)


def spectral_density(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Batch],
    *,
    n_probes: int = 8,
    n_steps: int = 60,
    seed: int = 0,
    batch_norm: str = "eval",
    **options: Any,
) -> SpectralDensity:
    """Return the density of the eigenvalues of a loss' Hessian.

    Args:
        model, loss_fn, batches, batch_norm: as in :func:`erfbook.hessian.top_eigenvalues`.
        n_probes: random vectors of signs.
        n_steps: products with each.
        seed: of the vectors.
        options: ``parameters``, ``dtype``, ``keep_graph`` and ``memory_limit`` of
            :class:`HessianOperator`; ``grid``, ``bandwidth`` and ``progress`` of
            :func:`density_of`.

    Raises:
        ValueError: what the operator refuses; no probes or steps; a bandwidth that is not
            positive.
        RunError: not enough memory.
    """
    names = ("grid", "bandwidth", "progress")
    own = {name: options.pop(name) for name in names if name in options}
    _check_counts(n_probes, n_steps)
    operator = HessianOperator(model, loss_fn, batches, batch_norm=batch_norm, **options)
    own["name"] = own.pop("progress", "")
    return density_of(operator, n_probes=n_probes, n_steps=n_steps, seed=seed, **own)


def density_of(
    operator: Symmetric,
    *,
    n_probes: int = 8,
    n_steps: int = 60,
    seed: int = 0,
    grid: Sequence[float] | np.ndarray | None = None,
    bandwidth: float | None = None,
    name: str = "",
) -> SpectralDensity:
    """Return the density of the eigenvalues of any symmetric operator.

    Args:
        operator: its size, dtype and device, and its products with rows.
        n_probes, n_steps, seed: as in :func:`spectral_density`.
        grid: values in ascending order; None for 1000 that cover all nodes.
        bandwidth: of the Gaussian; None for a hundredth of the nodes' range.
        name: in front of a bar on a terminal; empty for none.

    Raises:
        ValueError, RunError: as in :func:`spectral_density`.
    """
    _check_counts(n_probes, n_steps)
    if bandwidth is not None and not 0 < bandwidth < np.inf:
        raise ValueError(f"bandwidth must be positive, not {bandwidth}")
    n_steps = min(n_steps, operator.n)
    nodes, weights = np.zeros((n_probes, n_steps)), np.zeros((n_probes, n_steps))
    generator = torch.Generator().manual_seed(seed)
    n_products = 0
    with progress.open_bar(name, n_probes * n_steps, "products") as bar:
        for probe in range(n_probes):
            found, shares = _quadrature(operator, n_steps, generator)
            nodes[probe, : len(found)], weights[probe, : len(found)] = found, shares
            n_products += len(found)
            bar.update(n_steps)
    present = nodes[weights > 0]
    span = float(present.max() - present.min()) or max(abs(float(present.max())), 1.0)
    width = bandwidth or span / 100
    if grid is None:
        grid = np.linspace(present.min() - 4 * width, present.max() + 4 * width, 1000)
    points = np.asarray(grid, dtype=float)
    return SpectralDensity(
        points,
        _smooth(points, nodes, weights, width),
        width,
        nodes,
        weights,
        operator.n,
        n_products,
        seed,
    )


def _quadrature(
    operator: Symmetric, n_steps: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of one random vector of signs: Gauss quadrature by Lanczos."""
    n, dtype, device = operator.n, operator.dtype, operator.device
    signs = torch.randint(0, 2, (1, n), generator=generator).to(device, dtype) * 2 - 1
    bytes_each = n * torch.finfo(dtype).bits // 8
    capacity, place, _ = memory.place_basis(n_steps, min(n_steps, 2), bytes_each, device, None)
    basis = Basis(capacity, n, dtype=dtype, device=place, generator=generator)
    row = signs / signs.double().norm().to(dtype)
    diagonal, beside = [], []
    for _ in range(capacity):
        basis.append(row)
        image = operator.products(row)
        if basis.size == n:
            diagonal.append(float((image.double() * row.double()).sum()))
            break
        split = basis.orthogonalise(image)
        diagonal.append(float(split.coefficients[0, -1]))
        beside.append(abs(float(split.factor[0, 0])))
        # A vector that lies in few eigenspaces is used up: its quadrature is exact.
        if beside[-1] == 0:
            break
        row = split.rest
    tridiagonal = np.diag(diagonal)
    upper = np.diag(beside[: len(diagonal) - 1], 1) if len(diagonal) > 1 else 0.0
    values, vectors = np.linalg.eigh(tridiagonal + upper + np.transpose(upper))
    return values, vectors[0] ** 2


def _smooth(grid: np.ndarray, nodes: np.ndarray, weights: np.ndarray, width: float) -> np.ndarray:
    total = np.zeros(len(grid))
    for node, weight in zip(nodes.ravel(), weights.ravel(), strict=True):
        total += weight * np.exp(-0.5 * ((grid - node) / width) ** 2)
    return total / (len(nodes) * width * np.sqrt(2 * np.pi))


def _standard_error(each: np.ndarray) -> float:
    return float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")


def _check_counts(n_probes: int, n_steps: int) -> None:
    for name, count in (("n_probes", n_probes), ("n_steps", n_steps)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
