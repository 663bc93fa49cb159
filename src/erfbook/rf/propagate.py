"""Spans of every node of a graph, from the input up: the recurrences of the Distill article."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from erfbook.rf.fields import Span, plain
from erfbook.rf.graph import Global, Graph, Link, Local


@dataclass(frozen=True)
class State:
    """A node's spans per axis, and whether its paths agree."""

    spans: tuple[tuple[Span, ...], ...]
    aligned: bool = True
    why: str = ""


def propagate(graph: Graph, last: int) -> list[State]:
    """Return the spans of every node up to ``last``."""
    states: list[State] = []
    for node in graph.nodes[: last + 1]:
        if isinstance(node.step, Global):
            states.append(State((), aligned=True, why=node.step.why))
        elif not node.step.links:
            pixel = Span(Fraction(1), Fraction(0), Fraction(0))
            states.append(State(((pixel,),) * len(node.step.axes)))
        else:
            states.append(_merge(graph, node.step, states, node.op, node.module))
    return states


def _merge(graph: Graph, step: Local, states: list[State], op: str, module: str) -> State:
    paths = [_through(link, states[link.parent]) for link in step.links]
    spans = tuple(_hull([s for path in paths for s in path[a]]) for a in range(len(step.axes)))
    for link in step.links:
        inherited = states[link.parent]
        if not inherited.aligned:
            return State(spans, False, inherited.why)
    for link, path in zip(step.links[1:], paths[1:], strict=True):
        for a, (here, there) in enumerate(zip(path, paths[0], strict=True)):
            if (here[0].stride, here[0].centre) != (there[0].stride, there[0].centre):
                names = [_origin(graph, step.links[0]), _origin(graph, link)]
                why = _disagreement(op, module, a, names, (there[0], here[0]))
                return State(spans, False, why)
    return State(spans)


def _through(link: Link, state: State) -> tuple[tuple[Span, ...], ...]:
    """Compose the parent's spans with the window read from it (distill: the recurrences)."""
    return tuple(
        tuple(
            Span(
                stride=s.stride * w.stride,
                first=s.first + s.stride * w.offset,
                last=s.last + s.stride * (w.offset + w.size - 1),
            )
            for s in spans
        )
        for spans, w in zip(state.spans, link.windows, strict=True)
    )


def _hull(spans: list[Span]) -> tuple[Span, ...]:
    """Join spans of one stride; spans of different strides stay apart."""
    joined: dict[Fraction, Span] = {}
    for s in spans:
        known = joined.get(s.stride, s)
        joined[s.stride] = Span(s.stride, min(s.first, known.first), max(s.last, known.last))
    return tuple(joined.values())


def _origin(graph: Graph, link: Link) -> str:
    node = graph.nodes[link.parent]
    return f"{node.op.removeprefix('aten.')} in {node.module!r}" if node.module else node.op


def _disagreement(op: str, module: str, axis: int, names: list[str], spans) -> str:
    kind = "stride" if spans[0].stride != spans[1].stride else "centre"
    values = [plain(getattr(span, kind)) for span in spans]
    return (
        f"{op.removeprefix('aten.')} in {module!r} joins paths that differ in {kind} "
        f"on axis {axis}: {values[0]} through {names[0]}, {values[1]} through {names[1]}"
    )
