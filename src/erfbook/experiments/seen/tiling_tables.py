"""The chapter's table: a row a question, a column a level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from erfbook.experiments.seen.tiling import LEVELS

if TYPE_CHECKING:
    import pandas as pd

# name of the result, words, format
ROWS = (
    ("layer", "layer", ""),
    ("field", "exact field, px", ".0f"),
    ("effective", "effective field, px", ".0f"),
    ("share", "field over the picture's area", ".0%"),
    ("covered", "share of a field inside the picture, mean over positions", ".0%"),
    ("layout_excess_tiled", "tiled: agreement of layouts", ".2f"),
    ("layout_excess_torus", "tiled without borders: agreement of layouts", ".2f"),
    ("details_excess_tiled", "tiled: agreement of details", ".2f"),
    ("features_excess_tiled", "tiled: agreement of features", ".2f"),
    ("features_excess_single", "one unit: agreement of features", ".2f"),
    ("length_tiled", "tiled: correlation length, px", ".0f"),
    ("length_single", "one unit: correlation length, px", ".0f"),
    ("reach", "tiled: correlation length over field", ".2f"),
    ("sparse_tiled", "tiled: sparseness of the channel's map", ".2f"),
    ("sparse_single", "one unit: the same", ".2f"),
    ("sparse_photograph", "photographs: the same", ".2f"),
    ("peaks_tiled", "tiled: peaks in the map", ".1f"),
    ("per_unit", "a unit's response when tiled, over its own picture's", ".0%"),
    ("half_driven", "units that get half of that or more", ".0%"),
    ("from_single", "a channel's response to one unit's picture, over tiled", ".0%"),
    ("unmasked", "other channels shown by tiling alone", ".1%"),
    ("masked", "other channels shown by one unit's picture alone", ".1%"),
    ("rank_own", "contrast with the unit's effective field (rank correlation)", ".3f"),
    ("rank_other", "contrast with other units' effective field", ".3f"),
    ("rank_centre", "contrast with nearness to the middle", ".3f"),
)


def tabulate_levels(named: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the results of all levels side by side, with 95 % intervals over channels.

    Args:
        named: results by name, as ``tiling_study.name_level`` returns them.
    """
    import pandas as pd

    rows = {
        words: [_write(named[f"{name}_{level}"], form) for level in LEVELS]
        for name, words, form in ROWS
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(LEVELS))


def _write(result: Mapping[str, Any], form: str) -> str:
    value = format(result["value"], form)
    if "low" not in result:
        return value
    return f"{value} [{format(result['low'], form)}, {format(result['high'], form)}]"
