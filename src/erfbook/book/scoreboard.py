"""The scoreboard page: every claim, what the paper says, what was found, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from erfbook.book.tables import summary, verdict_table
from erfbook.claims import VERDICTS, Verdict, count

_TITLES = {
    "luo": "Luo, Li, Urtasun and Zemel (2016): Understanding the effective receptive field",
    "distill": "Araujo, Norris and Sim (2019): Computing receptive fields",
    "position": "Receptive-field position and tiling",
    "avendano": "Avendaño: Receptive field and neural network representations",
}


def render(verdicts: Sequence[Verdict], profile: str) -> str:
    """Return the scoreboard as MyST Markdown, one table a source."""
    parts = ["# Scoreboard\n", _introduction(verdicts, profile)]
    for source, title in _TITLES.items():
        own = [v for v in verdicts if v.claim.source == source]
        if own:
            table = verdict_table(own, kind="scoreboard")
            parts += [f"\n## {title}\n", summary(own), "\n", table, "\n"]
    return "\n".join(parts) + "\n"


def _introduction(verdicts: Sequence[Verdict], profile: str) -> str:
    counts = count(verdicts)
    told = ", ".join(f"{counts[word]} {word}" for word in VERDICTS)
    return (
        f"Every claim of the sources, {len(verdicts)} so far: {told}. The verdicts are computed "
        f"from the notebooks of this book as they were run with the **{profile}** profile, and "
        "from the records that come with the book where a claim is about longer training than a "
        "build can do; none is typed. A claim is *reproduced* when every check of it holds (✓), "
        "*partly* when some do, *not reproduced* when none does, and *not tested* when the book "
        "has no run that could decide it. Each number links to the cell that produced it and is "
        "followed by its name, each claim links to the figure or equation that shows it, and each "
        "bound stands with the reason for which it was chosen.\n"
    )
