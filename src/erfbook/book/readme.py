"""The README's table of results, made from the last build so that no number in it is typed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from erfbook.book.tables import paper_says, with_interval
from erfbook.claims import Result, Verdict, count
from erfbook.errors import UserError

_START, _END = "<!-- results: made by `make readme` -->", "<!-- end of results -->"


def update(path: Path, verdicts: Sequence[Verdict], profile: str) -> None:
    """Replace what stands between the README's two marks by the headline verdicts.

    Raises:
        UserError: the file cannot be read or lacks the marks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if text.count(_START) != 1 or text.count(_END) != 1:
        raise UserError(f"{path} must hold the lines {_START!r} and {_END!r} once each")
    before, after = text.split(_START)[0], text.split(_END)[1]
    fresh = path.with_suffix(".tmp")
    fresh.write_text(f"{before}{_START}\n{table(verdicts, profile)}{_END}{after}", encoding="utf-8")
    os.replace(fresh, path)


def table(verdicts: Sequence[Verdict], profile: str) -> str:
    """Return the headline verdicts as a Markdown table, under a line that counts them all."""
    told = ", ".join(f"{n} {word}" for word, n in count(verdicts).items())
    lines = [f"{len(verdicts)} claims, `{profile}` profile: {told}.", ""]
    lines += ["| claim | the paper | this run | verdict |", "|---|---|---|---|"]
    for verdict in verdicts:
        if verdict.claim.headline:
            shown = verdict.ours or [o.result for o in verdict.outcomes if o.result]
            found = "; ".join(map(_named, shown)) or "–"
            cells = (verdict.claim.statement, paper_says(verdict.claim), found, verdict.word)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _named(result: Result) -> str:
    """Return a number with its name; words, such as the name of the data, speak for themselves."""
    if isinstance(result.value, str):
        return result.value
    return f"{with_interval(result)} ({result.name.replace('_', ' ')})"
