"""Decide, before anything is computed: which units, on which windows, in which batches."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from erfbook import rf
from erfbook.errors import UserError
from erfbook.featurevis.result import Box, Unit
from erfbook.featurevis.settings import Settings
from erfbook.featurevis.targets import Target, find_targets, placement
from erfbook.models.layers import no_such_layer

_LARGEST_BATCH = 2**29  # bytes of activations on a CPU: more at once is no faster; chosen by us
_COPIES = 2  # of every tensor of a forward pass: its values and their gradients


@dataclass(frozen=True)
class Job:
    """One image to make.

    Args:
        channel: of the layer's output.
        unit: (row, column), or None for all of the channel's.
        seed: of the start.
        target: the tensor that holds the unit.
        window: the part of the image to compute, inclusive, per axis.
        moved: the unit's index on the grid that the window gives.
        region: the exact field inside the image.
    """

    channel: int
    unit: Unit
    seed: int
    target: Target
    window: Box
    moved: Unit
    region: Box

    @property
    def key(self) -> tuple[int, ...]:
        """What the image's start is drawn from; the same whatever else is computed."""
        row, column = (-1, -1) if self.unit is None else self.unit
        return (self.seed, self.channel, row + 1, column + 1)

    @property
    def kind(self) -> tuple[object, ...]:
        """Jobs of one kind can share a batch."""
        sides = tuple(last - first + 1 for first, last in self.window)
        return (self.target.activation, self.unit is None, sides)


@dataclass(frozen=True)
class Plan:
    """All jobs in the order of the result, and which of them share a batch."""

    field: rf.Field
    jobs: tuple[Job, ...]
    batches: tuple[tuple[int, ...], ...]


class _Windows:
    """The window and the moved index of every unit asked for; each size is analysed once."""

    def __init__(self, model: nn.Module, report: rf.Report, field: rf.Field, crop: bool) -> None:
        self.model, self.report, self.field = model, report, field
        # Windows are known for a module's last call alone.
        self.crop = crop and report[field.path].call == field.call
        self.whole = tuple((0, n - 1) for n in field.input_size)
        self.parts: dict[tuple[int, ...], rf.Report | None] = {field.input_size: report}

    def of(self, unit: Unit) -> tuple[Box, Unit]:
        if unit is None or not self.crop:
            return self.whole, unit
        window = rf.input_window(self.report, self.field.path, unit)
        if window is None or window == self.whole:
            return self.whole, unit
        sides = tuple(last - first + 1 for first, last in window)
        if sides not in self.parts:
            self.parts[sides] = self._analyze(sides)
        part = self.parts[sides]
        if part is None or not rf.keeps_values(self.report, part, self.field.path, window):
            return self.whole, unit
        each = zip(unit, window, self.field.stride, strict=True)
        return window, tuple(u - int(first / stride) for u, (first, _), stride in each)

    def bytes_of(self, window: Box) -> int:
        report = self.parts[tuple(last - first + 1 for first, last in window)]
        assert report is not None  # a window was kept only with its report
        calls = report.graph.calls
        index = [i for i, f in enumerate(report.fields) if f.path == self.field.path]
        return 4 * _COPIES * calls[index[self.field.call]].elements

    def _analyze(self, sides: tuple[int, ...]) -> rf.Report | None:
        try:
            size = (self.report.input_size[0], *sides)
            end = (self.field.path, self.field.call)
            return rf.analyze(self.model, size, unknown="global", until=end)
        except rf.TraceError:  # the model wants inputs of its own size
            return None


def make_plan(
    model: nn.Module,
    layer: str,
    channels: Sequence[int],
    units: Sequence[Unit],
    seeds: Sequence[int],
    size: tuple[int, int],
    settings: Settings,
) -> Plan:
    """Return what to compute, for a model in evaluation mode.

    Raises:
        UserError: no such layer, call, channel or unit; a layer without rows and columns; an
            image that the model refuses.
    """
    try:
        report = rf.analyze(model, (3, *size), unknown="global")
    except rf.InputError as error:
        raise UserError(
            f"size {size[0]}x{size[1]} does not suit this model, and no image is resized: {error}"
        ) from error
    field = choose_field(model, report, layer, settings.call)
    n_channels = report.graph.calls[report.fields.index(field)].shape[1]
    channels = [_checked_channel(c, n_channels, layer) for c in channels]
    units = [None if unit is None else _checked_unit(unit, field) for unit in units]
    device, dtype = placement(model)
    example = torch.zeros((1, 3, *size), device=device, dtype=dtype)
    targets = find_targets(model, layer, field.call, channels, example, settings.pre_activation)
    windows = _Windows(model, report, field, settings.crop)
    places = {unit: windows.of(unit) for unit in units}
    jobs = tuple(
        Job(channel, unit, int(seed), target, *places[unit], region_of(field, unit))
        for channel, target in zip(channels, targets, strict=True)
        for unit in units
        for seed in seeds
    )
    return Plan(field, jobs, _batches(jobs, windows, settings.batch_size, device))


def choose_field(model: nn.Module, report: rf.Report, layer: str, call: int | None) -> rf.Field:
    """Return the field of one call of a layer that has rows and columns.

    Raises:
        UserError: there is no such layer, call or plane.
    """
    modules = dict(model.named_modules())
    if layer not in modules:
        raise UserError(no_such_layer(model, str(layer)))
    if layer not in report:
        raise UserError(f"the layer {layer!r} is never called, or does not return one tensor")
    calls = report.calls(layer)
    if call is not None and not 0 <= call < len(calls):
        raise UserError(f"call must lie in 0 to {len(calls) - 1} at {layer!r}, not {call}")
    field = calls[-1 if call is None else call]
    if not field.is_plane:
        raise UserError(
            f"the layer {layer!r} has no spatial extent: its output is not (N, channels, rows, "
            "columns); name a layer before the plane is pooled or flattened"
        )
    return field


def region_of(field: rf.Field, unit: Unit) -> Box:
    """Return the pixels of the image that a unit sees, or that any unit of its layer does."""
    if unit is not None:
        return field.region(unit, clip=True)
    first, last = field.region((0, 0)), field.region(tuple(n - 1 for n in field.grid))
    return tuple(
        (max(min(a[0], b[0]), 0), min(max(a[1], b[1]), n - 1))
        for a, b, n in zip(first, last, field.input_size, strict=True)
    )


def mask_of(field: rf.Field, job: Job) -> np.ndarray:
    """Return which pixels of a job's window its unit can see."""
    (top, bottom), (left, right) = job.window
    if job.unit is None:
        seen = np.zeros(field.input_size, dtype=bool)
        seen[tuple(slice(first, last + 1) for first, last in job.region)] = True
    else:
        seen = field.support(job.unit)
    return seen[top : bottom + 1, left : right + 1]


def _batches(
    jobs: tuple[Job, ...], windows: _Windows, asked: int | None, device: torch.device
) -> tuple[tuple[int, ...], ...]:
    kinds: dict[tuple[object, ...], list[int]] = {}
    for i, job in enumerate(jobs):
        kinds.setdefault(job.kind, []).append(i)
    batches = []
    for members in kinds.values():
        each = windows.bytes_of(jobs[members[0]].window)
        n = asked or max(1, _memory(device) // max(each, 1))
        batches += [tuple(members[i : i + n]) for i in range(0, len(members), n)]
    return tuple(batches)


def _memory(device: torch.device) -> int:
    """Return the bytes that one batch may take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not every system tells
        return _LARGEST_BATCH
    return min(_LARGEST_BATCH, free // 4)


def _checked_channel(channel: int, n_channels: int, layer: str) -> int:
    if not 0 <= channel < n_channels:
        raise UserError(f"channel must lie in 0 to {n_channels - 1} at {layer!r}, not {channel}")
    return channel


def _checked_unit(unit: Sequence[int], field: rf.Field) -> tuple[int, int]:
    last = tuple(n - 1 for n in field.grid)
    try:
        row, column = (operator.index(u) for u in unit)
    except (TypeError, ValueError) as error:
        raise UserError(f"unit must be (row, column) in (0, 0) to {last}, not {unit!r}") from error
    if not (0 <= row <= last[0] and 0 <= column <= last[1]):
        raise UserError(f"unit must lie in (0, 0) to {last} at {field.path!r}, not {(row, column)}")
    return row, column
