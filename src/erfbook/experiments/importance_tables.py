"""The projections as numbers with names, and as tables beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from erfbook.experiments.importance import ImportanceConfig
from erfbook.experiments.importance_paths import predict_power
from erfbook.experiments.importance_plans import (
    ARCHITECTURES,
    EVEN_STRIDES,
    FIELDS,
    PRINTED,
    STRIDES,
    changes_of,
    configure,
)
from erfbook.experiments.importance_study import (
    SPECTRUM,
    Four,
    compare_maxima,
    compare_patterns,
    compare_radii,
    falls,
    find_nearest,
    measure_miss,
    measure_radius,
    measure_spectrum,
    measure_wave,
)
from erfbook.experiments.side_by_side import set_side_by_side
from erfbook.notation import plus_minus, round_to
from erfbook.theory.checkerboard import (
    Grid,
    count_windows,
    is_even,
    pass_wave,
    predict_amplitude,
    predict_coverage,
    predict_maximum,
)

WORDS = {"vgg": "VGG", "resnet50": "ResNet-50"}
_STATED = {"vgg": (181, 359, 537, 715), "resnet50": (110, 213, 318, 423)}  # px, as printed
Sigmas = Mapping[str, Mapping[int, Float[np.ndarray, "row column"]]]


def predict_all(scale: ImportanceConfig) -> dict[str, dict[int, np.ndarray]]:
    """Return the predicted root-mean-square gradient a pixel, by architecture and stride.

    Weights' variances are read from one network of each kind, at an eighth of the width at most:
    how power spreads over pixels and falls with the pool does not depend on the width.
    """
    found: dict[str, dict[int, np.ndarray]] = {}
    for architecture in ARCHITECTURES:
        for stride in STRIDES:
            config = configure(scale, architecture, stride)
            config = replace(config, width=min(config.width, 1 / 8))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                power = predict_power(config, config.build())
            found.setdefault(architecture, {})[stride] = np.sqrt(power)
    return found


def predict_decline(sigmas: Mapping[int, np.ndarray]) -> dict[int, float]:
    """Return the predicted mean maximum behind each pool, as a share of that behind the first."""
    maxima = {s: predict_maximum(sigma, copies=3) for s, sigma in sigmas.items()}
    return {s: value / maxima[1] for s, value in maxima.items()}


def name_run(four: Four, sigmas: Mapping[int, np.ndarray], architecture: str, prefix: str = ""):
    """Return what four pools say, by name, as a page reports it.

    Args:
        four: projections behind the four pools.
        sigmas: their predictions.
        architecture: which network.
        prefix: of all names.
    """
    results: dict[str, dict[str, Any]] = {}

    def put(name: str, **result: Any) -> None:
        results[f"{prefix}{name}_{architecture}"] = result

    decline = predict_decline(sigmas)
    errors = [1.0]
    for stride, found in four.items():
        put(f"max{stride}", **found.mean.with_ends())
        put(f"std{stride}", value=found.spread)
        put(f"ratio{stride}", value=found.mean.value / PRINTED[architecture][stride - 1][0])
        put(f"radius{stride}", **measure_radius(found).with_ends())
        for period in EVEN_STRIDES:
            put(f"wave{stride}_{period}", **measure_wave(found, 1 / period).with_ends())
        put(f"theory{stride}", value=_correlate(found.map, sigmas[stride]))
        errors.append(found.mean.value / four[1].mean.value / decline[stride])
    put("n", value=four[1].n)
    put("fall", **compare_maxima(four[1], four[4]).with_ends())
    put("fall_predicted", value=1 / decline[4])
    put("fall_of_mean", value=four[1].maximum_of_mean / four[4].maximum_of_mean)
    put("level_error", value=max(abs(math.log10(e)) for e in errors))
    steps = [compare_maxima(four[s], four[s + 1]) for s in STRIDES[:-1]]
    put("least_step", **min(steps, key=lambda e: e.low).with_ends())
    put("least_step_end", value=min(e.low for e in steps))
    others = [four[s] for s in STRIDES[1:]]
    for name, coarse in (("pattern", False), ("coarse", True)):
        pairs = [compare_patterns(four[1], other, coarse=coarse) for other in others]
        put(name, **min(pairs, key=lambda e: e.value).with_ends())
    radii = [compare_radii(other, four[1]) for other in others]
    put("radius_ratio", **max(radii, key=lambda e: abs(math.log(e.value))).with_ends())
    return results


def name_checkerboard(four: Four, sigmas: Mapping[int, np.ndarray], even, prefix: str = ""):
    """Return what the VGG's checkerboard says of its cause, by name.

    Args:
        four: projections of the VGG.
        sigmas: their predictions.
        even: projections with kernels as large as strides 2 and 4, by stride.
        prefix: of all names.
    """
    seen = {s: measure_wave(four[s], 1 / s) for s in (2, 3, 4)}
    predicted = {s: measure_spectrum(sigmas[s])[SPECTRUM // s] for s in (2, 3, 4)}
    results: dict[str, dict[str, Any]] = {}
    for s, wave in seen.items():
        results[f"{prefix}board{s}"] = wave.with_ends()
        results[f"{prefix}board{s}_predicted"] = {"value": float(predicted[s])}
    results[f"{prefix}board_least"] = {"value": min(seen[s].low for s in EVEN_STRIDES)}
    errors = [seen[s].value / predicted[s] - 1 for s in EVEN_STRIDES]
    results[f"{prefix}board_error"] = {"value": float(max(map(abs, errors)))}
    for s, found in even.items():
        results[f"{prefix}board{s}_even"] = measure_wave(found, 1 / s).with_ends()
    drops = [measure_wave(even[s], 1 / s).value / seen[s].value for s in even]
    if drops:
        results[f"{prefix}board_even"] = {"value": float(max(drops))}
    return results


def name_all(fours, sigmas, even, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return what both networks and the controls say, by name; nothing of what is not there.

    Args:
        fours: projections by network and stride.
        sigmas: their predictions.
        even: the VGG's with kernels as large as strides 2 and 4, by stride.
        prefix: of all names.
    """
    results: dict[str, dict[str, Any]] = {}
    for architecture, four in fours.items():
        if four:
            results |= name_run(four, sigmas[architecture], architecture, prefix)
    if fours.get("vgg"):
        results |= name_checkerboard(fours["vgg"], sigmas["vgg"], even, prefix)
    return results


def name_choices(all_four: Mapping[str, Mapping[str, Four]]) -> dict[str, dict[str, Any]]:
    """Return which open choices come nearest to the printed tables, and whether they fall."""
    results: dict[str, dict[str, Any]] = {}
    for architecture, changes in all_four.items():
        if not changes:
            continue
        nearest = find_nearest(changes, architecture)
        miss, decline = measure_miss(changes[nearest], architecture)
        results |= {
            f"n_choices_{architecture}": {"value": len(changes)},
            f"n_falling_{architecture}": {"value": sum(falls(f) is True for f in changes.values())},
            f"nearest_{architecture}": {"value": nearest or "none changed"},
            f"nearest_miss_{architecture}": {"value": miss},
            f"nearest_decline_{architecture}": {"value": 10**decline},
            f"base_miss_{architecture}": {"value": measure_miss(changes[""], architecture)[0]},
        }
        for s in STRIDES:
            value = changes[nearest][s].mean.value
            results[f"nearest_ratio{s}_{architecture}"] = {
                "value": value / PRINTED[architecture][s - 1][0]
            }
    return results


def tabulate_maxima(architecture: str, deciding: Four, ours: Four) -> pd.DataFrame:
    """Return table 3 or 4 side by side: the paper, our records, this run."""
    paper = {
        _row(architecture, s): plus_minus(mean, std)
        for s, (mean, std) in zip(STRIDES, PRINTED[architecture], strict=True)
    }
    published = {}
    if deciding:
        published[f"full width, {_count(deciding)}"] = _cells(architecture, deciding)
    width = ours[1].config["width"]
    cells = {f"width {width:g}, {_count(ours)}": _cells(architecture, ours)}
    return set_side_by_side(paper, published, cells).rename_axis(
        columns=f"{WORDS[architecture]}, field"
    )


def tabulate_changes(architecture: str, changes: Mapping[str, Four]) -> pd.DataFrame:
    """Return a row a choice: four mean maxima, and how far they lie from the printed ones."""
    printed = [mean for mean, _ in PRINTED[architecture]]
    fields = [f"{field} px" for field in FIELDS[architecture]]
    paper = {
        "what differs": "the paper's numbers",
        **{field: round_to(mean, 2) for field, mean in zip(fields, printed, strict=True)},
        "first over last": f"{printed[0] / printed[-1]:.1f}",
        "falls at every step": "yes",
        "radius, last over first": "“does not change much”",
        "miss, decades": "0",
    }
    rows = [paper]
    for change in [c for c in ("", *changes_of(architecture)) if c in changes]:
        four = changes[change]
        fall = compare_maxima(four[1], four[4])
        rows.append(
            {
                "what differs": change or "nothing",
                **{
                    f: round_to(four[s].mean.value, 2) for s, f in zip(STRIDES, fields, strict=True)
                },
                "first over last": f"{fall.value:.1f}"
                + (f" [{fall.low:.1f}, {fall.high:.1f}]" if falls(four) is not None else ""),
                "falls at every step": {True: "yes", False: "no", None: "too few networks"}[
                    falls(four)
                ],
                "radius, last over first": f"{compare_radii(four[4], four[1]).value:.2f}",
                "miss, decades": f"{measure_miss(four, architecture)[0]:.2f}",
            }
        )
    return (
        pd.DataFrame(rows).set_index("what differs").rename_axis(index=None, columns="what differs")
    )


def tabulate_coverage(pairs: tuple[tuple[int, int], ...]) -> pd.DataFrame:
    """Return how evenly pools cover pixels, and what a 3 x 3 layer below leaves of it, exactly.

    Args:
        pairs: (kernel, stride) of the pools.
    """
    rows = []
    for kernel, stride in pairs:
        counts = count_windows(Grid(kernel=kernel, stride=stride), 20 * stride + kernel)
        inner = counts[5 * stride : 6 * stride]
        if tuple(inner) != predict_coverage(kernel, stride):
            raise AssertionError(f"kernel {kernel}, stride {stride}: count and formula differ")
        waves = range(1, stride // 2 + 1)
        amplitudes = [predict_amplitude(kernel, stride, m) for m in waves] or [0.0]
        left = [predict_amplitude(kernel, stride, m) * pass_wave(3, m / stride) for m in waves]
        rows.append(
            {
                "kernel": kernel,
                "stride": stride,
                "windows a pixel": ", ".join(map(str, inner)),
                "stride divides kernel": "yes" if is_even(kernel, stride) else "no",
                "largest wave": f"{max(amplitudes):.3f}",
                "behind a 3 × 3 layer": f"{max(left, default=0.0):.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("kernel").rename_axis(index=None, columns="kernel")


def _row(architecture: str, stride: int) -> str:
    stated, field = _STATED[architecture][stride - 1], FIELDS[architecture][stride - 1]
    return f"{field} px" if stated == field else f"{field} px (printed: {stated})"


def _count(four: Four) -> str:
    least = min(p.n for p in four.values())
    more = " or more" if any(p.n > least for p in four.values()) else ""
    return f"n = {least}{more}"


def _cells(architecture: str, four: Four) -> dict[str, str]:
    return {_row(architecture, s): plus_minus(p.mean.value, p.spread) for s, p in four.items()}


def _correlate(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
