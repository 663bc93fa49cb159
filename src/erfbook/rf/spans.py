"""The fields of many units along one axis, in closed form.

Along an axis the fields of a node repeat: unit u + period sees what unit u sees, ``shift`` pixels
on. So a period's worth of first and last pixels says it all, on the plane that padding extends.
What reads a list of places, or only some units, is kept unit by unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from erfbook.rf.windows import AnyWindow, Table, Window

Ends = tuple[int, int] | None  # first and last pixel; None where nothing is seen


@dataclass(frozen=True)
class Fields:
    """The fields of a node's units along one axis.

    Args:
        period: units after which they repeat.
        shift: pixels by which they move in a period.
        ends: first and last pixel of units 0 ... period - 1.
        domain: (first, last) unit that sees anything; None leaves a side open.
    """

    period: int
    shift: int
    ends: tuple[Ends, ...]
    domain: tuple[int | None, int | None] = (None, None)

    @property
    def is_open(self) -> bool:
        """Whether every unit is described, whatever its index."""
        return self.domain == (None, None)

    def of(self, u: int) -> Ends:
        """Return the first and last pixel of unit u."""
        low, high = self.domain
        if (low is not None and u < low) or (high is not None and u > high):
            return None
        turns, rest = divmod(u, self.period)
        ends = self.ends[rest]
        return (
            None if ends is None else (ends[0] + self.shift * turns, ends[1] + self.shift * turns)
        )


@dataclass(frozen=True)
class Line:
    """Where the centres of the fields lie along one axis: ``centre + stride*u``."""

    stride: Fraction
    centre: Fraction


def read_whole(known: tuple[Fields, ...], n_units: int, n_pixels: int) -> tuple[Fields, ...]:
    """Return the fields of units that each read all of a parent's, the image's pixels only."""
    ends = [e for f in known for e in _extremes(f, n_units)]
    if not ends:
        return (Fields(1, 0, (None,)),)
    first = max(min(e[0] for e in ends), 0)
    return (Fields(1, 0, ((first, min(max(e[1] for e in ends), n_pixels - 1)),)),)


def _extremes(f: Fields, n_units: int) -> list[tuple[int, int]]:
    n = n_units if not f.is_open else min(f.period, n_units)
    looked = {*range(n), *range(n_units - n, n_units)}
    return [e for e in map(f.of, looked) if e is not None]


def read(f: Fields, window: AnyWindow, n_units: int) -> Fields:
    """Return the fields of units that read a parent's units through a window."""
    if window.is_identity:
        return f
    known = f.ends[0]
    if f.period == 1 and f.is_open and known is not None and window.is_regular:
        assert isinstance(window, Window)  # no table is regular
        first, last = known
        stride, offset, step = (int(v) for v in (window.stride, window.offset, window.step))
        begin, end = f.shift * offset, f.shift * step * (window.size - 1)
        low, high = min(begin, begin + end), max(begin, begin + end)
        return Fields(1, f.shift * stride, ((first + low, last + high),))
    if isinstance(window, Table) or not f.is_open:
        ends = tuple(_hull(f, window, u) for u in range(n_units))
        return Fields(n_units, 0, ends, (0, n_units - 1))
    each = Fraction(window.stride)
    turn = each / f.period  # a new period: whole turns of the parent's, of the comb, of the phase
    period = lcm(turn.denominator, each.denominator, window.phase[1])
    inner = window if window.domain == (None, None) else _opened(window)
    ends = tuple(_hull(f, inner, u) for u in range(period))
    return Fields(period, int(f.shift * turn * period), ends, window.domain)


def _opened(window):
    return type(window)(
        window.stride, window.offset, window.size, window.step, window.edge, phase=window.phase
    )


def _hull(f: Fields, window: AnyWindow, u: int) -> Ends:
    read = [e for e in map(f.of, window.units(u)) if e is not None]
    return (min(e[0] for e in read), max(e[1] for e in read)) if read else None


def through(line: Line | None, window: AnyWindow) -> Line | None:
    """Return the line of centres of units that read a parent's units through a window."""
    if line is None or isinstance(window, Table):
        return None
    stride = line.stride * Fraction(window.stride)
    return Line(stride, line.centre + line.stride * window.middle)


def together(fields: list[Fields]) -> tuple[Fields, ...]:
    """Join fields that move alike; those of different strides stay apart."""
    joined: dict[tuple, Fields] = {}
    for f in fields:
        key = (Fraction(f.shift, f.period), f.domain)
        known = joined.get(key)
        joined[key] = f if known is None else _hulls(known, f)
    return tuple(joined.values())


def _hulls(one: Fields, other: Fields) -> Fields:
    if one == other:
        return one
    period = lcm(one.period, other.period)
    ends = []
    for u in range(period):
        known = [e for e in (_inside(one, u), _inside(other, u)) if e is not None]
        low = min((e[0] for e in known), default=None)
        ends.append(None if low is None else (low, max(e[1] for e in known)))
    return Fields(period, one.shift * (period // one.period), tuple(ends), one.domain)


def _inside(f: Fields, u: int) -> Ends:
    turns, rest = divmod(u, f.period)
    e = f.ends[rest]
    return None if e is None else (e[0] + f.shift * turns, e[1] + f.shift * turns)


def average(fields: tuple[Fields, ...]) -> Line | None:
    """Return the line of centres, on average over a period, of fields that all move alike."""
    if len(fields) != 1 or not fields[0].is_open or None in fields[0].ends:
        return None
    (f,) = fields
    stride = Fraction(f.shift, f.period)
    ends = [e for e in f.ends if e is not None]
    middles = [Fraction(a + b, 2) - stride * u for u, (a, b) in enumerate(ends)]
    return Line(stride, sum(middles, Fraction(0)) / f.period)


def plain(value: Fraction) -> int | Fraction:
    """Return a whole fraction as an integer."""
    return int(value) if value.denominator == 1 else value


def smallest_period(f: Fields) -> int:
    """Return the smallest number of units after which fields really repeat."""
    for period in (d for d in range(1, f.period + 1) if f.period % d == 0):
        if f.shift * period % f.period:
            continue
        shift = f.shift * period // f.period
        moved = (f.ends[u % period] for u in range(f.period))
        turns = (u // period * shift for u in range(f.period))
        same = all(
            a == (b if b is None else (b[0] + t, b[1] + t))
            for a, b, t in zip(f.ends, moved, turns, strict=True)
        )
        if same:
            return period
    return f.period
