"""What pruning costs, as tables, words and named results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import FIELDS, STATED, STRIDES, TITLES
from erfbook.experiments.pooled.prunings import PruningConfig, configure_pruning
from erfbook.experiments.pooled.prunings_paper import NUMBERS, TABLE_1, TABLE_2, Row
from erfbook.experiments.pooled.prunings_study import RATE, Study
from erfbook.experiments.training_fields import choose_dataset
from erfbook.experiments.training_growth import mean_interval
from erfbook.experiments.training_tables import set_side_by_side

BASES = {
    "smoke": (plans.SMOKE, plans.SMOKE_RESNET),
    "laptop": (plans.LAPTOP, plans.LAPTOP_RESNET),
    "paper": (plans.PAPER, replace(plans.PAPER, architecture="resnet50")),
}
WAYS = {
    "global": "all layers ranked together",
    "layer": "each layer alone",
    "conv": "convolutions alone, together",
    "inner": "all but first and last, together",
    "calibrated": "all together, batch norm recalibrated",
}


def configure_all(
    profile: str, dataset: str, **changes: Any
) -> tuple[tuple[PruningConfig, ...], tuple[PruningConfig, ...]]:
    """Return a profile's VGG and ResNet-50 behind each of the four pools.

    Args:
        profile: smoke, laptop or paper.
        dataset: of the networks; ``auto`` is CIFAR-10 where it is present.
        changes: settings of the pruning.
    """
    name = choose_dataset(dataset, real="cifar10", embedded="patches32")
    vgg, resnet = (
        tuple(
            replace(configure_pruning(network), **changes)
            for network in plans.configure_pools(replace(base, dataset=name))
        )
        for base in BASES[profile]
    )
    return vgg, resnet


def check_networks() -> dict[str, Any]:
    """Return the fields of the eight networks by arithmetic, and whether parameters are as many.

    The tests hold the arithmetic to the graphs as built, which takes longer than a chapter has.
    """
    found: dict[str, Any] = {}
    for architecture, base in zip(FIELDS, BASES["paper"], strict=True):
        with torch.device("meta"):
            full = [one.build(10) for one in plans.configure_pools(base)]
        counts = {sum(p.numel() for p in network.parameters()) for network in full}
        fields = tuple(one.theoretical_field for one in plans.configure_pools(base))
        found[f"{architecture}_fields"] = fields
        found[f"{architecture}_same"] = len(counts) == 1
        found[f"{architecture}_n_parameters"] = counts.pop()
    return found


def tabulate_networks(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return the networks: pool, field as built and as the paper states it, parameters."""
    rows = {}
    for architecture, title in TITLES.items():
        fields = found[f"{architecture}_fields"]
        for stride, built, stated in zip(STRIDES, fields, STATED[architecture], strict=True):
            rows[f"{title}, pool {stride + 1} × {stride + 1}, stride {stride}"] = {
                "field by the equation, px": built,
                "field as stated, px": stated,
                "parameters, full width": f"{found[f'{architecture}_n_parameters']:,}",
            }
    return pd.DataFrame(rows).T


def tabulate_paper(
    table: Mapping[tuple[str, int], Row], published: Sequence[Study], ours: Sequence[Study]
) -> pd.DataFrame:
    """Return table 1 or 2 side by side: the paper, published records, this run.

    Args:
        table: the paper's.
        published, ours: studies; those of one scale share a column.
    """
    words = {"dense": "dense", "pruned": "pruned", "gap": "difference"}
    cells = {
        f"{TITLES[a]} {STATED[a][k - 1]} px, {words[n]}": row.text(n)
        for (a, k), row in table.items()
        for n in NUMBERS
    }
    return set_side_by_side(cells, _columns(published, words), _columns(ours, words))


def tabulate_ways(studies: Sequence[Study], rate: float) -> pd.DataFrame:
    """Return accuracy by what is pruned and how it is ranked: what the paper leaves open."""
    rows = {}
    for study in studies:
        for stride, field in zip(study.strides, study.fields, strict=True):
            row = {"dense": _spread(study.percent("dense", stride))}
            row |= {word: _spread(study.percent(w, stride, rate)) for w, word in WAYS.items()}
            rows[f"{TITLES[study.architecture]} {field} px"] = row
    return pd.DataFrame(rows).T


def tabulate_tuned(studies: Sequence[Study]) -> pd.DataFrame:
    """Return accuracy after fine-tuning with the mask held."""
    rows = {}
    for study in studies:
        for stride, field in zip(study.strides, study.fields, strict=True):
            rows[f"{TITLES[study.architecture]} {field} px"] = {
                "dense": _spread(study.percent("dense", stride)),
                "one-shot": _spread(study.percent("global", stride, RATE)),
                "tuned, printed recipe": _spread(study.percent("tuned_printed", stride, RATE)),
                "tuned, a tenth of the usual rate": _spread(
                    study.percent("tuned_usual", stride, RATE)
                ),
            }
    return pd.DataFrame(rows).T


def tabulate_trends(studies: Sequence[Study]) -> pd.DataFrame:
    """Return a row a trend: what it is against the field, and what its interval allows."""
    rows = []
    for study in studies:
        for _, words, claimed, estimate in _trends(study):
            rows.append(
                {
                    "": f"{TITLES[study.architecture]}: {words}",
                    "the paper": claimed,
                    "points a step of the pool": estimate.text("{:+.1f}"),
                    "seeds": str(estimate.n),
                    "which": say_trend(estimate),
                }
            )
    return pd.DataFrame(rows).set_index("").rename_axis(None)


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


def name_study(study: Study, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the named results of a study, as a page's ``report`` takes them."""
    for stride in study.strides:
        values = {
            "dense": study.percent("dense", stride),
            "pruned": study.percent("global", stride, RATE),
            "gap": study.gap(stride, RATE),
            "tuned": study.percent("tuned_printed", stride, RATE),
            "tuned_usual": study.percent("tuned_usual", stride, RATE),
        }
        for name, sample in values.items():
            yield f"{prefix}_{name}_{stride}", mean_interval(sample).with_ends()
    for name, _, _, estimate in _trends(study):
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
    yield f"{prefix}_n_seeds", {"value": study.n_seeds}
    yield f"{prefix}_scale", {"value": study.scale}
    yield f"{prefix}_note", {"value": _note(study)}
    yield f"{prefix}_chance", {"value": study.chance}
    yield f"{prefix}_unused", {"value": float(study.shared("unused")[-1])}


def _trends(study: Study) -> Iterator[tuple[str, str, str, Estimate]]:
    """Yield each trend's name, words, what the paper says, and our slope."""
    yield "slope_dense", "dense accuracy", "falls", study.slope("dense")
    for rate in study.rates:
        claimed = "rises" if rate > 0.8 else "does not rise"
        name = f"slope_pruned_{100 * rate:.0f}"
        yield name, f"accuracy pruned at {rate:.0%}", claimed, study.slope("global", rate)
    yield "slope_gap_90", f"gap at {RATE:.0%}", "falls", study.slope("gap", RATE)
    tuned = study.slope("tuned_printed", RATE)
    yield "slope_tuned", "tuned accuracy, printed recipe", "figure only", tuned


def _note(study: Study) -> str:
    return study.records[study.strides[0]][0].metrics["note"]


def _columns(studies: Sequence[Study], words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    columns: dict[str, dict[str, str]] = {}
    for study in studies:
        cells = columns.setdefault(f"{study.scale}: {_note(study)}", {})
        for stride in study.strides:
            values = {
                "dense": study.percent("dense", stride),
                "pruned": study.percent("global", stride, RATE),
                "gap": study.gap(stride, RATE),
            }
            title = f"{TITLES[study.architecture]} {STATED[study.architecture][stride - 1]} px"
            cells |= {f"{title}, {words[n]}": _spread(v, seeds=True) for n, v in values.items()}
    return columns


def _spread(values: np.ndarray, *, seeds: bool = False) -> str:
    """Return a mean and a standard deviation in percent, as the paper prints them."""
    n = f" ({len(values)})" if seeds else ""
    if len(values) < 2:
        return f"{values.mean():.1f}{n}"
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}{n}"


PAPER_TABLES = {"table 1": TABLE_1, "table 2": TABLE_2}
