"""Measured fields against an uncropped measurement, exact variance maps, and known gradients."""

import itertools

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from erfbook import erf, rf
from erfbook.erf import plan as plans
from erfbook.erf.sizes import Map

# Both runs add the same terms in float64, in another order. A sum of n terms of size g rounds by at
# most n * 2^-53 * sum|g|; with up to 1e4 terms a layer and up to 30 layers that is below 1e-10 of
# the largest gradient. In practice it is 1e-14.
ROUND_OFF = 1e-10


def same_maps(a: Map, b: Map) -> bool:
    return np.abs(a.values - b.values).max() <= ROUND_OFF * np.abs(b.values).max()


def chain():
    """Even and odd kernels, a stride of 3, ceil-mode and average pools: stride 12 in all."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
        nn.Conv2d(4, 4, (1, 2), padding=(0, 1)),
    )


def dilated():
    """A front end with strides and three dilated convolutions, as in DeepLab."""
    layers = [nn.Conv2d(2, 4, 3, 2, padding=1), nn.BatchNorm2d(4), nn.Tanh()]
    for d in (2, 4, 2):
        layers += [nn.Conv2d(4, 4, 3, padding=d, dilation=d), nn.BatchNorm2d(4), nn.Tanh()]
    return nn.Sequential(*layers)


class Branches(nn.Module):
    """An inception-like block between strided layers, and a strided residual block after it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 5, 2, padding=2)
        self.small = nn.Conv2d(4, 2, 1)
        self.large = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 5, padding=2))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1))
        self.body = nn.Conv2d(6, 4, 3, 2, padding=1)
        self.skip = nn.Conv2d(6, 4, 1, 2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.pad(self.stem(x), (1, 0, 0, 1))
        x = torch.cat([self.small(x), self.large(x), self.pooled(x)], 1)
        y = F.softplus(self.body(x) + self.skip(x))
        return self.head(y.mean((2, 3)))


def net(make):
    torch.manual_seed(0)
    return make().double().eval()


CASES = [(chain, "5", (97, 83)), (dilated, "11", (70, 64)), (Branches, "body", (61, 66))]


def inputs(sides, n=2, channels=2):
    torch.manual_seed(1)
    return torch.randn(n, channels, *sides, dtype=torch.float64)


def check_cropping(make, layer, sides):
    """At corners, borders and inside, the cut input gives the map of the whole one."""
    model, x = net(make), inputs(sides)
    grid = rf.analyze(model, (2, *sides))[layer].grid
    picks = [sorted({0, 1, n // 2 - 1, n // 2, n - 2, n - 1}) for n in grid]
    cropped = 0
    for unit in itertools.product(*picks):
        part = erf.measure(model, x, layer, unit)
        assert same_maps(part, erf.measure(model, x, layer, unit, crop=False)), unit
        cropped += part.cropped
    assert cropped > 0


@pytest.mark.parametrize(("make", "layer", "sides"), CASES)
def test_cropped_and_whole_inputs_give_the_same_map(make, layer, sides):
    check_cropping(make, layer, sides)


def unaligned(report, path, unit):
    """Cut exactly at the field, whatever the strides."""
    return report[path].region(unit, clip=True)


def loses_the_border(report, path, unit):
    """Cut at multiples of the stride, but also where the field is cut off by the border."""
    box = rf.crop.input_window(report, path, unit)
    strides = report[path].stride
    return tuple((a + (s if a == 0 else 0), b) for (a, b), s in zip(box, strides, strict=True))


def only_the_last_stride(report, path, unit):
    """Cut at multiples of 2 where the network's stride is larger."""
    field = report[path].region(unit, clip=True)
    sides = report.input_size[1:]
    return tuple(
        (a // 2 * 2, n - 1 - (n - 1 - b) // 2 * 2) for (a, b), n in zip(field, sides, strict=True)
    )


@pytest.mark.parametrize("wrong", [unaligned, loses_the_border, only_the_last_stride])
def test_a_wrong_cut_is_rejected(wrong, monkeypatch):
    monkeypatch.setattr(plans.rf, "input_window", wrong)
    monkeypatch.setattr(plans.rf, "keeps_values", lambda *arguments: True)
    with pytest.raises((AssertionError, IndexError)):
        check_cropping(*CASES[0])


def test_a_wrong_cut_is_seen_by_tracing_the_window(monkeypatch):
    model = net(chain)
    whole = rf.analyze(model, (2, 97, 83))
    window = rf.input_window(whole, "5", (4, 4))
    sizes = [b - a + 1 for a, b in window]
    assert rf.keeps_values(whole, rf.analyze(model, (2, *sizes)), "5", window)
    (top, bottom), columns = window
    short = ((top, bottom - 1), columns)
    part = rf.analyze(model, (2, sizes[0] - 1, sizes[1]))
    assert not rf.keeps_values(whole, part, "5", short)


def test_a_model_that_depends_on_its_input_size_is_not_cropped():
    class Choosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)
            self.end = nn.Identity()

        def forward(self, x):
            return self.end(torch.relu(self.conv(x)) if x.shape[-1] > 20 else self.conv(x))

    assert not erf.measure(net(Choosy), inputs((30, 30)), "end").cropped

    class Positions(Choosy):
        def forward(self, x):
            return self.end(self.conv(x) * torch.arange(30.0).double())

    assert not erf.measure(net(Positions), inputs((30, 30)), "end").cropped


def test_global_operations_are_not_cropped_and_leave_the_unit_where_it_is():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, 2, padding=1)
            self.scale = nn.AdaptiveAvgPool2d(1)

        def forward(self, x):
            x = self.conv(x)
            return x * self.scale(x).sigmoid()

    found = erf.measure(net(Squeezed), inputs((20, 20)), "", unit=(4, 5))
    assert not found.cropped and found.region == ((0, 19), (0, 19))
    assert found.centre == (8.5, 10.5)  # (unit + 1/2) * 20/10 - 1/2
    assert (found.values > 0).all()


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v2"])
def test_torchvision_networks_are_cropped_exactly(name):
    torch.manual_seed(0)
    kwargs = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **kwargs).double()
    layer = {"resnet18": "layer2", "googlenet": "inception3a", "mobilenet_v2": "features.7"}[name]
    x = inputs((193, 230), n=1, channels=3)
    for unit in (None, (0, 3)):
        part = erf.measure(model, x, layer, unit)
        assert part.cropped
        assert same_maps(part, erf.measure(model, x, layer, unit, crop=False))


def test_map_is_zero_outside_the_field_and_names_what_was_measured():
    model = net(Branches).train()
    x = inputs((61, 66), n=3)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = erf.measure(model, x, batch_size=2)
    assert (found.layer, found.unit, found.statistic) == ("skip", (8, 8), "abs")
    assert (found.n_inputs, found.n_zero, found.input_size) == (3, 0, (61, 66))
    (top, bottom), (left, right) = found.region
    outside = np.ones((61, 66), bool)
    outside[top : bottom + 1, left : right + 1] = False
    assert not found.values[outside].any() and found.values[~outside].all()
    assert model.training and model.stem.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def by_hand(model, x, layer, unit, channel=None):
    """One image at a time, the whole image, a plain backward pass: per-image gradients."""
    kept = {}
    handle = model.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.update(out=o))
    gradients = []
    for image in x:
        leaf = image[None].clone().requires_grad_()
        model(leaf)
        channels = slice(None) if channel is None else channel
        kept["out"][0, channels, *unit].sum().backward()
        gradients.append(leaf.grad[0])
    handle.remove()
    return torch.stack(gradients)


REDUCTIONS = {
    "abs": lambda g: g.abs().mean(0).sum(0),
    "square": lambda g: g.square().mean(0).sum(0),
    "signed": lambda g: g.mean(0).sum(0),
    "relu": lambda g: g.clamp(min=0).mean(0).sum(0),
}


@pytest.mark.parametrize("statistic", REDUCTIONS)
@pytest.mark.parametrize("channel", [None, 2])
def test_statistics_are_means_over_inputs_of_the_gradient_by_hand(statistic, channel):
    model, x = net(chain), inputs((60, 60), n=5)
    expected = REDUCTIONS[statistic](by_hand(model, x, "3", (4, 3), channel)).numpy()
    found = erf.measure(model, x, "3", (4, 3), channel=channel, statistic=statistic, batch_size=2)
    assert np.abs(found.values - expected).max() <= ROUND_OFF * np.abs(expected).max()
    others = [REDUCTIONS[s](by_hand(model, x, "3", (4, 3), channel)) for s in REDUCTIONS]
    assert len({float(o.sum()) for o in others}) == 4  # so the wrong statistic would be noticed


def test_linear_networks_of_ones_give_extended_binomials():
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(4)]).double()
    for layer in model:
        nn.init.ones_(layer.weight)
    row = np.ones(1)
    for _ in range(4):
        row = np.convolve(row, np.ones(3))
    found = erf.measure(model, inputs((21, 21), n=1, channels=1))
    assert found.layer == "3" and found.unit == (10, 10) and found.centre == (10, 10)
    assert np.array_equal(found.values[6:15, 6:15], np.outer(row, row))  # whole numbers: exact


def test_batches_iterables_and_single_images_agree():
    model, x = net(chain), inputs((60, 60), n=5)
    expected = erf.measure(model, x)
    assert same_maps(erf.measure(model, iter(x)), expected)
    assert same_maps(erf.measure(model, [x[:2], x[2], x[3:]], batch_size=4), expected)


def test_the_map_is_the_mean_of_each_inputs_map():
    model, x = net(chain), inputs((60, 60), n=5)
    each = erf.measure_each(model, x, "3", (4, 3), batch_size=2)
    assert [m.n_inputs for m in each] == [1] * 5
    mean = Map(values=np.mean([m.values for m in each], axis=0))
    assert same_maps(mean, erf.measure(model, x, "3", (4, 3)))


def test_reused_modules_are_measured_at_their_last_call():
    conv = nn.Conv2d(1, 1, 3).double()
    found = erf.measure(nn.Sequential(conv, conv, conv), inputs((15, 15), 1, 1), "0", (4, 4))
    assert found.region == ((4, 10), (4, 10)) and np.count_nonzero(found.values) == 49


def test_gradients_that_vanish_are_counted_and_stay_in_the_mean():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU()).double()
    nn.init.ones_(model[0].weight)
    x = torch.tensor([1.0, -1.0, 2.0, -2.0, -3.0]).double().reshape(5, 1, 1, 1).expand(5, 1, 3, 3)
    found = erf.measure(model, x)
    assert found.n_zero == 3 and found.values[1, 1] == pytest.approx(2 / 5)


def test_gradients_that_are_not_finite_are_refused():
    x = inputs((30, 30), n=3)
    x[1] = torch.nan
    with pytest.raises(ValueError, match="gradient of input 1 at '11' is not finite"):
        erf.measure(net(dilated), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "bodi"}, "no layer 'bodi'; nearest: 'body'"),
        ({"layer": "head"}, "no plane"),
        ({"layer": "body", "unit": (40, 0)}, r"unit must lie in \(0, 0\) to \(7, 7\) at 'body'"),
        ({"layer": "body", "channel": 9}, "channel must lie in 0 to 3"),
        ({"statistic": "max"}, "statistic must be one of abs, square"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"inputs": torch.zeros(0, 2, 9, 9)}, "holds no image"),
        ({"inputs": []}, "holds no image"),
        ({"inputs": torch.zeros(3, 9)}, "must be tensors"),
        ({"inputs": [torch.zeros(2, 30, 30), torch.zeros(2, 29, 30)]}, "must have one size"),
        ({"inputs": torch.zeros(1, 3, 30, 30)}, r"refused an input of size \(3, 30, 30\)"),
    ],
)
def test_bad_input_is_one_line(options, message):
    options = {"inputs": inputs((30, 30)), **options}
    with pytest.raises(ValueError, match=message) as caught:
        erf.measure(net(Branches), **options)
    assert "\n" not in str(caught.value)
