"""Pooled networks and their variants: same weights, and exactly one thing changed at a time."""

import copy

import pytest
import torch
from theory_oracles import rejects
from torch import nn

from erfbook import rf
from erfbook.experiments.pooled.networks import VGG_STAGES
from erfbook.models.pooled import pooled_resnet50, pooled_vgg
from erfbook.models.pooled_control import VARIANTS, CoarsePool, DilatedPool, vary

PROBED = (1, 1, 1)  # convolutions before each later pool of networks small enough to probe


def make(kind, stride, *, stages=VGG_STAGES, width=1 / 32, seed=0):
    torch.manual_seed(seed)
    if kind == "resnet50":
        return pooled_resnet50(stride + 1, stride, width=width)
    return pooled_vgg(stride + 1, stride, stages=stages, width=width)


def last_plane(network, side, seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, side, side, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        return network.double().eval().features(images)


def variants_of(stride):
    return [v for v in VARIANTS if v != "moved" or stride & (stride - 1) == 0]


@pytest.mark.parametrize("kind", ["vgg", "resnet50"])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_variants_begin_with_the_same_weights_and_load_each_others(kind, stride):
    plain = make(kind, stride)
    for variant in variants_of(stride):
        varied = vary(make(kind, stride), variant)
        ours, theirs = varied.state_dict(), plain.state_dict()
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        varied.load_state_dict(make(kind, stride, seed=5).state_dict())


def lattice_gap(strided, dilated, stride, side):
    few, many = last_plane(strided, side), last_plane(dilated, side)[:, :, ::stride, ::stride]
    assert few.shape == many.shape
    return float((few - many).abs().max() / few.abs().max())


@pytest.mark.parametrize("variant", ["dilated", "coarse dilated"])
@pytest.mark.parametrize(
    ("kind", "stride", "side"),
    [("vgg", 2, 32), ("vgg", 3, 32), ("vgg", 4, 34), ("resnet50", 3, 32), ("resnet50", 4, 37)],
)
def test_the_strided_network_is_every_kth_position_of_the_dilated_one(kind, variant, stride, side):
    dilated = vary(make(kind, stride), variant)
    # float64 sums of a few hundred products a layer over 13 to 50 layers, in another order
    assert lattice_gap(make(kind, stride), dilated, stride, side) < 1e-12


def break_pools(network, stride):
    """Leave the later pools undilated, as one who counts convolutions alone would."""
    for name, layer in list(network.features.named_modules()):
        if isinstance(layer, DilatedPool):
            network.features.set_submodule(name, nn.MaxPool2d(2, 2, ceil_mode=True))
    return network


def break_early(network, stride):
    """Begin the early windows a pixel further to the left and up."""
    network.features.early_pool.padding += 1
    return network


def break_dilation(network, stride):
    for layer in network.features.modules():
        if isinstance(layer, nn.Conv2d) and layer.dilation[0] > 1:
            layer.dilation = layer.padding = (stride + 1,) * 2
    return network


@pytest.mark.parametrize("wrong", [break_pools, break_early, break_dilation])
def test_a_wrongly_dilated_network_is_told_from_the_strided_one(wrong):
    def check(network):
        assert lattice_gap(make("vgg", 3), network, 3, 64) < 1e-12

    check(vary(make("vgg", 3), "dilated"))
    rejects(check, wrong(vary(make("vgg", 3), "dilated"), 3))


def planes(network, side=32):
    """Return the sides of the early plane and of the last one."""
    early = network.eval().features[:2](torch.zeros(1, 3, side, side))
    return early.shape[-1], network.features(torch.zeros(1, 3, side, side)).shape[-1]


def field(network, side=32):
    return rf.analyze(network.eval(), (3, side, side))["features"].size[0]


@pytest.mark.parametrize(
    ("variant", "size", "sides"),
    [
        ("strided", 537, (11, 1)),
        ("dilated", 537, (31, 2)),
        ("coarse", 183, (31, 2)),
        ("coarse dilated", 537, (31, 2)),
    ],
)
def test_fields_and_planes_part_at_stride_three(variant, size, sides):
    network = vary(make("vgg", 3), variant)
    assert (field(network), planes(network)) == (size, sides)


def test_networks_made_of_the_smallest_pool_keep_its_planes():
    base = make("vgg", 1)
    assert (field(base), planes(base)) == (181, (31, 2))
    deep = vary(make("vgg", 1), "deep", step=5)
    # three layers of the last stage, 16 px apart: 2 * 16 px more for each step beyond the first
    assert (field(deep), planes(deep)) == (181 + 3 * 32 * 4, (31, 2))
    assert planes(vary(make("vgg", 1), "sampled")) == (31, 1)


def test_moved_strides_keep_the_whole_stride_and_nearly_the_field():
    base, moved = make("vgg", 1), vary(make("vgg", 4), "moved")
    report = {net: rf.analyze(net.eval(), (3, 64, 64))["features"] for net in (base, moved)}
    assert report[base].stride == report[moved].stride
    assert report[moved].size[0] < 1.2 * report[base].size[0]
    assert planes(moved)[0] == planes(make("vgg", 4))[0]


def probe_columns(network, side, unit):
    """Return which image columns reach a unit of the last plane: one NaN at a time."""
    network = copy.deepcopy(network).eval()
    images = torch.zeros(side, 3, side, side)
    images[torch.arange(side), :, side // 2, torch.arange(side)] = torch.nan
    with torch.no_grad():
        last = network.features(images)
    return last[:, :, :, unit].isnan().flatten(1).any(1)


@pytest.mark.parametrize("variant", ["strided", "dilated", "coarse dilated", "deep"])
def test_fields_of_tiny_networks_are_those_a_nan_finds(variant):
    side = 96
    network = vary(make("vgg", 1 if variant == "deep" else 3, stages=PROBED), variant, step=3)
    report = rf.analyze(network.eval(), (3, side, side))["features"]
    middle = network.features(torch.zeros(1, 3, side, side)).shape[-1] // 2
    found = probe_columns(network, side, middle).nonzero()[:, 0]
    first, last = report.region((middle, middle))[1]
    assert (int(found.min()), int(found.max())) == (max(0, first), min(side - 1, last))


def test_coarse_values_are_repeated_and_belong_to_the_strided_plane():
    pool = nn.MaxPool2d(4, 3, padding=1, ceil_mode=True)
    images = torch.rand(1, 2, 32, 32)
    few, many = pool(images), CoarsePool(pool)(images)
    assert torch.equal(many[:, :, ::3, ::3], few)
    for row in range(31):
        for column in range(31):
            assert torch.equal(many[0, :, row, column], few[0, :, row // 3, column // 3])


def test_bad_variants_are_named():
    with pytest.raises(ValueError, match=r"variant must be one of strided, .* not 'wide'"):
        vary(make("vgg", 2), "wide")
    with pytest.raises(ValueError, match="power of 2, not 3"):
        vary(make("vgg", 3), "moved")
    with pytest.raises(ValueError, match="varied before"):
        vary(vary(make("vgg", 3), "dilated"), "dilated")
