"""Find the rule of an ATen operation by its name, and give it what it needs.

A rule takes an :class:`Op` and returns the layout of its output, or a list of them; it raises
:class:`~erfbook.rf.layout.Unknown` where it cannot be sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from erfbook.rf.builder import Builder
from erfbook.rf.joining import join
from erfbook.rf.layout import Layout, Unknown, channels, uniform
from erfbook.rf.positions import contract
from erfbook.rf.windows import WHOLE


@dataclass(frozen=True)
class Tensor:
    """A tensor among the arguments.

    Args:
        shape: its shape.
        layout: where its channels and positions lie; None if it does not depend on the input.
        values: its values, where they are known; small whole numbers that index others are.
    """

    shape: tuple[int, ...]
    layout: Layout | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Op:
    """One call of an ATen operation.

    Args:
        name: its name without overload, ``aten.convolution``; in-place twins share the name.
        args: all arguments by their names in the schema, defaults filled in; each tensor is a
            :class:`Tensor`.
        shape: shape of the (first) output.
        build: makes nodes.
        pointwise: whether PyTorch tags the operation as elementwise.
    """

    name: str
    args: dict[str, Any]
    shape: tuple[int, ...]
    build: Builder
    pointwise: bool = False

    def tensors(self) -> list[Tensor]:
        """Return every tensor among the arguments, in their order."""
        return [t for value in self.args.values() for t in _tensors(value)]

    def tracked(self) -> list[Layout]:
        """Return the layouts of all arguments that depend on the input."""
        return [t.layout for t in self.tensors() if t.layout is not None]

    def only(self, argument: str) -> Layout:
        """Return the layout of an argument, which must be the only one that depends on the input.

        Raises:
            Unknown: another one does.
        """
        value = self.args[argument]
        if not isinstance(value, Tensor) or value.layout is None or len(self.tracked()) != 1:
            raise Unknown(f"the input reaches it through an argument other than {argument!r}")
        return value.layout

    def everything(self, why: str) -> Layout:
        """Return an output all of whose units read all of every argument: a global field."""
        rest = [contract(self.build, x, set(range(len(x.dims))), why) for x in self.tracked()]
        one = join(self.build, rest, ())
        reads = [(int(one.nodes.flat[0]), (WHOLE,) * self.build.n_axes)]
        node = self.build.node(reads, (1,) * self.build.n_axes, why, fixed=True)
        return uniform(node, channels(self.shape), self.build.n_axes)


Rule = Callable[[Op], Layout | Sequence[Layout]]
_RULES: dict[str, Rule] = {}


def register(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations, by name without overload: ``aten.convolution``.

    A rule is a function of one :class:`Op`; ``op.only("self")`` is the layout of an argument, and
    an operation that works position by position returns it as it is.
    """

    def add(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


def apply(op: Op) -> list[Layout]:
    """Return the layouts of an operation's outputs.

    Raises:
        Unknown: there is no rule for it, or not for this call.
    """
    rule = _RULES.get(op.name) or (_RULES["pointwise"] if op.pointwise else None)
    if rule is None:
        raise Unknown
    found = rule(op)
    return [found] if isinstance(found, Layout) else list(found)


def dim_of(op: Op, layout: Layout, name: str = "dim") -> int:
    """Return an argument that names a dimension, counted from 0."""
    return op.args[name] % max(len(layout.dims), 1)


def dims_of(value, rank: int) -> set[int]:
    """Return dimensions counted from 0; all of them where none is named."""
    if value is None or value == []:
        return set(range(rank))
    return {d % rank for d in ([value] if isinstance(value, int) else value)}


def per_axis(value, n: int) -> tuple:
    """Return a value for each of n axes: given once or n times."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values * n if len(values) == 1 else values


def _tensors(value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [t for item in value for t in _tensors(item)]
    return []
