"""The receptive fields of all modules of a model, in one report."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import pandas as pd
from torch import nn

from erfbook.rf.fields import Field, make_field
from erfbook.rf.graph import Graph
from erfbook.rf.propagate import State, merge, propagate
from erfbook.rf.trace import trace

MODEL = "(model)"  # how a table names the model itself, whose module path is empty


@dataclass(frozen=True)
class Report:
    """The receptive fields of a model at one input size.

    Args:
        input_size: (channels, *spatial).
        fields: one for each call of each module, in the order in which the calls ended.
        graph: the operations they were found from.
        states: what is known of each of the graph's nodes.
    """

    input_size: tuple[int, ...]
    fields: tuple[Field, ...]
    graph: Graph
    states: tuple[State, ...]
    _analyze: Callable[..., Report] | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, path: str) -> Field:
        return self.fields[self.index(path)]

    def __contains__(self, path: str) -> bool:
        return any(path in (f.path, self.name(f)) for f in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(f.path for f in self.fields))

    def name(self, field: Field) -> str:
        """Return how a table names a call: ``conv (call 2)`` where a module is called again."""
        path = field.path if field.path.partition("[")[0] else MODEL + field.path
        return f"{path} (call {field.call + 1})" if field.path in self._repeated else path

    @cached_property
    def _repeated(self) -> set[str]:
        return {f.path for f in self.fields if f.call}

    def calls(self, path: str) -> tuple[Field, ...]:
        """Return the field of every call of a module that is used more than once."""
        self.index(path)
        return tuple(f for f in self.fields if f.path == path)

    def nodes(self, path: str) -> tuple[int, ...]:
        """Return the graph's nodes of the channels of a module's last output."""
        return self.graph.calls[self.index(path)].nodes

    def at(self, sides: tuple[int, ...], path: str) -> Report:
        """Return the report of the same model, up to a module's last call, for other sides.

        Args:
            sides: pixels per spatial axis.
            path: path of the module.

        Raises:
            TraceError: the model refuses an input of this size.
        """
        assert self._analyze is not None, "only a report that analyze() returned knows its model"
        last = self.fields[self.index(path)]
        until = (last.path.partition("[")[0], last.call)
        return self._analyze((self.input_size[0], *sides), until=until)

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
        """Return the position in ``fields`` of a module's last call, or of the call of that name.

        Raises:
            KeyError: no such module was called; the nearest names are given.
        """
        found = [i for i, f in enumerate(self.fields) if f.path == path]
        found = found or [i for i, f in enumerate(self.fields) if self.name(f) == path]
        if not found:
            close = difflib.get_close_matches(str(path), list(self), n=3, cutoff=0.4)
            hint = f"nearest: {', '.join(map(repr, close))}" if close else f"see {list(self)[:8]}"
            raise KeyError(f"no layer {path!r} was called; {hint}")
        return found[-1]


def analyze(
    model: nn.Module,
    input_size: tuple[int, ...],
    *,
    unknown: str = "error",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    until: tuple[str, int] | None = None,
) -> Report:
    """Return the theoretical receptive field of every module of a model (distill).

    The operations that a forward pass really executes are recorded on shapes alone, so functional
    code and reused modules are seen; nothing is allocated and the model is left as it was.
    Convolutions and pooling of every kind, upsampling, padding, cutting and joining, reshaping,
    attention and normalisation are followed exactly, channel by channel. What reads the whole
    plane, however large it is (a global mean, a linear layer over a flattened plane, attention
    over all positions, batch norm in training mode), is global, with the reason.

    Args:
        model: any module whose first argument is the image; its train or eval mode is used as it
            is.
        input_size: (channels, *spatial), with 1 to 3 spatial axes.
        unknown: ``error`` refuses an operation without a rule, ``global`` marks its output global.
        args, kwargs: what the model's forward needs besides the image; it does not count as input.
        until: a module's path and which of its calls, from 0, the analysis ends with, where the
            rest of the model is not of interest; modules that contain it are not in the report.

    Returns:
        A report; ``report["layer4"]`` is the :class:`Field` of that module's last call.

    Raises:
        TraceError: the model refuses this input, looks at values, or uses an unknown operation.

    >>> field = analyze(nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 32, 32))[""]
    >>> field.size, field.stride, field.padding, field.region((0, 0))
    ((3, 3), (2, 2), (1, 1), ((-1, 1), (-1, 1)))
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    try:
        input_size = tuple(operator.index(n) for n in input_size)
    except TypeError as error:
        raise ValueError(
            f"input_size must be (channels, *spatial), as (3, 224, 224), not {input_size!r}"
        ) from error
    graph = trace(model, input_size, unknown, args, kwargs, until)
    states = propagate(graph, input_size[1:])
    fields = []
    for call in graph.calls:
        names = [graph.nodes[i].name for i in call.nodes]
        state = merge([states[i] for i in call.nodes], names, f"{call.path!r}")
        fields.append(make_field(call, state, graph))
    again = partial(analyze, model, unknown=unknown, args=args, kwargs=kwargs)
    return Report(input_size, tuple(fields), graph, tuple(states), again)
