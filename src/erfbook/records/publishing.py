"""Choosing, among the records made here, those that go out with the book."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from erfbook.records.compare import Conflict
from erfbook.records.npz import LARGEST, encode
from erfbook.records.record import Record, Spec, is_weights
from erfbook.records.store import Store

# What a build runs itself, whose records nobody needs: how the names of its settings begin.
QUICK = ("smoke", "laptop")
# Weights are most of a trained network's record. Two seeds of it are enough to redo every analysis,
# and all records of a repository have to stay small together; both numbers are chosen by us.
WEIGHED_SEEDS = 2
HEAVIEST = 4_000_000  # bytes of a record with its weights


@dataclass
class Publication:
    """What became of records that were to be published.

    Args:
        added: one line for each that was not there.
        n_same: how many were there with the same results.
        left_out: how many were not fit, by reason.
        refused: one line for each that is fit and could not be put there.
    """

    added: list[str] = field(default_factory=list)
    n_same: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


def is_quick(spec: Spec) -> bool:
    """Tell whether a build makes such a run itself; one of settings without a name counts so."""
    return str(spec.config.get("name", QUICK[0])).startswith(QUICK)


def publish(
    own: Store, into: Store, experiments: Collection[str], *, largest: int = LARGEST
) -> Publication:
    """Put records among the published ones: whole runs of the latest version, of unchanged code.

    Weights go along with a network's first two seeds, in records of 4 MB or less; others go
    without, and say so. A record that is there with other results stays.

    Args:
        own: what to choose from.
        into: the published records.
        experiments: names of those to publish.
        largest: bytes that all published records may take together.
    """
    done = Publication()
    taken = sum(path.stat().st_size for path in into.files())
    for experiment in experiments:
        found = [*own.select(experiment)]
        latest = max((r.spec.version for r in (*found, *into.select(experiment))), default=0)
        fit: dict[str, list[Record]] = defaultdict(list)
        for record in found:
            reason = _why_not(record, latest)
            if reason:
                done.left_out[reason] += 1
            else:
                fit[str(record.spec.config["name"])].append(record)
        for name in sorted(fit):
            for record in sorted(fit[name], key=lambda r: r.spec.seed):
                taken += _put(_without_heavy_weights(record), into, largest - taken, done)
    return done


def _why_not(record: Record, latest: int) -> str:
    if "name" not in record.spec.config:
        return "of settings without a name, for which there is erfbook records merge"
    if is_quick(record.spec):
        return "of a profile that a build runs itself"
    if record.spec.version < latest:
        return "of an older version of the experiment"
    if record.provenance.get("dirty"):
        return "made by code with local changes"
    return ""


def _without_heavy_weights(record: Record) -> Record:
    kept = {name: array for name, array in record.arrays.items() if not is_weights(name)}
    if len(kept) == len(record.arrays):
        return record
    if record.spec.seed < WEIGHED_SEEDS and len(encode(record)) <= HEAVIEST:
        return record
    about = {**record.provenance, "weights": "left out where the record was published"}
    return dataclasses.replace(record, arrays=kept, provenance=about)


def _put(record: Record, into: Store, room: int, done: Publication) -> int:
    """Publish one record and return the bytes it takes more."""
    content = encode(record)
    line = f"{record.spec.experiment}, {record.spec.config['name']}, seed {record.spec.seed}"
    is_new = into.read(into.path(record.spec)) is None
    if is_new and len(content) > room:
        done.refused.append(f"{line}: published records would take too much room together")
        return 0
    try:
        into.add(content)
    except Conflict as conflict:
        done.refused.append(str(conflict))
        return 0
    if not is_new:
        done.n_same += 1
        return 0
    done.added.append(f"{line}, {len(content) / 1e6:.2g} MB")
    return len(content)
