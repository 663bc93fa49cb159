"""Pruning counted by the weights that read the image.

On a plane smaller than a kernel the outer taps multiply padding, whatever the image. Such weights
change no output, and as only decay moves them they are small and go first: at one rate, a network
that has them keeps more of its other weights than a network that has none. With a share ``u`` of
all weights unused and a share ``f`` of the pruned ones among these, a rate ``r`` leaves of the
others

    s = 1 - r (1 - f) / (1 - u).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.prunings_study import Study, fit_slopes
from erfbook.experiments.pooled.prunings_trends import say_trend
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import percent


def share_kept(
    study: Study, stride: int, rate: float, *, paired: bool = False
) -> Float[np.ndarray, " seed"]:
    """Return which share of the weights that read the image a pool's networks keep at a rate.

    Args:
        study: pruned by magnitude over all layers together.
        stride: of the early pool.
        rate: share of all weights that is pruned, one of the study's.
        paired: of the seeds alone that every pool has.
    """
    place = study.rates.index(rate)
    metrics = [record.metrics for record in study.runs(stride, paired=paired)]
    unused = np.array([float(m["unused"]) for m in metrics])
    among = np.array([float(m["pruned_unused"][place]) for m in metrics])
    return 1 - rate * (1 - among) / (1 - unused)


def gap_at(study: Study, stride: int, share: float) -> Float[np.ndarray, " seed"]:
    """Return dense less pruned accuracy where a share of the weights that read the image is kept.

    Between the rates that were run the gap is taken to be linear; where all are kept there is none.

    Args:
        study: as :func:`share_kept` takes it; of the seeds that every pool has.
        stride: of the early pool.
        share: more than at the highest rate, up to 1.

    Raises:
        ValueError: fewer weights are kept than in any network that was run.
    """
    kept = [share_kept(study, stride, rate, paired=True) for rate in study.rates]
    gaps = [study.gap(stride, rate, paired=True) for rate in study.rates]
    kept, gaps = [np.ones_like(kept[0]), *kept], [np.zeros_like(gaps[0]), *gaps]
    found = []
    for x, y in zip(np.array(kept).T, np.array(gaps).T, strict=True):
        if not x.min() - 1e-9 <= share <= 1:
            raise ValueError(f"share must lie in {x.min():.3f} to 1, not {share:g}")
        order = np.argsort(x)
        found.append(np.interp(share, x[order], y[order]))
    return np.array(found)


def slope_at(study: Study, share: float) -> Estimate:
    """Return how that gap changes with each step of the pool, points, with Student's interval."""
    gaps = np.array([gap_at(study, stride, share) for stride in study.strides])
    return mean_interval(fit_slopes(np.array(study.strides, dtype=float), gaps))


def list_shares(study: Study) -> dict[float, float]:
    """Return the largest share that any network keeps at the two highest rates, by rate.

    All of them have been pruned as far or further, so that their gaps can be compared there.
    """
    return {
        rate: float(max(share_kept(study, k, rate, paired=True).max() for k in study.strides))
        for rate in study.rates[-2:]
    }


def list_kept(study: Study) -> dict[int, list[float]]:
    """Return by stride what a pool's networks keep at each rate, the mean over seeds."""
    return {
        stride: [float(share_kept(study, stride, rate).mean()) for rate in study.rates]
        for stride in study.strides
    }


def name_live(study: Study, prefix: str = "live") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield results of the last rate but one and of the last: ``..._below`` and ``..._top``."""
    for word, (rate, share) in zip(("below", "top"), list_shares(study).items(), strict=True):
        yield f"{prefix}_rate_{word}", {"value": rate}
        for which, stride in (("kept", study.strides[-1]), ("kept_first", study.strides[0])):
            kept = share_kept(study, stride, rate, paired=True)
            yield f"{prefix}_{which}_{word}", {"value": float(kept.mean())}
        least = min(float(gap_at(study, stride, share).mean()) for stride in study.strides)
        yield f"{prefix}_share_{word}", {"value": share}
        yield f"{prefix}_least_{word}", {"value": least, "unit": "points"}
        for basis, slope in (("all", study.slope("gap", rate)), ("same", slope_at(study, share))):
            yield f"{prefix}_{basis}_{word}", slope.with_ends()
            yield f"{prefix}_{basis}_{word}_words", {"value": say_trend(slope)}
    yield f"{prefix}_unused", {"value": float(study.shared("unused")[-1])}


def tabulate_live(study: Study) -> pd.DataFrame:
    """Return the gap behind each pool: where all prune the same share, of all and of the live."""
    rows: dict[str, dict[str, str]] = {}
    for rate, share in list_shares(study).items():
        same_rate = [study.gap(stride, rate, paired=True) for stride in study.strides]
        same_share = [gap_at(study, stride, share) for stride in study.strides]
        for word, gaps, slope in (
            (f"{percent(rate)} of all", same_rate, study.slope("gap", rate)),
            (f"{percent(1 - share)} of those that read", same_share, slope_at(study, share)),
        ):
            row = {f"{f} px": f"{g.mean():.1f}" for f, g in zip(study.fields, gaps, strict=True)}
            rows[word] = row | {"points a step": slope.text("{:+.1f}")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="weights pruned")
