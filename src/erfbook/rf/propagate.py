"""The fields of every node, from the input up: the recurrences of distill, over any graph.

Paths that meet are joined; those of different strides are kept side by side. A node whose paths
disagree on stride or centre is misaligned, and says through which of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from erfbook.rf.graph import Graph, Link, Node
from erfbook.rf.spans import Fields, Line, average, plain, read, read_whole, through, together
from erfbook.rf.windows import Window

Places = dict[tuple[int, int], int]


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
        places: per axis, for units that were taken apart as channels: which positions of it they
            stand for, a bit for each, by how many there were and how far a unit moves.
    """

    fields: tuple[tuple[Fields, ...], ...]
    lines: tuple[Line | None, ...]
    whole: tuple[str, ...]
    aligned: bool = True
    why: str = ""
    places: tuple[Places, ...] = ()

    def is_every_place(self, axis: int) -> bool:
        """Whether units are all positions of an axis, which had become channels."""
        known = self.places[axis] if self.places else {}
        return any(bits == (1 << n) - 1 for (n, _), bits in known.items())


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
    fields = tuple(together([f for s, _ in seen for f in s.fields[a]]) for a in range(n_axes))
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
    places = tuple(_united([s.places[a] for s, _ in seen if s.places]) for a in range(n_axes))
    return State(fields, tuple(lines), whole, aligned, why, places if any(places) else ())


def _united(each: list[Places]) -> Places:
    found: Places = {}
    for places in each:
        for key, bits in places.items():
            found[key] = found.get(key, 0) | bits
    return found


def whole(state: State, grid: tuple[int, ...], input_size: tuple[int, ...], why: str) -> State:
    """Return the state of a unit that sees what all units of a grid see."""
    each = zip(state.fields, grid, input_size, strict=True)
    fields = tuple(read_whole(known, n, pixels) for known, n, pixels in each)
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
    lines = tuple(average(axis) for axis in state.fields)
    if not all(part.aligned for part in parts) or None in lines:
        return state
    return State(state.fields, lines, state.whole, places=state.places)


def _mixed(state: State, node: Node, input_size) -> State:
    """Call an axis global where positions that had become channels were mixed, all of them."""
    reasons = list(state.whole)
    for a in range(len(input_size)):
        if node.grid[a] == 1 and state.is_every_place(a):
            reasons[a] = reasons[a] or node.why
    return replace(state, whole=tuple(reasons))


def _through(link: Link, state: State, node: Node, parent: Node, input_size) -> State:
    """Compose a parent's state with the windows through which it is read."""
    fields, lines, reasons = [], [], []
    for a, window in enumerate(link.windows):
        known, why = state.fields[a], state.whole[a]
        if window.whole:
            why = why or node.why
            fields.append(read_whole(known, parent.grid[a], input_size[a]))
        else:
            fields.append(tuple(read(f, window, node.grid[a]) for f in known))
        reasons.append(why)
        lines.append(None if why else through(state.lines[a], window))
    empty = any(all(e is None for f in axis for e in f.ends) for axis in fields)
    kept = ((),) * len(fields) if empty else tuple(fields)
    places = tuple(_places(link, state, node, parent, a) for a in range(len(fields)))
    apart = places if any(places) else ()
    return State(kept, tuple(lines), tuple(reasons), state.aligned, state.why, apart)


def _places(link: Link, state: State, node: Node, parent: Node, axis: int) -> Places:
    """Return which positions that became channels units stand for, one of which each was."""
    window = link.windows[axis]
    before = state.places[axis] if state.places else {}
    if node.apart == axis and isinstance(window, Window):
        step, place = int(window.stride), int(window.offset)
        before = before or {(parent.grid[axis], 1): 1}
        moved = {(n, s * step): bits << (s * place) for (n, s), bits in before.items()}
    elif window.is_identity or node.grid[axis] == parent.grid[axis] == 1:
        moved = before
    else:
        return {}
    # A single unit moves no further.
    single = node.grid[axis] == 1
    return _united([{(n, 0 if single else s): bits} for (n, s), bits in moved.items()])


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
