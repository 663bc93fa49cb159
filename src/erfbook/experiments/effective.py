"""Theoretical against effective size: what a unit could see, and what it does see."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from erfbook import erf, models, rf
from erfbook.experiments.lite0 import LAYERS, load_crops, load_lite0

# What a unit that used every pixel of its field alike would have: the square that holds all but
# 4.55 % of the mass, over the whole.
EVEN_RATIO = math.sqrt(1 - erf.TWO_SIGMA)
# One layer at the end of each resolution whose field fits the input. Chosen by us.
LAYERS_OF = {
    "ResNet-18": ("layer1", "layer2", "layer3"),
    "VGG-11": ("features.7", "features.12", "features.17"),
}


@dataclass(frozen=True)
class SizePair:
    """One layer's theoretical and effective size.

    Args:
        network: what was measured.
        is_trained: whether the weights were learnt or random.
        layer: path of the layer.
        theoretical_px: side of the region of its central unit.
        effective_px: side of the square as large as the smallest set of pixels that holds 95.45 %
            of the mean |gradient|; the mean over networks.
        spread_px: smallest and largest of the networks' values.
        n_networks: random networks, or 1.
        is_whole: whether the region lies inside the image, so that nothing is cut off.
    """

    network: str
    is_trained: bool
    layer: str
    theoretical_px: int
    effective_px: float
    spread_px: tuple[float, float]
    n_networks: int
    is_whole: bool

    @property
    def ratio(self) -> float:
        """Effective over theoretical side."""
        return self.effective_px / self.theoretical_px


def measure_size_pairs(
    depths: Sequence[int],
    *,
    n_networks: int,
    n_inputs: int,
    n_crops: int,
    side_px: int = 224,
) -> tuple[SizePair, ...]:
    """Measure stacks, ResNet-18 and VGG-11 with random weights, and a trained network.

    Random networks see random inputs; EfficientNet-Lite0, trained, sees crops of photographs.

    Args:
        depths: numbers of layers of the stacks of 3 x 3 convolutions and ReLUs, 16 channels.
        n_networks: random networks of each kind.
        n_inputs: inputs of each.
        n_crops: crops of 384 px of photographs.
        side_px: side of the random inputs of ResNet-18 and VGG-11.
    """
    pairs = []
    for depth in depths:
        side, layer, stack = 2 * depth + 5, str(2 * depth - 1), _make_stack(depth)
        pairs += _measure_random("3 × 3 stack", stack, (layer,), side, n_networks, n_inputs)
    for label, make in (("ResNet-18", _make_resnet18), ("VGG-11", _make_vgg11)):
        layers = LAYERS_OF[label]
        pairs += _measure_random(label, make, layers, side_px, n_networks, n_inputs)
    model, crops = load_lite0(), load_crops(n_crops, 384, 0)
    report = rf.analyze(model, tuple(crops.shape[1:]))
    for layer in LAYERS:
        sizes = [_measure(model, crops, layer)]
        pairs.append(_pair("EfficientNet-Lite0", report[layer], sizes, is_trained=True))
    return tuple(pairs)


def name_size_pairs(pairs: Sequence[SizePair]) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    whole = [pair for pair in pairs if pair.is_whole]
    found: dict[str, dict] = {
        "effective_largest_ratio": {"value": max(pair.ratio for pair in whole), "n": len(whole)},
        "effective_smallest_ratio": {"value": min(pair.ratio for pair in whole), "n": len(whole)},
        "effective_largest_spread": {
            "value": max((p.spread_px[1] - p.spread_px[0]) / p.effective_px for p in pairs)
        },
    }
    for pair in whole:
        name = f"effective_{pair.network.split()[0].lower().replace('-', '')}_{pair.theoretical_px}"
        name = name.replace("effective_3_", "effective_stack_").replace("efficientnet", "")
        found[name] = {"value": pair.effective_px, "unit": "px", "n": pair.n_networks}
    return found


def _measure_random(
    label: str,
    make: Callable[[], nn.Module],
    layers: tuple[str, ...],
    side_px: int,
    n_networks: int,
    n_inputs: int,
) -> list[SizePair]:
    sizes: dict[str, list[float]] = {layer: [] for layer in layers}
    for seed in range(n_networks):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = make().eval()
            inputs = torch.randn(n_inputs, 3, side_px, side_px)
        for layer in layers:
            sizes[layer].append(_measure(model, inputs, layer))
    report = rf.analyze(model, (3, side_px, side_px))
    return [_pair(label, report[layer], sizes[layer], is_trained=False) for layer in layers]


def _measure(model: nn.Module, inputs: Float[torch.Tensor, "n c h w"], layer: str) -> float:
    found = erf.measure(model, inputs, layer)
    if not found.values.any():
        return math.nan  # every gradient was zero: no size
    held = erf.area_ratio(found, 1 - erf.TWO_SIGMA, method="smallest-set")
    return math.sqrt(held * found.values.size)


def _pair(label: str, field: rf.Field, sizes: list[float], *, is_trained: bool) -> SizePair:
    region = field.region(field.central_unit)
    inside = zip(region, field.input_size, strict=True)
    return SizePair(
        network=label,
        is_trained=is_trained,
        layer=field.path,
        theoretical_px=field.size[0],
        effective_px=float(np.nanmean(sizes)),
        spread_px=(float(np.nanmin(sizes)), float(np.nanmax(sizes))),
        n_networks=int(np.isfinite(sizes).sum()),
        is_whole=all(first >= 0 and last < n for (first, last), n in inside),
    )


def _make_stack(depth: int, channels: int = 16) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for i in range(depth):
            conv = nn.Conv2d(channels if i else 3, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers += [conv, nn.ReLU()]
        return nn.Sequential(*layers)

    return make


def _make_resnet18() -> nn.Module:
    return models.load_model("resnet18", "none")


def _make_vgg11() -> nn.Module:
    """Return VGG-11's convolutions as torchvision draws them, without its large classifier."""
    features = make_layers(cfgs["A"], batch_norm=False)
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return nn.Sequential(OrderedDict(features=features))
