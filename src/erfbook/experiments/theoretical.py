"""The single-path recurrences against traced and executed networks.

What a unit can see is found by execution alone: put a NaN into one pixel after the other of a
network whose weights are all one, and look which units turn into NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from erfbook import rf, theory
from erfbook.theory import Window
from erfbook.theory.recurrences import Number


@dataclass(frozen=True)
class PathCheck:
    """How often recurrence, closed form, traced analysis and executed network disagree.

    Args:
        n_stacks: random stacks compared.
        n_units: units whose regions were compared, those that lie inside the image.
        n_pairs: pairs of a pixel and one of these units on which the inverse was compared.
        wrong: by quantity, the number of disagreements.
        n_border: units whose region crosses the image's border, in stacks without holes.
        n_overstated: those of them whose region, cut off at the border, holds pixels that do not
            reach them, because a layer in between replaces their path by padding.
    """

    n_stacks: int
    n_units: int
    n_pairs: int
    wrong: dict[str, int]
    n_border: int
    n_overstated: int


def probe(model: nn.Module, n_pixels: int) -> Bool[np.ndarray, "unit pixel"]:
    """Return which pixels of a one-channel line of pixels reach which units of a network.

    Args:
        model: takes (n, 1, pixels) and returns (n, channels, units) in float64.
        n_pixels: length of the line.
    """
    lines = torch.zeros(n_pixels, 1, n_pixels, dtype=torch.float64)
    lines[range(n_pixels), 0, range(n_pixels)] = torch.nan
    with torch.no_grad():
        if model.training:  # one line at a time: a batch statistic would mix them
            reached = torch.cat([model(line[None]).isnan().any(1) for line in lines])
        else:
            reached = model(lines).isnan().any(1)
    return reached.numpy().T


def ones(*modules: nn.Module) -> nn.Sequential:
    """Return modules in a row, in float64 and evaluation mode, with all weights set to one."""
    model = nn.Sequential(*modules).double().eval()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    return model


def compare_recurrences(n_stacks: int, seed: int) -> PathCheck:
    """Compare recurrences and closed forms with the analysis and with execution (distill).

    Args:
        n_stacks: random stacks of up to six convolutions with stride, padding and dilation.
        seed: of the stacks.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for _ in range(n_stacks):
        options, path = _draw_stack(rng)
        model = ones(*(nn.Conv1d(1, 1, **o, bias=False) for o in options))
        whole = theory.collapse(path)
        n_pixels = int(whole.kernel + 2 * whole.stride) + int(rng.integers(0, 9))
        field = rf.analyze(model, (1, n_pixels))[""]
        size = theory.predict_field_size(path)
        counts["size"] += {size, _recur_size(path)} != set(field.size)
        counts["stride"] += {theory.predict_effective_stride(path)} != set(field.stride)
        counts["padding"] += {theory.predict_effective_padding(path)} != set(field.padding)
        is_dense = all(o["dilation"] == 1 and o["kernel_size"] >= o["stride"] for o in options)
        counts += _compare_units(path, field, probe(model, n_pixels), is_dense=is_dense)
    quantities = ("size", "stride", "padding", "region", "centre", "inverse")
    return PathCheck(
        n_stacks,
        n_units=counts["units"],
        n_pairs=counts["pairs"],
        wrong={name: counts[name] for name in quantities},
        n_border=counts["border"],
        n_overstated=counts["overstated"],
    )


def _compare_units(
    path: Sequence[Window], field: rf.Field, reached: np.ndarray, *, is_dense: bool
) -> Counter[str]:
    """Count the disagreements over all units; the inverse only where regions have no holes."""
    counts: Counter[str] = Counter()
    pixels = np.arange(reached.shape[1])
    seen = [theory.predict_units_seeing(path, int(x)) for x in pixels]
    for unit, row in enumerate(reached):
        first, last = _recur_region(path, unit)
        within = (float(first) <= pixels) & (pixels <= float(last))
        if first < 0 or last >= len(pixels):
            counts["border"] += is_dense
            counts["overstated"] += is_dense and bool((within & ~row).any())
            continue
        counts["units"] += 1
        ends = tuple(np.flatnonzero(row)[[0, -1]])
        counts["region"] += not (first, last) == theory.predict_region(path, unit) == ends
        counts["centre"] += float(theory.predict_centre(path, unit)) != field.centre((unit,))[0]
        if is_dense:
            counts["pairs"] += len(pixels)
            counts["inverse"] += sum(
                is_seen != (unit in s) for is_seen, s in zip(row, seen, strict=True)
            )
    return counts


def name_path_check(check: PathCheck) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    counts = {
        "stacks": check.n_stacks,
        "units": check.n_units,
        "pairs": check.n_pairs,
        "border": check.n_border,
        "overstated": check.n_overstated,
        **{f"wrong_{quantity}": count for quantity, count in check.wrong.items()},
    }
    return {f"path_{name}": {"value": count} for name, count in counts.items()}


def _draw_stack(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[Window]]:
    """Draw one to six layers; every other stack, on average, has no holes in its regions."""
    is_dense = rng.random() < 0.5
    options = []
    for _ in range(rng.integers(1, 7)):
        kernel, stride = int(rng.integers(1, 6)), int(rng.choice([1, 1, 2, 3]))
        dilation, padding = int(rng.choice([1, 1, 2, 3])), int(rng.integers(0, 3))
        if is_dense:
            kernel, dilation = max(kernel, stride), 1
        named = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        options.append(named)
    path = [
        Window(theory.effective_kernel(o["kernel_size"], o["dilation"]), o["stride"], o["padding"])
        for o in options
    ]
    return options, path


def _recur_size(path: Sequence[Window]) -> Number:
    size: Number = 1
    for window in reversed(path):
        size = theory.step_size(size, window)
    return size


def _recur_region(path: Sequence[Window], unit: int) -> tuple[Number, Number]:
    region: tuple[Number, Number] = (unit, unit)
    for window in reversed(path):
        region = theory.step_region(region, window)
    return region
