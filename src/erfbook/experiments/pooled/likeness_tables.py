"""What the pairs of seeds say, as named results, words and tables; and which pairs may decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.likeness import N_IMAGES, pool_likeness
from erfbook.experiments.pooled.likeness_bias import added_by_images
from erfbook.experiments.pooled.likeness_study import (
    Family,
    gather,
    jackknife,
    p_value,
    split_depth,
)
from erfbook.experiments.pooled.networks import TITLES, NetworkConfig
from erfbook.experiments.side_by_side import NONE_DECIDES, set_side_by_side
from erfbook.experiments.training_fields import choose_dataset
from erfbook.notation import count, percent
from erfbook.records import Record, Store

DECIDING = ("paper", "usual recipe", "quarter width")  # on all of CIFAR-10, the better one first
LEAST_NETWORKS = 3  # fewer give one pair, and no interval
BASES = {
    "smoke": (plans.SMOKE, plans.SMOKE_RESNET),
    "laptop": (plans.LAPTOP, plans.LAPTOP_RESNET),
    "paper": (plans.PAPER, replace(plans.PAPER, architecture="resnet50")),
}
# How the readings of CHOICES are called.
WORDS = {
    "main": "as above",
    "biased": "biased estimate",
    "half": "half of the images",
    "eighth": "an eighth of the images",
    "means": "means over the plane",
    "equal": "images at equal length",
    "branch": "before the addition",
    "untrained": "untrained networks",
}


def choose_networks(profile: str, dataset: str) -> tuple[NetworkConfig, NetworkConfig]:
    """Return a profile's VGG and ResNet-50; ``auto`` is CIFAR-10 where it is present."""
    vgg, resnet = BASES[profile]
    name = choose_dataset(dataset, real="cifar10", embedded="patches32")
    return replace(vgg, dataset=name), replace(resnet, dataset=name)


def read_families(stores: Iterable[Store]) -> dict[tuple[str, str], Family]:
    """Return what stores hold on the paper's 1000 images of all of CIFAR-10."""
    seen: dict[str, Record] = {}
    for store in stores:
        for record in store.select("pool-likeness"):
            if _is_whole(record):
                seen.setdefault(record.spec.key, record)
    return gather(seen.values())


def choose_deciding(
    families: Mapping[tuple[str, str], Family], architecture: str = "resnet50"
) -> Family | None:
    """Return the networks that decide: all four pools, three seeds; or None.

    The paper's figure 3 is one of ResNet-50.
    """
    for name in DECIDING:
        family = families.get((name, architecture))
        if family and len(family.members) == 4 and family.n_networks >= LEAST_NETWORKS:
            return family
    return None


def choose_shown(
    published: Mapping[tuple[str, str], Family], ours: Iterable[Family]
) -> list[Family]:
    """Return the best published VGG and ResNet-50, also those that decide nothing yet, or ours."""
    own = zip(TITLES, ours, strict=True)
    return [_best(published, name) or family for name, family in own]


def _best(published: Mapping[tuple[str, str], Family], architecture: str) -> Family | None:
    others = (published.get((name, architecture)) for name in DECIDING)
    return choose_deciding(published, architecture) or next(filter(None, others), None)


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
        "equal_deep_drop": family.drop("deep", "equal"),
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
    n_images, added = added_by_images(family)
    for name, i in (("bias", 0), ("bias_eighth", -1)):
        yield f"{prefix}_{name}_least", {"value": float(added[0, i])}
        yield f"{prefix}_{name}_most", {"value": float(added[-1, i])}
    yield f"{prefix}_n_images", {"value": int(n_images[0])}


def name_verdicts(family: Family) -> dict[str, dict[str, Any]]:
    """Return what the ledger asks and shows of the networks that decide.

    The ledger asks for the ends of the intervals that must lie on one side of zero.
    """
    drop, excess, slope = family.drop("deep"), family.excess(), family.slope()
    return dict(name_family(family, "cifar")) | {
        "cifar_data": {"value": f"{family.title}, {family.note}"},
        "cifar_deep_drop_least": {"value": drop.low, "n": drop.n},
        "cifar_excess_least": {"value": excess.low, "n": excess.n},
        "cifar_slope_most": {"value": slope.high, "n": slope.n},
        "cifar_isolation_drop_least": {"value": family.isolation_drop().low},
        "cifar_deep_drop_trained_least": {"value": _beyond_chance(family).low},
    }


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


def say_deciding(published: Mapping[tuple[str, str], Family]) -> str:
    """Say in words what published ResNet-50 show, or that none decides, and what VGG shows."""
    vgg, resnet = choose_deciding(published, "vgg"), choose_deciding(published)
    told = _say(resnet) if resnet else NONE_DECIDES
    begun = None if resnet else _best(published, "resnet50")
    if begun:
        told += f"; so far {_say(begun)}, behind {len(begun.members)} pools"
    return told + (f"; beside the paper, {_say(vgg)}" if vgg else "")


def tabulate_farthest(families: Iterable[Family]) -> pd.DataFrame:
    """Return what the farthest images hold of deep layers, and CKA with and without their weight.

    A row for each network behind the smallest and the largest pool.
    """
    rows = {}
    for family in families:
        plain, equal = family.level("deep"), family.level("deep", "equal")
        for which in (0, -1):
            name = f"{family.title}, {family.note}: {family.fields[which]} px"
            rows[name] = {
                "variance they hold": percent(_farthest(family, which)),
                "the same in two seeds": percent(family.members[which].farthest_both),
                "deep CKA": plain[which].text(),
                "deep CKA, equal length": equal[which].text(),
                "pairs": f"{len(family.members[which].pairs)}",
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def name_farthest(family: Family, prefix: str) -> dict[str, dict[str, Any]]:
    """Return named results: what farthest images hold of deep layers behind the largest pool."""
    deep, equal = (family.level("deep", *of)[-1] for of in ((), ("equal",)))
    return {
        f"{prefix}_networks": {"value": f"{family.title}, {count(family.n_networks, 'seed')}"},
        f"{prefix}_data": {"value": family.note},
        f"{prefix}_field": {"value": family.fields[-1]},
        f"{prefix}_held": {"value": _farthest(family, -1)},
        f"{prefix}_deep": deep.as_result(),
        f"{prefix}_equal_deep": equal.as_result(),
        f"{prefix}_equal_change": {"value": abs(equal.value - deep.value)},
    }


def _farthest(family: Family, which: int) -> float:
    member = family.members[which]
    return float(member.farthest[split_depth(member.n_layers)["deep"]].mean())


def _say(family: Family) -> str:
    drop, untrained = family.drop("deep"), family.drop("deep", "untrained")
    return (
        f"{family.title}, {count(family.n_networks, 'seed')}: {answer(family)} (loss of CKA "
        f"{drop.text()}; untrained {untrained.text()}), on {family.note}"
    )


def tabulate_choices(family: Family) -> pd.DataFrame:
    """Return a row a reading: deep CKA behind the least and largest pool, and the losses."""
    rows = {}
    for choice, words in WORDS.items():
        if choice == "branch" and not family.has_blocks:
            continue
        levels = family.level("deep", choice)
        rows[words] = {
            f"deep, {family.fields[0]} px": f"{levels[0].value:.2f}",
            f"deep, {family.fields[-1]} px": f"{levels[-1].value:.2f}",
            "deep loss": family.drop("deep", choice).text(),
            "early loss": family.drop("early", choice).text(),
            "deep less early": family.excess(choice).text(),
        }
    return pd.DataFrame(rows).T


def tabulate_likeness(
    published: Mapping[tuple[str, str], Family], ours: Iterable[Family]
) -> pd.DataFrame:
    """Return figure 3's statements side by side: the paper, our records, this run."""
    paper = {
        "networks": "ResNet-50, 2 seeds",
        "pools; fields, px": "4; 110 to 423",
        "layers; the middle one": "50; the 25th",
        "deep CKA, smallest field": "figure only",
        "deep CKA, largest field": "figure only",
        "loss of deep layers": "“divergence”",
        "loss of early layers": "not stated",
        "deep loss less early loss": "“within the deepest layers”",
        "change of deep CKA per 100 px": "falls",
        "deep with early layers of one network, loss": "“dissimilarity”",
        "loss of deep layers, untrained": "not measured",
        "loss of deep layers, images at equal length": "not measured",
        "farthest images' share of deep layers, largest field": "not measured",
        "test accuracy, smallest and largest field": "94.8 %, 90.4 %",
    }
    ready = {f"{family.title}, {family.note}": _cells(family) for family in published.values()}
    return set_side_by_side(paper, ready, {family.title: _cells(family) for family in ours})


def _cells(family: Family) -> dict[str, str]:
    n_layers, n_pairs = family.members[0].n_layers, len(family.shared)
    accuracies = [family.members[i].accuracy.value for i in (0, -1)]
    deep = family.level("deep")
    return {
        "networks": f"{family.n_networks} seeds, {n_pairs} pair{'s' * (n_pairs > 1)}",
        "pools; fields, px": f"{len(family.members)}; {family.fields[0]} to {family.fields[-1]}",
        "layers; the middle one": f"{n_layers}; the {(n_layers + 1) // 2}th",
        "deep CKA, smallest field": deep[0].text(),
        "deep CKA, largest field": deep[-1].text(),
        "loss of deep layers": family.drop("deep").text(),
        "loss of early layers": family.drop("early").text(),
        "deep loss less early loss": family.excess().text(),
        "change of deep CKA per 100 px": family.slope().text("{:+.3f}"),
        "deep with early layers of one network, loss": family.isolation_drop().text(),
        "loss of deep layers, untrained": family.drop("deep", "untrained").text(),
        "loss of deep layers, images at equal length": family.drop("deep", "equal").text(),
        "farthest images' share of deep layers, largest field": percent(_farthest(family, -1)),
        "test accuracy, smallest and largest field": ", ".join(f"{a:.1%}" for a in accuracies),
    }


def _beyond_chance(family: Family) -> Estimate:
    """The deep loss of trained networks less that of the untrained ones they came from."""
    return jackknife(family.drops("deep") - family.drops("deep", "untrained"), family.shared)


def _is_whole(record: Record) -> bool:
    network = record.spec.config["network"]
    data = network["dataset"], network["n_train"], network["n_test"]
    is_current = record.spec.version == pool_likeness().version  # older ones measured less
    return is_current and data == ("cifar10", 0, 0) and record.metrics["n_images"] == N_IMAGES


def _word_p(estimate: Estimate) -> str:
    p = p_value(estimate)
    return "no p-value with one pair" if math.isnan(p) else f"p = {p:.2g}"
