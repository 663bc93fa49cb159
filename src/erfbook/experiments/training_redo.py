"""The field of a published network, measured anew from its weights: no training."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from erfbook import datasets
from erfbook.experiments.training_classes import ERF_TRAINING, ChangedConfig
from erfbook.experiments.training_fields import READINGS, Probe, look
from erfbook.experiments.weights import WEIGHTS, has_weights, load_weights
from erfbook.records import Record, Store

STAND_IN = "patches32"  # images for those who do not have the network's own


@dataclass(frozen=True)
class Redone:
    """One network's central unit, as its record has it and as it is measured here.

    Args:
        name, seed: of the run.
        recorded, here: sizes by mass in pixels, by reading.
        images: what it was measured on here, in words.
        same_images: whether those are the record's own images.
    """

    name: str
    seed: int
    recorded: dict[str, float]
    here: dict[str, float]
    images: str
    same_images: bool


def redo_all(stores: Iterable[Store], names: Collection[str] | None = None) -> list[Redone]:
    """Measure the published classifiers whose records hold their networks, seed by seed.

    Args:
        stores: of the records.
        names: of the configurations that are asked for; all of them if None.
    """
    found: dict[str, Record] = {}
    for store in stores:
        for record in store.select(ERF_TRAINING.name):
            asked = names is None or record.spec.config["name"] in names
            if asked and has_weights(record):
                found.setdefault(record.spec.key, record)
    ordered = sorted(found.values(), key=lambda r: (r.spec.config["name"], r.spec.seed))
    return [redo(record) for record in ordered]


def redo(record: Record) -> Redone:
    """Load a record's network and measure it, on the record's images where they are at hand."""
    settings = dict(record.spec.config)
    config = ChangedConfig(**{**settings, "moments": tuple(settings["moments"])})
    is_here = datasets.is_present(config.dataset)
    data = datasets.load(config.dataset if is_here else STAND_IN)
    data = data.limited(0, config.n_test)
    model = config.build(len(record.arrays[f"{WEIGHTS}head.bias"]))
    load_weights(model, record)
    seen = look(model.eval(), Probe.of(data, config.n_images, config.n_calibration))
    return Redone(
        name=config.name,
        seed=record.spec.seed,
        recorded={r: record.metrics[f"{r}_mass"][-1] for r in READINGS},
        here={r: seen[f"{r}_mass"] for r in READINGS},
        images=data.note,
        same_images=is_here and datasets.fingerprint(config.dataset) == record.spec.data,
    )


def tabulate_redone(redone: Iterable[Redone]) -> pd.DataFrame | None:
    """Return a row a network: its size as recorded and as measured here; None for no network."""
    rows = {
        f"{one.name}, seed {one.seed}, here on {one.images}": {
            **{f"recorded, {r}": f"{one.recorded[r]:.3f} px" for r in READINGS},
            **{f"here, {r}": f"{one.here[r]:.3f} px" for r in READINGS},
        }
        for one in redone
    }
    return pd.DataFrame.from_dict(rows, orient="index") if rows else None
