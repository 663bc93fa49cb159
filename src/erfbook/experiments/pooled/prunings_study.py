"""What pruned networks say together: means, gaps, and how they change with the field.

Fields rise in equal steps with the early pool's stride (178 px for the VGG-like network, 105 px for
ResNet-50), so a slope against the stride is one against the field. Slopes are taken seed by seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.networks import TITLES
from erfbook.experiments.training_growth import mean_interval
from erfbook.records import Record, Store

EXPERIMENT = "pool-pruning"
# Scales on all of CIFAR-10 whose records may decide the paper's numbers, the better one first.
DECIDING = ("paper", "usual recipe", "half width", "quarter width")
DATA = {"table 1": "cifar10", "table 2": "tiny-imagenet"}
RATE = 0.9  # of the tables


@dataclass(frozen=True)
class Study:
    """The networks of one architecture and scale, by the stride of their early pool.

    Args:
        scale: name of the configuration, without the pool.
        architecture: ``vgg`` or ``resnet50``.
        dataset: name of the images.
        records: by stride, one a seed.
    """

    scale: str
    architecture: str
    dataset: str
    records: Mapping[int, Sequence[Record]]

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the early pools, ascending."""
        return tuple(sorted(self.records))

    @property
    def fields(self) -> tuple[int, ...]:
        """Theoretical receptive fields, px, ascending."""
        return tuple(self._first(stride)["field_px"] for stride in self.strides)

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of the weights that were pruned."""
        return tuple(self._first(self.strides[0])["rates"])

    @property
    def compared(self) -> tuple[float, ...]:
        """Rates at which all other ways of pruning were asked."""
        return tuple(self._first(self.strides[0])["compared"])

    def tuned_rates(self, what: str) -> tuple[float, ...]:
        """Return the rates at which networks were fine-tuned in a way."""
        return tuple(self._first(self.strides[0])["tuned_rates"][what])

    @property
    def tuned_epochs(self) -> float:
        """How long they were."""
        return self._first(self.strides[0])["tuned_epochs"]

    @property
    def chance(self) -> float:
        """Accuracy of guessing, percent."""
        return 100 / self._first(self.strides[0])["n_classes"]

    @property
    def n_seeds(self) -> int:
        """Seeds that every pool has."""
        return len(self.paired)

    @property
    def paired(self) -> tuple[int, ...]:
        """Those seeds."""
        own = [{record.spec.seed for record in runs} for runs in self.records.values()]
        return tuple(sorted(set.intersection(*own)))

    def runs(self, stride: int, *, paired: bool = False) -> list[Record]:
        """Return a pool's records by seed; ``paired``: of the seeds alone that every pool has."""
        chosen = [r for r in self.records[stride] if not paired or r.spec.seed in self.paired]
        return sorted(chosen, key=lambda record: record.spec.seed)

    def percent(
        self, what: str, stride: int, rate: float | None = None, *, paired: bool = False
    ) -> Float[np.ndarray, " seed"]:
        """Return accuracies of a pool's networks, in percent.

        Args:
            what: ``dense``, or a way of pruning as the records name it.
            stride: of the early pool.
            rate: share that is pruned; not for ``dense``.
            paired: of the seeds alone that every pool has.
        """
        return 100 * np.array(
            [_read(record, what, rate) for record in self.runs(stride, paired=paired)]
        )

    def gap(
        self, stride: int, rate: float, what: str = "global", *, paired: bool = False
    ) -> Float[np.ndarray, " seed"]:
        """Return dense less pruned accuracy, in points."""
        dense = self.percent("dense", stride, paired=paired)
        return dense - self.percent(what, stride, rate, paired=paired)

    def slope(self, what: str, rate: float | None = None) -> Estimate:
        """Return the change with each step of the pool, in points, and Student's interval.

        Args:
            what: ``gap``, or as :meth:`percent` takes it.
            rate: share that is pruned.
        """
        strides = np.array(self.strides, dtype=float)
        return mean_interval(fit_slopes(strides, self.by_field(what, rate)))

    def by_field(self, what: str, rate: float | None = None) -> Float[np.ndarray, "stride seed"]:
        """Return accuracies or gaps of the seeds that every pool has.

        Args:
            what, rate: as :meth:`slope` takes them.
        """
        if what == "gap":
            return np.array([self.gap(k, rate or 0.0, paired=True) for k in self.strides])
        return np.array([self.percent(what, k, rate, paired=True) for k in self.strides])

    def shared(self, what: str) -> Float[np.ndarray, "stride ..."]:
        """Return a number of the first seed's record for each pool."""
        return np.array([self._first(stride)[what] for stride in self.strides])

    def _first(self, stride: int) -> Mapping:
        return self.records[stride][0].metrics


def fit_slopes(
    x: Float[np.ndarray, " stride"], y: Float[np.ndarray, "stride seed"]
) -> Float[np.ndarray, " seed"]:
    """Return each seed's least-squares slope.

    >>> fit_slopes(np.array([1.0, 2.0, 4.0]), np.array([[3.0], [5.0], [9.0]])).round(9)
    array([2.])
    """
    centred = x - x.mean()
    return centred @ y / (centred @ centred)


def gather(records: Iterable[Record]) -> dict[tuple[str, str], Study]:
    """Return the studies that records make up, by scale and architecture; a run counts once."""
    found: dict[tuple[str, str], dict[int, dict[int, Record]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for record in records:
        network = record.spec.config["network"]
        key = (record.spec.config["name"].split(":")[0], network["architecture"])
        found[key][network["pool_stride"]].setdefault(record.spec.seed, record)
    return {
        key: Study(
            *key,
            next(iter(pools.values()))[min(next(iter(pools.values())))].spec.config["dataset"],
            {stride: tuple(pools[stride].values()) for stride in sorted(pools)},
        )
        for key, pools in found.items()
    }


def read_whole(stores: Iterable[Store]) -> dict[tuple[str, str], Study]:
    """Return what stores hold of networks trained and tested on all of CIFAR-10."""
    found = [
        record
        for store in stores
        for record in store.select(EXPERIMENT)
        if _is_whole(record, DATA["table 1"])
    ]
    return gather(found)


def choose_deciding(studies: Mapping[tuple[str, str], Study], architecture: str) -> Study | None:
    """Return the study that decides an architecture's claims, or None.

    The best scale of :data:`DECIDING` with two seeds or more of three pools or more; pools with
    a single seed are left out of it.
    """
    for scale in DECIDING:
        study = studies.get((scale, architecture))
        if study is None:
            continue
        several = {stride: runs for stride, runs in study.records.items() if len(runs) > 1}
        if len(several) >= 3:
            chosen = Study(scale, architecture, study.dataset, several)
            if chosen.n_seeds > 1:
                return chosen
    return None


def choose_shown(studies: Mapping[tuple[str, str], Study]) -> list[Study]:
    """Return what a page shows of each architecture, whole, whether or not it decides anything.

    It is the study whose scale decides, single seeds included, or else the best one there is.
    """
    shown = []
    for architecture in TITLES:
        deciding = choose_deciding(studies, architecture)
        scales = DECIDING if deciding is None else (deciding.scale,)
        shown += [studies[s, architecture] for s in scales if (s, architecture) in studies][:1]
    return shown


def _is_whole(record: Record, dataset: str) -> bool:
    network = record.spec.config["network"]
    return (network["dataset"], network["n_train"], network["n_test"]) == (dataset, 0, 0)


def _read(record: Record, what: str, rate: float | None) -> float:
    metrics = record.metrics
    if what == "dense":
        return metrics["dense"]
    if what.startswith("tuned"):
        rates = metrics["tuned_rates"][what]
    else:
        rates = metrics["rates" if what == "global" else "compared"]
    return metrics[what][list(rates).index(rate)]
