"""The published table of receptive fields (Araujo et al. 2019), recomputed layer by layer.

The networks are TF-Slim's; :mod:`erfbook.models.slim` defines them anew. Each row is about the last
plane of features at 224 px. Size and stride do not depend on the input's size; the effective
padding may (:mod:`erfbook.experiments.same_padding`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import nn

from erfbook import rf
from erfbook.models import slim

TABLE_SIDE = 224  # px, of the published padding


@dataclass(frozen=True)
class PublishedRow:
    """A row of the published table.

    Args:
        name: TF-Slim's name of the network.
        size, stride, padding: of the last plane's receptive fields, px.
        top1: share of ImageNet's validation images that the network names right, percent.
    """

    name: str
    size: int
    stride: int
    padding: int
    top1: float


PUBLISHED = (
    PublishedRow("alexnet_v2", 195, 32, 64, 57.2),
    PublishedRow("vgg_16", 212, 32, 90, 71.5),
    PublishedRow("mobilenet_v1", 315, 32, 126, 70.9),
    PublishedRow("inception_v2", 699, 32, 318, 73.9),
    PublishedRow("inception_v3", 1311, 32, 618, 78.0),
    PublishedRow("inception_v4", 2071, 32, 998, 80.2),
    PublishedRow("inception_resnet_v2", 3039, 32, 1482, 80.4),
    PublishedRow("resnet_v1_50", 483, 32, 239, 75.2),
    PublishedRow("resnet_v1_101", 1027, 32, 511, 76.4),
    PublishedRow("resnet_v1_152", 1507, 32, 751, 76.8),
)
# Which of a network's layers torchvision has otherwise; where the two part is computed.
DIFFERENCES = {
    "alexnet_v2": "torchvision pads the first layer by 2, TF-Slim does not pad it",
    "vgg_16": "none: the same layers",
    "inception_v3": "none: the same layers, though torchvision's avoids the SAME rule",
    "resnet_v1": (
        "TF-Slim's stride of 2 sits in the last unit of blocks 1 to 3, torchvision's in the first "
        "unit of stages 2 to 4; TF-Slim's first pool is SAME, torchvision's pads by 1"
    ),
}
NO_COUNTERPART = "torchvision has no such network"


@dataclass(frozen=True)
class FieldNumbers:
    """What a table says about a plane's receptive fields, along one axis (both are alike).

    Args:
        size, stride, padding: px.
        aligned: whether all paths agree on stride and centre.
        offset: how far the mean of all units' centres lies beyond the middle of the image, px.
    """

    size: int
    stride: int
    padding: int
    aligned: bool
    offset: float

    @classmethod
    def of(cls, field: rf.Field) -> FieldNumbers:
        """Read them off a field on a square image."""
        first = field.centre((0, 0))[0]
        last = field.centre(tuple(n - 1 for n in field.grid))[0]
        offset = (first + last) / 2 - (field.input_size[0] - 1) / 2
        numbers = (field.size[0], field.stride[0], field.padding[0])
        return cls(*numbers, field.aligned, offset)  # type: ignore[arg-type]

    @property
    def triple(self) -> tuple[int, int, int]:
        """Size, stride and padding."""
        return self.size, self.stride, self.padding


@dataclass(frozen=True)
class Parting:
    """The first layers, in the order of execution, at which two versions of a network differ.

    Args:
        quantity: ``size``, ``stride`` or ``padding``.
        layer, twin_layer: TF-Slim's name and torchvision's.
        value, twin_value: px.
    """

    quantity: str
    layer: str
    twin_layer: str
    value: int
    twin_value: int


@dataclass(frozen=True)
class RecomputedRow:
    """A published row beside ours and beside torchvision's version of the network.

    Args:
        published: the row of the table.
        end_point: the plane that it is about.
        ours: of our definition.
        twin: torchvision's name of the network; empty where it has none.
        torchvision: of that network; None where there is none.
        partings: where the two differ first, for each quantity in which they do.
        difference: which layers are different, in words.
    """

    published: PublishedRow
    end_point: str
    ours: FieldNumbers
    twin: str
    torchvision: FieldNumbers | None
    partings: tuple[Parting, ...]
    difference: str

    @property
    def matches(self) -> bool:
        """Whether size, stride and padding are all the published ones."""
        row = self.published
        return self.ours.triple == (row.size, row.stride, row.padding)


def published_table() -> tuple[PublishedRow, ...]:
    """Return the published rows, in the order of publication."""
    return PUBLISHED


def recompute_table(
    names: Iterable[str] | None = None, *, side: int = TABLE_SIDE, width: float = 1.0
) -> tuple[RecomputedRow, ...]:
    """Compute the published table from our definitions, and again from torchvision's.

    Args:
        names: of the networks; all ten if None.
        side: of the input, px.
        width: factor on the channels of our definitions; the result does not depend on it.
    """
    wanted = None if names is None else set(names)
    rows = (row for row in PUBLISHED if wanted is None or row.name in wanted)
    return tuple(_recompute(row, side, width) for row in rows)


def _recompute(row: PublishedRow, side: int, width: float) -> RecomputedRow:
    with torch.device("meta"):
        network = slim.build_slim(row.name, width=width)
    report, end_point = rf.analyze(network, (3, side, side)), slim.last_end_point(network)
    ours = FieldNumbers.of(report[end_point])
    twin = counterpart(row.name)
    if not twin:
        return RecomputedRow(row, end_point, ours, "", None, (), NO_COUNTERPART)
    other, pairs = build_counterpart(twin), counterpart_layers(row.name, network)
    twin_report = rf.analyze(other, (3, side, side))
    theirs = FieldNumbers.of(twin_report[pairs[-1][1]])
    partings = find_partings(report, twin_report, pairs)
    why = DIFFERENCES[row.name.rsplit("_", 1)[0] if "resnet_v1" in row.name else row.name]
    return RecomputedRow(row, end_point, ours, twin, theirs, partings, why)


def counterpart(name: str) -> str:
    """Return torchvision's name for one of the ten networks; empty where it has no version."""
    known = {"alexnet_v2": "alexnet", "vgg_16": "vgg16", "inception_v3": "inception_v3"}
    if name.startswith("resnet_v1_"):
        return name.replace("_v1_", "")
    return known.get(name, "")


def build_counterpart(twin: str) -> nn.Module:
    """Return torchvision's network without weights, in evaluation mode, as shapes alone."""
    build = partial(torchvision.models.get_model, twin, weights=None)
    with torch.device("meta"):
        # Inception alone offers to skip its slow initialisation.
        network = build(init_weights=False) if twin == "inception_v3" else build()
    return network.eval()


def counterpart_layers(name: str, network: nn.Sequential) -> list[tuple[str, str]]:
    """Return the layers of a network beside torchvision's, from the input up.

    Args:
        name: of the network, one that has a counterpart.
        network: our definition.
    """
    layers = list(dict(network.named_children()))
    if name == "inception_v3":
        renamed = {"MaxPool_3a_3x3": "maxpool1", "MaxPool_5a_3x3": "maxpool2"}
        return [(layer, renamed.get(layer, layer)) for layer in layers]
    if name.startswith("resnet_v1_"):
        pairs = [("conv1", "conv1"), ("pool1", "maxpool")]
        for block in layers[2:]:
            n_units = len(list(network.get_submodule(block).children()))
            stage = block.replace("block", "layer")
            pairs += [(f"{block}.unit_{i + 1}", f"{stage}.{i}") for i in range(n_units)]
        return pairs
    twins = [
        f"features.{i}"
        for i, layer in enumerate(
            build_counterpart(counterpart(name)).get_submodule("features").children()
        )
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d))
    ]
    return list(zip(layers, twins, strict=True))


def find_partings(
    report: rf.Report, twin: rf.Report, pairs: Iterable[tuple[str, str]]
) -> tuple[Parting, ...]:
    """Return the first layer at which size, stride and padding differ, where they do."""
    found: dict[str, Parting] = {}
    for layer, twin_layer in pairs:
        for quantity in ("size", "stride", "padding"):
            a = getattr(report[layer], quantity)[0]
            b = getattr(twin[twin_layer], quantity)[0]
            if a != b and quantity not in found:
                found[quantity] = Parting(quantity, layer, twin_layer, a, b)
    return tuple(found.values())
