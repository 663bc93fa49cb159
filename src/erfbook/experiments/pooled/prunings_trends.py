"""How pruned networks change with the field: in words, and as named results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.networks import TITLES, say_data
from erfbook.experiments.pooled.prunings_study import RATE, Study
from erfbook.experiments.side_by_side import NONE_DECIDES
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import count, percent


def say_trend(estimate: Estimate) -> str:
    """Say what a slope's interval allows.

    >>> say_trend(Estimate(-2.0, -3.0, -1.0, 3)), say_trend(Estimate(1.0, -1.0, 3.0, 3))
    ('falls', 'no sure trend')
    """
    if estimate.n < 2:
        return "no interval from one seed"
    if estimate.low > 0:
        return "rises"
    return "falls" if estimate.high < 0 else "no sure trend"


def say_deciding(deciding: Iterable[Study]) -> str:
    """Say in words what the networks that decide do as the field grows, or that there are none."""
    parts = []
    for study in deciding:
        dense, gap = study.slope("dense"), study.slope("gap", RATE)
        parts.append(
            f"{TITLES[study.architecture]} ({_of_what(study)}): dense accuracy {_move(dense)}, "
            f"pruned accuracy rises at {_rising_rates(study)}, the gap at {percent(RATE)} "
            f"{_move(gap)}"
        )
    return "; ".join(parts) or NONE_DECIDES


def say_statistics(deciding: Iterable[Study]) -> str:
    """Say in words what new batch norm statistics alone do at the smallest field, or nothing."""
    parts = [
        f"{_share(study, 'global')} become {_share(study, 'calibrated')} in "
        f"{TITLES[study.architecture]} at a field of {study.fields[0]} px ({_of_what(study)})"
        for study in deciding
    ]
    return " and ".join(parts) or NONE_DECIDES


def _of_what(study: Study) -> str:
    return f"{study.scale}, {count(study.n_seeds, 'seed')}, {note_of(study)}"


def _share(study: Study, way: str) -> str:
    return percent(study.percent(way, study.strides[0], RATE).mean() / 100)


def _rising_rates(study: Study) -> str:
    slopes = {rate: study.slope("global", rate) for rate in study.rates}
    rising = [
        f"{percent(rate)} ({slope.text('{:+.1f}')})"
        for rate, slope in slopes.items()
        if say_trend(slope) == "rises"
    ]
    return " and ".join(rising) or "no rate"


def _move(slope: Estimate) -> str:
    words = say_trend(slope)
    shows = "shows " if words.startswith("no") else ""
    return f"{shows}{words} ({slope.text('{:+.1f}')} points a step)"


def name_study(study: Study, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the named results of a study, as a page's ``report`` takes them."""
    for stride in study.strides:
        values = {
            "dense": study.percent("dense", stride),
            "pruned": study.percent("global", stride, RATE),
            "gap": study.gap(stride, RATE),
            "calibrated": study.percent("calibrated", stride, RATE),
            "tuned": study.percent("tuned_printed", stride, RATE),
            "tuned_usual": study.percent("tuned_usual", stride, RATE),
        }
        for name, sample in values.items():
            yield f"{prefix}_{name}_{stride}", mean_interval(sample).with_ends()
    for trend in list_trends(study):
        name, estimate = trend.name, study.slope(trend.what, trend.rate)
        yield f"{prefix}_{name}", estimate.with_ends()
        if estimate.n > 1:  # the ledger asks on which side of zero an interval lies
            yield f"{prefix}_{name}_least", {"value": estimate.low, "n": estimate.n}
            yield f"{prefix}_{name}_most", {"value": estimate.high, "n": estimate.n}
        yield f"{prefix}_{name}_words", {"value": say_trend(estimate)}
    first = study.strides[0]
    lost = study.gap(first, RATE).mean()
    won = (
        study.percent("tuned_printed", first, RATE) - study.percent("global", first, RATE)
    ).mean()
    yield f"{prefix}_regained", {"value": float(won / lost) if lost > 0 else 1.0}
    yield f"{prefix}_tuned_epochs", {"value": study.tuned_epochs}
    yield f"{prefix}_n_seeds", {"value": study.n_seeds}
    yield f"{prefix}_scale", {"value": study.scale}
    yield f"{prefix}_note", {"value": note_of(study)}
    yield f"{prefix}_chance", {"value": study.chance}
    yield f"{prefix}_unused", {"value": float(study.shared("unused")[-1])}


class Trend(NamedTuple):
    """A trend with the field that the paper speaks of: result's name, words, what is asked."""

    name: str
    words: str
    claimed: str
    what: str
    rate: float | None = None


def list_trends(study: Study) -> Iterator[Trend]:
    """Yield the trends of a study, in the order of its tables."""
    yield Trend("slope_dense", "dense accuracy", "falls", "dense")
    for rate in study.rates:
        claimed = "rises" if rate > 0.8 else "does not rise"
        name, words = f"slope_pruned_{100 * rate:.0f}", f"pruned at {percent(rate)}"
        yield Trend(name, words, claimed, "global", rate)
    yield Trend("slope_gap_90", f"gap at {percent(RATE)}", "falls", "gap", RATE)
    yield Trend("slope_tuned", "tuned by the recipe", "figure only", "tuned_printed", RATE)


def describe(study: Study) -> str:
    """Return architecture, scale and data in words."""
    return f"{TITLES[study.architecture]}, {study.scale}, {note_of(study)}"


def note_of(study: Study) -> str:
    """Return what the data are and how long networks were trained on them, in words."""
    return say_data(study.records[study.strides[0]][0])
