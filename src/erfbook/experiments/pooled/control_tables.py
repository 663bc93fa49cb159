"""The tables of the comparison: what the networks are, what they reach, and what each part does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from erfbook.experiments.estimates import mean_text
from erfbook.experiments.pooled.control import (
    FURTHER,
    KINDS,
    STRIDE,
    build_control,
    configure,
)
from erfbook.experiments.pooled.control_design import Design, describe, share_live
from erfbook.experiments.pooled.control_study import EFFECTS, SHOWN, Study
from erfbook.experiments.pooled.networks import FIELDS, STRIDES, TITLES, NetworkConfig
from erfbook.experiments.pooled.plans import PAPER
from erfbook.experiments.training_fields import choose_dataset
from erfbook.notation import count, percent

NAMES = {
    "total": "all that the pool does",
    "field": "field",
    "detail": "detail",
    "plane": "plane",
    "deep": "field, last stage alone",
    "field_fine": "field, detail kept",
    "field_coarse": "field, detail lost",
    "detail_small": "detail, small field",
    "detail_large": "detail, large field",
    "interaction": "field and detail together",
}
# Dense less pruned accuracy at 90 %, points, as printed (avendano tables 1, 2), by stride.
GAPS = {
    ("vgg", 32): (82.6, 58.7, 0.18, 0.07),
    ("resnet50", 32): (38.7, 2.25, 0.85, 0.18),
    ("vgg", 64): (60.8, 52.6, 24.3, 16.7),
    ("resnet50", 64): (None, 55.9, 50.5, 35.0),
}
IMAGES = {32: "CIFAR-10, 32 px", 64: "Tiny ImageNet, 64 px"}
_SCALE = replace(PAPER, dataset="")


def choose_scale(base: NetworkConfig, dataset: str, **changes: object) -> NetworkConfig:
    """Return a scale on a data set, ``auto`` being CIFAR-10 where it is present, and changed.

    Args:
        base: a profile's scale.
        dataset: ``auto``, ``cifar10`` or ``patches32``.
        changes: other settings by name.
    """
    found = choose_dataset(dataset, real="cifar10", embedded="patches32")
    wanted = replace(base, dataset=found)
    changed = replace(wanted, **changes)  # type: ignore[arg-type]
    return changed if changed == wanted else replace(changed, name=f"{base.name}, changed")


def describe_all(
    *, stride: int = STRIDE, width: float = 1 / 32, side: int = 32, architecture: str = "vgg"
) -> dict[str, Design]:
    """Return what every kind of network is like; fields, planes and shares know no width.

    Args:
        stride: of the larger pool.
        width: of the networks that are counted.
        side: of the image, px.
        architecture: ``vgg`` or ``resnet50``.
    """
    scale = replace(_SCALE, architecture=architecture, width=width)
    kinds = [kind for kind in (*KINDS, *FURTHER) if kind != "moved" or stride & (stride - 1) == 0]
    return {
        kind: describe(build_control(configure(scale, kind, stride), 0, 10), side=side)
        for kind in kinds
    }


def tabulate_designs(designs: Mapping[str, Design]) -> pd.DataFrame:
    """Return a row a network: what it has of field, plane, detail and weights that read."""
    rows = {
        kind: {
            "field, px": one.field,
            "planes, a side": " → ".join(str(n) for n in one.planes),
            "early values read, a side": one.detail,
            "weights that ever read the image": f"{one.live:.1%}",
            "parameters": f"{one.n_parameters:,}",
        }
        for kind, one in designs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="network")


def count_live(
    *, width: float = 1 / 4, measure: Callable[[nn.Module, int], float] = share_live
) -> dict[tuple[str, int, int], float]:
    """Return the share of weights that read the image, by architecture, image side and stride.

    Args:
        width: factor on the channels; the image's own three aside, shares do not depend on it.
        measure: what is counted of a network at an image's side.
    """
    found = {}
    for architecture, side in GAPS:
        scale = replace(_SCALE, architecture=architecture, width=width)
        for stride in STRIDES:
            with torch.device("meta"):  # no weight needs a value to be counted
                kind = "base" if stride == 1 else "strided"
                network = build_control(configure(scale, kind, stride), 0, 10)
            found[architecture, side, stride] = measure(network, side)
    return found


def tabulate_live(
    shares: Mapping[tuple[str, int, int], float], reads: Mapping[tuple[str, int, int], float]
) -> pd.DataFrame:
    """Return these shares beside the gaps that the paper prints at a pruning rate of 90 %.

    Args:
        shares: of the weights that read the image at all.
        reads: of its positions at which a weight reads it, mean over all.
    """
    rows = []
    for (architecture, side), gaps in GAPS.items():
        for stride, gap in zip(STRIDES, gaps, strict=True):
            rows.append(
                {
                    "images": IMAGES[side],
                    "network": TITLES[architecture],
                    "field, px": FIELDS[architecture][stride - 1],
                    "weights that ever read the image": f"{shares[architecture, side, stride]:.1%}",
                    "positions at which a weight reads, mean": percent(
                        reads[architecture, side, stride], 1
                    ),
                    "the paper's gap, points": "–" if gap is None else f"{gap:g}",
                }
            )
    return pd.DataFrame(rows).set_index(["images", "network", "field, px"])


def tabulate_two_way(study: Study) -> pd.DataFrame:
    """Return the two-way table on large planes, and the network with the small one, points."""
    places = {
        ("small", "kept", "large"): "base",
        ("large", "kept", "large"): "dilated",
        ("small", "lost", "large"): "coarse",
        ("large", "lost", "large"): "coarse dilated",
        ("large", "lost", "small"): "strided",
        ("large, last stage alone", "kept", "large"): "deep",
    }
    rows = {
        (*place, kind): {s.head(m): mean_text(s.values(kind, m)) for s, m in study.panels()}
        for place, kind in places.items()
    }
    index = pd.MultiIndex.from_tuples(rows, names=["field", "detail", "plane", "network"])
    return pd.DataFrame(list(rows.values()), index=index)


def tabulate_effects(study: Study) -> pd.DataFrame:
    """Return a row an effect: mean, Student's and bootstrap intervals of each measure, points."""
    table = {}
    for one, measure in study.panels():
        head = one.head(measure)
        resampled = {e: one.resampled(e, measure) for e in EFFECTS}
        table[head, "mean, Student"] = {
            NAMES[e]: one.effect(e, measure).text("{:+.1f}") for e in EFFECTS
        }
        table[head, "bootstrap"] = {
            NAMES[e]: f"[{b.low:+.1f}, {b.high:+.1f}]" for e, b in resampled.items()
        }
    return pd.DataFrame(table)


def tabulate_scales(studies: Mapping[str, Study]) -> pd.DataFrame | None:
    """Return a row a scale and part, a column a measure, or nothing where one scale is all."""
    if len(studies) < 2:
        return None
    rows = {
        (f"{name}, {count(study.n_seeds, 'seed')}", NAMES[e]): {
            one.head(measure): one.effect(e, measure).text("{:+.1f}")
            for one, measure in study.panels()
        }
        for name, study in studies.items()
        for e in SHOWN
    }
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows))


def tabulate_swaps(study: Study) -> pd.DataFrame:
    """Return how accurate trained weights are in the other network, points."""
    rows = {}
    for kind, other in (("strided", "dilated"), ("dilated", "strided")):
        own = [100 * float(r.metrics["accuracy"]) for r in study.records[kind]]
        swapped = [100 * float(r.metrics["swapped"]) for r in study.records[kind]]
        rows[f"trained {kind}"] = {
            f"run {kind}": sum(own) / len(own),
            f"run {other}": sum(swapped) / len(swapped),
        }
    return pd.DataFrame.from_dict(rows, orient="index").map("{:.1f}".format)
