"""The page that says what everything takes: published runs by device, and this book's chapters."""

from __future__ import annotations

import dataclasses
import html
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from erfbook.book.results import Took, read_took
from erfbook.notation import count, round_to
from erfbook.parameters import NOTEBOOKS
from erfbook.profiles import PROFILES
from erfbook.records import Record, Store
from erfbook.records.plain import canonical, to_plain
from erfbook.records.words import duration

_RUNS = (
    "experiment and section",
    "profile and configuration",
    "device",
    "runs",
    "time per run",
    "in all",
)
_SPEEDS = ("experiment", "configuration", "device", "runs", "images a second")
_CHAPTERS = ("chapter", "profile", "device", "time", "peak memory")


def render(chapters: Path, store: Store) -> str:
    """Return the page as MyST Markdown.

    Args:
        chapters: folder of the executed notebooks.
        store: the published records.
    """
    executed = (chapters / f"{name}.ipynb" for name in NOTEBOOKS)
    took = {path.stem: read_took(path) for path in executed if path.exists()}
    own = {name: t for name, t in took.items() if t is not None}
    return "\n".join(
        (
            "# What it takes\n",
            "Every time on this page is read from the run that took it; none is an estimate.\n",
            "## This book's chapters\n",
            "From a kernel's start to its last cell. Several notebooks run at once, and what is "
            "kept from an earlier run is not computed again: a chapter whose runs were there "
            "already took the time of its figures only.\n",
            _table(_CHAPTERS, map(_chapter_row, own.items())),
            "\n## Published runs\n",
            "The runs behind the published records, which the chapters read instead of making them "
            "again. Times are medians, and smallest and largest where they differ; most "
            "were taken on a machine that did other work as well, so they are upper bounds. How to "
            "make the runs again: {ref}`the sweep <sec-rerun-pieces>`.\n",
            tabulate_runs(store.select()),
            "\n## Throughput\n",
            "Training alone, without what is measured on the way; medians, smallest and largest, "
            "of the published runs that noted it. The share of a device's peak and the ratio to "
            "the usual loop are measured in one run by `make bench`.\n",
            tabulate_speeds(store.select()),
        )
    )


def tabulate_runs(records: Iterable[Record]) -> str:
    """Return a row for each experiment, profile, configuration and device, as HTML."""
    from erfbook.experiments.catalogue import EXPERIMENTS  # takes seconds to import

    profiles = {name: _profiles_of(experiment) for name, experiment in EXPERIMENTS.items()}
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for record in records:
        name, config = record.spec.experiment, record.spec.config
        profile = profiles.get(name, {}).get(_key(config), "")
        scale = str(config.get("name") or profile).split(":")[0]
        scale = scale if scale == profile or not profile else f"{profile}: {scale}"
        section = EXPERIMENTS[name].summary if name in EXPERIMENTS else ""
        device = _device(record.provenance)
        seconds = float(record.provenance.get("seconds", 0))
        what = f"<code>{name}</code> {html.escape(section)}"
        groups[what, html.escape(scale), device].append(seconds)
    rows = [
        (*key, str(len(times)), _spread(times), duration(sum(times)))
        for key, times in sorted(groups.items())
    ]
    return _table(_RUNS, rows) if rows else "There are none.\n"


def tabulate_speeds(records: Iterable[Record]) -> str:
    """Return images a second of each configuration and device whose runs noted it, as HTML."""
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for record in records:
        if "images_per_s" in record.provenance:
            name = html.escape(str(record.spec.config.get("name", "")))
            what = f"<code>{record.spec.experiment}</code>"
            speed = float(record.provenance["images_per_s"])
            groups[what, name, _device(record.provenance)].append(speed)
    rows = []
    for key, speeds in sorted(groups.items()):
        low, middle, high = (round_to(x, 2) for x in (min(speeds), median(speeds), max(speeds)))
        spread = f" ({low} to {high})" if len(speeds) > 1 else ""
        rows.append((*key, str(len(speeds)), f"{middle}{spread}"))
    return _table(_SPEEDS, rows) if rows else "There are none.\n"


def _profiles_of(experiment) -> dict[str, str]:
    """Return the configurations of an experiment's plans with the profile that has them."""
    return {
        _key(to_plain(dataclasses.asdict(config), "config")): profile
        for profile in reversed(PROFILES)
        for config, _ in experiment.plans.get(profile, ())
    }


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(canonical(config), sort_keys=True)


def _device(about: Mapping[str, Any]) -> str:
    device, threads = html.escape(str(about.get("device", "unknown"))), about.get("threads")
    return f"{device}, {count(threads, 'thread')}" if threads else device


def _spread(times: Sequence[float]) -> str:
    ends = (duration(min(times)), duration(max(times)))
    middle = duration(median(times))
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]})"


def _chapter_row(item: tuple[str, Took]) -> tuple[str, ...]:
    name, took = item
    link = f'<a href="{name}.html">{name}</a>'
    device = html.escape(took.device)
    return link, took.profile, device, f"{took.seconds:.0f} s", f"{took.megabytes:.0f} MB"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{word}</th>' for word in head)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    return (
        f'<div class="times table-scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )
