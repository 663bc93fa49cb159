"""The largest eigenvalues of a loss' Hessian, with residuals that can be relied on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from erfbook import progress
from erfbook.errors import RunError
from erfbook.hessian import memory
from erfbook.hessian.basis import Basis
from erfbook.hessian.inputs import Batch, choose_parameters
from erfbook.hessian.lanczos import Search, Settings, Symmetric, find_largest
from erfbook.hessian.operator import HessianOperator, LossFunction

OPERATOR_OPTIONS = ("parameters", "dtype", "keep_graph")


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues of a symmetric operator, and how well they are known.

    Args:
        values: in descending order, each as often as its multiplicity.
        residuals: length of H v - value v for unit vectors v: an eigenvalue lies within it.
        measured: whose residual was measured by one more product; the others' are the method's
            own estimates, raised by the largest excess of the measured ones over theirs.
        converged: whose residual is at most ``tolerance`` times the largest eigenvalue in size.
        tolerance: asked for.
        smallest: smallest Ritz value seen, an upper bound on the smallest eigenvalue.
        n_matvecs: products with the Hessian, all of them.
        seconds: of the wall clock.
        n_parameters, n_samples: size of the operator, samples of the loss.
        loss: mean over the samples.
        batch_norm, seed, dtype: as used.
        notes: what else a reader should know, in sentences.
        vectors: (k, n_parameters) on the processor, if they were asked for.
    """

    values: Float[np.ndarray, " k"]
    residuals: Float[np.ndarray, " k"]
    measured: Bool[np.ndarray, " k"]
    converged: Bool[np.ndarray, " k"]
    tolerance: float
    smallest: float
    n_matvecs: int
    seconds: float
    n_parameters: int
    n_samples: int
    loss: float
    batch_norm: str
    seed: int
    dtype: str
    notes: tuple[str, ...] = ()
    vectors: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How the eigenvalues are searched for; the defaults suit most.

    Args:
        block: vectors multiplied at a time: more of them use the memory's speed better, and need
            more products. Eigenspaces of up to this many dimensions are found at once.
        subspace: most vectors kept; None for ``4 k`` and at least ``k + 60``, or what fits.
        max_products: after which the search ends, converged or not; None for ``40 k + 1000``.
        n_probes: blocks of products in the search for what was missed; 0 for no such search.
        n_measured: pairs whose residual is measured afterwards.
        memory_limit: bytes for the vectors; None for a share of what is free.
        progress: name in front of a bar on a terminal; empty for none.
        keep_vectors: whether the eigenvectors are returned.
    """

    block: int = 2
    subspace: int | None = None
    max_products: int | None = None
    n_probes: int = 6
    n_measured: int = 4
    memory_limit: int | None = None
    progress: str = ""
    keep_vectors: bool = False


def top_eigenvalues(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Batch],
    k: int = 90,
    *,
    tolerance: float = 1e-4,
    seed: int = 0,
    batch_norm: str = "eval",
    **options: Any,
) -> Spectrum:
    """Return the algebraically largest eigenvalues of a loss' Hessian (avendano s. 3.3, figure 1).

    Args:
        model: any module that takes one tensor; left as it is.
        loss_fn: (outputs, targets) -> the mean loss over a batch.
        batches: (inputs, targets) pairs; a batch counts by its number of samples.
        k: how many eigenvalues.
        tolerance: largest residual, as a share of the largest eigenvalue in size.
        seed: of the vectors the search starts from.
        batch_norm: ``eval`` or ``train``.
        options: ``parameters``, ``dtype`` and ``keep_graph`` of :class:`HessianOperator`, and
            those of :class:`SearchOptions`.

    Raises:
        ValueError: k is not between 1 and the number of parameters; a tolerance that the dtype
            cannot reach; what the operator refuses.
        RunError: not enough memory.
    """
    start = time.perf_counter()
    own = {name: options.pop(name) for name in OPERATOR_OPTIONS if name in options}
    search = SearchOptions(**options)
    check_k(k, sum(p.numel() for p in choose_parameters(model, own.get("parameters")).values()))
    operator = HessianOperator(
        model,
        loss_fn,
        batches,
        batch_norm=batch_norm,
        memory_limit=search.memory_limit,
        **own,
    )
    found = largest_eigenvalues(operator, k, tolerance=tolerance, seed=seed, options=search)
    return replace(found, seconds=time.perf_counter() - start)


def largest_eigenvalues(
    operator: Symmetric,
    k: int,
    *,
    tolerance: float = 1e-4,
    seed: int = 0,
    options: SearchOptions | None = None,
) -> Spectrum:
    """Return the algebraically largest eigenvalues of any symmetric operator.

    Args:
        operator: its size, dtype and device, and its products with rows.
        k, tolerance, seed: as in :func:`top_eigenvalues`.
        options: of the search.

    Raises:
        ValueError, RunError: as in :func:`top_eigenvalues`.
    """
    options = options or SearchOptions()
    start = time.perf_counter()
    check_k(k, operator.n)
    settings = _settle(operator, k, tolerance, options)
    basis, message = _plan_basis(operator, settings, seed, options)
    if message:
        progress.tell(f"hessian: {message}")
    with progress.open_bar(options.progress, None, "products") as bar:

        def show(n_products: int, n_converged: int) -> None:
            bar.update(n_products - bar.n)
            bar.set_postfix_str(f"{n_converged} of {k} eigenvalues")

        search = Search(operator, basis, settings, show)
        held = find_largest(search)
        values, turn, residuals = search.solve()
        values, turn, residuals = values[:k], turn[:, :k], residuals[:k]
        residuals, measured = _measure(search, values, turn, residuals, options.n_measured)
        bar.update(search.n_products - bar.n)
    scale = float(np.abs(search.solve()[0]).max())
    converged = residuals <= tolerance * scale
    notes = [*getattr(operator, "notes", ()), *([message] if message else [])]
    if not held or not converged.all():
        notes.append(
            f"{int(converged.sum())} of {k} eigenvalues have converged to {tolerance:g} of the "
            f"largest after {search.n_products} products"
        )
    host = torch.device("cpu")
    return Spectrum(
        values=values.copy(),
        residuals=residuals,
        measured=measured,
        converged=converged,
        tolerance=tolerance,
        smallest=float(search.solve()[0][-1]),
        n_matvecs=search.n_products,
        seconds=time.perf_counter() - start,
        n_parameters=operator.n,
        n_samples=getattr(operator, "n_samples", 0),
        loss=getattr(operator, "loss", float("nan")),
        batch_norm=getattr(operator, "batch_norm", ""),
        seed=seed,
        dtype=str(operator.dtype).removeprefix("torch."),
        notes=tuple(notes),
        vectors=basis.combine(turn, host) if options.keep_vectors else None,
    )


def check_k(k: int, n: int) -> None:
    """Refuse a number of eigenvalues that an operator of a size does not have.

    Raises:
        ValueError: not between 1 and n.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n:
        raise ValueError(
            f"k must be between 1 and {n}, the number of parameters that vary, not {k}"
        )


def _settle(operator: Symmetric, k: int, tolerance: float, options: SearchOptions) -> Settings:
    least = 10 * torch.finfo(operator.dtype).eps
    if not least <= tolerance < 1:
        name = str(operator.dtype).removeprefix("torch.")
        hint = ""
        if operator.dtype != torch.float64 and 0 < tolerance < least:
            hint = "; dtype=torch.float64 reaches less"
        raise ValueError(
            f"tolerance must be at least {least:.2g} in {name} and below 1, not {tolerance}{hint}"
        )
    if options.block < 1:
        raise ValueError(f"block must be at least 1, not {options.block}")
    most = options.max_products if options.max_products is not None else 40 * k + 1000
    if most < 1:
        raise ValueError(f"max_products must be at least 1, not {most}")
    return Settings(k, tolerance, options.block, max(most, k), options.n_probes)


def _plan_basis(
    operator: Symmetric, settings: Settings, seed: int, options: SearchOptions
) -> tuple[Basis, str]:
    """Return an empty basis of the size that fits, and a message where that is not the one wanted.

    A device that says it is out of memory although the plan fits gets the host's.
    """
    k, n, block = settings.k, operator.n, settings.block
    least = min(n, k + 3 * block)
    wanted = options.subspace or max(4 * k, k + 60)
    if options.subspace and options.subspace < least:
        raise ValueError(f"subspace must be at least {least} for k = {k}, not {options.subspace}")
    bytes_each = n * torch.finfo(operator.dtype).bits // 8
    capacity, device, message = memory.place_basis(
        min(n, wanted), least, bytes_each, operator.device, options.memory_limit
    )
    generator = torch.Generator().manual_seed(seed)
    make = partial(Basis, capacity, n, dtype=operator.dtype, generator=generator)
    try:
        return make(device=device), message
    except torch.OutOfMemoryError:
        if device.type == "cpu":
            raise RunError(
                f"{capacity} vectors of {memory.in_words(bytes_each)} do not fit the memory"
            ) from None
    message = f"{device} has no room for {capacity} vectors: they are kept in the host's memory"
    return make(device=torch.device("cpu")), message


def _measure(
    search: Search, values: np.ndarray, turn: np.ndarray, estimates: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return residuals, and which are measured: the first, last and worst, then spread evenly."""
    k = len(values)
    worst = int(estimates.argmax())
    spread = np.linspace(0, k - 1, max(count, 3)).astype(int)
    chosen = sorted(dict.fromkeys([0, k - 1, worst, *spread.tolist()]))
    if count < len(chosen):
        chosen = sorted(list(dict.fromkeys([worst, k - 1, 0, *spread.tolist()]))[:count])
    residuals, measured = estimates.copy(), np.zeros(k, dtype=bool)
    excess = 0.0
    for start in range(0, len(chosen), search.settings.block):
        some = chosen[start : start + search.settings.block]
        vectors = search.basis.combine(turn[:, some], search.operator.device)
        lengths = vectors.double().norm(dim=1)
        images = search.operator.products(vectors).double()
        search.n_products += len(some)
        level = torch.from_numpy(values[some].copy()).to(lengths.device)
        rest = (images - level[:, None] * vectors.double()).norm(dim=1) / lengths
        residuals[some] = rest.cpu().numpy()
        measured[some] = True
        excess = max(excess, float((residuals[some] - estimates[some]).max()))
    residuals[~measured] += excess
    return residuals, measured
