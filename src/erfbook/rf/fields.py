"""The theoretical receptive field of one layer's units."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod

import numpy as np

from erfbook.rf.graph import Call, Graph
from erfbook.rf.propagate import State, whole
from erfbook.rf.spans import Fields, plain, smallest_period
from erfbook.rf.support import pixels_of, units_of

Number = int | Fraction
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Field:
    """The theoretical receptive field of the units of one module's output.

    Args:
        path: path of the module; ``path[key]`` where it returns several tensors.
        call: which call of the module this was, from 0.
        op: the ATen operation that made the output.
        grid: units per spatial axis.
        input_size: input pixels per spatial axis.
        why: what made the field global, or which paths are misaligned; empty otherwise.
        aligned: whether all paths agree on stride and centre.
        is_plane: whether the last dimensions of the output are the axes of the input, in order.
    """

    path: str
    call: int
    op: str
    grid: tuple[int, ...]
    input_size: tuple[int, ...]
    why: str = ""
    aligned: bool = True
    is_plane: bool = True
    _state: State = field(default=None, repr=False, compare=False)  # type: ignore[assignment]
    _graph: Graph = field(default=None, repr=False, compare=False)  # type: ignore[assignment]
    _nodes: tuple[int, ...] = field(default=(), repr=False, compare=False)
    _is_vector: bool = field(default=False, repr=False, compare=False)

    @property
    def global_axes(self) -> tuple[bool, ...]:
        """For each axis, whether every unit sees whatever there is along it."""
        return tuple(bool(why) for why in self._state.whole)

    @property
    def is_global(self) -> bool:
        """Whether every unit may depend on the whole plane, however large it is."""
        return all(self.global_axes)

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Pixels from the first to the last one seen, per axis: the most that a unit sees.

        Where fields differ from unit to unit and come again, the largest counts; where they never
        come again, the central unit's.
        """
        return tuple(self._size(a) for a in range(len(self.input_size)))

    def _size(self, axis: int) -> int:
        centre, period = self.central_unit[axis], self.period[axis] or 1
        ends = (self._ends(axis, centre + u) for u in range(period))
        return max(last - first + 1 for first, last in ends)

    @cached_property
    def stride(self) -> tuple[Number | None, ...]:
        """Input pixels from a unit's field to the next one's, per axis.

        A fraction after upsampling; None where the field is global or paths differ.
        """
        return tuple(self._stride(a) for a in range(len(self.input_size)))

    def _stride(self, axis: int) -> Number | None:
        if self.global_axes[axis]:
            return None
        strides = {Fraction(f.shift, f.period) for f in self._state.fields[axis]}
        irregular = any(not f.is_open for f in self._state.fields[axis])
        return plain(strides.pop()) if len(strides) == 1 and not irregular else None

    @cached_property
    def period(self) -> tuple[int | None, ...]:
        """Units after which regions come again, moved on: 1 where all are alike, None for never."""
        return tuple(self._period(a) for a in range(len(self.input_size)))

    def _period(self, axis: int) -> int | None:
        fields = self._state.fields[axis]
        if self.global_axes[axis]:
            return 1
        if len(fields) != 1 or not fields[0].is_open:
            return None
        return smallest_period(fields[0])

    @cached_property
    def padding(self) -> tuple[Number | None, ...]:
        """Distance by which unit 0's field begins before the image (distill: effective padding).

        The centre of unit u is ``-padding + (size - 1)/2 + stride*u``; where fields differ from
        unit to unit, on average over a period. None where there is no stride.
        """
        return tuple(self._padding(a) for a in range(len(self.input_size)))

    def _padding(self, axis: int) -> Number | None:
        if self.stride[axis] is None or self.period[axis] is None:
            return None
        line = self._state.lines[axis]
        if self.period[axis] == 1 or line is None or not self.aligned:
            return -self._ends(axis, 0)[0]
        return plain(Fraction(self.size[axis] - 1, 2) - line.centre)

    @property
    def central_unit(self) -> tuple[int, ...]:
        """The unit whose index is half the grid, rounded down: on an even grid the later one."""
        return tuple(n // 2 for n in self.grid)

    def region(self, unit: tuple[int, ...], clip: bool = False) -> Box:
        """Return ((first, last), ...), inclusive, of the input pixels that a unit may see.

        Args:
            unit: index of the unit on its grid, per axis.
            clip: whether to return what is seen of the image alone: the span of :meth:`support`.
                By default, pixels are counted on the plane that padding extends beyond the image.

        Returns:
            The first and last pixel per axis; (0, -1) on every axis for a unit that sees nothing.

        Raises:
            ValueError: the unit does not lie on the grid.
        """
        self._check("unit", unit, self.grid)
        if not clip:
            return tuple(self._ends(a, u) for a, u in enumerate(unit))
        seen = self.support(unit)
        if not seen.any():
            return ((0, -1),) * seen.ndim
        places = np.nonzero(seen)
        return tuple((int(p.min()), int(p.max())) for p in places)

    def support(self, unit: tuple[int, ...]) -> np.ndarray:
        """Return exactly which pixels can influence a unit: bool array of shape ``input_size``.

        Raises:
            ValueError: the unit does not lie on the grid.
        """
        self._check("unit", unit, self.grid)
        return pixels_of(self._graph, self._nodes, None if self._is_vector else unit)

    def units_seeing(self, pixel: tuple[int, ...]) -> np.ndarray:
        """Return exactly which units a pixel can influence: bool array of shape ``grid``.

        Raises:
            ValueError: the pixel does not lie in the image.
        """
        self._check("pixel", pixel, self.input_size)
        seeing = units_of(self._graph, self._nodes, pixel)
        return np.broadcast_to(seeing.any() if self._is_vector else seeing, self.grid).copy()

    @cached_property
    def units_inside(self) -> float:
        """Share of the layer's units whose region lies wholly inside the image."""
        return prod(float(np.mean(self._inside(a) == 1)) for a in range(len(self.grid)))

    @cached_property
    def mean_share_inside(self) -> float:
        """Mean over the layer's units of the share of their region that lies inside the image."""
        return prod(float(np.mean(self._inside(a))) for a in range(len(self.grid)))

    def _inside(self, axis: int) -> np.ndarray:
        shares = []
        for u in range(self.grid[axis]):
            first, last = self._ends(axis, u)
            seen = min(last, self.input_size[axis] - 1) - max(first, 0) + 1
            shares.append(max(seen, 0) / (last - first + 1) if last >= first else 1.0)
        return np.array(shares)

    def centre(self, unit: tuple[int, ...]) -> tuple[float, ...]:
        """Return the middle of a unit's region, in input pixels, per axis.

        A global field has no middle of its own: the unit's place on its grid, scaled to the
        image, stands for it.
        """
        self._check("unit", unit, self.grid)
        middles = []
        for a, (u, n, pixels) in enumerate(zip(unit, self.grid, self.input_size, strict=True)):
            first, last = self._ends(a, u)
            scaled = (u + 0.5) * pixels / n - 0.5
            middles.append(scaled if self.global_axes[a] else (first + last) / 2)
        return tuple(middles)

    def _ends(self, axis: int, u: int) -> tuple[int, int]:
        fields: tuple[Fields, ...] = self._state.fields[axis]
        ends = [e for e in (f.of(u) for f in fields) if e is not None]
        if not ends or not all(self._state.fields):
            return (0, -1)
        first, last = min(e[0] for e in ends), max(e[1] for e in ends)
        if not self.global_axes[axis]:
            return first, last
        return max(first, 0), min(last, self.input_size[axis] - 1)

    def _check(self, name: str, index: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        inside = len(index) == len(sizes) and all(
            0 <= i < n for i, n in zip(index, sizes, strict=True)
        )
        if not inside:
            where = f"the grid {sizes} of {self.path!r}" if name == "unit" else f"the image {sizes}"
            raise ValueError(f"{name} must lie on {where}, not {index}")


def make_field(call: Call, state: State, graph: Graph) -> Field:
    """Return the field of one module's output."""
    input_size = graph.nodes[0].grid
    grid, is_plane = call.grid, call.is_plane
    why = call.why
    if not why and len(call.nodes) > 1 and prod(grid) == 1 and not all(state.whole):
        each = zip(state.whole, map(state.is_every_place, range(len(grid))), strict=True)
        why = "positions became channels" if all(w or every for w, every in each) else ""
    if why:  # a vector of everything: its one unit sees what any of its elements sees
        state, grid = whole(state, grid, input_size, why), (1,) * len(input_size)
    everywhere = all(state.whole)
    if everywhere and prod(grid) == 1 and len(call.shape) == len(input_size) + 2:
        grid, is_plane = call.shape[2:], True  # positions are made anew: they all see everything
    return Field(
        path=call.path,
        call=call.index,
        op=call.op,
        grid=grid,
        input_size=input_size,
        why=next((w for w in state.whole if w), "") if everywhere or state.aligned else state.why,
        aligned=state.aligned or everywhere,
        is_plane=is_plane,
        _state=state,
        _graph=graph,
        _nodes=call.nodes,
        _is_vector=bool(why),
    )
