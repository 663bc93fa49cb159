"""What the pairs of seeds say, as named results, words and tables; and which pairs may decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate, seed_for
from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.likeness import N_IMAGES
from erfbook.experiments.pooled.likeness_study import Family, gather, jackknife, p_value
from erfbook.experiments.pooled.networks import NetworkConfig
from erfbook.experiments.training_fields import choose_dataset
from erfbook.experiments.training_tables import set_side_by_side
from erfbook.records import Record, Store
from erfbook.similarity import linear_cka, predict_independent_cka

DECIDING = ("paper", "usual recipe", "quarter width")  # on all of CIFAR-10, the better one first
LEAST_NETWORKS = 3  # fewer give one pair, and no interval
BASES = {
    "smoke": (plans.SMOKE, plans.SMOKE_RESNET),
    "laptop": (plans.LAPTOP, plans.LAPTOP_RESNET),
    "paper": (plans.PAPER, replace(plans.PAPER, architecture="resnet50")),
}
_WORDS = {
    "main": "as above",
    "biased": "biased estimate",
    "half": "half of the images",
    "eighth": "an eighth of the images",
    "means": "means over the plane",
    "branch": "inside the branch, before the addition",
    "untrained": "untrained networks",
}


@dataclass(frozen=True)
class Bias:
    """CKA of features that have nothing in common.

    Args:
        n_images: images.
        n_features: of both sets.
        biased, debiased: mean over draws.
        predicted: of the biased one.
    """

    n_images: int
    n_features: Float[np.ndarray, " d"]
    biased: Float[np.ndarray, " d"]
    debiased: Float[np.ndarray, " d"]
    predicted: Float[np.ndarray, " d"]


def choose_networks(profile: str, dataset: str) -> tuple[NetworkConfig, NetworkConfig]:
    """Return a profile's VGG and ResNet-50; ``auto`` is CIFAR-10 where it is present."""
    vgg, resnet = BASES[profile]
    name = choose_dataset(dataset, real="cifar10", embedded="patches32")
    return replace(vgg, dataset=name), replace(resnet, dataset=name)


def measure_bias(n_images: int, n_draws: int, largest: int = 4096) -> Bias:
    """Return both estimates for independent Gaussian features, by their number."""
    dims = [2**i for i in range(1, int(math.log2(largest)) + 1)]
    found = np.empty((2, len(dims), n_draws))
    for i, d in enumerate(dims):
        for draw in range(n_draws):
            source = torch.Generator().manual_seed(seed_for(draw, "independent", n_images, d))
            x, y = (torch.randn(n_images, d, generator=source) for _ in range(2))
            found[:, i, draw] = linear_cka(x, y, debiased=False), linear_cka(x, y)
    means = found.mean(2)
    predicted = np.array([predict_independent_cka(n_images, d, d) for d in dims])
    return Bias(n_images, np.array(dims, dtype=float), means[0], means[1], predicted)


def read_families(stores: Iterable[Store]) -> dict[tuple[str, str], Family]:
    """Return what stores hold on the paper's 1000 images of all of CIFAR-10."""
    seen: dict[str, Record] = {}
    for store in stores:
        for record in store.select("pool-likeness"):
            if _is_whole(record):
                seen.setdefault(record.spec.key, record)
    return gather(seen.values())


def choose_deciding(families: Mapping[tuple[str, str], Family]) -> Family | None:
    """Return the ResNet-50 that decides figure 3: all four pools, three networks; or None."""
    for name in DECIDING:
        family = families.get((name, "resnet50"))
        if family and len(family.members) == 4 and family.n_networks >= LEAST_NETWORKS:
            return family
    return None


def name_family(family: Family, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield named results of one architecture, as a page's ``report`` takes them."""
    numbers = {
        "deep_drop": family.drop("deep"),
        "early_drop": family.drop("early"),
        "excess": family.excess(),
        "slope": family.slope(),
        "isolation_drop": family.isolation_drop(),
        "untrained_deep_drop": family.drop("deep", "untrained"),
        "untrained_early_drop": family.drop("early", "untrained"),
        "deep_least": family.level("deep")[0],
        "deep_most": family.level("deep")[-1],
        "early_least": family.level("early")[0],
        "early_most": family.level("early")[-1],
        "untrained_deep_least": family.level("deep", "untrained")[0],
        "untrained_deep_most": family.level("deep", "untrained")[-1],
        "accuracy_least": family.members[0].accuracy,
        "accuracy_most": family.members[-1].accuracy,
    }
    for name, estimate in numbers.items():
        yield f"{prefix}_{name}", estimate.as_result()
    yield f"{prefix}_p", {"value": _word_p(family.slope())}
    yield f"{prefix}_n_layers", {"value": family.members[0].n_layers}
    yield f"{prefix}_n_networks", {"value": family.n_networks}
    yield f"{prefix}_answer", {"value": answer(family)}
    for name, (least, most) in bias_of(family).items():
        yield f"{prefix}_{name}_least", {"value": least}
        yield f"{prefix}_{name}_most", {"value": most}


def name_verdicts(family: Family) -> dict[str, dict[str, Any]]:
    """Return what the ledger asks: the ends of the intervals that must lie above zero."""
    drop, excess, slope = family.drop("deep"), family.excess(), family.slope()
    return {
        "cifar_deep_drop_least": {"value": drop.low, "n": drop.n},
        "cifar_excess_least": {"value": excess.low, "n": excess.n},
        "cifar_slope_most": {"value": slope.high, "n": slope.n},
        "cifar_isolation_drop_least": {"value": family.isolation_drop().low},
        "cifar_early_drop": family.drop("early").as_result(),
        "cifar_early_most": family.level("early")[-1].as_result(),
        "cifar_deep_drop_trained_least": {"value": _beyond_chance(family).low},
    }


def bias_of(family: Family) -> dict[str, tuple[float, float]]:
    """Return what the biased estimate adds to deep layers, behind the least and largest pool.

    ``bias`` at the run's own number of images; ``bias_eighth`` at an eighth of them.
    """
    found = {}
    for name, few in (("bias", ""), ("bias_eighth", "_{2}")):
        ends = []
        for member in (family.members[0], family.members[-1]):
            added = [_added(r, few, member.rows()) for r in member.records]
            ends.append(float(np.mean(added)))
        found[name] = (ends[0], ends[1])
    return found


def answer(family: Family) -> str:
    """Say in words what the deep layers do as the field grows."""
    drop = family.drop("deep")
    if drop.n < LEAST_NETWORKS:
        word = "less" if drop.value > 0 else "no less"
        return f"one pair, in which deep layers are {word} alike behind the largest pool"
    if drop.low > 0:
        return "deep layers of two seeds are less alike behind the largest pool"
    if drop.high < 0:
        return "deep layers of two seeds are more alike behind the largest pool"
    return "the interval of the deep layers' loss of similarity holds zero"


def tabulate_choices(family: Family) -> pd.DataFrame:
    """Return a row a reading: deep CKA behind the least and largest pool, and the losses."""
    rows = {}
    for choice, words in _WORDS.items():
        if choice == "branch" and "resnet" not in family.title.lower():
            continue
        levels = family.level("deep", choice)
        rows[words] = {
            f"deep, {family.fields[0]} px": f"{levels[0].value:.2f}",
            f"deep, {family.fields[-1]} px": f"{levels[-1].value:.2f}",
            "deep loss": _text(family.drop("deep", choice)),
            "early loss": _text(family.drop("early", choice)),
            "deep less early": _text(family.excess(choice)),
        }
    return pd.DataFrame(rows).T


def tabulate_likeness(
    published: Mapping[tuple[str, str], Family], ours: Iterable[Family]
) -> pd.DataFrame:
    """Return figure 3's statements side by side: the paper, published records, this run."""
    paper = {
        "networks": "ResNet-50, 2 seeds",
        "layers; the middle one": "50; the 25th",
        "deep CKA, smallest field": "figure only",
        "deep CKA, largest field": "figure only",
        "loss of deep layers": "“divergence”",
        "loss of early layers": "not stated",
        "deep loss less early loss": "“within the deepest layers”",
        "change of deep CKA per 100 px": "falls",
        "deep with early layers of one network, loss": "“dissimilarity”",
        "loss of deep layers, untrained": "not measured",
        "test accuracy, smallest and largest field": "94.8 %, 90.4 %",
    }
    ready = {family.title: _cells(family) for family in published.values()}
    return set_side_by_side(paper, ready, {family.title: _cells(family) for family in ours})


def _cells(family: Family) -> dict[str, str]:
    n_layers = family.members[0].n_layers
    accuracies = [family.members[i].accuracy.value for i in (0, -1)]
    deep = family.level("deep")
    return {
        "networks": f"{family.n_networks} seeds, {len(family.shared)} pairs",
        "layers; the middle one": f"{n_layers}; the {(n_layers + 1) // 2}th",
        "deep CKA, smallest field": _text(deep[0]),
        "deep CKA, largest field": _text(deep[-1]),
        "loss of deep layers": _text(family.drop("deep")),
        "loss of early layers": _text(family.drop("early")),
        "deep loss less early loss": _text(family.excess()),
        "change of deep CKA per 100 px": _text(family.slope(), "{:+.3f}"),
        "deep with early layers of one network, loss": _text(family.isolation_drop()),
        "loss of deep layers, untrained": _text(family.drop("deep", "untrained")),
        "test accuracy, smallest and largest field": ", ".join(f"{a:.1%}" for a in accuracies),
    }


def _beyond_chance(family: Family) -> Estimate:
    """The deep loss of trained networks less that of the untrained ones they came from."""
    tables = [
        family.by_field(lambda member, choice=choice: member.half("deep", choice))
        for choice in ("main", "untrained")
    ]
    trained, untrained = (table[0] - table[-1] for table in tables)
    return jackknife(trained - untrained, family.shared)


def _added(record: Record, few: str, rows: list[int]) -> float:
    suffix = few.format(*record.metrics["n_parts"])
    curves = (record.arrays[f"trained_{name}{suffix}"] for name in ("curve_biased", "curve"))
    biased, debiased = (np.asarray(curve, dtype=float)[rows] for curve in curves)
    return float((biased - debiased)[(len(rows) + 1) // 2 :].mean())


def _is_whole(record: Record) -> bool:
    network = record.spec.config["network"]
    data = network["dataset"], network["n_train"], network["n_test"]
    return data == ("cifar10", 0, 0) and record.metrics["n_images"] == N_IMAGES


def _word_p(estimate: Estimate) -> str:
    p = p_value(estimate)
    return "no p-value with one pair" if math.isnan(p) else f"p = {p:.2g}"


def _text(e: Estimate, form: str = "{:.2f}") -> str:
    text = form.format(e.value)
    return text if e.low == e.high else f"{text} [{form.format(e.low)}, {form.format(e.high)}]"
