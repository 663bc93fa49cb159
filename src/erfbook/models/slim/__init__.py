"""Ten networks in TF-Slim's manner, with TensorFlow's padding, up to the last plane of features.

They are the networks of the published table of receptive fields (Araujo et al. 2019), written anew
from their layers' parameters: kernels, strides, paddings, channels. Heads are left out, because
pooling over the whole plane ends every local field. Each end point is a module of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from erfbook.models.slim.inception import (
    inception_resnet_v2,
    inception_v2,
    inception_v3,
    inception_v4,
)
from erfbook.models.slim.padding import SameConv2d, SameMaxPool2d, same_padding
from erfbook.models.slim.plain import alexnet_v2, mobilenet_v1, vgg_16
from erfbook.models.slim.resnet import resnet_v1

SLIM_NETWORKS: dict[str, Callable[..., nn.Sequential]] = {
    "alexnet_v2": alexnet_v2,
    "vgg_16": vgg_16,
    "mobilenet_v1": mobilenet_v1,
    "inception_v2": inception_v2,
    "inception_v3": inception_v3,
    "inception_v4": inception_v4,
    "inception_resnet_v2": inception_resnet_v2,
    "resnet_v1_50": partial(resnet_v1, 50),
    "resnet_v1_101": partial(resnet_v1, 101),
    "resnet_v1_152": partial(resnet_v1, 152),
}


def build_slim(name: str, *, width: float = 1.0, **options: str) -> nn.Sequential:
    """Return one of the ten networks, untrained and in evaluation mode.

    Args:
        name: one of ``SLIM_NETWORKS``.
        width: factor on all channel counts; receptive fields do not depend on it.
        options: further options of the network, as :func:`resnet_v1` has.

    Raises:
        ValueError: there is no such network, or the width is not positive.

    >>> list(dict(build_slim("alexnet_v2", width=0.05).named_children()))[-1]
    'pool5'
    """
    if name not in SLIM_NETWORKS:
        raise ValueError(f"name must be one of {', '.join(SLIM_NETWORKS)}; not {name!r}")
    if width <= 0:
        raise ValueError(f"width must be positive, not {width!r}")
    return SLIM_NETWORKS[name](width=width, **options).eval()


def last_end_point(network: nn.Sequential) -> str:
    """Return the name of a network's last end point, whose fields the published table gives."""
    return list(dict(network.named_children()))[-1]


__all__ = [
    "SLIM_NETWORKS",
    "SameConv2d",
    "SameMaxPool2d",
    "build_slim",
    "last_end_point",
    "resnet_v1",
    "same_padding",
]
