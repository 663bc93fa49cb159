"""The scoreboard page: every claim, what the paper says, what was found, and the verdict."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from erfbook.book.page import number, paper_says, verdict_badge, with_interval
from erfbook.claims import VERDICTS, Outcome, Verdict, count

_TITLES = {
    "luo": "Luo, Li, Urtasun and Zemel (2016): Understanding the effective receptive field",
    "distill": "Araujo, Norris and Sim (2019): Computing receptive fields",
    "position": "Receptive-field position and tiling",
    "avendano": "Avendaño: Receptive field and neural network representations",
}
_HEAD = ("claim", "the paper says", "this run found", "bound, and why", "verdict")


def render(verdicts: Sequence[Verdict], profile: str) -> str:
    """Return the scoreboard as MyST Markdown, one table a source."""
    parts = ["# Scoreboard\n", _introduction(verdicts, profile)]
    for source, title in _TITLES.items():
        own = [v for v in verdicts if v.claim.source == source]
        if own:
            parts += [f"\n## {title}\n", summary(own), "\n", _table(own)]
    return "\n".join(parts) + "\n"


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return one line of badges that counts the verdicts."""
    counts = count(verdicts)
    badges = (f"{verdict_badge(w)}&nbsp;{n}" for w, n in counts.items() if n)
    return f'<p class="verdict-counts">{" ".join(badges)}</p>\n'


def _introduction(verdicts: Sequence[Verdict], profile: str) -> str:
    counts = count(verdicts)
    told = ", ".join(f"{counts[word]} {word}" for word in VERDICTS)
    return (
        f"Every claim of the sources, {len(verdicts)} so far: {told}. The verdicts are computed "
        f"from the notebooks of this book as they were run with the **{profile}** profile; none is "
        "typed. A claim is *reproduced* when every check of it holds, *partly* when some do, *not "
        "reproduced* when none does, and *not tested* when the book has no run that could decide "
        "it. Each number links to the cell that produced it, each claim to the figure or "
        "equation that shows it, and a bound was chosen for the reason beside it, not for the "
        "outcome.\n"
    )


def _table(verdicts: Sequence[Verdict]) -> str:
    head = "".join(f'<th scope="col">{word}</th>' for word in _HEAD)
    body = "".join(_row(verdict) for verdict in verdicts)
    return (
        '<div class="scoreboard table-scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )


def _row(verdict: Verdict) -> str:
    claim = verdict.claim
    name = f'<code class="claim-id">{html.escape(claim.id)}</code>'
    shown = _place(verdict)
    cells = (
        f"{html.escape(claim.statement)}<br><small>{html.escape(claim.where)}{shown}</small>"
        f"<br>{name}",
        html.escape(paper_says(claim)),
        "<br>".join(_found(outcome) for outcome in verdict.outcomes) or "–",
        "<br>".join(
            f"<b>{html.escape(str(o.check.bound))}</b>: {html.escape(o.check.why)}"
            for o in verdict.outcomes
        )
        or "–",
        verdict_badge(verdict.word)
        + (f"<br><small>{html.escape(verdict.reason)}</small>" if verdict.reason else ""),
    )
    return f'<tr id="claim-{claim.id}">' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def _place(verdict: Verdict) -> str:
    """Return the link to the figure or equation that shows the claim."""
    claim = verdict.claim
    if not claim.notebooks or not (claim.figure or claim.equation):
        return ""
    word = "figure" if claim.figure else "equation"
    anchor = claim.figure or f"equation-{claim.equation}"
    return f' · <a href="{claim.notebooks[0]}.html#{anchor}">our {word}</a>'


def _found(outcome: Outcome) -> str:
    if outcome.result is None:
        return "–"
    check, mark = outcome.check, {True: "✓", False: "✗", None: "·"}[outcome.passed]
    place = f"{check.notebook}.html#result-{check.name}"
    shown = with_interval(outcome.result) if outcome.result else number(None)
    return f'{mark} <a href="{place}">{html.escape(shown)}</a>'
