"""Verdicts as HTML: the same row on a chapter's last lines and on the scoreboard."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from erfbook.claims import Claim, Outcome, Result, Verdict, count
from erfbook.notation import round_to

_HEAD = ("claim", "the paper says", "this run found, and what it must be", "verdict")
_MARKS = {True: "✓", False: "✗", None: "·"}


def verdict_table(verdicts: Iterable[Verdict], *, kind: str, notebook: str = "") -> str:
    """Return a table with a row a claim, or nothing where there is none.

    Args:
        verdicts: the judged claims.
        kind: class of the box around the table: ``scoreboard`` or ``run-verdicts``.
        notebook: the notebook whose page the table stands on, so that its links stay there.
    """
    body = "".join(_row(verdict, kind == "scoreboard", notebook) for verdict in verdicts)
    if not body:
        return ""
    head = "".join(f'<th scope="col">{word}</th>' for word in _HEAD)
    return (
        f'<div class="{kind} table-scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return one line of badges that counts the verdicts."""
    badges = (f"{badge(word)}&nbsp;{n}" for word, n in count(verdicts).items() if n)
    return f'<p class="verdict-counts">{" ".join(badges)}</p>\n'


def badge(word: str) -> str:
    """Return a verdict as HTML that the book's style sheet colours."""
    return f'<span class="verdict verdict-{word.replace(" ", "-")}">{word}</span>'


def number(value: Any) -> str:
    """Return a result's value as a person writes it.

    >>> number(0.123456), number(True), number(-1e-12), number(20), number(377379369)
    ('0.123', 'yes', '−10⁻¹²', '20', '3.77 × 10⁸')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 10**6):
        return round_to(value)
    return str(value).replace("-", "−", 1) if isinstance(value, int) else str(value)


def with_interval(result: Result) -> str:
    """Return a result with its interval, unit and number of runs, as far as it has them."""
    text = number(result.value) + (f" {result.unit}" if result.unit else "")
    if result.low is not None and result.high is not None:
        text += f" [{number(result.low)}, {number(result.high)}]"
    return text + (f", n = {result.n}" if result.n else "")


def paper_says(claim: Claim) -> str:
    """Return the paper's number or words of a claim, with spread and n where it gives them."""
    paper = claim.paper
    text = str(paper.get("text", number(paper.get("value", ""))))
    if "spread" in paper:
        text += f" ± {number(paper['spread'])}"
    return text + (f", n = {paper['n']}" if "n" in paper else "")


def _row(verdict: Verdict, is_scoreboard: bool, notebook: str) -> str:
    claim = verdict.claim
    about = f"{html.escape(claim.where)}{_place(claim, notebook)}"
    checked = {outcome.check.query for outcome in verdict.outcomes}
    beside = [result for result in verdict.ours if result.query not in checked]
    found = [f"<li>{_number(result, notebook)}</li>" for result in beside]
    found += list(_checks(verdict.outcomes, notebook))
    cells = (
        f"{html.escape(claim.statement)}<br><small>{about}</small>"
        f'<br><code class="claim-id">{html.escape(claim.id).replace(".", ".<wbr>")}</code>',
        html.escape(paper_says(claim)),
        f'<ul class="checks">{"".join(found)}</ul>' if found else "–",
        badge(verdict.word)
        + (f"<br><small>{html.escape(verdict.reason)}</small>" if verdict.reason else ""),
    )
    prefix = "claim" if is_scoreboard else "verdict"
    return f'<tr id="{prefix}-{claim.id}">' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def _number(result: Result, notebook: str) -> str:
    page = "" if result.notebook == notebook else f"{result.notebook}.html"
    label = html.escape(result.name.replace("_", " "))
    shown = html.escape(with_interval(result))
    return f'<a href="{page}#result-{result.name}">{shown}</a> <small>{label}</small>'


def _checks(outcomes: Iterable[Outcome], notebook: str) -> Iterator[str]:
    """Yield an item a check; a reason that several in a row share stands under the last."""
    for why, group in itertools.groupby(outcomes, key=lambda outcome: outcome.check.why):
        shown = [_check(outcome, notebook) for outcome in group]
        joint = ": " if len(shown) == 1 else "<br>"
        shown[-1] += f'<small class="why">{joint}{html.escape(why)}</small>'
        yield from (f"<li>{one}</li>" for one in shown)


def _check(outcome: Outcome, notebook: str) -> str:
    shown = _number(outcome.result, notebook) if outcome.result else "not run"
    return (
        f'<span class="check-mark">{_MARKS[outcome.passed]}</span> {shown}<br>'
        f"<small><b>{html.escape(str(outcome.check.bound))}</b></small>"
    )


def _place(claim: Claim, notebook: str) -> str:
    """Return the link to the figure or equation that shows the claim."""
    if not claim.notebooks or not (claim.figure or claim.equation):
        return ""
    word = "figure" if claim.figure else "equation"
    page = "" if claim.notebooks[0] == notebook else f"{claim.notebooks[0]}.html"
    anchor = claim.figure or f"equation-{claim.equation}"
    return f' · <a href="{page}#{anchor}">our {word}</a>'
