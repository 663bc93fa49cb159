"""What a notebook says of itself: parameters at the top, results, verdicts at the end."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import platform
import resource
import subprocess
import time
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from IPython.display import display, publish_display_data

from erfbook import claims, parameters, profiles
from erfbook.book import paths, reading, results
from erfbook.book.tables import number, verdict_table
from erfbook.hardware import describe_device

# The prefix under which MyST-NB finds glued outputs; `{glue:text}` reads the text, we the JSON.
_MIME = "application/papermill.record/"
_IPYTHON = {"In", "Out"}
_BEGUN: set[str] = set()  # notebooks begun in this kernel


@dataclass
class Page:
    """One execution of one notebook.

    Args:
        notebook: its name.
        profile: the profile it runs under.
        parameters: the values it runs with.
    """

    notebook: str
    profile: str
    parameters: profiles.Parameters
    changed: tuple[str, ...] = ()
    results: dict[str, claims.Result] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @cached_property
    def store(self) -> reading.Own:
        """Records of this machine's runs; a notebook looks for its own here, and puts them here."""
        return reading.Own(paths.find_project().own_records)

    @cached_property
    def published(self) -> reading.Published:
        """Records that came with the book."""
        return reading.Published(paths.find_project().records)

    def report(
        self,
        name: str,
        value: claims.Number,
        *,
        low: float | None = None,
        high: float | None = None,
        n: int | None = None,
        unit: str = "",
    ) -> claims.Number:
        """Name an outcome: for the ledger, and for prose as ``{glue:text}`name:.2f```.

        Args:
            name: unique in the notebook; with an interval, ``name_low`` and ``name_high`` are
                glued too.
            value: a truth value, a number or a short text.
            low, high: ends of the 95 % interval.
            n: how many independent runs the value rests on.
            unit: unit of the value.

        Returns:
            ``value`` as a plain Python object.

        Raises:
            ValueError: the name is taken, or only one end of an interval is given.
        """
        if name in self.results:
            raise ValueError(f"the result {name!r} was reported before in {self.notebook}")
        if (low is None) != (high is None):
            raise ValueError(f"the result {name!r} needs both ends of its interval, or none")
        plain = getattr(value, "item", lambda: value)()
        result = claims.Result(
            self.notebook,
            name,
            plain,
            self.profile,
            None if low is None else float(low),
            None if high is None else float(high),
            n,
            unit,
        )
        self.results[name] = result
        _publish(result)
        return plain

    def finish(self) -> None:
        """Show the verdicts this notebook reaches, and what it was run with and for how long."""
        project = paths.find_project()
        own = [c for c in claims.load(project.ledger) if set(c.notebooks) == {self.notebook}]
        verdicts = claims.judge(own, self.results.values())
        table = verdict_table(verdicts, kind="run-verdicts", notebook=self.notebook)
        took = results.Took(
            seconds=time.perf_counter() - self.started,
            megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            device=_device(),
            profile=self.profile,
        )
        about = {
            results.TOOK: dataclasses.asdict(took),
            results.READ: {"published": self.published.noted, "own": self.store.noted},
        }
        display(_Card(table + _footer(took, project)), metadata=about)


def begin(notebook: str, namespace: Mapping[str, Any]) -> Page:
    """Check the notebook's parameters, show them, and return its page.

    Args:
        notebook: its name.
        namespace: the notebook's ``globals()``: every plain value in it is a parameter.

    Raises:
        ParameterError: a wrong name, type or range.
    """
    declared = parameters.of(notebook)
    given = {name: value for name, value in namespace.items() if _is_parameter(name, value)}
    if notebook in _BEGUN:  # the cell is run again by hand: the notebook's own variables exist now
        known = {"profile", *declared.fields()}
        given = {name: value for name, value in given.items() if name in known}
    _BEGUN.add(notebook)
    profile = profiles.check_profile(given.pop("profile", "laptop"))
    values = declared.resolve(profile, given)
    page = Page(notebook, profile, values, changed=tuple(given))
    pd.set_option("display.max_colwidth", None)  # no word of a table is cut
    display(_Card(_header(page, declared)))
    return page


class _Card:
    """HTML in a notebook, with a plain text for where HTML cannot be shown."""

    def __init__(self, markup: str) -> None:
        self.markup = markup

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return "(shown in the HTML page)"


def _is_parameter(name: str, value: Any) -> bool:
    if name.startswith("_") or name in _IPYTHON or isinstance(value, types.ModuleType):
        return False
    return isinstance(value, bool | int | float | str | list | tuple | dict)


def _publish(result: claims.Result) -> None:
    values: dict[str, claims.Number | None] = {result.name: result.value}
    if result.low is not None:
        values |= {f"{result.name}_low": result.low, f"{result.name}_high": result.high}
    for name, value in values.items():
        data: dict[str, Any] = {_MIME + "text/plain": repr(value)}
        if name == result.name:
            fields = ("name", "value", "profile", "low", "high", "n", "unit")
            record = {key: getattr(result, key) for key in fields}
            if isinstance(result.value, float) and not math.isfinite(result.value):
                record["value"] = repr(result.value)
            data[_MIME + "json"] = json.dumps(record)  # text: the notebook format wants no object
        publish_display_data(data, metadata={"scrapbook": {"name": name, "mime_prefix": _MIME}})


def _header(page: Page, declared: type[profiles.Parameters]) -> str:
    hints = typing.get_type_hints(declared)
    rows = []
    for name, f in declared.fields().items():
        value = html.escape(_listed(getattr(page.parameters, name)))
        mark = " class='changed'" if name in page.changed else ""
        allowed = profiles.describe_range(f) or profiles.describe_type(hints[name])
        cells = (f"<code>{name}</code>", f"<b>{value}</b> {f.metadata['unit']}", allowed)
        row = "".join(f"<td>{cell}</td>" for cell in (*cells, html.escape(f.metadata["help"])))
        rows.append(f"<tr{mark}>{row}</tr>")
    changed = f", with {', '.join(page.changed)} changed" if page.changed else ""
    head = "".join(f"<th scope='col'>{word}</th>" for word in ("name", "value", "range", "what"))
    return (
        f'<div class="run-card" data-profile="{page.profile}">'
        f"<p>Run with the <b>{page.profile}</b> profile{changed}. "
        f"{html.escape(declared.limits[page.profile])}</p>"
        f"<details><summary>{len(rows)} parameters</summary>"
        f'<div class="table-scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details></div>"
    )


def _listed(value: Any) -> str:
    return ", ".join(number(v) for v in value) if isinstance(value, tuple) else number(value)


def _footer(took: results.Took, project: paths.Project) -> str:
    import matplotlib
    import numpy
    import torch

    versions = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (torch, numpy, matplotlib)
    )
    return (
        f'<p class="run-footer">Profile {took.profile} · commit {_commit(project)} · '
        f"{took.device} · {took.seconds:.1f} s · peak memory {took.megabytes:.0f} MB · "
        f"Python {platform.python_version()}, {versions}</p>"
    )


def _device() -> str:
    """Return what the notebook computed on: the GPU only if something was put there."""
    import torch

    if torch.cuda.is_initialized() and torch.cuda.max_memory_allocated() > 0:
        return describe_device("cuda")
    return describe_device("cpu")


def _commit(project: paths.Project) -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(project.root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        tracked = ("src", "notebooks", "data", "requirements.lock")
        changed = git("status", "--porcelain", "--", *tracked)
        return git("rev-parse", "--short=10", "HEAD") + (" with local changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
