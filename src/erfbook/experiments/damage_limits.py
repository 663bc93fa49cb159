"""The exact part of the chapter: the widest kernel, and why its stack is Gaussian all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from erfbook import theory
from erfbook.notation import round_to
from erfbook.theory.corners import CONCAVE, CRITERIA

PARTS = {3: 8, 5: 4, 7: 4}  # a kernel's weight is dealt out in so many parts to try all kernels
CONTRASTS = {"uniform": 1.0, "soft2": 2.0, "soft": 4.0, "corners": math.inf}


@dataclass(frozen=True)
class Optimum:
    """The widest kernels of one side, found twice.

    Args:
        kernel: taps along an axis.
        gain: sigma of the four corners over that of equal weights.
        found: criterion to the values that ascents from random starts ended at.
        gap: largest certificate of these ascents: how much they can have missed.
        best: criterion to the largest value of all kernels tried.
        n_best: criterion to the number of kernels that reach it.
        corners_only: whether none of all these has weight anywhere but at corners.
        n_tried: kernels tried.
        shares: share of the main diagonal in each ascent on the trace.
    """

    kernel: int
    gain: float
    found: Mapping[str, Float[np.ndarray, " start"]]
    gap: float
    best: Mapping[str, float]
    n_best: Mapping[str, int]
    corners_only: bool
    n_tried: int
    shares: Float[np.ndarray, " start"]

    @property
    def agrees(self) -> bool:
        """Whether ascents, trial of all kernels and the formula give the same maximum."""
        reach = (self.kernel - 1) / 2
        formula = {"trace": 2 * reach**2, "area": reach**4, "least": reach**2}
        tried = all(math.isclose(self.best[c], v, rel_tol=1e-9) for c, v in formula.items())
        # The tangent bound says that an ascent is short by the gap at most; of the area, by that
        # share of it.
        ended = all(np.allclose(self.found[c], formula[c], rtol=2 * self.gap) for c in CONCAVE)
        return tried and ended


@dataclass(frozen=True)
class Limits:
    """How stacks of one kernel approach their Gaussian.

    Args:
        depths: numbers of layers.
        distances: kind to Kolmogorov distance along one axis, at each depth.
        limits: kind to the limit of distance times sqrt(depth) that theory gives.
        random: distances of random kernels.
        slopes: slope of log distance against log depth of each random kernel.
        kurtosis: kind to excess kurtosis along one axis, at each depth.
        growing: excess kurtosis of layers whose dilation doubles, 1, 2, 4, ...; NaN beyond 16.
    """

    depths: Int[np.ndarray, " depth"]
    distances: Mapping[str, Float[np.ndarray, " depth"]]
    limits: Mapping[str, float]
    random: Float[np.ndarray, "kernel depth"]
    slopes: Float[np.ndarray, " kernel"]
    kurtosis: Mapping[str, Float[np.ndarray, " depth"]]
    growing: Float[np.ndarray, " depth"]


def study_optimum(kernel: int, *, n_starts: int, seed: int = 0) -> Optimum:
    """Find the widest kernel of a side by ascents from random starts, and by trying all kernels."""
    climbs = {
        criterion: [
            theory.maximise_criterion(kernel, criterion, seed=seed + i) for i in range(n_starts)
        ]
        for criterion in CONCAVE
    }
    parts = PARTS[kernel]
    tried = {c: theory.enumerate_maximisers(kernel, parts, c) for c in CRITERIA}
    corners = theory.corner_kernel(kernel) > 0
    return Optimum(
        kernel=kernel,
        gain=theory.predict_size_gain(kernel),
        found={c: np.array([climb.value for climb in climbs[c]]) for c in CONCAVE},
        gap=max(climb.gap for each in climbs.values() for climb in each),
        best={c: value for c, (value, _) in tried.items()},
        n_best={c: len(kernels) for c, (_, kernels) in tried.items()},
        corners_only=not any(kernels[:, ~corners].any() for _, kernels in tried.values()),
        n_tried=math.comb(kernel**2 + parts - 1, parts),
        shares=np.array([climb.weights[[0, -1], [0, -1]].sum() for climb in climbs["trace"]]),
    )


def study_limits(depths: Sequence[int], *, n_random: int, seed: int = 0) -> Limits:
    """Return exact distances to the Gaussian of stacks of 3 x 3 kernels, proposed and random.

    Args:
        depths: numbers of layers, rising.
        n_random: kernels drawn evenly from all non-negative ones.
        seed: of the draws.
    """
    axes = {kind: theory.soft_kernel(3, contrast).sum(0) for kind, contrast in CONTRASTS.items()}
    draws = np.random.default_rng(seed).dirichlet(np.ones(9), size=n_random).reshape(-1, 3, 3)
    random = np.array([_distances(kernel.sum(0), depths) for kernel in draws])
    late = np.arange(len(depths)) >= len(depths) // 2
    deep = np.asarray(depths)[late]
    return Limits(
        depths=np.asarray(depths, dtype=int),
        distances={kind: _distances(axis, depths) for kind, axis in axes.items()},
        limits={kind: theory.predict_kolmogorov_limit(axis) for kind, axis in axes.items()},
        random=random,
        slopes=np.array([theory.fit_log_slope(deep, row[late]) for row in random]),
        kurtosis={kind: _kurtosis(axis) / np.asarray(depths) for kind, axis in axes.items()},
        growing=np.array([_doubled(int(depth)) for depth in depths]),
    )


def name_limits(optima: Mapping[int, Optimum], limits: Limits) -> dict[str, dict]:
    """Return the results under the names that prose and the ledger use."""
    gap = max(one.gap for one in optima.values())
    named: dict[str, dict] = {
        "optimum_agrees": {"value": all(one.agrees for one in optima.values())},
        "optimum_corners_only": {"value": all(one.corners_only for one in optima.values())},
        "optimum_area_unique": {"value": all(o.n_best["area"] == 1 for o in optima.values())},
        "optimum_trace_unique": {"value": all(o.n_best["trace"] == 1 for o in optima.values())},
        "optimum_gap": {"value": gap},
        "optimum_gap_words": {"value": round_to(gap, 1)},
        "limit_slope_steepest": {"value": float(limits.slopes.min())},
        "limit_slope_flattest": {"value": float(limits.slopes.max())},
        "limit_n_random": {"value": len(limits.slopes)},
        "limit_depth": {"value": int(limits.depths[-1])},
        "limit_growing": {"value": float(limits.growing[np.isfinite(limits.growing)][-1])},
    }
    for kernel, one in optima.items():
        named[f"optimum_gain_{kernel}"] = {"value": one.gain}
        named[f"optimum_tried_{kernel}"] = {"value": one.n_tried}
        for criterion in CRITERIA:
            named[f"optimum_n_{criterion}_{kernel}"] = {"value": one.n_best[criterion]}
    low, high = (float(f(optima[3].shares)) for f in (np.min, np.max))
    named["optimum_share_lowest"], named["optimum_share_highest"] = {"value": low}, {"value": high}
    for kind in CONTRASTS:
        scaled = limits.distances[kind][-1] * math.sqrt(limits.depths[-1])
        named[f"limit_distance_{kind}"] = {"value": float(limits.distances[kind][-1])}
        named[f"limit_ratio_{kind}"] = {"value": float(scaled / limits.limits[kind])}
        named[f"limit_kurtosis_{kind}"] = {"value": float(limits.kurtosis[kind][-1])}
    return named


def _distances(axis: np.ndarray, depths: Sequence[int]) -> np.ndarray:
    stacks = (theory.predict_distribution(axis / axis.sum(), int(depth)) for depth in depths)
    return np.array([theory.kolmogorov_distance(stack) for stack in stacks])


def _doubled(depth: int) -> float:
    if depth > 16:  # a field of 131 071 px is deep enough
        return math.nan
    return theory.predict_erf_kurtosis([theory.Layer(dilation=2**i) for i in range(depth)])


def _kurtosis(axis: np.ndarray) -> float:
    """Return one step's excess kurtosis; of n independent steps it is the n-th part."""
    return theory.measure_erf_kurtosis(axis[None])
