"""Whether pictures of one unit type are more alike within a position than between positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from erfbook.experiments.estimates import Estimate, bootstrap, seed_for
from erfbook.experiments.seen.position_network import PLACES
from erfbook.notation import round_to
from erfbook.records import Record, expand

SPACES = ("pixels", "features")
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Layer:
    """One layer's channels at three places.

    Args:
        key: ``low``, ``border`` (the low layer over the border), ``middle`` or ``high``, with
            ``_ring`` for circular padding.
        record: of its run.
    """

    key: str
    record: Record

    def __getitem__(self, name: str) -> Any:
        return self.record.metrics[name]

    @property
    def n_channels(self) -> int:
        """Channels tested."""
        return len(self["channels"])

    @property
    def n_restarts(self) -> int:
        """Pictures of a channel at a place."""
        return int(self.record.spec.config["n_restarts"])

    @cached_property
    def labels(self) -> Int[np.ndarray, " image"]:
        """Place of each of a channel's pictures."""
        return np.repeat(np.arange(len(PLACES)), self.n_restarts)

    def alike(self, space: str) -> Float[np.ndarray, "channel image image"]:
        """Return how alike every two pictures of a channel are, on what all places show."""
        return expand(self.record.arrays, f"{space}_alike")

    def means(self, space: str) -> tuple[Estimate, Estimate]:
        """Return mean similarity within and between places, with intervals over channels."""
        within, between = split(self.alike(space), self.labels)
        return self._mean(within, space, "within"), self._mean(between, space, "between")

    def within(self, space: str) -> Float[np.ndarray, " channel"]:
        """Return each channel's mean similarity within places."""
        return split(self.alike(space), self.labels)[0]

    def gaps(self, space: str, places: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
        """Return, channel by channel, similarity within less between some of the places."""
        kept = np.isin(self.labels, places)
        within, between = split(self.alike(space)[:, kept][..., kept], self.labels[kept])
        return within - between

    def gap(self, space: str, places: tuple[int, ...] = (0, 1, 2)) -> Estimate:
        """Return the mean of :meth:`gaps` with its interval over channels."""
        return self._mean(self.gaps(space, places), space, places)

    def p_value(self, space: str) -> float:
        """Return how often relabelled pictures differ as much between places as these do."""
        return self.p_values[space]

    @cached_property
    def p_values(self) -> dict[str, float]:
        """The same for every space; drawn once."""
        return {
            space: permutation_test(
                self.alike(space),
                self.labels,
                n_draws=N_RESAMPLES,
                seed=seed_for(0, self.key, space),
            )
            for space in SPACES
        }

    def others(self, space: str) -> float:
        """Return the mean similarity of different channels at one place."""
        return float(self.record.arrays[f"{space}_others"][0])

    def order(self, space: str = "features") -> np.ndarray:
        """Return the channels, by their number in the list, the most position-dependent first."""
        return np.argsort(-self.gaps(space), kind="stable")

    def ratio(self, above: np.ndarray, below: np.ndarray, *words: object) -> Estimate:
        """Return the ratio of two means over channels, with its interval."""
        return bootstrap(
            np.stack([above, below], axis=1),
            lambda mean: mean[0] / mean[1],
            n_resamples=N_RESAMPLES,
            seed=seed_for(0, self.key, *words),
        )

    def survives(self, source: int, target: int) -> Estimate:
        """Return the share of one place's own response that another place's picture gives."""
        grey = self.record.arrays["at_grey"][:, target]
        own = self.record.arrays["attained"][:, target].mean(axis=1) - grey
        return self.ratio(
            self.record.arrays["worth"][:, source, target] - grey, own, source, target
        )

    def attains(self, place: int) -> Estimate:
        """Return the response reached at a place over that reached at the centre."""
        risen = self.record.arrays["attained"].mean(axis=2) - self.record.arrays["at_grey"]
        return self.ratio(risen[:, place], risen[:, 0], "attains", place)

    def move_error(self) -> float:
        """Return by how much moving pictures changes responses at most, over the largest of them.

        On a ring nothing may change; elsewhere this is no error.
        """
        own = self.record.arrays["attained"].mean(axis=2)
        worth = self.record.arrays["worth"]
        return float(np.abs(worth - own[:, :, None]).max() / np.abs(own).max())

    def _mean(self, values: np.ndarray, *words: object) -> Estimate:
        seed = seed_for(0, self.key, *words)
        return bootstrap(values, float, n_resamples=N_RESAMPLES, seed=seed)


def split(
    alike: Float[np.ndarray, "channel image image"], labels: Int[np.ndarray, " image"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's mean similarity of pictures with the same and with other labels."""
    same = labels[:, None] == labels[None]
    other = ~same
    np.fill_diagonal(same, False)
    return alike[:, same].mean(axis=1), alike[:, other].mean(axis=1)


def permutation_test(
    alike: Float[np.ndarray, "channel image image"],
    labels: Int[np.ndarray, " image"],
    *,
    n_draws: int,
    seed: int,
) -> float:
    """Return the one-sided p-value of pictures with one label being more alike than others.

    Were all places equal, a channel's pictures could change their labels. Labels are permuted
    within each channel, all channels anew for each draw; the statistic is the mean over channels
    of similarity within less between. The observed labelling counts as one draw.

    Args:
        alike: similarity of every two pictures of a channel, symmetric.
        labels: of the pictures, the same in each channel.
        n_draws: of permutations.
        seed: of the draws.
    """
    within, between = split(alike, labels)
    observed = float((within - between).mean())
    random = np.random.default_rng(seed)
    n_channels, n_images = alike.shape[:2]
    same = labels[:, None] == labels[None]
    np.fill_diagonal(same, False)
    n_same, n_other = same.sum(), n_images**2 - n_images - same.sum()
    off = alike * ~np.eye(n_images, dtype=bool)
    total = off.sum(axis=(1, 2))
    count = 0
    for _ in range(n_draws):
        drawn = labels[random.random((n_channels, n_images)).argsort(axis=1)]
        inside = (off * (drawn[:, :, None] == drawn[:, None])).sum(axis=(1, 2))
        count += float((inside / n_same - (total - inside) / n_other).mean()) >= observed - 1e-12
    return (count + 1) / (n_draws + 1)


def key_of(config: Mapping[str, Any]) -> str:
    """Return the short name of a configuration within its profile."""
    role = config["role"] if config["inset"] > 0 else "border"
    return role if config["padding"] == "zeros" else f"{role}_ring"


def compare_layers(one: np.ndarray, other: np.ndarray, *words: object) -> Estimate:
    """Return the difference of two independent samples' means with a bootstrap interval."""
    random = np.random.default_rng(seed_for(0, *words))
    draws = [
        random.choice(one, len(one)).mean() - random.choice(other, len(other)).mean()
        for _ in range(N_RESAMPLES)
    ]
    low, high = np.percentile(draws, (2.5, 97.5))
    n = min(len(one), len(other))
    return Estimate(float(one.mean() - other.mean()), float(low), float(high), n)


def name_layer(layer: Layer) -> dict[str, dict[str, Any]]:
    """Return a layer's results under the names that prose and the ledger use."""
    key = layer.key
    named: dict[str, dict[str, Any]] = {
        f"layer_{key}": {"value": layer["layer"]},
        f"field_{key}": {"value": layer["field_px"]},
        f"inside_{key}": {"value": float(layer["share_inside"])},
        f"cut_{key}": {"value": float(layer["cut"]["corner"])},
        f"cut_centre_{key}": {"value": float(layer["cut"]["centre"])},
        f"attains_{key}": layer.attains(2).with_ends(),
        f"inward_{key}": layer.survives(2, 0).with_ends(),
        f"outward_{key}": layer.survives(0, 2).with_ends(),
    }
    for space in SPACES:
        within, between = layer.means(space)
        named[f"within_{space}_{key}"] = within.with_ends()
        named[f"between_{space}_{key}"] = between.with_ends()
        named[f"others_{space}_{key}"] = {"value": layer.others(space), "n": layer.n_channels}
        named[f"gap_{space}_{key}"] = layer.gap(space).with_ends()
        named[f"p_{space}_{key}"] = {"value": layer.p_value(space), "n": layer.n_channels}
    return named


def name_contrasts(layers: Mapping[str, Layer]) -> dict[str, dict[str, Any]]:
    """Return what several layers say together."""
    middle, high = layers["middle"], layers["high"]
    ring_error = max(layers[k].move_error() for k in layers if "ring" in k)
    busy = [layer.record.arrays["complexity"].mean(axis=(1, 2)) for layer in (high, middle)]
    named: dict[str, dict[str, Any]] = {
        "busier": compare_layers(busy[0], busy[1], "busier").as_result(),
        "smallest_ring_p": {
            "value": min(layers[k].p_value(s) for k in layers if "ring" in k for s in SPACES)
        },
        "ring_error": {"value": ring_error},
        "ring_error_words": {"value": round_to(ring_error, 1)},
        "n_channels": {"value": min(layer.n_channels for layer in layers.values())},
        "n_restarts": {"value": middle.n_restarts},
        "side_px": {"value": int(middle.record.spec.config["side_px"])},
    }
    for space in SPACES:
        values = high.within(space), middle.within(space)
        named[f"steadier_{space}"] = compare_layers(*values, space).as_result()
        for key in ("middle", "high"):
            change = layers[key].gaps(space) - layers[f"{key}_ring"].gaps(space)
            seed = seed_for(0, "border", space, key)
            border = bootstrap(change, float, n_resamples=N_RESAMPLES, seed=seed)
            named[f"border_{space}_{key}"] = border.as_result()
    for key in ("low", "middle", "high"):
        arrays = layers[key].record.arrays
        rings = arrays["rings"][np.isfinite(arrays["rings"])]
        named[f"fall_{key}"] = {"value": float(rings[-1] / rings[0])}
        steps = np.diff(rings)
        named[f"falling_{key}"] = {"value": float(np.mean(steps < 0))}
        named[f"gain_{key}"] = {"value": float(arrays["gain"][-1] / arrays["gain"][0])}
    return named


# Interval ends that the ledger asks for by name: where from, where to.
_FROM: tuple[str, ...] = (
    "gap_features_middle",
    "gap_features_high",
    "within_features_middle",
    "kinship_high",
)
_FROM += ("border_features_middle", "border_features_high", "busier")
_TO: tuple[str, ...] = ("gap_features_low", "gap_pixels_low", "attains_high", "steadier_pixels")
_TO += ("within_pixels_high",)


def name_all(layers: Mapping[str, Layer]) -> dict[str, dict[str, Any]]:
    """Return all results by name, and the interval ends that the ledger asks for."""
    named: dict[str, dict[str, Any]] = {}
    for layer in layers.values():
        named |= name_layer(layer)
    named |= name_contrasts(layers)
    high = layers["high"]
    between, others = high.means("features")[1], high.others("features")
    ends = {"low": between.low - others, "high": between.high - others}
    named["kinship_high"] = {"value": between.value - others, "n": between.n, **ends}
    named |= {f"{name}_from": {"value": named[name]["low"]} for name in _FROM}
    named |= {f"{name}_to": {"value": named[name]["high"]} for name in _TO}
    return named
