"""Spectra as tables: a row a pool, the paper's statements side by side, one change at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from erfbook.experiments.order import page_p, say_p
from erfbook.experiments.pooled.spectra_study import (
    Pools,
    compare_ends,
    compare_fields,
    measure_growth,
    say,
)
from erfbook.experiments.side_by_side import NONE_DECIDES, set_side_by_side
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import percent, plus_minus, round_to
from erfbook.records import Record

TITLES = {"vgg": "VGG-like", "resnet50": "ResNet-50"}
_MEASURES = {
    "largest": "λ₁",
    "last": "λₖ",
    "spread": "λ₁ − λₖ",
    "frobenius": "norm",
    "descent": "sum downwards",
}
_MOMENTS = {"before": "before training", "after": "after training"}


def tabulate_largest(spectra: Mapping[tuple[str, str], Pools]) -> pd.DataFrame:
    """Return a row a network, moment and pool: field, planes, loss and the largest eigenvalues.

    Args:
        spectra: by architecture and moment.
    """

    def row(pools: Pools, i: int) -> dict[str, str]:
        first, last = pools.firsts[i].metrics["plane"]
        return {
            "planes, first and last": f"{first} × {first}, {last} × {last}",
            "seeds": f"{len(pools.seeds)}",
            "loss": f"{pools.numbers('loss')[i].mean():.2f}",
            "k": f"{pools.config['k']}",
            **_means(pools, i, "largest", "last", "spread"),
        }

    return _tabulate(spectra, row)


def tabulate_whole(spectra: Mapping[tuple[str, str], Pools]) -> pd.DataFrame:
    """Return the same rows with numbers of the whole spectrum: its sums and their parts."""

    def row(pools: Pools, i: int) -> dict[str, str]:
        errors = pools.numbers("trace_error")[i]
        error = np.sqrt((errors**2).sum()) / len(errors)
        return {
            "trace": plus_minus(pools.numbers("trace")[i].mean(), error, 1),
            **_means(pools, i, "frobenius"),
            "downwards": percent(pools.numbers("negative")[i].mean()),
            **_means(pools, i, "descent"),
        }

    return _tabulate(spectra, row)


def _tabulate(
    spectra: Mapping[tuple[str, str], Pools], row: Callable[[Pools, int], dict[str, str]]
) -> pd.DataFrame:
    rows = {
        (f"{TITLES[architecture]}, {_MOMENTS[moment]}", f"{record.metrics['field_px']}"): row(
            pools, i
        )
        for (architecture, moment), pools in spectra.items()
        for i, record in enumerate(pools.firsts)
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(rows, names=["network", "field, px"])
    return frame


def _means(pools: Pools, i: int, *names: str) -> dict[str, str]:
    return {_MEASURES[name]: round_to(pools.numbers(name)[i].mean()) for name in names}


def tabulate_figures(
    published: Mapping[tuple[str, str], tuple[str, Pools]],
    ours: Mapping[tuple[str, str], Pools],
) -> pd.DataFrame:
    """Return figures 1 and 2 side by side: the paper, our records, this run.

    The paper has curves and no numbers; what stands in its column is what its text says of them.

    Args:
        published: by architecture and moment, the scale and its spectra.
        ours: this run's.
    """
    says = {"largest": "“larger”", "spread": "“wider”", "descent": "“steeper”"}
    paper: dict[str, str] = {}
    cells: dict[str, dict[str, str]] = {}
    own: dict[str, str] = {}
    for (architecture, moment), pools in ours.items():
        for name, word in _MEASURES.items():
            row = f"{TITLES[architecture]}, {_MOMENTS[moment]}: growth of {word}"
            paper[row] = says.get(name, "no statement") if moment == "before" else "figure only"
            own[row] = measure_growth(pools, name).text()
            if (architecture, moment) in published:
                scale, theirs = published[architecture, moment]
                p = say_p(page_p(theirs.numbers(name)))
                cell = f"{measure_growth(theirs, name).text()} ({len(theirs.seeds)}), {p}"
                cells.setdefault(f"{scale}, {theirs.note}", {})[row] = cell
    note = next(iter(ours.values())).note
    return set_side_by_side(paper, cells, {note: own})


def describe(pools: Pools) -> str:
    """Return scale and data in words."""
    return f"{pools.config['network']['name'].partition(':')[0]}, {pools.note}"


def choose_shown(
    published: Mapping[tuple[str, str], tuple[str, Pools]],
    ours: Mapping[tuple[str, str], Pools],
) -> dict[tuple[str, str], Pools]:
    """Return published spectra, and this run's of the networks that have none published.

    So no panel of a network mixes scales and data.

    Args:
        published: by architecture and moment, the scale and its spectra.
        ours: this run's.
    """
    kept = {key: pools for key, (_, pools) in published.items()}
    architectures = {architecture for architecture, _ in kept}
    return kept | {key: one for key, one in ours.items() if key[0] not in architectures}


def say_deciding(published: Mapping[tuple[str, str], tuple[str, Pools]]) -> str:
    """Say in words what the spectra that decide do as the field grows, or that there are none.

    Args:
        published: by architecture and moment, the scale and its spectra.
    """
    parts = []
    for (architecture, moment), (scale, pools) in published.items():
        factor = measure_growth(pools, "largest")
        network = f"{TITLES[architecture]} {_MOMENTS[moment]} ({scale}, {len(pools.seeds)} seeds)"
        ends = compare_fields(pools, "largest").text()
        parts.append(f"{network}: the largest eigenvalue {say(factor)} ({ends} times)")
    notes = sorted({pools.note for _, pools in published.values()})
    return f"{'; '.join(parts)}; on {' and '.join(notes)}" if parts else NONE_DECIDES


def tabulate_variants(
    small: Mapping[str, Sequence[Record]], large: Mapping[str, Sequence[Record]]
) -> pd.DataFrame:
    """Return a row a change: the largest eigenvalue before training at both ends, and the ratio.

    Args:
        small, large: by what was changed, runs with the smallest and with the largest field.
    """
    rows = []
    for word, runs in small.items():
        rows.append(
            {
                "setting": word,
                "λ₁, smallest field": _middle(runs),
                "λ₁, largest field": _middle(large[word]),
                "ratio": compare_ends(runs, large[word]).text(),
            }
        )
    return pd.DataFrame(rows).set_index("setting").rename_axis(None)


def _middle(runs: Sequence[Record]) -> str:
    return round_to(mean_interval(np.array([r.arrays["values"][0] for r in runs]), log=True).value)
