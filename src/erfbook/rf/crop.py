"""The part of the input from which one unit is computed exactly.

Why that part suffices. Let n be any node (tensor) on the way from the input to the unit, S its
stride in input pixels, N its units along an axis, and [lo, hi] those on which the unit depends,
padding counted. Take m pixels from the start of the input, m a multiple of every S. Then every n
loses exactly its first m/S units and the rest keep their place relative to their parents, because
a parent's loss is its child's loss times the child's own stride. A kept unit has its old value
unless it reads a lost one, or reads padding where there was none before. No unit that matters does
so if m/S <= lo for all n. If lo < 0 for some n, padding is part of the value: then nothing is
taken and the true border stays where it was. The end is the mirror image: with m pixels gone n has
N - m/S units, whatever its kernel, padding or rounding mode, because m/S is whole; this needs
m/S <= N - 1 - hi, and m = 0 where hi >= N. Outputs and gradients are then sums of the same terms
and differ by rounding alone.
"""

from __future__ import annotations

from fractions import Fraction

from erfbook.rf.fields import Box
from erfbook.rf.graph import Global, common_multiple
from erfbook.rf.propagate import propagate
from erfbook.rf.report import Report


def input_window(report: Report, path: str, unit: tuple[int, ...]) -> Box | None:
    """Return the smallest part of the input, cut at multiples of all strides, that a unit needs.

    Args:
        report: the model's report at the whole input's size.
        path: path of the module whose unit it is.
        unit: the unit's index, per axis.

    Returns:
        ((first, last), ...), inclusive, per spatial axis; None where an operation on the way is
        global, depends on the absolute position, or joins paths of different strides.
    """
    target = report.nodes[report.index(path)]
    strides = _strides(report, target)
    if strides is None:
        return None
    nodes, ranges = report.graph.nodes, report.graph.reach(target, unit)
    box = []
    for axis, n_pixels in enumerate(report.input_size[1:]):
        step = common_multiple([s[axis] for s in strides.values()])
        before = min(s[axis] * max(ranges[i][axis][0], 0) for i, s in strides.items())
        after = min(
            s[axis] * max(nodes[i].grid[axis] - 1 - ranges[i][axis][1], 0)
            for i, s in strides.items()
        )
        box.append((int(before // step * step), int(n_pixels - 1 - after // step * step)))
    return tuple(box)


def keeps_values(report: Report, part: Report, path: str, window: Box) -> bool:
    """Return whether the model executes on a window what it executes on the whole input.

    The argument above takes the operations as they were traced. A model may choose them by the
    size of its input, so the window is traced as well and compared, operation by operation.

    Args:
        report, part: the model's reports at the whole input's size and at the window's.
        path: path of the module whose unit is wanted.
        window: the window, as :func:`input_window` returns it.
    """
    target = report.nodes[report.index(path)]
    strides = _strides(report, target)
    if strides is None or path not in part or part.nodes[part.index(path)] != target:
        return False
    for i, stride in strides.items():
        whole, cut = report.graph.nodes[i], part.graph.nodes[i]
        if (whole.op, whole.step) != (cut.op, cut.step):
            return False
        for axis, (first, last) in enumerate(window):
            lost = report.input_size[1 + axis] - (last - first + 1)
            if whole.grid[axis] - cut.grid[axis] != lost / stride[axis]:
                return False
    return True


def _strides(report: Report, target: int) -> dict[int, tuple[Fraction, ...]] | None:
    """Return the stride per axis of every node the target depends on, if each has just one."""
    above = report.graph.ancestors(target)
    steps = [report.graph.nodes[i].step for i in above]
    if any(isinstance(step, Global) or step.fixed for step in steps):
        return None
    states = propagate(report.graph, target)
    if any(len(spans) != 1 for i in above for spans in states[i].spans):
        return None
    return {i: tuple(spans[0].stride for spans in states[i].spans) for i in above}
