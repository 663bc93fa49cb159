"""The two experiments of luo section 4: which networks are compared, and at which scales.

The paper trained "a CNN" on CIFAR-10 and describes neither it nor the weights' profile. What
stands here is ours: equal 3 x 3 layers, an even number of them (after an odd number of corner-only
layers no path leads to the pixel in the middle), batch norm, a constant learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from erfbook.experiments.damage_runs import DamageConfig, run_damage
from erfbook.experiments.registry import Experiment
from erfbook.experiments.training_fields import choose_dataset
from erfbook.records import Record, Store

STARTS: dict[str, dict[str, Any]] = {
    "he": {},
    "soft": {"profile": "soft", "contrast": 4.0},
    "corners": {"profile": "corners"},
    "xavier": {"base": "xavier"},
    "xavier_soft": {"base": "xavier", "profile": "soft", "contrast": 4.0},
    "soft2": {"profile": "soft", "contrast": 2.0},
    "soft8": {"profile": "soft", "contrast": 8.0},
}
LINKS: dict[str, dict[str, Any]] = {
    "dilated5": {"connections": "dilated", "window": 5},
    "sparse5": {"connections": "sparse", "window": 5},
    "dilated7": {"connections": "dilated", "window": 7},
    "sparse7": {"connections": "sparse", "window": 7},
    "sparse9": {"connections": "sparse", "window": 9},
}
KINDS = STARTS | LINKS
RACING = ("he", "soft", "corners", "xavier")  # what a reader's own run compares
DECIDING = ("paper", "cpu")  # scales on all of CIFAR-10, the better one first

# Minutes on two cores for a run: pixels averaged in blocks of 2 x 2, two epochs.
CPU = DamageConfig(
    name="cpu",
    dataset="cifar10",
    n_test=2000,
    channels=32,
    depth=8,
    shrink=2,
    norm=True,
    epochs=2,
    batch_size=128,
    lr=0.1,
    n_moments=21,
    n_images=64,
)
# On a GPU: full resolution, twice the width, ten epochs.
PAPER = replace(
    CPU, name="paper", n_test=0, channels=64, depth=10, shrink=1, epochs=10, precision="auto",
    n_moments=51,
)  # fmt: skip
# A reader's own run, a second each: a hundred steps on few images, without crops and mirrors.
LAPTOP = DamageConfig(
    name="laptop",
    dataset="patches32",
    n_train=3200,
    n_test=300,
    channels=16,
    depth=6,
    shrink=2,
    norm=True,
    epochs=1,
    batch_size=32,
    lr=0.1,
    augment=False,
    n_moments=6,
)
SMOKE = replace(
    LAPTOP, name="smoke", n_train=320, n_test=64, channels=8, depth=4, n_moments=3, n_images=2
)
SCALES = {scale.name: scale for scale in (SMOKE, LAPTOP, CPU, PAPER)}
# What else could explain a difference from the paper: one change each.
VARIANTS = (
    replace(CPU, name="cpu without norm", norm=False, lr=0.02),
    replace(CPU, name="cpu, a third of the rate", lr=0.03),
)


def configure(scale: DamageConfig, kind: str) -> DamageConfig:
    """Return the configuration of one kind, a key of :data:`KINDS`, at a scale."""
    return replace(scale, name=f"{scale.name}: {kind}", **KINDS[kind])


def choose_scale(profile: str, **changes: Any) -> DamageConfig:
    """Return a profile's scale with some settings changed; ``dataset`` may be ``auto``.

    ``auto`` is CIFAR-10 where it is present, else embedded patches.
    """
    scale = SCALES[profile]
    name = changes.pop("dataset", scale.dataset)
    found = choose_dataset(name, real="cifar10", embedded="patches32")
    wanted = replace(scale, dataset=found)
    changed = replace(wanted, **changes)
    return changed if changed == wanted else replace(changed, name=f"{scale.name}, changed")


def read_deciding(stores: Iterable[Store], experiment: str) -> dict[str, list[Record]]:
    """Return the records that may decide a claim about CIFAR-10, by kind; empty if there are none.

    Those are runs on all training images at one of the scales of :data:`DECIDING`. Of the best
    scale that has two seeds of He's start, or of any kind of connections, all kinds are returned
    with the seeds that they all have.
    """
    found: dict[str, dict[str, dict[int, Record]]] = {name: {} for name in DECIDING}
    for store in stores:
        for record in store.select(experiment):
            scale, _, kind = record.spec.config["name"].partition(": ")
            if scale in found and kind in KINDS and _is_whole(record.spec.config):
                found[scale].setdefault(kind, {}).setdefault(record.spec.seed, record)
    for scale in DECIDING:
        kinds = {kind: runs for kind, runs in found[scale].items() if len(runs) > 1}
        shared = set.intersection(*(set(runs) for runs in kinds.values())) if kinds else set()
        if len(shared) > 1:
            return {kind: [runs[seed] for seed in sorted(shared)] for kind, runs in kinds.items()}
    return {}


def _is_whole(config: Mapping[str, Any]) -> bool:
    return config.get("dataset") == "cifar10" and config.get("n_train") == 0


def _plan(scale: DamageConfig, kinds: Iterable[str], n_seeds: int) -> tuple:
    return tuple((configure(scale, kind), n_seeds) for kind in kinds)


_REAL = replace(LAPTOP, dataset="cifar10")
INIT_DAMAGE = Experiment(
    name="init-damage",
    version=1,
    summary="how fast and how wide a network begins, by its initial weights (luo s. 4)",
    config=DamageConfig,
    plans={
        "smoke": _plan(SMOKE, RACING, 2),
        "laptop": (*_plan(LAPTOP, RACING, 8), *_plan(_REAL, RACING, 8)),
        "paper": (
            *_plan(CPU, (*RACING, "xavier_soft"), 8),
            *_plan(PAPER, STARTS, 10),
            *_plan(VARIANTS[0], (*RACING, "xavier_soft"), 8),
            *_plan(VARIANTS[1], RACING, 8),
        ),
    },
    run=run_damage,
)
SPARSE_DAMAGE = Experiment(
    name="sparse-damage",
    version=1,
    summary="nine weights on a grid, dilated, or anywhere in a window (luo s. 4); the grid is "
    "init-damage's He",
    config=DamageConfig,
    plans={
        "smoke": _plan(SMOKE, ("dilated5", "sparse5"), 2),
        "laptop": (
            *_plan(LAPTOP, ("dilated5", "sparse5"), 5),
            *_plan(_REAL, ("dilated5", "sparse5"), 5),
        ),
        "paper": (
            *_plan(CPU, ("dilated5", "sparse5", "dilated7", "sparse7"), 5),
            *_plan(PAPER, LINKS, 5),
        ),
    },
    run=run_damage,
)
