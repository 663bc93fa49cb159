"""The chapter on positions: its runs, the channel it shows, and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from erfbook import models
from erfbook.errors import UserError
from erfbook.experiments.registry import obtain
from erfbook.experiments.seen import position_network as networks
from erfbook.experiments.seen.position_runs import UNIT_POSITIONS, plan
from erfbook.experiments.seen.position_study import SPACES, Layer, key_of
from erfbook.experiments.seen.sheet import UNIT_SHEET, Sheet, configure, open_sheet
from erfbook.featurevis import notes_on
from erfbook.records import Store

NAMES = {
    "low": "low",
    "border": "low, over the border",
    "middle": "middle",
    "high": "high",
    "middle_ring": "middle, on a ring",
    "high_ring": "high, on a ring",
}
_SHARED = ("network", "side_px", "n_channels", "n_restarts", "steps", "method")
_RANKS = {"first": lambda n: 0, "median": lambda n: n // 2, "last": lambda n: n - 1}


def measure_layers(profile: str, asked: Any, store: Store) -> dict[str, Layer]:
    """Return all layers of a reader's parameters; runs that are missing are made.

    Args:
        profile: for the sizes that are no parameters.
        asked: the notebook's parameters.
        store: of the records.

    Raises:
        UserError: the network or the size cannot be used.
    """
    settings = {name: getattr(asked, name) for name in _SHARED}
    layers = {}
    for config in plan(profile, weights=plain_weights(asked), **settings):
        (record,) = obtain(UNIT_POSITIONS, config, [0], store, progress=config.name)
        key = key_of(record.spec.config)
        layers[key] = Layer(key, record)
    return layers


def read_published(store: Store) -> dict[str, Layer]:
    """Return the layers of the published paper-size runs; empty unless all of them are there."""
    wanted = {config.name for config in plan("paper")}
    found = [r for r in store.select(UNIT_POSITIONS.name) if r.spec.config["name"] in wanted]
    layers = {key_of(r.spec.config): r for r in found}
    return {k: Layer(k, layers[k]) for k in NAMES} if set(layers) == set(NAMES) else {}


def make_sheets(
    profile: str, asked: Any, layers: Mapping[str, Layer], store: Store
) -> dict[str, Sheet]:
    """Return pictures of one channel of each layer, chosen by rank, with more steps."""
    sheets = {}
    for role in networks.ROLES:
        config = configure(
            profile,
            network=asked.network,
            weights=plain_weights(asked),
            layer=layers[role]["layer"],
            channel=shown_channel(layers[role], asked.shown)[0],
            positions=networks.PLACES,
            tiled=False,
            side_px=asked.side_px,
            n_restarts=3,
            steps=asked.shown_steps,
            method=asked.method,
        )
        (record,) = obtain(UNIT_SHEET, config, [0], store, progress=config.name)
        sheets[role] = open_sheet(record)
    return sheets


def shown_channel(layer: Layer, which: str) -> tuple[int, int]:
    """Return the channel that is shown, and its rank by how much its places differ, from 1."""
    rank = _RANKS[which](layer.n_channels)
    return layer["channels"][int(layer.order()[rank])], rank + 1


def describe_network(asked: Any) -> str:
    """Return the network and how it differs from the paper's, in words."""
    own = notes_on(networks.load_network(asked.network, plain_weights(asked)))
    paper = "the paper's is BVLC's GoogLeNet, trained on persons and clothing; its weights are not "
    return "; ".join([asked.network, *(own or (paper + "published",))])


def share_never_shrinking(asked: Any) -> float:
    """Return the share of a network's local modules with fields no smaller than the one before."""
    model = networks.load_network(asked.network, plain_weights(asked))
    sizes = [field.size[0] for field in networks.list_fields(model, asked.side_px)]
    return sum(b >= a for a, b in pairwise(sizes)) / (len(sizes) - 1)


def plain_weights(asked: Any) -> str:
    """Return the weights as records name them: empty where they are the model's usual ones."""
    return "" if asked.weights == models.loading.default_weights(asked.network) else asked.weights


def answer(layers: Mapping[str, Layer], level: float = 0.05) -> str:
    """Return in words where places matter, by the test in features and in pixels.

    A layer has two tests, so the level is shared out over all of them (Bonferroni): the smaller of
    a layer's two p-values would fall below the whole level too often by chance.
    """
    n_tests = len(layers) * len(SPACES)
    parted = {
        key: any(layer.p_value(space) <= level / n_tests for space in SPACES)
        for key, layer in layers.items()
    }
    yes = [NAMES[key] for key, found in parted.items() if found]
    no = [NAMES[key] for key, found in parted.items() if not found]
    words = f"With {level:.0%} shared out over {n_tests} tests".replace("%", " %")
    words = f"{words}, places differ for: {'; '.join(yes) or 'none'}"
    return f"{words}. Not shown to differ: {'; '.join(no) or 'none'}."


def tabulate_fields(layers: Mapping[str, Layer]) -> pd.DataFrame:
    """Return what is exact: fields, and how much of them the border cuts off, place by place."""
    rows = {}
    for key in ("low", "border", "middle", "high"):
        layer = layers[key]
        area = (layer["field_px"] / layer.record.spec.config["side_px"]) ** 2
        rows[NAMES[key]] = {
            "module": layer["layer"],
            "field, px": layer["field_px"],
            "area of the image": f"{area:.0%}",
            "positions wholly inside": f"{layer['share_inside']:.0%}",
            **{f"cut off, {place}": f"{layer['cut'][place]:.0%}" for place in networks.PLACES},
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def tabulate_likeness(layers: Mapping[str, Layer], space: str) -> pd.DataFrame:
    """Return similarity within and between places, other channels', and the test.

    Raises:
        UserError: no such space.
    """
    if space not in SPACES:
        raise UserError(f"space must be one of {', '.join(SPACES)}, not {space!r}")
    rows = {}
    for key, layer in layers.items():
        within, between = layer.means(space)
        rows[NAMES[key]] = {
            "within a place": within.text(),
            "between places": between.text(),
            "within less between": layer.gap(space).text(),
            "p": f"{layer.p_value(space):.4f}",
            "other channels": f"{layer.others(space):.2f}",
            "channels": layer.n_channels,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns=space)


def tabulate_transfer(layers: Mapping[str, Layer]) -> pd.DataFrame:
    """Return what each place reaches and what pictures are worth elsewhere."""
    rows = {
        NAMES[key]: {
            "edge over centre": layer.attains(1).text(),
            "corner over centre": layer.attains(2).text(),
            "centre's at the edge": layer.survives(0, 1).text(),
            "centre's at the corner": layer.survives(0, 2).text(),
            "edge's at the centre": layer.survives(1, 0).text(),
            "corner's at the centre": layer.survives(2, 0).text(),
        }
        for key, layer in layers.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
