"""An orthonormal basis that grows in blocks: projections, reorthogonalisation, rotation.

Vectors are rows. They stay on one device, the model's or the host; blocks come and go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_COLUMNS = 1 << 16  # of a basis that are rotated at once
_MOST_PASSES = 5


@dataclass(frozen=True)
class Orthogonalised:
    """A block split by a basis: ``block = coefficients @ basis + factor @ rest``.

    Args:
        rest: (b, n) orthonormal, orthogonal to the basis; fewer rows where no more are left.
        coefficients: (b, size).
        factor: (b, rows of ``rest``). Directions of the block that lie in the basis but for
            rounding are replaced by random ones, with which the block has nothing to do: their
            columns are 0.
    """

    rest: Tensor
    coefficients: Float[np.ndarray, "b size"]
    factor: Float[np.ndarray, "b rest"]


class Basis:
    """Up to ``capacity`` orthonormal rows of length n.

    Args:
        capacity: most vectors.
        n: their length.
        dtype: of the vectors.
        device: where they are kept.
        generator: on the processor, of the random vectors that replace what vanished.
    """

    def __init__(
        self,
        capacity: int,
        n: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self.rows = torch.empty((capacity, n), dtype=dtype, device=device)
        self.size, self.n = 0, n
        self.generator = generator

    @property
    def capacity(self) -> int:
        """Most vectors that fit."""
        return len(self.rows)

    @property
    def vectors(self) -> Tensor:
        """The vectors so far, (size, n)."""
        return self.rows[: self.size]

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Return random rows, the same for a seed on every device and in every dtype."""
        drawn = torch.randn((count, self.n), generator=self.generator, dtype=torch.float64)
        return drawn.to(device, self.rows.dtype)

    def append(self, block: Tensor) -> None:
        """Add rows that are orthonormal already."""
        self.rows[self.size : self.size + len(block)] = block
        self.size += len(block)

    def orthogonalise(self, block: Tensor, recent: int | None = None) -> Orthogonalised:
        """Split a block by the basis, as often as it takes; at least twice.

        Each pass removes the components along the basis and makes the rest orthonormal. One pass
        is not enough in floating point: what is left of a block that nearly lies in the basis is
        mostly rounding, and copies of converged eigenvectors grow from it.

        Args:
            block: (b, n).
            recent: vectors at the end of the basis on which, but for rounding, all components
                along it lie: the first pass then leaves the others out, which halves the
                time; were they not small, the passes go on. None for all.
        """
        rest, room = block, self.n - self.size
        coefficients = np.zeros((len(block), self.size))
        factor = np.eye(len(block))
        scale = float(block.double().norm())
        for i in range(_MOST_PASSES):
            first = 0 if recent is None or i else max(self.size - recent, 0)
            rest, along = self._remove(rest, first)
            coefficients[:, first:] += factor @ along
            rest, mixing, lengths = self._orthonormalise(rest, scale if i == 0 else 1.0, room)
            factor = factor @ mixing
            # A pass that took little away has left nothing to take.
            if i > 0 and lengths.min() > 0.7 and np.abs(along).max(initial=0.0) < 1e-3:
                break
        return Orthogonalised(rest, coefficients, factor)

    def rotate(self, rotation: Float[np.ndarray, "size kept"]) -> None:
        """Replace the vectors by combinations of them, in place."""
        kept = rotation.shape[1]
        turn = torch.from_numpy(np.ascontiguousarray(rotation.T)).to(self.rows)
        for start in range(0, self.n, _COLUMNS):
            part = self.rows[:, start : start + _COLUMNS]
            part[:kept] = turn @ part[: self.size]
        self.size = kept

    def combine(self, rotation: Float[np.ndarray, "size count"], device: torch.device) -> Tensor:
        """Return combinations of the vectors, (count, n)."""
        turn = torch.from_numpy(np.ascontiguousarray(rotation.T)).to(self.rows)
        return (turn @ self.vectors).to(device)

    def _remove(self, block: Tensor, first: int) -> tuple[Tensor, np.ndarray]:
        here, vectors = block.to(self.rows.device), self.vectors[first:]
        along = here @ vectors.T
        left = torch.addmm(here, along, vectors, alpha=-1)
        return left.to(block.device), along.double().cpu().numpy()

    def _orthonormalise(self, block: Tensor, scale: float, most: int):
        """Return orthonormal rows Q, the matrix M of block = M Q, and the rows' lengths before; at
        most so many rows, the longest.

        Through the Gram matrix's eigenvectors, which also finds a block's rank; rows that are
        missing are drawn at random.
        """
        gram = (block.double() @ block.double().T).cpu().numpy()
        squares, turn = np.linalg.eigh(gram)
        squares, turn = squares[-most:], turn[:, -most:]
        lengths = np.sqrt(np.maximum(squares, 0.0))
        floor = 4 * torch.finfo(block.dtype).eps * scale
        lost = lengths <= floor
        shrink = turn / np.where(lost, 1.0, lengths)
        rows = torch.from_numpy(np.ascontiguousarray(shrink.T)).to(block) @ block
        if lost.any():
            fresh = self.draw(int(lost.sum()), block.device)
            rows[torch.from_numpy(np.flatnonzero(lost)).to(block.device)] = fresh / np.sqrt(self.n)
        return rows, turn * np.where(lost, 0.0, lengths), lengths
