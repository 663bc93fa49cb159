"""The receptive fields of all modules of a model, in one report."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from torch import nn

from erfbook.rf.fields import Field
from erfbook.rf.graph import Global, Graph
from erfbook.rf.propagate import propagate
from erfbook.rf.trace import trace


@dataclass(frozen=True)
class Report:
    """The receptive fields of a model at one input size.

    Args:
        input_size: (channels, *spatial).
        fields: one for each call of each module, in the order in which the calls ended.
        graph: the operations they were found from.
        nodes: for each field, the node of its output.
    """

    input_size: tuple[int, ...]
    fields: tuple[Field, ...]
    graph: Graph
    nodes: tuple[int, ...]

    def __getitem__(self, path: str) -> Field:
        return self.fields[self.index(path)]

    def __contains__(self, path: str) -> bool:
        return any(f.path == path for f in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(f.path for f in self.fields))

    def calls(self, path: str) -> tuple[Field, ...]:
        """Return the field of every call of a module that is used more than once."""
        self.index(path)
        return tuple(f for f in self.fields if f.path == path)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row for each call of each module."""
        rows = [
            {
                "layer": f.path,
                "call": f.call,
                "op": f.op.removeprefix("aten."),
                "units": f.grid,
                "size": f.size,
                "stride": f.stride,
                "padding": f.padding,
                "global": f.is_global,
                "aligned": f.aligned,
                "why": f.why,
            }
            for f in self.fields
        ]
        return pd.DataFrame(rows)

    def index(self, path: str) -> int:
        """Return the position in ``fields`` and ``nodes`` of a module's last call.

        Raises:
            KeyError: no such module was called; the nearest names are given.
        """
        found = [i for i, f in enumerate(self.fields) if f.path == path]
        if not found:
            close = difflib.get_close_matches(str(path), list(self), n=3, cutoff=0.4)
            hint = f"nearest: {', '.join(map(repr, close))}" if close else f"see {list(self)[:8]}"
            raise KeyError(f"no layer {path!r} was called; {hint}")
        return found[-1]


def analyze(model: nn.Module, input_size: tuple[int, ...], *, unknown: str = "error") -> Report:
    """Return the theoretical receptive field of every module of a model (distill).

    The operations that a forward pass really executes are recorded on shapes alone, so functional
    code and reused modules are seen; nothing is allocated and the model is left as it was.
    Supported exactly: convolution (stride, padding, dilation, groups), max and average pooling
    (ceil mode too), everything elementwise, batch norm in evaluation mode, layer norm and softmax
    over channels, add, multiply and concatenate of several paths, constant padding, dropout,
    slices, channel selection, permutations and views that keep the plane. Global, with the reason:
    batch norm in training mode, group and instance norm, adaptive pooling, reductions over the
    plane, flattening, linear layers. Everything else is unknown: transposed convolution,
    interpolation, attention, other padding, roll, unfold.

    Args:
        model: any module that takes one tensor; its train or eval mode is used as it is.
        input_size: (channels, *spatial), with 1 to 3 spatial axes.
        unknown: ``error`` refuses an operation without a rule, ``global`` marks its output global.

    Returns:
        A report; ``report["layer4"]`` is the :class:`Field` of that module's last call.

    Raises:
        TraceError: the model refuses this input, looks at values, or uses an unknown operation.

    >>> field = analyze(nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 32, 32))[""]
    >>> field.size, field.stride, field.padding, field.region((0, 0))
    ((3, 3), (2, 2), (1, 1), ((-1, 1), (-1, 1)))
    """
    input_size = tuple(int(n) for n in input_size)
    graph = trace(model, input_size, unknown)
    states = propagate(graph, len(graph.nodes) - 1)
    fields, nodes = [], []
    for call in graph.calls:
        state, node = states[call.node], graph.nodes[call.node]
        fields.append(
            Field(
                path=call.path,
                call=call.index,
                op=node.op,
                grid=node.grid,
                input_size=input_size[1:],
                spans=state.spans,
                why=state.why,
                aligned=state.aligned,
                is_global=isinstance(node.step, Global),
            )
        )
        nodes.append(call.node)
    return Report(input_size, tuple(fields), graph, tuple(nodes))
