"""Receptive fields against what really reaches a unit: a NaN placed in one input pixel.

Convolution, pooling, addition and concatenation pass a NaN on to exactly the units that read it
(PyTorch's max pool and ReLU do so on a CPU: checked below), whatever the weights are, so the set of
outputs that turn NaN is the exact support, without the accidental zeros of a gradient.
"""

import itertools

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from erfbook import rf
from erfbook.rf import rules
from erfbook.rf.graph import Link, Local, Window

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SIDES = {1: (31,), 2: (12, 15), 3: (7, 8, 6)}


class Join(nn.Module):
    """Two paths joined by ``add``, ``mul`` or ``cat`` (then brought back to 2 channels)."""

    def __init__(self, left, right, how, n):
        super().__init__()
        self.left, self.right, self.how = left, right, how
        self.squeeze = CONV[n](4, 2, 1)

    def forward(self, x):
        a, b = self.left(x), self.right(x)
        if a.shape != b.shape:  # not every pair fits; then this is a chain
            return a
        if self.how == "cat":
            return self.squeeze(torch.cat([a, b], 1))
        return a + b if self.how == "add" else a.mul_(b)


class Functional(nn.Module):
    """Padding, channel slices and an in-place ReLU that no module announces."""

    def __init__(self, pad, n):
        super().__init__()
        self.pad = pad
        self.mix = CONV[n](1, 2, 1)

    def forward(self, x):
        return F.relu_(self.mix(F.pad(x, self.pad)[:, 1:]))


@st.composite
def _layers(draw, n, depth=0):
    kind = draw(st.sampled_from(["conv", "conv", "max", "avg", "pad", "norm", "join"][: 7 - depth]))
    if kind == "norm":
        return nn.Sequential(NORM[n](2), nn.ReLU(inplace=True))
    if kind == "pad":
        return Functional(draw(st.lists(st.integers(0, 2), min_size=2 * n, max_size=2 * n)), n)
    if kind == "join":
        sides = [draw(_layers(n, depth=1)) for _ in range(2)]
        return Join(*sides, draw(st.sampled_from(["add", "mul", "cat"])), n)

    def per_axis(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)))

    kernel, stride = per_axis(1, 3), per_axis(1, 2)
    if kind == "conv":
        groups = draw(st.sampled_from([1, 2]))
        size = {"stride": stride, "padding": per_axis(0, 2), "dilation": per_axis(1, 2)}
        return CONV[n](2, 2, kernel, groups=groups, **size)
    padding, ceil = tuple(k // 2 for k in kernel), draw(st.booleans())
    if n == 1:
        kernel, stride, padding = kernel[0], stride[0], padding[0]
    pool = MAX if kind == "max" else AVG
    return pool[n](kernel, stride, padding, ceil_mode=ceil)


@st.composite
def networks(draw, dims=(1, 2, 3)):
    n = draw(st.sampled_from(dims))
    torch.manual_seed(0)
    layers = draw(st.lists(_layers(n), min_size=1, max_size=4))
    return nn.Sequential(*layers).double().eval(), SIDES[n]


def support(model, sides):
    """Return a bool tensor (outputs..., inputs...): which input pixel reaches which output unit."""
    n_pixels = int(torch.tensor(sides).prod())
    torch.manual_seed(1)
    x = torch.randn(n_pixels, 2, *sides, dtype=torch.float64)
    x.flatten(2)[torch.arange(n_pixels), :, torch.arange(n_pixels)] = torch.nan
    with torch.no_grad():
        reached = model(x).isnan().any(dim=1)
    return reached.movedim(0, -1).unflatten(-1, sides)


def check_against_nans(model, sides):
    """Every unit's support spans its region; border units see no more than theirs."""
    with torch.no_grad():
        try:
            model(torch.zeros(1, 2, *sides, dtype=torch.float64))
        except RuntimeError:  # a kernel larger than what is left of the plane
            return
    field = rf.analyze(model, (2, *sides))[""]
    reached = support(model, sides)
    assert field.grid == reached.shape[: len(sides)]
    for unit in itertools.product(*(range(n) for n in field.grid)):
        pixels = reached[unit].nonzero()
        region = field.region(unit)
        inside = all(a >= 0 and b < n for (a, b), n in zip(region, sides, strict=True))
        clipped = field.region(unit, clip=True)
        for axis, (low, high) in enumerate(region if inside else clipped):
            seen = pixels[:, axis].tolist()
            if inside:
                assert (min(seen), max(seen)) == (low, high), (unit, region)
            elif seen:
                assert low <= min(seen) and max(seen) <= high, (unit, region)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(networks())
def test_field_is_the_span_of_the_pixels_whose_nan_reaches_the_unit(case):
    check_against_nans(*case)


def dilated_pair():
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 2, 3, padding=2, dilation=2), nn.Conv2d(2, 2, 3, 2, padding=1)
    return nn.Sequential(first, second).double().eval(), (13, 15)


def two_paths():
    torch.manual_seed(0)
    paths = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 5, padding=2)
    return Join(*paths, "add", 2).double().eval(), (12, 12)


def without(rule, **changes):
    """Return a convolution rule that forgets an argument."""

    def wrong(op):
        n = len(op.args["stride"])
        args = op.args | {name: [value] * n for name, value in changes.items()}
        return rule(rules.Op(op.name, args, op.parents, op.nodes, op.output))

    return wrong


def _one_path_only(op):
    step = rules._elementwise(op)
    return Local(step.axes, step.links[:1])


def _swapped_axes(op):
    step = rules._convolution(op)
    return Local(step.axes, tuple(Link(k.parent, k.windows[::-1]) for k in step.links))


def _no_dilation_in_offset(op):
    step = rules._convolution(op)
    (link,) = step.links
    dilation = op.args["dilation"]
    each = zip(link.windows, dilation, strict=True)
    windows = tuple(Window(w.stride, w.offset / d, w.size) for w, d in each)
    return Local(step.axes, (Link(link.parent, windows),))


def rectangle():
    return nn.Sequential(nn.Conv2d(2, 2, (1, 3), padding=(0, 1))).double().eval(), (9, 9)


@pytest.mark.parametrize(
    ("op", "wrong", "case"),
    [
        ("aten.convolution", without(rules._convolution, dilation=1), dilated_pair),
        ("aten.convolution", without(rules._convolution, padding=0), dilated_pair),
        ("aten.convolution", without(rules._convolution, stride=1), dilated_pair),
        ("aten.convolution", _no_dilation_in_offset, dilated_pair),
        ("aten.convolution", _swapped_axes, rectangle),
        ("aten.add", _one_path_only, two_paths),
    ],
    ids=["dilation", "padding", "stride", "dilation in the offset", "axes swapped", "one path"],
)
def test_a_wrong_rule_is_rejected(op, wrong, case, monkeypatch):
    model, sides = case()
    check_against_nans(model, sides)
    monkeypatch.setitem(rules._RULES, op, wrong)
    with pytest.raises(AssertionError):
        check_against_nans(model, sides)


def test_max_pool_and_relu_pass_nans_on():
    x = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    x[0, 0, 2, 2] = torch.nan
    assert F.max_pool2d(x, 3, 1).isnan().all()
    assert F.relu(x).isnan().sum() == F.relu6(x).isnan().sum() == 1


@settings(max_examples=100, deadline=None, derandomize=True)
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
        (nn.AdaptiveAvgPool2d(3), "adaptive"),
        (nn.AdaptiveAvgPool2d(1), "mean over the plane"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "flattening"),
        (nn.Linear(8, 8), "matrix product|flattening"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample((8, 8))), "mean over the plane"),
        (nn.LayerNorm((8, 8)), "layer norm"),
        (nn.Softmax(dim=3), "softmax"),
    ],
)
def test_operations_over_the_plane_are_global_and_say_why(model, why):
    field = rf.analyze(model, (1, 8, 8))[""]
    assert field.is_global and field.size == (8, 8)
    assert any(word in field.why for word in why.split("|"))


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


def test_unknown_operations_are_refused_or_marked_never_guessed():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 2, 2))
    with pytest.raises(rf.TraceError, match=r"aten.convolution in module '1' has no rule: transp"):
        rf.analyze(model, (1, 8, 8))
    report = rf.analyze(model, (1, 8, 8), unknown="global")
    assert report[""].is_global and not report["0"].is_global
    assert "aten.convolution" in report[""].why

    class WritesIntoAView(nn.Module):
        def forward(self, x):
            y = x * 1
            y[:, :1].add_(torch.relu(x[:, 1:]))
            return y

    with pytest.raises(rf.TraceError, match="a view is used later"):
        rf.analyze(WritesIntoAView(), (2, 8))


def test_a_registered_rule_is_used(monkeypatch):
    monkeypatch.setattr(rules, "_RULES", dict(rules._RULES))

    @rf.register("aten.roll")
    def roll(op):
        index, node = op.only("self")
        windows = (Window(offset=-op.args["shifts"][0]),)
        return Local(node.step.axes, (Link(index, windows),), fixed=True)

    class Roll(nn.Module):
        def forward(self, x):
            return x.roll(2, dims=2)

    assert rf.analyze(Roll(), (1, 9))[""].region((4,)) == ((2, 2),)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rf.analyze(nn.Conv2d(3, 4, 3), (1, 8, 8)), ValueError, "refused an input of size"),
        (lambda: rf.analyze(nn.Conv2d(1, 4, 9), (1, 8, 8)), ValueError, "refused an input of size"),
        (lambda: rf.analyze(nn.ReLU(), (3,)), ValueError, "input_size must be"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4), unknown="skip"), ValueError, "'error' or 'global'"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))["relu"], KeyError, "no layer 'relu'"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))[""].region((4,)), ValueError, r"grid \(4,\)"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_model_that_looks_at_values_is_refused():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(rf.TraceError, match="depend on the data"):
        rf.analyze(Branches(), (1, 8, 8))
