"""The report of a model's receptive fields, and the part of the input that one unit needs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from torch import nn

from erfbook.rf.fields import Box, Field, Number
from erfbook.rf.graph import Global, Graph, common_multiple
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
        return self.fields[self._last(path)]

    def __contains__(self, path: str) -> bool:
        return any(f.path == path for f in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(f.path for f in self.fields))

    def calls(self, path: str) -> tuple[Field, ...]:
        """Return the field of every call of a module that is used more than once."""
        self._last(path)
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

    def window(self, path: str, unit: tuple[int, ...]) -> Box | None:
        """Return the part of the input from which a unit is computed exactly, or None.

        Let S be a stride and n a node on the way from the input to the unit; R the range of
        n's units that the unit depends on. Removing from an axis' start a multiple m of every S
        removes the first m/S units of every n and leaves the others where they were relative to
        their parents, so the kept ones have the same values provided none of them reads a removed
        unit or the padding that has taken its place, that is, provided m/S <= min R. The same
        holds at the end. Where R runs over the border of any n, padding is part of the value:
        there nothing is removed, and the true border stays. Values kept by this rule are
        combined by the same operations, so outputs and gradients are equal up to the rounding
        of sums taken in another order.

        Returns:
            ((first, last), ...), inclusive, per spatial axis; None where an operation on the way
            is global, depends on absolute position, or shortens the plane by a remainder.
        """
        target = self.nodes[self._last(path)]
        nodes = self.graph.nodes
        above = self.graph.ancestors(target)
        if any(isinstance(nodes[i].step, Global) or nodes[i].step.fixed for i in above):
            return None
        spans = propagate(self.graph, target)
        ranges = self.graph.reach(target, unit)
        box = []
        for axis, n_pixels in enumerate(self.input_size[1:]):
            strides = {i: spans[i].strides(axis) for i in above}
            if any(len(s) != 1 for s in strides.values()):
                return None
            step = common_multiple([s for each in strides.values() for s in each])
            before, after = [], []
            for i in above:
                (stride,) = strides[i]
                low, high = ranges[i][axis]
                before.append(stride * max(low, 0))
                after.append(stride * max(nodes[i].grid[axis] - 1 - high, 0))
            box.append((_cut(before, step), n_pixels - 1 - _cut(after, step)))
        return tuple(box)

    def _last(self, path: str) -> int:
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
        is_global = isinstance(node.step, Global)
        fields.append(
            Field(
                path=call.path,
                call=call.index,
                op=node.op,
                grid=node.grid,
                input_size=input_size[1:],
                spans=state.spans,
                why=node.step.why if is_global else state.why,
                aligned=state.aligned,
                is_global=is_global,
            )
        )
        nodes.append(call.node)
    return Report(input_size, tuple(fields), graph, tuple(nodes))


def _cut(limits: list[Number], step: int) -> int:
    """Return the largest multiple of ``step`` that no limit forbids."""
    return int(min(limits)) // step * step
