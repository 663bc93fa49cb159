"""The field of every node, from the input up, in closed form: the recurrences of distill.

Along an axis the fields of a node repeat: unit u + period sees what unit u sees, ``shift`` pixels
on. So a period's worth of first and last pixels says it all, on the plane that padding extends.
Paths of different strides are kept side by side; what reads a list of places, or only some units,
is kept unit by unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from erfbook.rf.graph import Graph, Link, Node
from erfbook.rf.windows import AnyWindow, Table

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


@dataclass(frozen=True)
class State:
    """What is known of a node along every axis.

    Args:
        fields: per axis, one entry for each stride at which paths arrive.
        lines: per axis, the line of centres of the first path; None where everything is seen, or
            where the places are listed.
        whole: per axis, why each unit sees whatever there is; empty where it does not.
        aligned: whether all paths agree on stride and centre.
        why: which paths do not.
    """

    fields: tuple[tuple[Fields, ...], ...]
    lines: tuple[Line | None, ...]
    whole: tuple[str, ...]
    aligned: bool = True
    why: str = ""


def propagate(graph: Graph, input_size: tuple[int, ...]) -> list[State]:
    """Return the state of every node.

    Args:
        graph: the graph.
        input_size: pixels along each axis.
    """
    states: list[State] = []
    for index, node in enumerate(graph.nodes):
        if index == 0:
            pixel = (Fields(1, 1, ((0, 0),)),)
            line = Line(Fraction(1), Fraction(0))
            n = len(input_size)
            states.append(State((pixel,) * n, (line,) * n, ("",) * n))
        else:
            states.append(_state(graph, node, states, input_size))
    return states


def merge(parts: list[State], names: list[str], where: str) -> State:
    """Return the state of units that see what all of ``parts`` see.

    Args:
        parts: states that meet.
        names: what each came through, for people.
        where: what joins them, for people.
    """
    seen = [(s, name) for s, name in zip(parts, names, strict=True) if all(s.fields)]
    if not seen:
        n = len(parts[0].lines) if parts else 0
        return parts[0] if parts else State(((),) * n, (None,) * n, ("",) * n)
    if len(seen) == 1:
        return seen[0][0]
    n_axes = len(seen[0][0].lines)
    fields = tuple(_together([f for s, _ in seen for f in s.fields[a]]) for a in range(n_axes))
    whole = tuple(next((s.whole[a] for s, _ in seen if s.whole[a]), "") for a in range(n_axes))
    lines: list[Line | None] = []
    aligned, why = True, ""
    for s, _ in seen:
        if not s.aligned and aligned:
            aligned, why = False, s.why
    for a in range(n_axes):
        known = [(s.lines[a], name) for s, name in seen if not s.whole[a]]
        lines.append(known[0][0] if known else None)
        for line, name in known[1:]:
            if aligned and line != known[0][0]:
                aligned, why = False, _disagreement(where, a, known[0], (line, name))
    return State(fields, tuple(lines), whole, aligned, why)


def whole(state: State, grid: tuple[int, ...], input_size: tuple[int, ...], why: str) -> State:
    """Return the state of a unit that sees what all units of a grid see."""
    each = zip(state.fields, grid, input_size, strict=True)
    fields = tuple(_read_whole(known, n, pixels) for known, n, pixels in each)
    n_axes = len(grid)
    return State(fields, (None,) * n_axes, tuple(w or why for w in state.whole))


def _state(graph: Graph, node: Node, states: list[State], input_size) -> State:
    n_axes = len(input_size)
    if not node.links:
        return State(((),) * n_axes, (None,) * n_axes, ("",) * n_axes)
    parts, names = [], []
    for link in node.links:
        state = states[link.parent]
        if not all(state.fields):
            continue
        parts.append(_through(link, state, node, graph.nodes[link.parent], input_size))
        names.append(graph.nodes[link.parent].name)
    if not parts:
        return State(((),) * n_axes, (None,) * n_axes, ("",) * n_axes)
    state = merge(parts, names, node.name)
    if any(w.phase[1] > 1 for link in node.links for w in link.windows):
        state = _interleaved(state, parts)
    return _mixed(state, node, input_size) if node.why else state


def _interleaved(state: State, parts: list[State]) -> State:
    """Judge paths that take turns by what they give together: each unit has one of them."""
    lines = tuple(_average(axis) for axis in state.fields)
    if not all(part.aligned for part in parts) or None in lines:
        return state
    return State(state.fields, lines, state.whole)


def _average(fields: tuple[Fields, ...]) -> Line | None:
    """Return the line of centres, on average over a period, of fields that all move alike."""
    if len(fields) != 1 or not fields[0].is_open or None in fields[0].ends:
        return None
    (f,) = fields
    stride = Fraction(f.shift, f.period)
    middles = [Fraction(a + b, 2) - stride * u for u, (a, b) in enumerate(f.ends)]
    return Line(stride, sum(middles, Fraction(0)) / f.period)


def _mixed(state: State, node: Node, input_size) -> State:
    """Call an axis global where positions that had become channels were mixed, all of them."""
    reasons = list(state.whole)
    for a, n in enumerate(input_size):
        ends = [f.of(0) for f in state.fields[a]]
        known = [e for e in ends if e is not None]
        covered = known and min(e[0] for e in known) <= 0 and max(e[1] for e in known) >= n - 1
        if node.grid[a] == 1 and covered:
            reasons[a] = reasons[a] or node.why
    return State(state.fields, state.lines, tuple(reasons), state.aligned, state.why)


def _through(link: Link, state: State, node: Node, parent: Node, input_size) -> State:
    """Compose a parent's state with the windows through which it is read."""
    fields, lines, reasons = [], [], []
    for a, window in enumerate(link.windows):
        known, why = state.fields[a], state.whole[a]
        if window.whole:
            why = why or node.why
            fields.append(_read_whole(known, parent.grid[a], input_size[a]))
        else:
            fields.append(tuple(_read(f, window, node.grid[a]) for f in known))
        reasons.append(why)
        lines.append(None if why else _line(state.lines[a], window))
    empty = any(all(e is None for f in axis for e in f.ends) for axis in fields)
    kept = ((),) * len(fields) if empty else tuple(fields)
    return State(kept, tuple(lines), tuple(reasons), state.aligned, state.why)


def _read_whole(known: tuple[Fields, ...], n_units: int, n_pixels: int) -> tuple[Fields, ...]:
    ends = [e for f in known for e in _extremes(f, n_units)]
    if not ends:
        return (Fields(1, 0, (None,)),)
    first = max(min(e[0] for e in ends), 0)
    return (Fields(1, 0, ((first, min(max(e[1] for e in ends), n_pixels - 1)),)),)


def _extremes(f: Fields, n_units: int) -> list[tuple[int, int]]:
    n = n_units if not f.is_open else min(f.period, n_units)
    looked = {*range(n), *range(n_units - n, n_units)}
    return [e for e in map(f.of, looked) if e is not None]


def _read(f: Fields, window: AnyWindow, n_units: int) -> Fields:
    if window.is_identity:
        return f
    if f.period == 1 and f.is_open and f.ends[0] is not None and window.is_regular:
        first, last = f.ends[0]
        begin, end = f.shift * window.offset, f.shift * window.step * (window.size - 1)
        low, high = min(begin, begin + end), max(begin, begin + end)
        return Fields(1, f.shift * window.stride, ((first + low, last + high),))
    if isinstance(window, Table) or not f.is_open:
        ends = tuple(_hull(f, window, u) for u in range(n_units))
        return Fields(n_units, 0, ends, (0, n_units - 1))
    stride = Fraction(window.stride)
    turn = stride / f.period  # a new period: whole turns of the parent's, of the comb, of the phase
    period = lcm(turn.denominator, stride.denominator, window.phase[1])
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


def _line(line: Line | None, window: AnyWindow) -> Line | None:
    if line is None or isinstance(window, Table):
        return None
    stride = line.stride * Fraction(window.stride)
    return Line(stride, line.centre + line.stride * window.middle)


def _together(fields: list[Fields]) -> tuple[Fields, ...]:
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


def _disagreement(where: str, axis: int, one, other) -> str:
    (here, name), (there, other_name) = one, other
    if here is None or there is None:
        return f"{where} joins units at listed places on axis {axis}"
    kind = "stride" if here.stride != there.stride else "centre"
    values = [plain(getattr(line, kind)) for line in (here, there)]
    return (
        f"{where} joins paths that differ in {kind} on axis {axis}: "
        f"{values[0]} through {name}, {values[1]} through {other_name}"
    )


def plain(value: Fraction) -> int | Fraction:
    """Return a whole fraction as an integer."""
    return int(value) if value.denominator == 1 else value


def common_shift(state: State, axis: int) -> int | None:
    """Return the pixels by which all fields of a node repeat along an axis; None where none do."""
    shifts = {f.shift for f in state.fields[axis]}
    if len(state.fields[axis]) != 1 or state.fields[axis][0].domain != (None, None):
        return None
    (shift,) = shifts
    return abs(shift) or None


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


__all__ = [
    "Fields",
    "Line",
    "State",
    "common_shift",
    "merge",
    "plain",
    "propagate",
    "smallest_period",
    "whole",
]
