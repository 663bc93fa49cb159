"""The part of the input from which one unit is computed exactly, and tiles that fit together.

Why a part suffices. Let n be any node on the way from the input to the unit, S its stride in input
pixels, N its units along an axis, and [lo, hi] those on which the unit depends, padding counted.
Take m pixels from the start of the input, m a multiple of the pixels after which every n's fields
come again. Then every n loses exactly its first m/S units and the rest keep their place relative
to their parents, because a parent's loss is its child's loss times the child's own stride. A kept
unit has its old value unless it reads a lost one, or reads padding where there was none before. No
unit that matters does so if m/S <= lo for all n. If lo < 0 for some n, padding is part of the
value: then nothing is taken and the true border stays where it was. The end is the mirror image:
with m pixels gone n has N - m/S units, whatever its kernel, padding or rounding mode, because m/S
is whole; this needs m/S <= N - 1 - hi, and m = 0 where hi >= N. Outputs and gradients are then
sums of the same terms and differ by rounding alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from torch import nn

from erfbook.rf.fields import Box
from erfbook.rf.propagate import State
from erfbook.rf.report import Report, analyze
from erfbook.rf.windows import Table


@dataclass(frozen=True)
class _Steps:
    """How a node's units move along each axis: pixels a unit, and until all repeats."""

    stride: tuple[Fraction, ...]
    shift: tuple[int, ...]


@dataclass(frozen=True)
class Tiling:
    """How to cut the input so that a dense network's output can be computed tile by tile.

    Args:
        multiple: tiles begin at multiples of this many pixels, per axis, and are as long.
        before: pixels that a tile needs before those it is for, per axis.
        after: pixels that it needs after them, per axis.
    """

    multiple: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


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
    targets = report.nodes(path)
    steps, _ = _regular(report, targets)
    if steps is None:
        return None
    nodes, ranges = report.graph.nodes, report.graph.reach(targets, unit, unit)
    box = []
    for axis, n_pixels in enumerate(report.input_size[1:]):
        every = lcm(*(s.shift[axis] for s in steps.values()))
        reached = [(i, s.stride[axis], ranges[i][axis]) for i, s in steps.items() if i in ranges]
        before = min(stride * max(low, 0) for _, stride, (low, _) in reached)
        after = min(
            stride * max(nodes[i].grid[axis] - 1 - high, 0) for i, stride, (_, high) in reached
        )
        box.append((int(before // every * every), int(n_pixels - 1 - after // every * every)))
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
    steps, _ = _regular(report, report.nodes(path))
    if steps is None or path not in part:
        return False
    sides = tuple(last - first + 1 for first, last in window)
    return _difference(report, part, path, steps, sides, Fraction(0)) is None


def tiling(report: Report, path: str) -> Tiling:
    """Return how much tiles must overlap for a dense layer's output to be exact in each of them.

    A tile that is for pixels [a, b), both multiples of ``multiple``, is cut from a - before to
    b + after, or to the image's true border where that comes first; its output belongs to the
    units from a/stride to b/stride - 1. By the argument above these have their exact values.

    Args:
        report: the model's report.
        path: path of the layer.

    The argument holds for the operations as they were traced. A model may choose them by the size
    of its input (it resizes to a fixed size, or keeps the corners in place), so tiles of these
    sizes are traced as well and compared, operation by operation.

    Raises:
        ValueError: the layer's field is global, or depends on where in the image a unit lies; or
            the model refuses a tile, or does with it something else than with the whole image.
    """
    field, targets = report[path], report.nodes(path)
    steps, why = _regular(report, targets)
    if steps is None:
        reason = next((w for w in field._state.whole if w), "") or why
        raise ValueError(f"no tile of {path!r} can be exact: {reason}")
    n_axes = len(report.input_size) - 1
    multiple = tuple(lcm(*(s.shift[a] for s in steps.values())) for a in range(n_axes))
    strides = [steps[targets[0]].stride[a] for a in range(n_axes)]
    last = tuple(int(m / s) - 1 for m, s in zip(multiple, strides, strict=True))
    ranges = report.graph.reach(targets, (0,) * n_axes, last)
    before, after = [], []
    for a, m in enumerate(multiple):
        reached = [(steps[i].stride[a], ranges[i][a]) for i in steps if i in ranges]
        need_before = max(*(-s * low for s, (low, _) in reached), Fraction(0))
        need_after = max(*(s * (high + 1) - m for s, (_, high) in reached), Fraction(0))
        before.append(int(-(-need_before // m) * m))
        after.append(int(-(-need_after // m) * m))
    tiles = Tiling(multiple, tuple(before), tuple(after))
    _check_tiles(report, path, steps, tiles)
    return tiles


def _check_tiles(report: Report, path: str, steps: dict[int, _Steps], tiles: Tiling) -> None:
    """Trace tiles at the start of the image, inside and at its end, and one that is twice as long.

    Raises:
        ValueError: the model does not do with them what it does with the whole image.
    """
    whole = report.input_size[1:]
    each = list(zip(tiles.before, tiles.multiple, tiles.after, whole, strict=True))
    interior = tuple(min(b + m + a, n) for b, m, a, n in each)
    longer = tuple(min(b + 2 * m + a, n) for b, m, a, n in each)
    first = tuple(min(m + a, n) for _, m, a, n in each)
    last = tuple(min(b + m, n) for b, m, _, n in each)
    for sides in dict.fromkeys((interior, longer, first, last)):
        tile = f"a tile of {'x'.join(map(str, sides))} px"
        try:
            part = report.at(sides, path)
        except ValueError as error:
            if sides == last != interior:  # at the end of valid convolutions there are no units
                continue
            raise ValueError(f"no tile of {path!r} can be exact: {tile}: {error}") from error
        # A unit more or less than a tile's pixels are worth is a matter of rounding at its end.
        found = _difference(report, part, path, steps, sides, Fraction(1))
        if found is not None:
            raise ValueError(
                f"no tile of {path!r} can be exact: {found} follows the input's size, so that "
                f"it differs in {tile}"
            )


def _difference(
    report: Report,
    part: Report,
    path: str,
    steps: dict[int, _Steps],
    sides: tuple[int, ...],
    slack: Fraction,
) -> str | None:
    """Return the first operation that works otherwise on a part of the input; None where none does.

    Args:
        report, part: the model's reports for the whole input and for the part.
        path: path of the module whose units are wanted.
        steps: how the nodes on the way move.
        sides: the part's sides in pixels.
        slack: units by which a node's grid may differ from what the lost pixels are worth.
    """
    here, there = (r.graph.ops[: r.graph.calls[r.index(path)].n_ops] for r in (report, part))
    if here != there or part.nodes(path) != report.nodes(path):
        return "the choice of operations"
    for i, step in sorted(steps.items()):
        whole, cut = report.graph.nodes[i], part.graph.nodes[i]
        if (whole.op, whole.links) != (cut.op, cut.links):
            return whole.name
        for axis, side in enumerate(sides):
            lost = Fraction(report.input_size[1 + axis] - side) / step.stride[axis]
            beside = abs(whole.grid[axis] - cut.grid[axis] - lost)
            if beside and beside >= slack:
                return whole.name
    return None


def smallest_input(
    model: nn.Module, input_size: tuple[int, ...], path: str, **options
) -> tuple[int, ...]:
    """Return the smallest sides at which the central unit sees its whole field, axis by axis.

    Args:
        model: the model.
        input_size: (channels, *spatial), a size that the model takes.
        path: path of the layer.
        options: as in :func:`analyze`.

    Raises:
        ValueError: the layer's field is global, so that no input is large enough.
    """
    field = analyze(model, input_size, **options)[path]
    if any(field.global_axes):
        raise ValueError(f"no input holds the whole field of {path!r}: {field.why}")
    if None in field.stride:
        raise ValueError(f"the field of {path!r} depends on the unit: {field.why}")
    alike = [period == 1 for period in field.period]
    sides = [size if same else 1 for size, same in zip(field.size, alike, strict=True)]
    steps = [int(stride or 0) for stride in field.stride]
    limits = [4 * (size + step) + 64 for size, step in zip(field.size, steps, strict=True)]
    open_axes = set(range(len(sides)))
    while open_axes:
        if any(sides[a] > limits[a] for a in open_axes):
            raise ValueError(f"no input up to {limits} px holds the whole field of {path!r}")
        try:
            here = analyze(model, (input_size[0], *sides), **options)[path]
            box = here.region(here.central_unit)
        except ValueError:  # the model refuses so small an input
            box = None
        for a in sorted(open_axes):
            first, last = (-1, sides[a]) if box is None else box[a]
            if first >= 0 and last < sides[a]:
                open_axes.remove(a)
                continue
            # Where all regions are alike, the last pixel stays or moves on while the side grows,
            # and the first one moves by a stride at most for each stride of pixels.
            jump = max(last - sides[a] + 1, int(-first - (field.stride[a] or 0)))
            sides[a] += max(1, jump) if alike[a] and box is not None else 1
    return tuple(sides)


def _regular(report: Report, targets: tuple[int, ...]) -> tuple[dict[int, _Steps] | None, str]:
    """Return how every node the targets depend on moves, or None and why there is no answer."""
    found = {}
    for i in report.graph.ancestors(targets):
        node, state = report.graph.nodes[i], report.states[i]
        if node.fixed:
            return None, f"{node.name} depends on where in the image a unit lies"
        if i and not node.links:
            continue  # it does not depend on the input, nor on the place
        steps = _steps(state)
        odd = any(
            isinstance(w, Table) or w.whole or not w.is_open_everywhere or w.edge == "wrap"
            for link in node.links
            for w in link.windows
        )
        if steps is None or odd:
            return None, next((w for w in state.whole if w), "") or state.why or node.name
        found[i] = steps
    return found, ""


def _steps(state: State) -> _Steps | None:
    stride, shift = [], []
    for fields, why in zip(state.fields, state.whole, strict=True):
        if why or len(fields) != 1 or not fields[0].is_open or fields[0].shift <= 0:
            return None
        stride.append(Fraction(fields[0].shift, fields[0].period))
        shift.append(fields[0].shift)
    return _Steps(tuple(stride), tuple(shift))
