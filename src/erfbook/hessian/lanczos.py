"""The algebraically largest eigenvalues of a symmetric operator: a block Lanczos method.

The basis is thick-restarted (Wu and Simon 2000): when it is full, the best Ritz vectors stay and
the method goes on. Every block is orthogonalised against all of the basis at least twice, so no
copy of a converged vector can grow from rounding; and all its inner products with the basis are
kept, so the projected matrix is what it says. A Krylov space holds one vector of each eigenspace
for every vector it starts from. When all wanted pairs have converged, random vectors orthogonal to
them are therefore let in, and the method ends only if nothing larger grows from those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from erfbook.hessian.basis import Basis


class Symmetric(Protocol):
    """A symmetric operator: its size, and its products with rows of vectors."""

    n: int
    dtype: torch.dtype
    device: torch.device

    def products(self, vectors: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Settings:
    """How far and how.

    Args:
        k: pairs wanted.
        tolerance: largest residual, as a share of the largest eigenvalue in size. The search aims
            at half of it, since estimates leave a product's own rounding out.
        block: vectors multiplied at a time.
        max_products: after which the search ends in any case.
        n_probes: blocks of the search for what was missed.
    """

    k: int
    tolerance: float
    block: int
    max_products: int
    n_probes: int


@dataclass
class Search:
    """A basis and what is known of the operator on it.

    Args:
        operator: symmetric.
        basis: with room for more than ``k`` vectors.
        settings: as above.
        projected: (size, size) of the operator on the basis.
        next_block: (b, n) rows the basis grows by.
        coupling: (size, b) of the basis' images with the next block.
        lost: (size,) length of what else the basis' images have outside of the basis.
        n_products: so far.
    """

    operator: Symmetric
    basis: Basis
    settings: Settings
    on_progress: Callable[[int, int], None] | None = None
    projected: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    next_block: Tensor | None = None
    coupling: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    lost: np.ndarray = field(default_factory=lambda: np.zeros(0))
    n_products: int = 0
    _n_coupled: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next block has no room."""
        if self.next_block is None:
            return False
        return self.basis.size + len(self.next_block) > self.basis.capacity

    def begin(self) -> None:
        """Start from random vectors."""
        self._insert_random()

    def grow(self) -> None:
        """Add the next block to the basis and multiply it by the operator."""
        basis, block = self.basis, self.next_block
        assert block is not None and not self.is_full
        old, width = basis.size, len(block)
        basis.append(block)
        images = self.operator.products(block)
        self.n_products += width
        self.lost = np.concatenate([self.lost, np.zeros(width)])
        if basis.size == basis.n:  # the basis is complete
            along = (images.to(basis.rows.device) @ basis.vectors.T).double().cpu().numpy()
            self.next_block, rest = None, np.zeros((basis.size, 0))
        else:
            # Images lie in the span of the vectors since the last restart's or renewal's first.
            split = basis.orthogonalise(images, self._n_coupled)
            self._n_coupled = 2 * width
            along, self.next_block = split.coefficients, split.rest
            rest = np.zeros((basis.size, len(split.rest)))
            rest[old:] = split.factor
        grown = np.zeros((basis.size, basis.size))
        grown[:old, :old] = self.projected
        grown[old:] = along
        grown[:old, old:] = along[:, :old].T
        grown[old:, old:] = (along[:, old:] + along[:, old:].T) / 2
        self.projected, self.coupling = grown, rest

    def solve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Ritz values in descending order, their coefficients and estimated residuals."""
        values, turn = np.linalg.eigh(self.projected)
        values, turn = values[::-1], turn[:, ::-1]
        inside = np.linalg.norm(turn.T @ self.coupling, axis=1)
        return values, turn, np.hypot(inside, np.abs(turn.T) @ self.lost)

    def restart(self, keep: int) -> None:
        """Keep the first Ritz vectors and go on from where the basis ended."""
        values, turn, _ = self.solve()
        turn = turn[:, :keep]
        self.basis.rotate(turn)
        self.projected = np.diag(values[:keep])
        self.coupling = turn.T @ self.coupling
        self.lost = np.abs(turn.T) @ self.lost
        self._n_coupled = None

    def renew(self, keep: int) -> None:
        """Keep the first Ritz vectors and go on from random ones."""
        self.restart(keep)
        self._lose(self.coupling)
        self._insert_random()

    def _insert_random(self) -> None:
        basis = self.basis
        width = min(self.settings.block, basis.n - basis.size, basis.capacity - basis.size)
        drawn = basis.draw(width, self.operator.device)
        self.next_block = basis.orthogonalise(drawn).rest
        self.coupling = np.zeros((basis.size, width))
        self._n_coupled = None

    def _lose(self, coupling: np.ndarray) -> None:
        self.lost = np.hypot(self.lost, np.linalg.norm(coupling, axis=1))


def find_largest(search: Search) -> bool:
    """Run the search to its end and return whether all wanted pairs have converged, and held.

    Afterwards the basis' first Ritz vectors are the wanted ones: see :meth:`Search.solve`.
    """
    settings = search.settings
    search.begin()
    while _converge(search):
        if search.next_block is None or not settings.n_probes:
            return True
        before = search.solve()[0]
        search.renew(settings.k)
        for _ in range(settings.n_probes):
            if search.is_full or _is_over(search):
                break
            search.grow()
        after, _, residuals = search.solve()
        allowed = settings.tolerance * float(np.abs(after).max())
        missed = np.abs(after[: settings.k] - before[: settings.k]) > allowed
        if not missed.any() and (residuals[: settings.k] <= allowed).all():
            return True
    return False


def _converge(search: Search) -> bool:
    """Grow and restart until the wanted pairs have converged; return whether they have."""
    settings, basis = search.settings, search.basis
    next_check = max(settings.k, basis.size + 1)
    while not _is_over(search):
        if search.is_full:
            most = basis.capacity - len(search.next_block)  # type: ignore[arg-type]
            search.restart(min((settings.k + basis.capacity) // 2, most, basis.size))
            next_check = basis.size + 1
        search.grow()
        if basis.size < next_check and not search.is_full and search.next_block is not None:
            continue
        next_check = basis.size + max(settings.block, basis.size // 40)
        values, _, residuals = search.solve()
        allowed = settings.tolerance / 2 * float(np.abs(values).max())
        good = residuals[: settings.k] <= allowed
        if search.on_progress:
            search.on_progress(search.n_products, int(good.sum()))
        if good.all() and len(good) == settings.k:
            return True
    return search.next_block is None


def _is_over(search: Search) -> bool:
    return search.next_block is None or search.n_products >= search.settings.max_products
