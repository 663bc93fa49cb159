"""Decide, before anything is computed, which unit is measured and which pixels it needs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from erfbook import rf
from erfbook.models.layers import no_such_layer

Box = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Plan:
    """Which call of which layer, which unit, on which window of the input.

    Args:
        layer: path of the module.
        call: which call of it, from 0.
        unit: (row, column) on the layer's grid.
        moved: the same unit's index on the grid that the window gives.
        input_size: (height, width) of the whole input.
        centre: middle of the unit's field, in input pixels.
        region: the unit's exact field inside the image.
        window: ((top, bottom), (left, right)), inclusive, of the part to compute.
        bytes_per_input: float32 activations up to the layer, on the window.
        one_by_one: whether inputs may not share a batch, because the model mixes them.
    """

    layer: str
    call: int
    unit: tuple[int, int]
    moved: tuple[int, int]
    input_size: tuple[int, int]
    centre: tuple[float, float]
    region: Box
    window: Box
    bytes_per_input: int
    one_by_one: bool = False

    @property
    def is_cropped(self) -> bool:
        """Whether the window is smaller than the input."""
        return self.window != _whole(self.input_size)


def make_plan(
    model: nn.Module,
    input_size: tuple[int, int, int],
    layer: str | None,
    unit: tuple[int, int] | None,
    *,
    crop: bool = True,
) -> Plan:
    """Return what to compute for one unit of a model in its present mode.

    Args:
        model: the module.
        input_size: (channels, height, width).
        layer, unit: as in :func:`erfbook.erf.measure`.
        crop: whether a part of the input may stand for the whole where that is exact.

    Raises:
        ValueError: no such layer or unit, or the model refuses the input.
    """
    report = rf.analyze(model, input_size, unknown="global")
    field = _choose(model, report, layer)
    unit = field.central_unit if unit is None else tuple(int(u) for u in unit)
    if len(unit) != 2 or any(not 0 <= u < n for u, n in zip(unit, field.grid, strict=True)):
        last = tuple(n - 1 for n in field.grid)
        raise ValueError(f"unit must lie in (0, 0) to {last} at {field.path!r}, not {unit}")
    window, part, moved = _whole(input_size[1:]), report, unit
    if crop:
        window, part = _cut(model, report, field, unit)
    if part is not report:
        shift = (int(first / s) for (first, _), s in zip(window, field.stride, strict=True))
        moved = tuple(u - n for u, n in zip(unit, shift, strict=True))
    elements = part.graph.calls[part.index(field.path)].elements
    return Plan(
        layer=field.path,
        call=field.call,
        unit=unit,
        moved=moved,
        input_size=tuple(input_size[1:]),
        centre=field.centre(unit),
        region=field.region(unit, clip=True),
        window=window,
        bytes_per_input=4 * elements,
    )


def _cut(model, report: rf.Report, field: rf.Field, unit: tuple[int, int]) -> tuple[Box, rf.Report]:
    """Return the window the unit needs and the report on it, or the whole input and its report."""
    whole, path = _whole(report.input_size[1:]), field.path
    window = rf.input_window(report, path, unit)
    if window is None or window == whole:
        return whole, report
    try:
        size = (report.input_size[0], *(last - first + 1 for first, last in window))
        part = rf.analyze(model, size, unknown="global", until=(path, field.call))
    except rf.TraceError:  # the model wants inputs of its own size
        return whole, report
    return (window, part) if rf.keeps_values(report, part, path, window) else (whole, report)


def _whole(sides: tuple[int, int]) -> Box:
    return tuple((0, n - 1) for n in sides)


def _choose(model: nn.Module, report: rf.Report, layer: str | None) -> rf.Field:
    modules = dict(model.named_modules())
    planes = [f for f in report.fields if f.path in modules and f.is_plane]
    if layer is None:
        planes = [f for f in planes if min(f.grid) > 1]
        inner = [f for f in planes if f.path] or planes  # the model itself only if nothing else is
        if not inner:
            raise ValueError("no layer of this model has an output with rows and columns")
        return report[inner[-1].path]
    if any(f.path == layer for f in planes):
        return report[layer]
    if layer not in modules:
        raise ValueError(no_such_layer(model, layer))
    if layer not in report:
        raise ValueError(f"the layer {layer!r} is never called, or does not return one tensor")
    raise ValueError(
        f"the layer {layer!r} has no plane: its output is not (N, channels, rows, columns)"
    )
