"""What pruning costs, as tables, words and named results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from erfbook.experiments.estimates import mean_text
from erfbook.experiments.order import page_p, say_p
from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import FIELDS, STATED, STRIDES, TITLES
from erfbook.experiments.pooled.prunings import PruningConfig, configure_pruning
from erfbook.experiments.pooled.prunings_paper import NUMBERS, TABLE_1, TABLE_2, Row
from erfbook.experiments.pooled.prunings_study import RATE, Study
from erfbook.experiments.pooled.prunings_trends import describe, list_trends, note_of, say_trend
from erfbook.experiments.side_by_side import set_side_by_side
from erfbook.experiments.training_fields import choose_dataset
from erfbook.notation import count

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
    """Return table 1 or 2 side by side: the paper, our records, this run.

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
            row = {"dense": mean_text(study.percent("dense", stride))}
            row |= {word: mean_text(study.percent(w, stride, rate)) for w, word in WAYS.items()}
            rows[f"{TITLES[study.architecture]} {field} px"] = row
    return pd.DataFrame(rows).T


def tabulate_tuned(studies: Sequence[Study]) -> pd.DataFrame:
    """Return accuracy after fine-tuning with the mask held."""
    rows = {}
    for study in studies:
        for stride, field in zip(study.strides, study.fields, strict=True):
            rows[f"{TITLES[study.architecture]} {field} px"] = {
                "dense": mean_text(study.percent("dense", stride)),
                "one-shot": mean_text(study.percent("global", stride, RATE)),
                "tuned, printed recipe": mean_text(study.percent("tuned_printed", stride, RATE)),
                "each layer alone, tuned": mean_text(study.percent("tuned_layer", stride, RATE)),
                "tuned, a tenth of the usual rate": mean_text(
                    study.percent("tuned_usual", stride, RATE)
                ),
            }
    return pd.DataFrame(rows).T


def tabulate_trends(studies: Sequence[Study]) -> pd.DataFrame:
    """Return a row a trend: what it is against the field, and what its interval allows."""
    rows = []
    for study in studies:
        for trend in list_trends(study):
            estimate = study.slope(trend.what, trend.rate)
            falls = trend.claimed == "falls"
            p = page_p(study.by_field(trend.what, trend.rate), falls=falls)
            rows.append(
                {
                    "": f"{TITLES[study.architecture]}: {trend.words}",
                    "the paper": trend.claimed,
                    "points a step of the pool": estimate.text("{:+.1f}"),
                    "seeds": str(estimate.n),
                    "trend": say_trend(estimate) if estimate.n > 1 else "–",
                    "Page's test": f"of {'falling' if falls else 'rising'}: {say_p(p)}",
                }
            )
    return pd.DataFrame(rows).set_index("").rename_axis(None)


def tabulate_tuned_rates(study: Study) -> pd.DataFrame:
    """Return accuracy at every rate, one-shot and fine-tuned, by what is ranked together."""
    ways = {"all together": ("global", "tuned_printed"), "each layer": ("layer", "tuned_layer")}
    rows = {}
    for stride, field in zip(study.strides, study.fields, strict=True):
        for words, (shot, tuned) in ways.items():
            rates = study.tuned_rates(tuned)
            for what, done in ((shot, "one-shot"), (tuned, "tuned")):
                cells = {f"{r:.0%}": mean_text(study.percent(what, stride, r)) for r in rates}
                rows[f"{TITLES[study.architecture]} {field} px", words, done] = {
                    "dense": mean_text(study.percent("dense", stride)),
                    **cells,
                }
    names = ["network", "ranked", f"tuned: {count(study.tuned_epochs, 'epoch')}"]
    index = pd.MultiIndex.from_tuples(rows, names=names)
    return pd.DataFrame(list(rows.values()), index=index)


def tabulate_recipes(studies: Iterable[Study]) -> pd.DataFrame | None:
    """Return a row a scale and architecture: what width, recipe and images do to the two trends.

    None where there is no study of two pools or more.
    """
    rows = {}
    for study in sorted(studies, key=lambda one: (one.architecture != "vgg", one.scale)):
        if len(study.strides) < 2 or not study.n_seeds:
            continue
        ends = [study.strides[0], study.strides[-1]]
        dense, pruned = (
            [study.percent(*what).mean() for what in whats]
            for whats in (
                [("dense", k) for k in ends],
                [("global", k, RATE) for k in ends],
            )
        )
        rows[describe(study)] = {
            "fields, px": f"{study.fields[0]} to {study.fields[-1]}",
            "seeds": str(study.n_seeds),
            "dense, %": f"{dense[0]:.1f} to {dense[1]:.1f}",
            "dense, points a step": study.slope("dense").text("{:+.1f}"),
            f"pruned at {RATE:.0%}, %": f"{pruned[0]:.1f} to {pruned[1]:.1f}",
            "gap, points a step": study.slope("gap", RATE).text("{:+.1f}"),
        }
    return pd.DataFrame.from_dict(rows, orient="index") if rows else None


def _columns(studies: Sequence[Study], words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    columns: dict[str, dict[str, str]] = {}
    for scale in dict.fromkeys(study.scale for study in studies):
        of_scale = [study for study in studies if study.scale == scale]
        data, _, _ = note_of(of_scale[0]).rpartition(", ")
        lengths = [
            f"{TITLES[study.architecture]} {note_of(study).rpartition(', ')[2]}"
            for study in of_scale
        ]
        cells = columns.setdefault(f"{scale}: {data}, {', '.join(lengths)}", {})
        for study in of_scale:
            cells |= _cells(study, words)
    return columns


def _cells(study: Study, words: Mapping[str, str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for stride in study.strides:
        values = {
            "dense": study.percent("dense", stride),
            "pruned": study.percent("global", stride, RATE),
            "gap": study.gap(stride, RATE),
        }
        title = f"{TITLES[study.architecture]} {STATED[study.architecture][stride - 1]} px"
        shown = {n: f"{mean_text(v)} ({len(v)})" for n, v in values.items()}
        cells |= {f"{title}, {words[n]}": text for n, text in shown.items()}
    return cells


PAPER_TABLES = {"table 1": TABLE_1, "table 2": TABLE_2}
