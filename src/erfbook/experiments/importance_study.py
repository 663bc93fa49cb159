"""What the projections say of maxima, patterns and checkerboards, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.importance import ImportanceConfig
from erfbook.experiments.importance_plans import (
    ARCHITECTURES,
    PRINTED,
    STRIDES,
    changes_of,
    configure,
)
from erfbook.records import Record, Store
from erfbook.records.compact import expand

N_RESAMPLES = 2000
LEAST_NETWORKS = 5
WINDOW = 12  # px: a multiple of every early stride, so that its mean holds no wave of any of them
SPECTRUM = 48  # px in the middle of the image whose waves are read


@dataclass(frozen=True)
class Projection:
    """All projections of one configuration.

    Args:
        config: settings, by name.
        maxima: largest |g| of each projection, a row a network.
        summed: the same of |g| summed over the image's channels.
        maximum_of_mean: largest value of the mean of the summed maps.
        maps: mean maps of groups of networks, |g| summed over channels.
        square: mean of g^2 summed over channels.
        plane: side of the last plane.
    """

    config: Mapping
    maxima: Float[np.ndarray, "network image"]
    summed: Float[np.ndarray, "network image"]
    maximum_of_mean: float
    maps: Float[np.ndarray, "group row column"]
    square: Float[np.ndarray, "row column"]
    plane: int

    @property
    def map(self) -> Float[np.ndarray, "row column"]:
        """Mean map over all projections."""
        return self.maps.mean(axis=0)

    @property
    def n(self) -> int:
        """Number of projections."""
        return self.maxima.size

    @property
    def spread(self) -> float:
        """Standard deviation of the maxima, as the tables print it."""
        return float(self.maxima.std(ddof=1)) if self.n > 1 else 0.0

    @property
    def mean(self) -> Estimate:
        """Mean maximum; networks are resampled."""
        values = self.maxima.mean(axis=1)
        low, high = np.percentile(bootstrap_means(values, 0), (2.5, 97.5))
        return Estimate(float(values.mean()), float(low), float(high), len(values))


Four = Mapping[int, Projection]  # by stride of the early pool


def gather(records: Sequence[Record]) -> Projection:
    """Return the seeds of one configuration as one."""
    config = records[0].spec.config

    def stack(name: str) -> np.ndarray:
        values = [record.metrics[name] for record in records]
        return np.array(values, dtype=float).reshape(-1, config["n_images"])

    maps = np.concatenate([expand(record.arrays, "maps") for record in records])
    return Projection(
        config,
        stack("maxima"),
        stack("maxima_summed"),
        float(maps.mean(axis=0).max()),
        maps,
        np.mean([expand(record.arrays, "square") for record in records], axis=0),
        int(records[0].metrics["plane"][0]),
    )


Index = Mapping[str, Mapping[int, Record]]  # by name of the configuration and seed


def index(stores: Iterable[Store]) -> dict[str, dict[int, Record]]:
    """Return the experiment's records in some stores; of a run in several the first is taken."""
    found: dict[str, dict[int, Record]] = {}
    for store in stores:
        for record in store.select("pixel-importance"):
            found.setdefault(record.spec.config["name"], {}).setdefault(record.spec.seed, record)
    return found


def pick(records: Index, wanted: Mapping[int, ImportanceConfig]) -> dict[int, Projection]:
    """Return projections by stride; empty unless those of all strides are there."""
    names = {stride: config.name for stride, config in wanted.items()}
    if not all(name in records for name in names.values()):
        return {}
    return {s: gather([run for _, run in sorted(records[n].items())]) for s, n in names.items()}


def pick_all(records: Index, scale: ImportanceConfig) -> dict[str, dict[str, dict]]:
    """Return every change of a scale that is there whole, by architecture and change."""
    return {
        kind: {
            change: four
            for change in ("", *changes_of(kind))
            if (four := pick(records, {s: configure(scale, kind, s, change) for s in STRIDES}))
        }
        for kind in ARCHITECTURES
    }


def compare_maxima(above: Projection, below: Projection) -> Estimate:
    """Return by how much the mean maximum is larger in one than in another, as a ratio."""
    draws = [
        bootstrap_means(p.maxima.mean(axis=1), seed) for seed, p in enumerate((above, below), 1)
    ]
    value = above.maxima.mean() / below.maxima.mean()
    low, high = np.percentile(draws[0] / draws[1], (2.5, 97.5))
    return Estimate(float(value), float(low), float(high), min(above.n, below.n))


def bootstrap_means(values: Float[np.ndarray, " run"], seed: int) -> Float[np.ndarray, " resample"]:
    """Return means of resamples with replacement."""
    rng = np.random.default_rng(seed)
    return rng.choice(values, (N_RESAMPLES, len(values))).mean(axis=1)


def falls(four: Four) -> bool | None:
    """Return whether every larger pool has a certainly smaller maximum than the one before it.

    None where a configuration has fewer than five networks, which give no interval worth the name.
    """
    if any(len(found.maxima) < LEAST_NETWORKS for found in four.values()):
        return None
    return all(compare_maxima(four[s], four[s + 1]).low > 1 for s in STRIDES[:-1])


def measure_miss(four: Four, architecture: str) -> tuple[float, float]:
    """Return how far four means lie from the printed ones, in decades: overall, and their decline.

    The first is the root of the mean squared log10 ratio, the second log10 of (first pool over last
    pool, here) over (the same, printed).
    """
    logs = [
        math.log10(four[s].maxima.mean() / PRINTED[architecture][s - 1][0])
        if four[s].maxima.mean() > 0
        else math.inf
        for s in STRIDES
    ]
    return math.sqrt(sum(x**2 for x in logs) / len(logs)), logs[0] - logs[-1]


def find_nearest(all_four: Mapping[str, Four], architecture: str) -> str:
    """Return the change whose four means lie nearest to the printed ones."""
    return min(all_four, key=lambda change: measure_miss(all_four[change], architecture)[0])


def compare_patterns(a: Projection, b: Projection, *, coarse: bool = False) -> Estimate:
    """Return the correlation of two patterns without the noise of finitely many projections.

    Pixels' covariance between the two mean maps, which are of independent projections, over what
    independent groups of the same configuration share. Only the shape counts: a factor changes
    nothing. The interval is the jackknife's over groups.

    Args:
        a, b: two configurations.
        coarse: whether maps are averaged over 12 px first, which takes out every checkerboard of
            the early pools.
    """

    def correlate(x: np.ndarray, y: np.ndarray) -> float:
        return _shared(x, y) / math.sqrt(max(_own(x) * _own(y), 1e-300))

    maps = (a.maps, b.maps)
    return _jackknife(tuple(map(_coarsen, maps)) if coarse else maps, correlate)


def measure_radius(p: Projection) -> Estimate:
    """Return the root-mean-square distance of a map's mass from its centre, px."""
    return _jackknife((p.maps,), lambda maps: _radius(maps.mean(axis=0)))


def compare_radii(a: Projection, b: Projection) -> Estimate:
    """Return the ratio of two maps' radii."""
    return _jackknife(
        (a.maps, b.maps), lambda x, y: _radius(x.mean(axis=0)) / _radius(y.mean(axis=0))
    )


def measure_spectrum(values: Float[np.ndarray, "row column"]) -> Float[np.ndarray, " frequency"]:
    """Return how strongly a map oscillates at 0, 1/48, ..., 1/2 cycles per px, as a share of it.

    The map is summed along each axis in turn; a running mean over 12 px is taken off, in which no
    wave of period 2, 3, 4, 6 or 12 px is left; of the middle 48 px Fourier coefficients are taken
    over their sum. A checkerboard that counts 2, 1, 2, 1 has 1/3 at 1/2 cycle per px.
    """
    return np.abs(_waves(values)).mean(axis=0)


def measure_wave(p: Projection, frequency: float) -> Estimate:
    """Return a map's oscillation at a frequency: the mean over both axes, with a jackknife."""
    k = round(frequency * SPECTRUM)
    return _jackknife((p.maps,), lambda maps: float(measure_spectrum(maps.mean(axis=0))[k]))


def _waves(values: np.ndarray) -> np.ndarray:
    ends = np.ones(WINDOW + 1) / WINDOW
    ends[[0, -1]] /= 2  # centred on a pixel and still 12 px wide
    found = []
    for axis in (0, 1):
        line = values.sum(axis=axis)
        rest = line[WINDOW // 2 : -(WINDOW // 2)] - np.convolve(line, ends, mode="valid")
        cut = (len(rest) - SPECTRUM) // 2
        if cut < 0:
            raise ValueError(f"a spectrum needs {SPECTRUM + WINDOW} px or more, not {len(line)}")
        middle = slice(cut, cut + SPECTRUM)
        found.append(np.fft.rfft(rest[middle]) / line[WINDOW // 2 :][middle].sum())
    return np.array(found)


def _coarsen(maps: np.ndarray) -> np.ndarray:
    """Average over squares of 12 px that lie whole in the map."""
    for axis in (1, 2):
        sums = np.cumsum(maps, axis=axis)
        later = np.take(sums, range(WINDOW, maps.shape[axis]), axis=axis)
        maps = (later - np.take(sums, range(maps.shape[axis] - WINDOW), axis=axis)) / WINDOW
    return maps


def _radius(values: np.ndarray) -> float:
    rows, columns = np.indices(values.shape)
    mass = values / values.sum()
    centre = (mass * rows).sum(), (mass * columns).sum()
    return math.sqrt((mass * ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2)).sum())


def _shared(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.cov(x.mean(axis=0).ravel(), y.mean(axis=0).ravel())[0, 1])


def _own(x: np.ndarray) -> float:
    """Return the variance over pixels that independent groups agree on."""
    flat = x.reshape(len(x), -1)
    table = np.cov(flat)
    n = len(flat)
    return float((table.sum() - np.trace(table)) / (n * (n - 1)))


def _jackknife(samples: tuple[np.ndarray, ...], statistic) -> Estimate:
    """Return a statistic of groups with the normal interval of its jackknife."""
    n = min(len(sample) for sample in samples)
    value = float(statistic(*samples))
    if n < 3:
        return Estimate(value, value, value, n)
    left = np.array([statistic(*(np.delete(s, i, axis=0) for s in samples)) for i in range(n)])
    half = 1.96 * math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    return Estimate(value, value - half, value + half, n)
