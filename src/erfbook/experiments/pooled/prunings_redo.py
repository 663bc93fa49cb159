"""Published networks pruned anew from their records: no training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erfbook import datasets, pruning, training
from erfbook.experiments.pooled.networks import TITLES, network_of
from erfbook.experiments.pooled.prunings_study import EXPERIMENT, RATE
from erfbook.experiments.weights import has_weights
from erfbook.notation import round_to
from erfbook.records import Record, Store

STAND_IN = "patches32"  # images for those who do not have the network's own
MOST_PARAMETERS = 1_000_000  # of a network that a reader's processor asks of a test set in seconds


@dataclass(frozen=True)
class Redone:
    """One network, dense and pruned, as its records have it and as it does here.

    Args:
        name, seed: of the network.
        field_px: side of its theoretical receptive field.
        recorded: accuracy dense and pruned at 90 %, of the records; None where no record prunes it.
        here: the same on images at hand; None where these are not the network's own.
        agreement: share of the images at hand to which the pruned network gives the dense one's
            answer.
        share_error: largest difference of a layer's pruned share from the record's; None as above.
        images: what it was asked of here, in words.
    """

    name: str
    seed: int
    field_px: int
    recorded: tuple[float, float] | None
    here: tuple[float, float] | None
    agreement: float
    share_error: float | None
    images: str


def redo_all(stores: Iterable[Store]) -> list[Redone]:
    """Prune every network whose weights a store holds, at 90 %, all layers ranked together."""
    found: dict[str, Record] = {}
    pruned: dict[tuple[str, int], Record] = {}
    for store in stores:
        for record in store.select("pool-training"):
            if has_weights(record):
                found.setdefault(record.spec.key, record)
        for record in store.select(EXPERIMENT):
            pruned.setdefault((record.spec.config["name"], record.spec.seed), record)
    own = [(r, pruned.get((r.spec.config["name"], r.spec.seed))) for r in found.values()]
    own.sort(
        key=lambda pair: (_architecture(pair[0]), pair[0].metrics["field_px"], pair[0].spec.seed)
    )
    return [redo(*pair) for pair in own]


def redo(record: Record, pruned: Record | None) -> Redone:
    """Load a record's network and prune it; a large one is asked of the stand-in at any rate.

    Args:
        record: of ``pool-training``.
        pruned: of ``pool-pruning``, of the same network; None if there is none.
    """
    config = record.spec.config
    name = config["dataset"]
    is_small = record.metrics["n_parameters"] <= MOST_PARAMETERS
    is_own = (
        is_small and datasets.is_present(name) and datasets.fingerprint(name) == record.spec.data
    )
    data = datasets.load(STAND_IN)
    if is_own:
        data = datasets.load(name).limited(config["n_train"], config["n_test"])
    dense = network_of(record)
    less = pruning.prune_global(dense, RATE)
    answers = [training.predict(model, data, data.test).argmax(1) for model in (dense, less.model)]
    here = tuple(float((a == data.test.labels).double().mean()) for a in answers)
    recorded = share_error = None
    if pruned is not None:
        place = list(pruned.metrics["rates"]).index(RATE)
        recorded = (pruned.metrics["dense"], pruned.metrics["global"][place])
        shares = np.array(list(less.shares.values()))
        share_error = float(np.abs(shares - pruned.arrays["shares"][place]).max())
    return Redone(
        name=f"{_architecture(record)}, {config['name']}",
        seed=record.spec.seed,
        field_px=record.metrics["field_px"],
        recorded=recorded,
        here=here if is_own else None,  # type: ignore[arg-type]
        agreement=float((answers[0] == answers[1]).double().mean()),
        share_error=share_error,
        images=data.note,
    )


def tabulate_redone(redone: Iterable[Redone]) -> pd.DataFrame | None:
    """Return a row a network: accuracies as recorded and here; None for no network."""
    rows = {
        f"{one.name.partition(':')[0]}, {one.field_px} px, seed {one.seed}": {
            "recorded, dense and pruned": _words(one.recorded),
            "here": _words(one.here),
            f"pruned answers as dense on {one.images}": f"{one.agreement:.1%}",
            "layers' shares, largest difference": (
                "–" if one.share_error is None else round_to(one.share_error, 1)
            ),
        }
        for one in redone
    }
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–") if rows else None


def _architecture(record: Record) -> str:
    return TITLES[record.spec.config["architecture"]]


def _words(pair: tuple[float, float] | None) -> str:
    return "–" if pair is None else f"{pair[0]:.2%}, {pair[1]:.2%}"
