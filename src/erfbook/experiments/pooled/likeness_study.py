"""What pairs of seeds say together: same-layer similarity by depth and by receptive field.

Pairs that share a network are not independent, so intervals come from leaving out one *network*
at a time (the jackknife of a mean over pairs), with Student's t at networks - 1 degrees of freedom.
Two networks make one pair, and no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.likeness import (
    configure_likeness,
    list_pairs,
    pool_likeness,
)
from erfbook.experiments.pooled.networks import TITLES, NetworkConfig, say_data
from erfbook.experiments.pooled.plans import configure_pools
from erfbook.experiments.registry import obtain
from erfbook.experiments.training_growth import mean_interval
from erfbook.records import Record, Store

# Same-layer curves that a statement is tried on: the array, and which outputs count as layers.
CHOICES: dict[str, tuple[str, bool]] = {
    "main": ("trained_curve", False),
    "biased": ("trained_curve_biased", False),
    "half": ("trained_curve_{0}", False),
    "eighth": ("trained_curve_{2}", False),
    "means": ("trained_means", False),
    "equal": ("trained_curve_equal", False),
    "branch": ("trained_curve", True),
    "untrained": ("untrained_curve", False),
}


@dataclass(frozen=True)
class Likeness:
    """All pairs of one network behind one pool.

    Args:
        records: of ``pool-likeness``, a pair each.
    """

    records: tuple[Record, ...]

    @property
    def field_px(self) -> int:
        """Side of the theoretical receptive field."""
        return self.records[0].metrics["field_px"]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The seeds of each pair."""
        return [(a, b) for a, b in (record.metrics["seeds"] for record in self.records)]

    @property
    def accuracy(self) -> Estimate:
        """Test accuracy of the networks."""
        return mean_interval(np.array(list(self._by_network("accuracies").values())))

    def rows(self, branch: bool = False) -> list[int]:
        """Return which of the measured outputs are the network's layers with weights."""
        return weighted_rows(self.records[0].metrics["layers"], branch)

    @cached_property
    def n_layers(self) -> int:
        """Layers with weights, on the main path."""
        return len(self.rows())

    def curves(self, choice: str = "main") -> Float[np.ndarray, "pair layer"]:
        """Return the CKA of each layer with itself in the other seed (see :data:`CHOICES`)."""
        name, branch = CHOICES[choice]
        name = name.format(*self.records[0].metrics["n_parts"])
        rows = self.rows(branch)
        return np.array([record.arrays[name][rows] for record in self.records], dtype=float)

    def matrix(self, name: str) -> Float[np.ndarray, "layer layer"]:
        """Return the mean over pairs of a matrix between layers with weights."""
        rows = self.rows()
        found = [record.arrays[name][np.ix_(rows, rows)] for record in self.records]
        return np.mean(np.array(found, dtype=float), axis=0)

    def half(self, which: str, choice: str = "main") -> Float[np.ndarray, " pair"]:
        """Return the mean CKA over the layers up to the middle, or over those behind it."""
        curves = self.curves(choice)
        return curves[:, split_depth(curves.shape[1])[which]].mean(1)

    def isolation(self) -> dict[int, float]:
        """Return, by seed, the mean CKA of deep layers with early ones of the same network."""
        rows, found = self.rows(), {}
        parts = split_depth(len(rows))
        for record in self.records:
            names = ("trained_within", "trained_within_other")
            for seed, name in zip(record.metrics["seeds"], names, strict=True):
                matrix = record.arrays[name][np.ix_(rows, rows)].astype(float)
                found[seed] = float(matrix[parts["deep"], parts["early"]].mean())
        return found

    @property
    def farthest(self) -> Float[np.ndarray, " layer"]:
        """The share of each layer's variance that the farthest images hold, mean over networks."""
        held = [record.arrays["farthest_share"][:, self.rows()] for record in self.records]
        return np.mean(np.array(held, dtype=float), axis=(0, 1))

    @property
    def farthest_both(self) -> float:
        """How many of them are the same in two networks, as a share; mean over deep layers."""
        rows = np.array(self.rows())[split_depth(self.n_layers)["deep"]]
        return float(np.mean([record.arrays["farthest_both"][rows] for record in self.records]))

    def _by_network(self, name: str) -> dict[int, float]:
        pairs = ((r.metrics["seeds"], r.metrics[name]) for r in self.records)
        return {
            seed: value for two, values in pairs for seed, value in zip(two, values, strict=True)
        }


@dataclass(frozen=True)
class Family:
    """One network behind pools of several sizes.

    Args:
        title: configuration, in words.
        members: in the order of their fields.
    """

    title: str
    members: tuple[Likeness, ...]

    @property
    def fields(self) -> list[int]:
        """Sides of the theoretical receptive fields, px."""
        return [member.field_px for member in self.members]

    @property
    def note(self) -> str:
        """What the data are and how long networks were trained on them, in words."""
        return say_data(self.members[0].records[0])

    @property
    def has_blocks(self) -> bool:
        """Whether its layers are added to what goes around them."""
        return any(".convs." in path for path in self.members[0].records[0].metrics["layers"])

    @property
    def n_networks(self) -> int:
        """Networks behind every pool."""
        return len({seed for pair in self.shared for seed in pair})

    @cached_property
    def shared(self) -> list[tuple[int, int]]:
        """Pairs of seeds that exist behind every pool."""
        common = set.intersection(*(set(member.pairs) for member in self.members))
        return sorted(common)

    def by_field(self, value: Callable[[Likeness], np.ndarray]) -> Float[np.ndarray, "field pair"]:
        """Return a number of each shared pair behind each pool."""
        table = []
        for member in self.members:
            found = dict(zip(member.pairs, value(member), strict=True))
            table.append([found[pair] for pair in self.shared])
        return np.array(table)

    def level(self, which: str, choice: str = "main") -> list[Estimate]:
        """Return the mean CKA of early or deep layers, a pool each."""
        return [jackknife(m.half(which, choice), m.pairs) for m in self.members]

    def drops(self, which: str, choice: str = "main") -> Float[np.ndarray, " pair"]:
        """Return the same as :meth:`drop`, a shared pair each."""
        table = self.by_field(lambda member: member.half(which, choice))
        return table[0] - table[-1]

    def drop(self, which: str, choice: str = "main") -> Estimate:
        """Return by how much early or deep CKA is lower behind the largest pool than the least."""
        return jackknife(self.drops(which, choice), self.shared)

    def excess(self, choice: str = "main") -> Estimate:
        """Return how much more of their CKA deep layers lose than early ones."""
        differences = self.drops("deep", choice) - self.drops("early", choice)
        return jackknife(differences, self.shared)

    def slope(self, choice: str = "main") -> Estimate:
        """Return the slope of deep CKA, a least-squares line over fields, per 100 px."""
        x = np.array(self.fields, dtype=float) / 100
        table = self.by_field(lambda member: member.half("deep", choice))
        slopes = (x - x.mean()) @ table / ((x - x.mean()) ** 2).sum()
        return jackknife(slopes, self.shared)

    def isolation_drop(self) -> Estimate:
        """Return how much less deep layers resemble early ones behind the largest pool."""
        least, most = (self.members[i].isolation() for i in (0, -1))
        seeds = sorted(set(least) & set(most))
        return mean_interval(np.array([least[s] - most[s] for s in seeds]))


def weighted_rows(layers: Sequence[str], branch: bool = False) -> list[int]:
    """Return the rows of the layers with weights on the main path, in order.

    A residual block's last layer is its sum with the shortcut, or with ``branch`` what its last
    convolution adds. Pools have no weights; shortcuts are not on the path.
    """
    blocks = {path for path in layers if any(other.startswith(f"{path}.") for other in layers)}
    last = {b: max(p for p in layers if p.startswith(f"{b}.convs.")) for b in blocks}
    skipped = blocks if branch else set(last.values())
    return [i for i, path in enumerate(layers) if path not in skipped and "pool" not in path]


def split_depth(n_layers: int) -> dict[str, slice]:
    """Return the layers up to the middle one, and those behind it: 25 and 25 of 50.

    >>> split_depth(50)
    {'early': slice(0, 25, None), 'deep': slice(25, 50, None)}
    """
    middle = (n_layers + 1) // 2
    return {"early": slice(0, middle), "deep": slice(middle, n_layers)}


def jackknife(values: Float[np.ndarray, " pair"], pairs: Sequence[tuple[int, int]]) -> Estimate:
    """Return a mean over pairs with the 95 % interval of leaving out one network at a time.

    With two networks there is one pair and nothing to leave out: the ends are the value, n is 1.
    n counts networks otherwise.

    >>> e = jackknife(np.array([1.0, 2.0, 3.0]), [(0, 1), (1, 2), (0, 2)])
    >>> e.value, e.n, round(e.high - e.value, 2)  # 4.303 sqrt(2/3 (1 + 0 + 1))
    (2.0, 3, 4.97)
    """
    values, mean = np.asarray(values, dtype=float), float(np.mean(values))
    networks = sorted({seed for pair in pairs for seed in pair})
    left = [[v for v, pair in zip(values, pairs, strict=True) if one not in pair]
            for one in networks]  # fmt: skip
    if not all(left):
        return Estimate(mean, mean, mean, 1)
    n = len(networks)
    without = np.array([np.mean(rest) for rest in left])
    variance = (n - 1) / n * float(((without - without.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.975, n - 1)) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, n)


def p_value(estimate: Estimate) -> float:
    """Return the two-sided p-value of a jackknifed mean being zero; NaN for one pair alone."""
    if estimate.n < 3 or estimate.high == estimate.low:
        return math.nan
    half = (estimate.high - estimate.low) / 2
    t = estimate.value / half * stats.t.ppf(0.975, estimate.n - 1)
    return float(2 * stats.t.sf(abs(t), estimate.n - 1))


def compare_pools(
    base: NetworkConfig, n_networks: int, n_images: int, store: Store, progress: str = ""
) -> Family:
    """Return all pairs of seeds of a network behind the paper's four pools.

    Args:
        base: the network; its pool is replaced by each of the four.
        n_networks: seeds, two or more.
        n_images: first test images that layers are compared on.
        store: where records are looked for, and put.
        progress: name for progress bars; empty for none.
    """
    members = []
    for network in configure_pools(base):
        found: list[Record] = []
        for gap, seed in list_pairs(n_networks):
            config = configure_likeness(network, gap, n_images)
            label = progress and f"{progress}, {network.theoretical_field} px"
            found += obtain(pool_likeness(), config, [seed], store, progress=label)
        members.append(Likeness(tuple(found)))
    return Family(_title(members[0].records[0].spec.config["network"]), tuple(members))


def gather(records: Iterable[Record]) -> dict[tuple[str, str], Family]:
    """Return families by (configuration, architecture): those with two pools or more."""
    kinds: dict[tuple[str, str], dict[int, dict[tuple[int, int], Record]]] = {}
    for record in records:
        network = record.spec.config["network"]
        key = (network["name"].partition(":")[0], network["architecture"])
        pool = kinds.setdefault(key, {}).setdefault(record.metrics["field_px"], {})
        pool.setdefault(tuple(record.metrics["seeds"]), record)
    return {
        key: Family(
            _title(next(iter(pools[min(pools)].values())).spec.config["network"]),
            tuple(
                Likeness(tuple(pools[px][two] for two in sorted(pools[px]))) for px in sorted(pools)
            ),
        )
        for key, pools in kinds.items()
        if len(pools) > 1 and set.intersection(*(set(pairs) for pairs in pools.values()))
    }


def _title(network: Mapping[str, Any]) -> str:
    return f"{TITLES[network['architecture']]}, {network['name'].partition(':')[0]}"
