"""Closed forms, published numbers, and what a report says of them.

Exactness unit by unit is test_rf_support.py's and test_rf_models.py's part.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from erfbook import rf


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(*(st.integers(a, b) for a, b in ((1, 5), (1, 3), (0, 4), (1, 3)))),
        min_size=1,
        max_size=6,
    )
)
def test_chains_have_the_closed_forms_of_distill(layers):
    convs = [nn.Conv1d(1, 1, k, s, p, d) for k, s, p, d in layers]
    field = rf.analyze(nn.Sequential(*convs), (1, 5000))[""]
    size, stride, padding = 1, 1, 0
    for k, s, p, d in layers:  # sums of (reach - 1) and of p over the product of earlier strides
        size += d * (k - 1) * stride
        padding += p * stride
        stride *= s
    assert (field.size, field.stride, field.padding) == ((size,), (stride,), (padding,))


@pytest.mark.parametrize(
    ("name", "layer", "size", "expected"),
    [
        # the Distill article's table: same layers there and here
        ("vgg16", "features", 224, (212, 32, 90)),
        ("inception_v3", "Mixed_7c", 299, (1311, 32, 618)),
        # strides sit in the 3x3 convolutions here, not in TF-Slim's last units (483 there)
        ("resnet50", "layer4", 224, (427, 32, 213)),
    ],
)
def test_published_networks(name, layer, size, expected):
    with torch.device("meta"):
        kwargs = {"init_weights": False} if name == "inception_v3" else {}
        model = getattr(torchvision.models, name)(weights=None, **kwargs).eval()
    field = rf.analyze(model, (3, size, size))[layer]
    assert (field.size, field.stride, field.padding) == tuple((v, v) for v in expected)
    assert field.aligned and not field.is_global


def test_resnet50_sees_the_first_and_last_row_of_its_field_and_no_other():
    torch.manual_seed(0)
    model = nn.Sequential(*list(torchvision.models.resnet50(weights=None).children())[:-2]).eval()
    report = rf.analyze(model, (3, 480, 32))
    field = report[""]
    unit = (7, 0)
    (first, last), _ = field.region(unit)
    assert 0 < first and last < 479
    x = torch.randn(4, 3, 480, 32)
    for sample, row in enumerate((first - 1, first, last, last + 1)):
        x[sample, :, row] = torch.nan
    with torch.no_grad():
        nans = model(x)[:, :, unit[0]].isnan().any(dim=(1, 2))
    assert nans.tolist() == [False, True, True, False]


def test_paths_that_disagree_are_named():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.left = nn.Conv1d(1, 1, 3, padding=1)
            self.right = nn.Conv1d(1, 1, 1)

        def forward(self, x):
            return self.left(x)[..., 1:] + self.right(x)[..., :-1]

    field = rf.analyze(Shifted(), (1, 20))[""]
    assert not field.aligned
    assert "add" in field.why and "centre on axis 0: 1 through" in field.why
    assert field.region((4,)) == ((4, 6),)

    class Strides(nn.Module):
        def forward(self, x):
            return F.max_pool1d(x, 2) + x[..., :10]

    field = rf.analyze(Strides(), (1, 20))[""]
    assert not field.aligned and "stride" in field.why and field.stride == (None,)
    assert field.region((3,)) == ((3, 7),)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2).train()), "training mode"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2)), "training mode"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "group norm"),
        (nn.AdaptiveAvgPool2d(1), "mean over the plane"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "matrix product"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample((8, 8))), "mean over the plane"),
        (nn.LayerNorm((8, 8)), "layer norm"),
        (nn.Softmax2d(), None),
        (nn.Sequential(nn.Softmax(dim=3), nn.Softmax(dim=2)), "softmax"),
    ],
)
def test_operations_over_the_plane_are_global_and_say_why(model, why):
    field = rf.analyze(model, (1, 8, 8))[""]
    assert field.is_global == bool(why)
    if why:
        assert field.size == (8, 8) and why in field.why and field.stride == (None, None)


def test_batch_norm_is_local_in_evaluation_mode_and_stays_untouched():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    assert rf.analyze(model, (1, 8, 8))[""].is_global
    assert not rf.analyze(model.eval(), (1, 8, 8))[""].is_global
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(t.device.type == "cpu" for t in model.state_dict().values())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_every_call_of_a_reused_module_is_kept():
    conv = nn.Conv1d(1, 1, 3)
    report = rf.analyze(nn.Sequential(conv, conv, conv), (1, 30))
    assert [f.size for f in report.calls("0")] == [(3,), (5,), (7,)]
    assert report["0"].size == (7,) and report["0"].call == 2
    frame = report.to_frame()
    assert list(frame["size"]) == [(3,), (5,), (7,), (7,)]
    assert conv.weight.device.type == "cpu"  # and the model is whole


def test_upsampling_has_a_fraction_as_stride_and_a_period():
    """Twice as many: units 2u and 2u + 1 see pixel u; their centres are 1/2 apart on average."""
    field = rf.analyze(nn.Upsample(scale_factor=2), (1, 6))[""]
    assert field.stride == (Fraction(1, 2),) and field.period == (2,) and field.size == (1,)
    assert [field.region((u,)) for u in range(4)] == [((0, 0),), ((0, 0),), ((1, 1),), ((1, 1),)]
    # the middle of the centres 0 and 0 of one period is that of -padding + (u = 0 and 1) / 2
    assert field.padding == (Fraction(1, 4),)
    up = nn.Sequential(nn.Conv1d(1, 1, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv1d(1, 1, 3))
    field = rf.analyze(up, (1, 16))[""]
    assert field.stride == (1,) and field.period == (2,) and field.size == (5,)
    assert [field.region((u,)) for u in (2, 3, 4)] == [((1, 5),), ((1, 5),), ((3, 7),)]


def test_transposed_convolution_undoes_the_stride_of_a_convolution():
    model = nn.Sequential(nn.Conv1d(1, 1, 4, 4), nn.ConvTranspose1d(1, 1, 4, 4))
    field = rf.analyze(model, (1, 16))[""]
    assert field.stride == (1,) and field.period == (4,) and field.size == (4,)
    assert all(field.region((u,)) == ((u // 4 * 4, u // 4 * 4 + 3),) for u in range(16))


def test_an_empty_field_ends_before_it_begins():
    field = rf.analyze(nn.ConvTranspose1d(1, 1, 1, 2), (1, 4))[""]
    (first, last), *_ = field.region((1,))
    assert last == first - 1 and not field.support((1,)).any()
    padding = rf.analyze(nn.ZeroPad1d((3, 0)), (1, 4))[""]
    assert padding.region((0,)) == ((-3, -3),)
    (first, last), *_ = padding.region((0,), clip=True)
    assert last == first - 1


def test_axes_can_differ_in_kind():
    field = rf.analyze(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Softmax(3)), (1, 8, 9))[""]
    assert field.global_axes == (False, True) and not field.is_global and field.why
    assert field.stride == (1, None) and field.padding == (0, None) and field.size == (3, 9)
    assert field.region((2, 5)) == ((2, 4), (0, 8))


def test_channels_of_a_concatenation_keep_their_own_fields():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow = nn.Conv1d(1, 2, 9, padding=4), nn.Conv1d(1, 2, 1)

        def forward(self, x):
            both = torch.cat([self.narrow(x), self.wide(x)], 1)
            return both[:, :2], both[:, 2:], both

    report = rf.analyze(Split(), (1, 20))
    assert [report[f"[{i}]"].size for i in range(3)] == [(1,), (9,), (9,)]


def test_a_transposed_plane_keeps_its_units_by_axis():
    class Turned(nn.Module):
        def forward(self, x):
            return x.transpose(2, 3)

    field = rf.analyze(Turned(), (1, 4, 6))[""]
    assert not field.is_plane and field.grid == (4, 6)
    assert np.argwhere(field.support((3, 5))).tolist() == [[3, 5]]


def test_shares_inside_the_image_by_hand():
    """Kernel 3, padding 1 on 4 pixels: the two outer units see 2 of their 3 pixels."""
    field = rf.analyze(nn.Conv1d(1, 1, 3, padding=1), (1, 4))[""]
    assert field.units_inside == 0.5
    assert field.mean_share_inside == pytest.approx((2 / 3 + 1 + 1 + 2 / 3) / 4)


def test_writing_into_a_part_of_a_tensor_is_followed():
    class WritesIntoAView(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv1d(1, 1, 5, padding=2)

        def forward(self, x):
            y = x * 1
            y[:, :1].add_(self.wide(x[:, 1:]))
            return y, y[:, :1], y[:, 1:]

    report = rf.analyze(WritesIntoAView(), (2, 12))
    assert [report[f"[{i}]"].size for i in range(3)] == [(5,), (5,), (1,)]


@pytest.mark.parametrize(("path", "call"), [("twice", 0), ("twice", 1), ("block.0", 0)])
def test_an_analysis_that_ends_early_says_the_same_of_all_that_came_before(path, call):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice = nn.Conv2d(3, 3, 3, padding=1)
            self.block = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU())

        def forward(self, x):
            return self.block(self.twice(self.twice(x)))

    net = Net()
    whole = rf.analyze(net, (3, 20, 20))
    part = rf.analyze(net, (3, 20, 20), until=(path, call))
    names = [(f.path, f.call) for f in part.fields]
    assert names[-1] == (path, call)
    assert part.fields == whole.fields[: len(names)]
    assert part.graph.ops == whole.graph.ops[: len(part.graph.ops)]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


class Fire(nn.Module):
    """Two convolutions side by side, then one that mixes them."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 3, 4, 4)
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.mix = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = self.down(x)
        return self.mix(torch.cat([self.left(x), self.right(x)], 1))


@pytest.mark.parametrize("side", [4, 5, 7, 8, 12])
def test_branches_that_meet_on_a_single_unit_are_as_large_as_they_are_on_many(side):
    field = rf.analyze(Fire(), (3, side, side))["mix"]
    assert (field.size, field.stride, field.padding) == ((12, 12), (4, 4), (4, 4))
    assert not field.is_global and not field.why and field.aligned


@pytest.mark.parametrize(
    ("name", "size", "path"),
    [
        ("densenet121", 32, "features.denseblock4"),
        ("squeezenet1_1", 20, "features.12"),
    ],
)
def test_deep_networks_on_small_images_have_the_fields_that_they_have_on_large_ones(
    name, size, path
):
    model = torchvision.models.get_model(name, weights=None).eval()
    small, large = (rf.analyze(model, (3, side, side))[path] for side in (size, 224))
    assert not small.is_global and not large.is_global
    assert (small.size, small.stride, small.padding) == (large.size, large.stride, large.padding)


@pytest.mark.parametrize("take", ["unbind", "flatten", "tokens"])
def test_positions_that_became_channels_and_were_mixed_are_global(take):
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.mix = nn.Conv2d(1, 2, 2, 2), nn.Linear(7 if take == "tokens" else 6, 1)

        def forward(self, x):
            x = self.first(x)[:, :1]
            if take == "unbind":
                rows = [row.unbind(2) for row in x.unbind(2)]
                return self.mix(torch.stack([t for row in rows for t in row], 2).flatten(1))
            tokens = x.flatten(2)
            if take == "tokens":
                tokens = torch.cat([tokens.new_zeros(1, 1, 1), tokens], 2)
            return self.mix(tokens).flatten(1)

    field = rf.analyze(Mixing(), (1, 4, 6))["mix"]
    assert field.is_global and field.support(field.central_unit).all()
    part = rf.analyze(nn.Sequential(nn.Conv2d(1, 2, 2, 2), Rows()), (1, 4, 6))[""]
    assert not any(part.global_axes)


class Rows(nn.Module):
    """Two of three positions of one of two rows, mixed."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(2, 1)

    def forward(self, x):
        return self.mix(torch.stack([x[:, 0, 0, 0], x[:, 0, 0, 2]], 1))
