"""How the effective receptive field grows with depth: luo figure 2, with its two slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats

from erfbook import erf, theory
from erfbook.experiments.estimates import Estimate, resample_counts, seed_for
from erfbook.experiments.panels import Network, alive_runs, draw_maps, size_if_any

STATISTICS = ("abs", "square")
PAPER_SLOPES = {"size": 0.56, "ratio": -0.43}


@dataclass(frozen=True)
class GrowthCurve:
    """Size against depth for one kind of network, one statistic and one way to average.

    Args:
        network: what was measured.
        statistic: ``abs`` or ``square``.
        equal: whether each run was scaled to a sum of 1 before the mean.
        depths: numbers of 3 x 3 layers.
        sizes: luo's size of the mean map, px, with the ends of its 95 % interval.
        predicted: the exact sizes and slopes at the same depths.
        size_slope, ratio_slope: of log size and log ratio against log depth.
        n_dropped: runs with an all-zero gradient, per depth.
        n_effective: how many equal runs the mean is worth, per depth.
    """

    network: Network
    statistic: str
    equal: bool
    depths: Int[np.ndarray, " depth"]
    sizes: Float[np.ndarray, " depth"]
    sizes_low: Float[np.ndarray, " depth"]
    sizes_high: Float[np.ndarray, " depth"]
    predicted: theory.Growth
    size_slope: Estimate
    ratio_slope: Estimate
    n_dropped: Int[np.ndarray, " depth"]
    n_effective: Float[np.ndarray, " depth"]

    @property
    def name(self) -> str:
        """A short name: network, statistic, and the weighting where runs were scaled."""
        label = self.network.label.replace(" channels", " ch.").replace(" channel", " ch.")
        statistic = {"abs": "|g|", "square": "g²"}[self.statistic]
        return f"{label}, {statistic}{', scaled' if self.equal else ''}"


def measure_growth(
    network: Network,
    depths: Sequence[int],
    n_networks: int,
    *,
    weightings: Sequence[bool] = (False, True),
    threshold: float = erf.TWO_SIGMA,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[GrowthCurve]:
    """Measure sizes over depths from one set of runs, for both statistics and the weightings.

    Slopes are least-squares lines through all depths, as in the paper; their intervals come from
    resampling the runs within each depth.

    Args:
        network: its weights, activation and width.
        depths: numbers of 3 x 3 layers.
        n_networks: runs a depth.
        weightings: whether runs are scaled to a sum of 1 before the mean, one curve each.
        threshold: of the size, as a share of the centre.
        n_bootstrap: resamples.
        seed: each depth gets a seed of its own from it.
    """
    random = network.weights == "random"  # equal weights make all runs the same, and g^2 is g^2
    statistics, weightings = (STATISTICS, weightings) if random else (("abs",), (False,))
    names = [(s, equal) for equal in weightings for s in statistics]
    found: dict[tuple[str, bool], list[tuple]] = {name: [] for name in names}
    dropped = []
    for depth in depths:
        maps = draw_maps(network, [theory.Layer()] * depth, n_networks, seed=seed)
        dropped.append(maps.n_dead)
        for statistic, equal in names:
            runs = alive_runs(maps, statistic, equal=equal)
            totals = runs.sum((1, 2))
            effective = float(totals.sum() ** 2 / (totals**2).sum())
            resampled = _resampled_sizes(
                runs, threshold, n_bootstrap, seed_for(seed, "growth", depth)
            )
            size = size_if_any(runs.mean(0), threshold)
            found[statistic, equal].append((size, resampled, effective))
    options = {"network": network, "depths": np.asarray(depths), "n_dropped": np.asarray(dropped)}
    return [_curve(found[key], *key, threshold, n_networks, **options) for key in names]


@dataclass(frozen=True)
class RepeatedSlopes:
    """The slopes of many repeats of one experiment, each with networks of its own.

    Args:
        name: of the curve, as in :class:`GrowthCurve`.
        size, ratio: one slope a repeat.
    """

    name: str
    size: Float[np.ndarray, " repeat"]
    ratio: Float[np.ndarray, " repeat"]

    def spread(self, which: str) -> Estimate:
        """Return the mean slope (``size`` or ``ratio``) and where a further repeat falls to 95 %.

        Student's t allows for the standard deviation being estimated from few repeats.
        """
        slopes = getattr(self, which)
        reach = stats.t.ppf(0.975, len(slopes) - 1) * self._error(slopes)
        mean = float(slopes.mean())
        return Estimate(mean, mean - reach, mean + reach, len(slopes))

    def z_score(self, which: str, published: float) -> float:
        """Return how far a published slope is from a further repeat, as a normal deviate.

        It is 1.96 where the published slope lies on the upper end of :meth:`spread`.
        """
        slopes = getattr(self, which)
        t = (published - slopes.mean()) / self._error(slopes)
        tail = stats.t.sf(abs(t), len(slopes) - 1)
        return float(np.sign(t) * stats.norm.isf(tail))

    @staticmethod
    def _error(slopes: np.ndarray) -> float:
        return float(slopes.std(ddof=1) * np.sqrt(1 + 1 / len(slopes)))


def repeat_growth(
    network: Network,
    depths: Sequence[int],
    n_networks: int,
    n_repeats: int,
    *,
    seed: int = 0,
    **options,
) -> dict[str, RepeatedSlopes]:
    """Repeat an experiment on growth and return what its slopes would be each time.

    It says how far two experiments of this size may lie apart, which the bootstrap of one of them
    understates where few runs dominate a mean.

    Args:
        network, depths, n_networks: as in :func:`measure_growth`.
        n_repeats: experiments, at least 2.
        seed: each repeat gets a seed of its own from it.
        options: further ones of :func:`measure_growth`.
    """
    repeats = [
        measure_growth(
            network, depths, n_networks, seed=seed_for(seed, "repeat", i), n_bootstrap=2, **options
        )
        for i in range(n_repeats)
    ]
    found = {}
    for curves in zip(*repeats, strict=True):
        key = f"{curves[0].statistic}{'_scaled' if curves[0].equal else ''}"
        slopes = np.array([(c.size_slope.value, c.ratio_slope.value) for c in curves])
        found[key] = RepeatedSlopes(curves[0].name, slopes[:, 0], slopes[:, 1])
    return found


def find_consistent_depths(
    firsts: Sequence[int], lasts: Sequence[int], *, spacings: Sequence[int] = (1, 5, 10)
) -> list[tuple[int, int, int, float]]:
    """Return evenly spaced depth lists whose two slopes can differ as the published ones do.

    The size's slope minus the ratio's is that of the theoretical receptive field, a property of
    the depths alone; the paper's rounded slopes put it at 0.99, give or take 0.01.

    Returns:
        (first, last, spacing, difference) of every list within the rounding.
    """
    lists = [(a, b, s) for a in firsts for b in lasts for s in spacings if b >= a + 3 * s]
    slopes = [
        (*abc, theory.receptive_field_slope(range(abc[0], abc[1] + 1, abc[2]))) for abc in lists
    ]
    published = PAPER_SLOPES["size"] - PAPER_SLOPES["ratio"]
    return [row for row in slopes if abs(row[3] - published) <= 0.01]


def _curve(rows, statistic, equal, threshold, n_networks, *, network, depths, n_dropped):
    sizes = np.array([row[0] for row in rows])
    resampled = np.array([row[1] for row in rows])
    fields = 2 * depths + 1
    low, high = np.nanpercentile(resampled, (2.5, 97.5), axis=1)
    # |g| of equal weights has the shape that the mean of g^2 has under random ones.
    shape_of = "square" if network.weights == "ones" else statistic
    return GrowthCurve(
        network=network,
        statistic=statistic,
        equal=equal,
        depths=depths,
        sizes=sizes,
        sizes_low=low,
        sizes_high=high,
        predicted=theory.predict_growth(depths, statistic=shape_of, threshold=threshold),
        size_slope=_slope(depths, sizes, resampled, n_networks),
        ratio_slope=_slope(depths, sizes / fields, resampled / fields[:, None], n_networks),
        n_dropped=n_dropped,
        n_effective=np.array([row[2] for row in rows]),
    )


def _slope(depths, values, resampled, n: int) -> Estimate:
    slopes = [theory.fit_log_slope(depths, column) for column in resampled.T]
    low, high = np.nanpercentile(slopes, (2.5, 97.5))
    return Estimate(theory.fit_log_slope(depths, values), float(low), float(high), n)


def _resampled_sizes(
    runs: Float[np.ndarray, "run px px"], threshold: float, n_resamples: int, seed: int
) -> Float[np.ndarray, " resample"]:
    """Return the size of each resample's mean map; in float32 and blocks, for speed."""
    counts = torch.from_numpy(resample_counts(len(runs), n_resamples, seed)).float()
    flat = torch.from_numpy(runs / runs.max()).flatten(1).float()
    middle = flat.shape[1] // 2
    sizes = []
    for block in counts.split(64):
        means = block @ flat
        centre = means[:, middle, None]
        count = (means > threshold * centre).sum(1).double()
        sizes.append(torch.where(centre[:, 0] > 0, count, torch.nan))
    return np.sqrt(torch.cat(sizes).numpy())
