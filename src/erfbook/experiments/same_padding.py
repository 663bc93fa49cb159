"""Where TensorFlow's SAME padding puts receptive fields, and when it tears two paths apart.

A layer of stride 2 with SAME padding puts one value before an odd plane and none before an even
one. Behind a stride of s an input of n px has ceil(n / s) values, and whether that is odd is a
binary digit of -n: the digit worth s. A value before the plane moves all fields behind it by s px.
So the effective padding exceeds its smallest value by digits of -n, those of the strides at which
such layers read. If they read at 1, 2, 4, 8 and 16, the excess is -n modulo 32: the published
paddings are for sides that 32 divides, such as 224, and for no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from erfbook import rf
from erfbook.experiments.published import TABLE_SIDE, FieldNumbers, published_table
from erfbook.models import slim

# Strides (of the plane that is read) at which a layer of stride 2 pads as SAME; elsewhere such
# layers are VALID or pad alike at every size.
SAME_STRIDES = {
    "mobilenet_v1": (1, 2, 4, 8, 16),
    "inception_v2": (1, 2, 4, 8, 16),
    "resnet_v1_50": (2,),
    "resnet_v1_101": (2,),
    "resnet_v1_152": (2,),
}


def predict_padding(name: str, side: int) -> int:
    """Return the effective padding of a network's last plane at any input size.

    The published value, which is for a side that 32 divides, and for each layer of stride 2 with
    SAME padding the stride of the plane it reads, if that plane is odd.

    Args:
        name: one of the ten networks.
        side: of the input, px.

    >>> [predict_padding("mobilenet_v1", side) for side in (224, 225, 256, 299)]
    [126, 157, 126, 147]
    """
    row = next(row for row in published_table() if row.name == name)
    return row.padding + sum(stride for stride in SAME_STRIDES.get(name, ()) if -side & stride)


def measure_padding(name: str, sides: Iterable[int]) -> dict[int, FieldNumbers]:
    """Analyse one network's last plane at several input sizes.

    Args:
        name: one of the ten networks.
        sides: of the input, px.
    """
    with torch.device("meta"):
        network = slim.build_slim(name)
    last = slim.last_end_point(network)
    return {n: FieldNumbers.of(rf.analyze(network, (3, n, n))[last]) for n in sides}


@dataclass(frozen=True)
class PaddingCheck:
    """How often the rule of digits gives the padding that the analysis finds.

    Args:
        n_checked: networks times sides.
        n_equal: of these, where rule and analysis agree.
        n_published: of these, where the padding is the published one.
        n_aligned: of these, where all paths agree.
    """

    n_checked: int
    n_equal: int
    n_published: int
    n_aligned: int


def check_padding(
    sides: Iterable[int], names: Iterable[str] = ("mobilenet_v1", "inception_v2")
) -> PaddingCheck:
    """Compare the rule with the analysis over input sizes.

    Args:
        sides: of the input, px.
        names: of the networks; by default those that pad as SAME throughout.
    """
    published = {row.name: row.padding for row in published_table()}
    found = [
        (numbers, predict_padding(name, side), published[name])
        for name in names
        for side, numbers in measure_padding(name, list(sides)).items()
    ]
    return PaddingCheck(
        len(found),
        sum(numbers.padding == rule for numbers, rule, _ in found),
        sum(numbers.padding == stated for numbers, _, stated in found),
        sum(numbers.aligned for numbers, _, _ in found),
    )


@dataclass(frozen=True)
class ResnetVariant:
    """A ResNet-50 with one habit of TF-Slim's changed.

    Args:
        numbers: of the last plane.
        why: which two paths disagree; empty where none do.
    """

    numbers: FieldNumbers
    why: str


def vary_resnet(side: int = TABLE_SIDE) -> dict[str, ResnetVariant]:
    """Analyse ResNet-50 as published, with its strides moved, and with SAME padding throughout.

    Args:
        side: of the input, px.

    Returns:
        ``published``; ``stride_first``, strides in the first unit of a block as in torchvision;
        ``same``, whose strided 3 x 3 layers pad as SAME: on an even plane they are centred one
        value further on than their shortcuts, so the paths are misaligned.
    """
    options: dict[str, dict[str, Any]] = {
        "published": {},
        "stride_first": {"stride_at": "first"},
        "same": {"padding": "same"},
    }
    found = {}
    for name, changed in options.items():
        with torch.device("meta"):
            network = slim.build_slim("resnet_v1_50", **changed)
        field = rf.analyze(network, (3, side, side))["block4"]
        found[name] = ResnetVariant(FieldNumbers.of(field), field.why)
    return found
