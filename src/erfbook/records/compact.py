"""Maps kept small: half-precision or one byte a pixel, with a scale a map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SUFFIX = "_scale"
_LEVELS = 255


def compact(
    name: str, maps: np.ndarray, *, dtype: str = "float16", map_axes: int = 2
) -> dict[str, np.ndarray]:
    """Return maps as two small arrays for a record: the values, and the scale of each map.

    Each map is divided by its largest magnitude, so dim and bright ones lose the same. The error is
    at most 1/510 of that scale for ``uint8``; for ``float16`` it is 2^-11 of the value, and never
    more than 2^-25 of the scale where the value is tiny.

    Args:
        name: of the values; the scales are ``<name>_scale``.
        maps: finite numbers; for ``uint8`` none is negative.
        dtype: ``float16`` or ``uint8``.
        map_axes: trailing axes that make one map.

    Raises:
        ValueError: another dtype, values that it cannot hold, or maps of too few axes.
    """
    maps = np.asarray(maps, dtype=np.float64)
    if dtype not in ("float16", "uint8"):
        raise ValueError(f"dtype must be 'float16' or 'uint8', not {dtype!r}")
    if maps.ndim < map_axes:
        raise ValueError(f"{name} has {maps.ndim} axes, fewer than the {map_axes} of one map")
    if not np.isfinite(maps).all():
        raise ValueError(f"{name} has values that are not finite")
    if dtype == "uint8" and maps.size and maps.min() < 0:
        raise ValueError(f"{name} has negative values, down to {maps.min():g}: use 'float16'")
    axes = tuple(range(maps.ndim - map_axes, maps.ndim))
    scale = np.abs(maps).max(axis=axes, initial=0.0)
    shares = maps / np.where(scale > 0, scale, 1.0)[(..., *[None] * map_axes)]
    small = np.round(shares * _LEVELS) if dtype == "uint8" else shares
    return {name: small.astype(dtype), name + _SUFFIX: scale}


def expand(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the maps that :func:`compact` made small, as float64.

    Raises:
        KeyError: there are no such maps, or their scales are missing.
    """
    small, scale = arrays[name], arrays[name + _SUFFIX]
    shares = small.astype(np.float64) / (_LEVELS if small.dtype == np.uint8 else 1)
    return shares * scale[(..., *[None] * (small.ndim - scale.ndim))]
