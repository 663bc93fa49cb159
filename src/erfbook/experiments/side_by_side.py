"""The columns "the paper | our records | this run" of every chapter that trains."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

NONE_DECIDES = "no published record decides it yet"


def set_side_by_side(
    paper: Mapping[str, str],
    published: Mapping[str, Mapping[str, str]],
    ours: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Return a table with the columns the paper | our records | this run.

    Args:
        paper: what the paper states, by row.
        published: for each published configuration, its cells by row.
        ours: the same for the runs at hand.
    """
    table = pd.DataFrame({"the paper": pd.Series(paper)})
    for name, cells in published.items():
        table[f"our records: {name}"] = pd.Series(cells)
    if not published:
        table["our records"] = "none yet"
    for name, cells in ours.items():
        table[f"this run: {name}"] = pd.Series(cells)
    return table.loc[list(paper)].fillna("–")
