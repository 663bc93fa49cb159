"""All sizes of a measured map in one table, and for those that it does not have the reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from erfbook import rf
from erfbook.erf.sizes import Map, area_ratio, find_moments, fit_gaussian, size

SHARES = (0.5, 0.9, 0.9545, 0.99)
FITTED = ["gaussian_sigma_px", "gaussian_centre_px", "gaussian_r_squared", "excess_kurtosis"]


def tabulate_sizes(found: Map, field: rf.Field) -> dict[str, Any]:
    """Return a map's sizes by name, beside the exact field of its unit.

    A size that the map does not have, such as the width of a Gaussian fitted to a single pixel, is
    None; ``undefined`` holds its name and the reason.
    """
    table = _Table()
    table.put(partial(size, found), "size_px")
    for share in SHARES:
        smallest = partial(area_ratio, found, share, method="smallest-set")
        table.put(smallest, f"smallest_set_{share:g}")
        table.put(partial(area_ratio, found, share), f"centred_square_{share:g}")
    table.put(lambda: list(find_moments(found).sigma), "moments_sigma_px")
    table.put(partial(_fit, found), *FITTED)
    exact = None if field.is_global else field
    return table.numbers | {
        "undefined": table.undefined,
        "theoretical_size_px": exact and list(exact.size),
        "theoretical_stride_px": exact and [str(s) for s in exact.stride],
        "theoretical_is_global": field.is_global,
        "theoretical_why": field.why,
        "region_px": [list(axis) for axis in found.region],
        "centre_px": list(found.centre),
    }


class _Table:
    """Numbers by name, and of those that cannot be computed the reason."""

    def __init__(self) -> None:
        self.numbers: dict[str, Any] = {}
        self.undefined: dict[str, str] = {}

    def put(self, compute: Callable[[], Any], *names: str) -> None:
        try:
            values = compute() if len(names) > 1 else [compute()]
        except ValueError as error:
            values = [None] * len(names)
            self.undefined |= dict.fromkeys(names, str(error))
        self.numbers |= dict(zip(names, values, strict=True))


def _fit(found: Map) -> list[Any]:
    fit = fit_gaussian(found)
    sigma, centre = list(fit.fitted_sigma), list(fit.fitted_centre)
    return [sigma, centre, fit.r_squared, list(fit.excess_kurtosis)]
