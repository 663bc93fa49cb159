"""What the pictures of a layer say: consistency, structure, sparseness and style, with intervals.

Channels are the sample: intervals are over channels, redrawn with replacement. Tests of likeness
shuffle which picture belongs to which channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate, wilson
from erfbook.experiments.seen.tiling import LEVELS
from erfbook.experiments.seen.tiling_likeness import (
    N_SHUFFLES,
    Likeness,
    compare_restarts,
    estimate_mean,
    excess_of,
    kind_gaps,
    means_by_channel,
)
from erfbook.experiments.seen.tiling_measures import correlate
from erfbook.records import Record

KINDS = ("tiled", "single", "torus")
SPACES = ("layout", "details", "features")


@dataclass(frozen=True)
class Level:
    """Everything about one layer.

    Args:
        level: ``low``, ``middle`` or ``high``.
        record: where it comes from.
    """

    level: str
    record: Record

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Arrays of the record."""
        return self.record.arrays

    @property
    def side(self) -> int:
        """Side of the pictures, in pixels."""
        return int(self.record.spec.config["side"])

    @property
    def n_tiled(self) -> int:
        """Tiled pictures of each channel."""
        return int(self.record.spec.config["n_tiled"])

    @property
    def channels(self) -> list[int]:
        """Channels that were drawn."""
        return [int(c) for c in self.arrays["channels"]]

    @property
    def field_px(self) -> int:
        """Side of the exact field; the picture's where the layer sees all."""
        size = self.record.metrics["field_px"]
        return int(size[0]) if size else self.side

    def likeness(self, kind: str, space: str) -> Likeness:
        """Return how alike a kind's restarts are in one space."""
        return compare_restarts(self.similarity(kind, space), len(self.channels))

    def excess(self, kind: str, space: str) -> Float[np.ndarray, " channel"]:
        """Return each channel's likeness of restarts beyond that of strangers."""
        similarity = self.similarity(kind, space)
        n = len(similarity) // len(self.channels)
        return excess_of(*means_by_channel(similarity, n))

    def similarity(self, kind: str, space: str) -> Float[np.ndarray, "n n"]:
        """Return cosines between all pictures of a kind; of features, about their mean."""
        if space != "features":
            return self.arrays[f"{space}_{kind}"].astype(np.float64)
        features = self.arrays[f"features_{kind}"].astype(np.float64)
        return correlate(features - features.mean(axis=0))

    def estimate(self, values: np.ndarray) -> Estimate:
        """Return the mean over channels of values whose first axis is the channel's."""
        each = values.reshape(len(values), -1)
        filled = np.isfinite(each)
        sums = np.where(filled, each, 0).sum(axis=1)
        means = sums[filled.any(axis=1)] / filled.sum(axis=1)[filled.any(axis=1)]
        return estimate_mean(means) if len(means) else Estimate(np.nan, np.nan, np.nan, 0)


def gather(records: Mapping[str, Record]) -> dict[str, Level]:
    """Return the levels by name."""
    return {level: Level(level, records[level]) for level in LEVELS if level in records}


def compare_kinds(level: Level) -> dict[str, Any]:
    """Return whether a channel's tiled pictures differ from its single ones beyond restarts.

    In the deep features of the part that the central unit could see, since the rest of a single
    picture is its random start, and about their mean over all pictures: the likeness of two
    pictures of one kind less that of two of different kinds, a channel. Shuffling the kinds within
    every channel gives the chance level.
    """
    features = {k: level.arrays[f"part_{k}"].astype(np.float64) for k in KINDS[:2]}
    c = len(level.channels)
    stacked = np.concatenate(
        [f.reshape(c, -1, f.shape[1]) for f in features.values()], axis=1
    )  # channel, picture, feature
    n_tiled = len(features["tiled"]) // c
    centred = stacked - stacked.mean(axis=(0, 1))
    norms = np.linalg.norm(centred, axis=2, keepdims=True)
    similarity = np.einsum("cpf,cqf->cpq", centred / norms, centred / norms)
    labels = np.arange(stacked.shape[1]) < n_tiled
    found = kind_gaps(similarity, np.tile(labels, (c, 1)))
    random = np.random.default_rng(0)
    shuffled = [
        kind_gaps(similarity, random.permuted(np.tile(labels, (c, 1)), axis=1)).mean()
        for _ in range(N_SHUFFLES)
    ]
    p = (1 + sum(s >= found.mean() - 1e-12 for s in shuffled)) / (1 + N_SHUFFLES)
    return {"gap": estimate_mean(found), "p": p}


def count_unmasked(level: Level) -> dict[str, Estimate]:
    """Return shares of the layer's other channels that show in one kind of picture alone.

    A channel shows in a picture if its largest response there is above the 95th percentile of its
    largest responses to photographs. ``unmasked``: in every tiled picture of a unit's channel and
    in none of the single unit's; ``masked``: the other way round. Equal numbers of pictures.
    """
    photographs = level.arrays["present_photograph"]
    threshold = np.quantile(photographs, 0.95, axis=0)
    c = len(level.channels)
    shows = {
        k: (level.arrays[f"present_{k}"] > threshold).reshape(c, -1, len(threshold))
        for k in KINDS[:2]
    }
    n = min(s.shape[1] for s in shows.values())
    tiled, single = (shows[k][:, :n] for k in KINDS[:2])
    others = np.ones((c, len(threshold)), dtype=bool)
    others[np.arange(c), level.channels] = False
    count = others.sum(axis=1)
    unmasked = (tiled.all(1) & ~single.any(1) & others).sum(1) / count
    masked = (single.all(1) & ~tiled.any(1) & others).sum(1) / count
    return {
        "unmasked": level.estimate(unmasked),
        "masked": level.estimate(masked),
        "unmasked_net": level.estimate(unmasked - masked),
        "shows_tiled": level.estimate((tiled.mean(1) * others).sum(1) / count),
        "shows_single": level.estimate((single.mean(1) * others).sum(1) / count),
    }


def measure_response(level: Level) -> dict[str, Estimate]:
    """Return what tiling costs the single unit, and what one unit's picture gives its channel.

    ``per_unit``: mean unit of a tiled picture over the central unit of its own picture;
    ``half_driven``: share of units of a tiled picture with half of that or more; ``from_single``:
    the channel's summed positive response to the single picture over that to the tiled one.
    """
    single = level.arrays["attained_single"].mean(axis=1)
    maps = level.arrays["map_tiled"].astype(np.float64)
    driven = (maps >= 0.5 * single[:, None, None, None]).mean(axis=(1, 2, 3))
    summed = [level.arrays[f"summed_{k}"].mean(axis=1) for k in ("single", "tiled")]
    return {
        "per_unit": level.estimate(level.arrays["attained_tiled"].mean(axis=1) / single),
        "half_driven": level.estimate(driven),
        "from_single": level.estimate(summed[0] / summed[1]),
    }


def measure_style(level: Level) -> dict[str, Estimate]:
    """Return spectrum slopes and edge kurtoses, and how much nearer to photographs tiling comes.

    ``slope_gain`` and ``kurtosis_gain``: distance of the single picture from the photographs'
    mean less that of the tiled one, on the same part of the image; positive where tiling is nearer.
    ``away``: distance of the deep features from the photographs' mean, over the photographs' own.
    """
    found = {}
    for name in ("slope", "kurtosis"):
        photographs = level.arrays[f"{name}_photograph"]
        found[f"{name}_photograph"] = estimate_mean(photographs)
        means = {k: level.arrays[f"{name}_{k}"].mean(axis=1) for k in KINDS[:2]}
        for kind, values in means.items():
            found[f"{name}_{kind}"] = level.estimate(values)
        away = {k: np.abs(v - photographs.mean()) for k, v in means.items()}
        found[f"{name}_gain"] = level.estimate(away["single"] - away["tiled"])
    photographs = level.arrays["part_photograph"].astype(np.float64)
    middle = photographs.mean(axis=0)
    usual = np.linalg.norm(photographs - middle, axis=1).mean()
    c = len(level.channels)
    far = {
        k: (np.linalg.norm(level.arrays[f"part_{k}"] - middle, axis=1) / usual).reshape(c, -1)
        for k in KINDS[:2]
    }
    found |= {f"away_{k}": level.estimate(values) for k, values in far.items()}
    found["away_gain"] = level.estimate(far["single"].mean(1) - far["tiled"].mean(1))
    return found


def measure_link(level: Level) -> dict[str, Any]:
    """Return whether the effective field says where the single unit's picture is sharp.

    ``rank_own``: Spearman's correlation of local contrast with the unit's own effective field
    over the theoretical one; ``rank_other``: with those of the other channels' units at the same
    place; ``rank_centre``: with nearness to the field's middle. The chance level of own over
    other comes from dealing the effective fields out to other channels.
    """
    ranks = level.arrays["rank_effective"].mean(axis=1)  # (picture's channel, field's channel)
    c = len(ranks)
    own = np.diag(ranks)
    other = (ranks.sum(axis=1) - own) / (c - 1)
    random = np.random.default_rng(0)
    dealt = [ranks[np.arange(c), random.permutation(c)].mean() for _ in range(N_SHUFFLES)]
    p = (1 + sum(d >= own.mean() - 1e-12 for d in dealt)) / (1 + N_SHUFFLES)
    share, area = (level.arrays[f"half_{k}"] for k in ("share", "area"))
    return {
        "rank_own": level.estimate(own),
        "rank_other": level.estimate(other),
        "rank_extra": level.estimate(own - other),
        "rank_centre": level.estimate(level.arrays["rank_centre"]),
        "half_share": level.estimate(share),
        "half_area": level.estimate(area),
        "p": p,
    }


def choose_shown(level: Level, kind: str = "tiled") -> tuple[int, int]:
    """Return the place of the channel of median likeness in the features, and its rank from 1."""
    similarity = level.similarity(kind, "features")
    n = len(similarity) // len(level.channels)
    within, _ = means_by_channel(similarity, n)
    order = np.argsort(-within)
    middle = len(order) // 2
    return int(order[middle]), middle + 1


def measure_structure(level: Level) -> dict[str, Estimate]:
    """Return how far structure reaches, and how much of its agreement the border makes.

    ``reach``: a tiled picture's correlation length over the side of the exact field;
    ``reach_effective``: over that of the set with 95.45 % of the effective field; ``longer``: over
    that of the single picture; ``beyond``: share of channels whose tiled pictures correlate
    further than the field's side; ``border``: agreement of layouts with the border less without.
    """
    length = {k: level.arrays[f"length_{k}"].mean(axis=1) for k in KINDS}
    border = level.excess("tiled", "layout") - level.excess("torus", "layout")
    far = int((length["tiled"] > level.field_px).sum())
    return {
        "reach": level.estimate(length["tiled"] / level.field_px),
        "reach_effective": level.estimate(length["tiled"] / level.arrays["effective_px"]),
        "longer": level.estimate(length["tiled"] / np.maximum(length["single"], 1)),
        "beyond": wilson(far, len(level.channels)),
        "border": level.estimate(border),
    }


def name_level(level: Level) -> dict[str, dict[str, Any]]:
    """Return a level's results under the names that prose and the claims ledger use."""
    tag, named = level.level, {}

    def put(name: str, value: Any, **more: Any) -> None:
        plain = float(value) if isinstance(value, np.floating) else value
        result = value.with_ends() if isinstance(value, Estimate) else {"value": plain}
        named[f"{name}_{tag}"] = {**result, **more}

    for kind in KINDS:
        for space in SPACES:
            likeness = level.likeness(kind, space)
            put(f"{space}_{kind}", likeness.within)
            put(f"{space}_excess_{kind}", likeness.excess)
            put(f"{space}_p_{kind}", likeness.p)
        put(f"length_{kind}", level.estimate(level.arrays[f"length_{kind}"]), unit="px")
        put(f"coarse_{kind}", level.estimate(level.arrays[f"coarse_share_{kind}"]))
    put("length_photograph", estimate_mean(level.arrays["length_photograph"]), unit="px")
    for kind in ("tiled", "single", "photograph"):
        for name in ("sparse", "top", "peaks"):
            put(f"{name}_{kind}", level.estimate(level.arrays[f"{name}_{kind}"]))
    groups: tuple[Callable[[Level], dict[str, Any]], ...] = (
        count_unmasked, measure_response, measure_structure, measure_style,
    )  # fmt: skip
    for group in groups:
        for name, value in group(level).items():
            put(name, value)
    put("unmasks", bool(count_unmasked(level)["unmasked_net"].low > 0))
    sparse = {k: level.arrays[f"sparse_{k}"] for k in ("tiled", "photograph")}
    each = {k: np.nanmean(v, axis=1) for k, v in sparse.items()}
    put("focus", level.estimate(each["tiled"] - each["photograph"]))
    for name, value in measure_link(level).items():
        put("rank_p" if name == "p" else name, value)
    kinds = compare_kinds(level)
    put("kind_gap", kinds["gap"])
    put("kind_p", kinds["p"])
    put("field", level.field_px, unit="px")
    put("share", float(level.record.metrics["share"]))
    put("covered", float(level.record.metrics["covered"]))
    put("effective", level.estimate(level.arrays["effective_px"]), unit="px")
    put("layer", str(level.record.metrics["layer"]))
    put("n_units", int(np.prod(level.record.metrics["grid"])))
    return named
