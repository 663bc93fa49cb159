"""How much of what a network's units could see lies outside the image (position).

Networks are built on shapes alone: a theoretical field depends on no weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import nn

from erfbook import datasets, models, rf
from erfbook.experiments.lite0 import LAYERS

# Networks by their name in the figures, as torchvision or their package defines them.
NETWORKS = {
    "AlexNet": "alexnet",
    "VGG-16": "vgg16",
    "GoogLeNet": "googlenet",
    "ResNet-50": "resnet50",
    "EfficientNet-Lite0": "efficientnet_lite0",
}


@dataclass(frozen=True)
class LayerBorder:
    """One convolution of a network.

    Args:
        path: its module.
        depth: its place among the network's convolutions, above 0 and at most 1.
        size_px: side of the largest region of its units.
        stride_px: effective stride.
        share_cut: share of its units whose region crosses the image's border.
        share_inside: mean share of a region that lies inside the image.
    """

    path: str
    depth: float
    size_px: int
    stride_px: float
    share_cut: float
    share_inside: float


@dataclass(frozen=True)
class NetworkBorder:
    """The convolutions of a network, in the order in which they run.

    Args:
        label: its name.
        side_px: side of the image.
        layers: its local convolutions.
        smallest_px: smallest side of an image that holds the whole field of the central unit of
            the convolution that sees most; None where it was not asked for.
    """

    label: str
    side_px: int
    layers: tuple[LayerBorder, ...]
    smallest_px: int | None = None

    @property
    def first_all_cut(self) -> LayerBorder | None:
        """The first convolution without a single unit whose region lies inside the image."""
        return next((layer for layer in self.layers if layer.share_cut == 1.0), None)

    @property
    def share_mostly_cut(self) -> float:
        """Share of the convolutions of which the border cuts more than half of the units."""
        return float(np.mean([layer.share_cut > 0.5 for layer in self.layers]))

    def at_depth(self, depth: float) -> LayerBorder:
        """Return the last convolution that is not deeper than ``depth``, or the first of all."""
        return next((x for x in reversed(self.layers) if x.depth <= depth), self.layers[0])


def build_on_shapes(name: str) -> nn.Module:
    """Return a network of :mod:`erfbook.models` without memory for its weights."""
    with torch.device("meta"):
        return models.load_model(name, "none")


def measure_borders(
    side_px: int = 224, networks: Sequence[str] = (), *, complete: Sequence[str] = ()
) -> dict[str, NetworkBorder]:
    """Return, for each network, what the image's border cuts off, layer by layer.

    Args:
        side_px: side of the image.
        networks: names in :data:`NETWORKS`; all of them if empty.
        complete: those for which the smallest image is searched that holds a whole field; the
            search analyses a network dozens of times.
    """
    return {
        label: _measure(label, build_on_shapes(NETWORKS[label]), side_px, label in complete)
        for label in networks or NETWORKS
    }


def _measure(label: str, model: nn.Module, side_px: int, is_searched: bool) -> NetworkBorder:
    report = rf.analyze(model, (3, side_px, side_px))
    paths = [
        path
        for path in report
        if isinstance(model.get_submodule(path), nn.Conv2d) and not report[path].is_global
    ]
    layers = []
    for i, path in enumerate(paths):
        field = report[path]
        layers.append(
            LayerBorder(
                path=path,
                depth=(i + 1) / len(paths),
                size_px=max(field.size),
                stride_px=float(field.stride[0] or 0),
                share_cut=1.0 - field.units_inside,
                share_inside=field.mean_share_inside,
            )
        )
    deepest = max(layers, key=lambda layer: layer.size_px)  # of parallel ones, the widest
    shape = (3, side_px, side_px)
    smallest = max(rf.smallest_input(model, shape, deepest.path)) if is_searched else None
    return NetworkBorder(label, side_px, tuple(layers), smallest)


def predict_share_cut(size_px: float, side_px: int) -> float:
    """Return the share of square regions cut by the border if their centres fill the image evenly.

    Args:
        size_px: side of a region.
        side_px: side of the image.

    >>> predict_share_cut(113, 224), predict_share_cut(300, 224)
    (0.75, 1.0)
    """
    fits = max(0.0, 1.0 - (size_px - 1) / side_px)
    return 1.0 - fits**2


def name_borders(borders: dict[str, NetworkBorder]) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    found: dict[str, dict] = {
        "border_networks": {"value": len(borders)},
        "border_networks_mostly_cut": {
            "value": sum(n.share_mostly_cut > 0.5 for n in borders.values())
        },
    }
    for label, network in borders.items():
        name = label.lower().replace("-", "").replace("efficientnet", "")
        first, last = network.first_all_cut, network.layers[-1]
        found |= {
            f"border_{name}_mostly_cut": {"value": network.share_mostly_cut},
            f"border_{name}_halfway": {"value": network.at_depth(0.5).share_cut},
            f"border_{name}_inside_halfway": {"value": network.at_depth(0.5).share_inside},
            f"border_{name}_last_inside": {"value": last.share_inside},
            f"border_{name}_last_size": {"value": last.size_px, "unit": "px"},
            f"border_{name}_all_cut_depth": {"value": first.depth if first else 1.0},
            f"border_{name}_prediction_error": {
                "value": max(
                    abs(x.share_cut - predict_share_cut(x.size_px, network.side_px))
                    for x in network.layers
                )
            },
        }
        if network.smallest_px is not None:
            found[f"border_{name}_smallest"] = {"value": network.smallest_px, "unit": "px"}
    return found


def tabulate_borders(borders: dict[str, NetworkBorder]) -> pd.DataFrame:
    """Return one row a network: its last convolution, and the first that is cut everywhere."""
    rows = []
    for network in borders.values():
        first, last = network.first_all_cut, network.layers[-1]
        where = first and f"{round(first.depth * len(network.layers))} of {len(network.layers)}"
        rows.append(
            {
                "network": network.label,
                "last convolution, px": last.size_px,
                "inside": f"{last.share_inside:.0%}",
                "cut, halfway": f"{network.at_depth(0.5).share_cut:.0%}",
                "layers mostly cut": f"{network.share_mostly_cut:.0%}",
                "all cut from convolution": where or "none",
                "complete from, px": network.smallest_px or "–",
            }
        )
    return pd.DataFrame(rows).set_index("network").rename_axis(None)


@dataclass(frozen=True)
class PhotographFields:
    """Receptive fields of some layers at one photograph.

    Args:
        pixels: the photograph, as large as the network's input.
        fields: of the layers, from the input up.
    """

    pixels: UInt8[np.ndarray, "side side 3"]
    fields: tuple[rf.Field, ...]


def show_fields(
    photograph: str = "cat", side_px: int = 224, layers: Sequence[str] = LAYERS[:3]
) -> PhotographFields:
    """Return EfficientNet-Lite0's fields on a photograph's central square.

    Args:
        photograph: name of one of the photographs.
        side_px: side of the network's input, to which the square is scaled.
        layers: paths of the layers.
    """
    image = Image.fromarray(datasets.load_photographs()[photograph].pixels)
    square = ImageOps.fit(image, (side_px, side_px))
    report = rf.analyze(build_on_shapes(NETWORKS["EfficientNet-Lite0"]), (3, side_px, side_px))
    return PhotographFields(np.asarray(square), tuple(report[layer] for layer in layers))
