"""The theoretical receptive field of one layer's units, in closed form per axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

Number = int | Fraction
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Span:
    """Input pixels that unit u may see on one axis: ``first + stride*u`` to ``last + stride*u``."""

    stride: Fraction
    first: Fraction
    last: Fraction

    @property
    def centre(self) -> Fraction:
        """Middle of unit 0's span, in input pixels."""
        return (self.first + self.last) / 2


@dataclass(frozen=True)
class Field:
    """The theoretical receptive field of the units of one module's output.

    Args:
        path: path of the module; ``path[key]`` where it returns several tensors.
        call: which call of the module this was, from 0.
        op: the ATen operation that made the output.
        grid: units per spatial axis.
        input_size: input pixels per spatial axis.
        spans: per axis, one span for each stride at which paths arrive: one where they agree.
        why: what made the field global, or which paths are misaligned; empty otherwise.
        aligned: whether all paths agree on stride and centre.
        is_global: whether every unit may depend on every input pixel.
    """

    path: str
    call: int
    op: str
    grid: tuple[int, ...]
    input_size: tuple[int, ...]
    spans: tuple[tuple[Span, ...], ...]
    why: str = ""
    aligned: bool = True
    is_global: bool = False

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels seen, per axis; where strides disagree, by the central unit."""
        return tuple(b - a + 1 for a, b in self.region(self.central_unit))

    @property
    def stride(self) -> tuple[Number | None, ...]:
        """Input pixels from a unit's field to the next one's, per axis; None where paths differ."""
        if self.is_global:
            return (None,) * len(self.input_size)
        return tuple(plain(s[0].stride) if len(s) == 1 else None for s in self.spans)

    @property
    def padding(self) -> tuple[Number | None, ...]:
        """Distance by which unit 0's field begins before the image (distill: effective padding)."""
        if self.is_global:
            return (None,) * len(self.input_size)
        return tuple(plain(-min(span.first for span in spans)) for spans in self.spans)

    @property
    def central_unit(self) -> tuple[int, ...]:
        """The unit whose index is half the grid, rounded down: on an even grid the later one."""
        return tuple(n // 2 for n in self.grid)

    def region(self, unit: tuple[int, ...], clip: bool = False) -> Box:
        """Return ((first, last), ...), inclusive, of the input pixels that a unit may see.

        Args:
            unit: index of the unit on its grid, per axis.
            clip: cut the region off at the image's border. A unit that sees only padding then
                has a last pixel before its first.

        Raises:
            ValueError: there is no such unit.
        """
        if self.is_global:
            return tuple((0, n - 1) for n in self.input_size)
        if len(unit) != len(self.grid) or any(
            not 0 <= u < n for u, n in zip(unit, self.grid, strict=True)
        ):
            raise ValueError(f"unit must lie on the grid {self.grid} of {self.path!r}, not {unit}")
        box = []
        for u, n, spans in zip(unit, self.input_size, self.spans, strict=True):
            first = int(min(span.first + span.stride * u for span in spans))
            last = int(max(span.last + span.stride * u for span in spans))
            box.append((max(first, 0), min(last, n - 1)) if clip else (first, last))
        return tuple(box)

    def centre(self, unit: tuple[int, ...]) -> tuple[float, ...]:
        """Return the middle of a unit's region, in input pixels, per axis.

        A global field has no middle of its own: the unit's place on its grid, scaled to the
        image, stands for it.
        """
        if self.is_global:
            each = zip(unit, self.grid, self.input_size, strict=True)
            return tuple((u + 0.5) * n / m - 0.5 for u, m, n in each)
        return tuple((a + b) / 2 for a, b in self.region(unit))


def plain(value: Fraction) -> Number:
    """Return a whole fraction as an integer."""
    return int(value) if value.denominator == 1 else value
