"""All about one unit of one layer, as numbers and as text.

Keys, beside those of :mod:`erfbook.rf.printing`: per axis ``unit``, ``region`` and
``region_in_image`` ([first, last], inclusive; the latter is what really reaches the unit),
``centre``, ``smallest_input``, ``tile_multiple``, ``tile_before``, ``tile_after``; ``pixels_read``
of ``pixels_in_hull`` (the rectangle of ``region_in_image``), ``units_inside`` and
``mean_share_inside`` (0 to 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from erfbook import rf
from erfbook.rf.fields import Field
from erfbook.rf.printing import AXIS_NAMES, columns, compact, exact
from erfbook.rf.report import Report

MOST_PIXELS = 2**26  # of an image whose exact support is counted: 64 MiB of booleans


def details(field: Field, unit: tuple[int, ...]) -> dict[str, Any]:
    """Return what holds for one unit of a layer, and for its units on the whole."""
    found: dict[str, Any] = {
        "unit": list(unit),
        "region": [list(ends) for ends in field.region(unit)],
        "region_in_image": None,
        "centre": exact(field.centre(unit)),
        "pixels_read": None,
        "pixels_in_hull": None,
        "units_inside": exact(float(field.units_inside)),
        "mean_share_inside": exact(float(field.mean_share_inside)),
    }
    if math.prod(field.input_size) <= MOST_PIXELS:
        inside = field.region(unit, clip=True)
        found["region_in_image"] = [list(ends) for ends in inside]
        found["pixels_read"] = int(field.support(unit).sum())
        found["pixels_in_hull"] = math.prod(last - first + 1 for first, last in inside)
    return found


def beyond(model: nn.Module, report: Report, path: str, unknown: str) -> dict[str, Any]:
    """Return the smallest input that holds a field and the overlap of tiles; None where none."""
    names = ("smallest_input", "tile_multiple", "tile_before", "tile_after")
    found: dict[str, Any] = dict.fromkeys(names)
    try:
        smallest = rf.smallest_input(model, report.input_size, path, unknown=unknown)
        found["smallest_input"] = exact(smallest)
    except (ValueError, AssertionError):  # it is never inside, or the model takes one size only
        pass
    try:
        tiles = rf.tiling(report, path)
    except ValueError:  # no overlap makes tiles exact
        return found
    for name in ("multiple", "before", "after"):
        found[f"tile_{name}"] = exact(getattr(tiles, name))
    return found


def to_text(title: str, field: Field, found: dict[str, Any]) -> str:
    """Return the details as lines that a person reads."""
    grid, size, stride, padding = columns(field)
    rows = [
        ("operation", field.op.removeprefix("aten.")),
        ("grid", f"{grid} units"),
        ("size", "the whole input" if field.is_global else f"{size} px"),
        ("stride", "none" if stride == "-" else f"{stride} px"),
        ("padding", "none" if padding == "-" else f"{padding} px"),
        ("repeats", _repeats(field)),
        ("why", field.why),
        (f"unit {','.join(map(str, found['unit']))}", _ranges(found["region"])),
        ("centre", "" if field.is_global else ", ".join(f"{c:g}" for c in found["centre"])),
        ("in the image", _ranges(found["region_in_image"])),
        ("reads", _reads(found)),
        ("units inside", f"{_percent(found['units_inside'])} of all units"),
        ("share inside", f"{_percent(found['mean_share_inside'])} of a field, on average"),
        ("smallest input", _joined(found["smallest_input"], " px holds the central unit's field")),
        ("tiles", _tiles(found)),
    ]
    lines = [title, *(f"  {name:<16}{value}" for name, value in rows if value)]
    return "\n".join(lines) + "\n"


def _repeats(field: Field) -> str:
    if any(period is None for period in field.period):
        return "never: no two units have regions of the same shape and distance"
    period = "x".join(map(str, dict.fromkeys(field.period)))
    return "" if period == "1" else f"regions repeat every {period} units"


def _ranges(ends: Sequence[Sequence[int]] | None) -> str:
    if ends is None:
        return ""
    names = AXIS_NAMES[len(ends)]
    if any(last < first for first, last in ends):
        return "nothing"
    each = (f"{name}s {first} to {last}" for name, (first, last) in zip(names, ends, strict=True))
    return ", ".join(each)


def _reads(found: dict[str, Any]) -> str:
    read, hull = found["pixels_read"], found["pixels_in_hull"]
    if not hull:
        return ""
    return f"{read:,} of the {hull:,} px there ({_percent(read / hull)})"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.3g} %"


def _joined(values: Sequence[int] | None, after: str) -> str:
    return "" if values is None else "x".join(map(str, values)) + after


def _tiles(found: dict[str, Any]) -> str:
    if found["tile_multiple"] is None:
        return ""
    names = ("tile_multiple", "tile_before", "tile_after")
    multiple, before, after = (compact(found[name]) for name in names)
    return f"start at multiples of {multiple} px, with {before} px before and {after} px after"
