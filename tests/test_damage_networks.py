"""Plain networks: where their weights are, how they begin, and the field that theory predicts."""

import math

import numpy as np
import pytest
import torch
from theory_oracles import rejects

from erfbook import erf, rf, theory
from erfbook.errors import UserError
from erfbook.experiments import damage_fields, damage_plans, damage_runs
from erfbook.models.plain import PlainConvNet, SparseConv2d, initialise

WINDOWS = {"dense": 3, "dilated": 5, "sparse": 7}


def make_sparse(window=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    conv = SparseConv2d(4, 5, window=window, generator=generator).double()
    with torch.no_grad():
        conv.weight.normal_(generator=generator)
        conv.bias.normal_(generator=generator)
    return conv


def gather(conv, x):
    """Read each tap's shifted plane by itself and add: no convolution of the window."""
    reach, n_in = conv.window // 2, x.shape[1]
    wide = torch.nn.functional.pad(x, [reach] * 4)
    rows, columns = x.shape[2:]
    planes = []
    for o, places in enumerate(conv.taps.tolist()):
        plane = conv.bias[o].expand(len(x), rows, columns).clone()
        for t, place in enumerate(places):
            top, left = divmod(place, conv.window)
            for i in range(n_in):
                moved = wide[:, i, top : top + rows, left : left + columns]
                plane = plane + conv.weight[o, i, t] * moved
        planes.append(plane)
    return torch.stack(planes, dim=1)


def test_sparse_convolution_is_the_sum_of_its_shifted_planes():
    conv = make_sparse()
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def check(other):
        # 36 products a value in float64, added in another order
        assert torch.allclose(conv(x), gather(other, x), atol=1e-12)
        for weight in (conv.weight, other.weight):
            weight.grad = None
        conv(x).square().sum().backward()
        ours = conv.weight.grad.clone()
        conv.weight.grad = None
        gather(conv, x).square().sum().backward()
        assert torch.allclose(ours, conv.weight.grad, rtol=1e-10)

    check(conv)
    rejects(check, make_sparse(seed=3))


def test_each_filter_has_nine_places_of_its_own():
    conv = make_sparse()
    assert all(len(set(places)) == 9 for places in conv.taps.tolist())
    assert len({tuple(sorted(places)) for places in conv.taps.tolist()}) > 1
    assert (conv.kernel() != 0).sum(dim=(2, 3)).eq(9).all()
    assert math.isclose(float(conv.coverage().sum()), 9, rel_tol=1e-6)


def test_all_connections_have_the_same_number_of_weights():
    counts = {
        sum(p.numel() for p in PlainConvNet(4, connections=c, window=w).parameters())
        for c, w in WINDOWS.items()
    }
    assert len(counts) == 1


@pytest.mark.parametrize("connections", WINDOWS)
def test_the_field_spans_the_windows_of_all_layers(connections):
    window = WINDOWS[connections]
    model = PlainConvNet(4, depth=3, connections=connections, window=window)
    assert rf.analyze(model, (3, 32, 32))["features"].size == (3 * (window - 1) + 1,) * 2


@pytest.mark.parametrize("base", ["he", "xavier"])
@pytest.mark.parametrize("contrast", [1.0, 4.0, math.inf])
def test_a_kernels_total_variance_is_the_base_schemes(base, contrast):
    profile = theory.soft_kernel(3, contrast)
    model = PlainConvNet(64, depth=2)
    initialise(model, base=base, profile=torch.from_numpy(profile), seed=0)
    weight = model.convolutions()[1].weight.detach().double().numpy()
    expected = (2 if base == "he" else 1) / 64
    # the mean of 64 * 64 * 4 squares or more has a relative deviation of sqrt(2 / 16384) = 1.1 %
    assert math.isclose((weight**2).sum(axis=(2, 3)).mean(), expected, rel_tol=0.05)
    # each tap's share over 4096 draws: sqrt(2 / 4096) = 2.2 %
    found = (weight**2).mean(axis=(0, 1)) / (weight**2).mean(axis=(0, 1)).sum()
    assert np.allclose(found, profile, rtol=0.12, atol=0)


def test_starts_of_one_seed_share_their_draws():
    profile = torch.from_numpy(theory.soft_kernel(3, 4.0))
    he = initialise(PlainConvNet(4), seed=3).convolutions()[2].weight
    soft = initialise(PlainConvNet(4), profile=profile, seed=3).convolutions()[2].weight
    assert torch.allclose(soft, he * (9 * profile).sqrt().float(), rtol=1e-5)
    he, xavier = (initialise(PlainConvNet(4), base=b, seed=3).head.weight for b in ("he", "xavier"))
    assert torch.equal(he, xavier)


@pytest.mark.parametrize("kind", ["he", "soft", "corners", "dilated5", "sparse5", "sparse7"])
def test_power_of_linear_networks_is_the_predicted_one(kind):
    """Averaged over networks, E[g^2] is exact: no ReLU, one output unit, independent weights."""
    scale = damage_plans.choose_scale(
        "smoke", dataset="patches32", depth=3, channels=6, shrink=1, norm=False
    )
    config = damage_plans.configure(scale, kind)
    predicted = damage_runs.predict_network_power(config, seed=0)
    side, n = len(predicted), 400
    total, totals = np.zeros((side, side)), []
    base = damage_runs.make_network(config, 1, 0)  # sparse taps of seed 0, kept for all draws
    linear = torch.nn.Sequential(*base.convolutions())
    profile = None if kind.startswith("sparse") else torch.from_numpy(config.kernel())
    for draw in range(n):
        initialise(base, profile=profile, seed=1000 + draw)
        x = torch.zeros(1, 3, side, side, requires_grad=True)
        linear(x)[0, :, side // 2, side // 2].sum().backward()
        total += x.grad[0].double().square().sum(0).numpy()
        totals.append(float(x.grad.square().sum()))

    def check(power):
        # 12 cells of about equal mass: each is a mean of n maps whose totals scatter by their own
        # relative deviation; 5 standard errors, doubled for what one cell scatters more
        spread = 10 * np.std(totals) / np.mean(totals) / math.sqrt(n)
        cells = np.array_split(np.argsort(power.ravel()), 12)[6:]
        for cell in cells:
            ours, theirs = power.ravel()[cell].sum(), total.ravel()[cell].sum() / total.sum()
            assert abs(ours - theirs) <= spread * theirs + 1e-12
        assert (total[power == 0] == 0).all()

    check(predicted)
    rejects(check, np.roll(predicted, 2, axis=0) if kind == "corners" else _flat(predicted))


def _flat(power):
    return np.full_like(power, 1 / power.size)


def test_measured_sizes_are_near_the_predicted_ones():
    scale = damage_plans.choose_scale("laptop", dataset="patches32", depth=4, shrink=1, norm=False)
    kinds = {kind: damage_plans.configure(scale, kind) for kind in ("he", "corners")}
    fields = damage_fields.measure_initial_fields(kinds, n_networks=6, n_resamples=20)
    for field in fields.values():
        for metric, estimate in field.sizes.items():
            # a pixel more or less on the rim of a field of 8, and 16 channels for a wide network
            assert math.isclose(estimate.value, field.predicted_sizes[metric], rel_tol=0.08)
    found, predicted = damage_fields.compare_fields(fields["corners"], fields["he"])["pixels"]
    assert found.high < 1 and predicted < 1
    named = damage_fields.name_fields(fields, {"corners": {"pixels": (found, predicted)}})
    assert named["fields_same_weights"]["value"] is True


def test_a_dark_middle_has_no_size_by_pixels():
    power = theory.predict_kernel_power([theory.corner_kernel(3)] * 3)
    sizes = damage_runs.measure_field_sizes(erf.Map(values=power, centre=(3.0, 3.0)))
    assert math.isnan(sizes["pixels"]) and sizes["mass"] > 0 and sizes["moments"] > 0
    dead = damage_runs.measure_field_sizes(erf.Map(values=np.zeros((5, 5)), centre=(2.0, 2.0)))
    assert all(math.isnan(size) for size in dead.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "normal"}, "base must be one of he, xavier, not 'normal'"),
        ({"profile": "ring"}, "profile must be one of"),
        ({"profile": "soft"}, "contrast must be above 1 for a soft profile"),
        ({"contrast": 2.0}, "contrast must be above 1 for a soft profile and 1 for any other"),
        ({"connections": "sparse", "window": 7, "profile": "corners"}, "they have no centre"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        damage_runs.DamageConfig(name="x", dataset="patches32", **changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PlainConvNet(connections="grid"), "connections must be one of"),
        (lambda: PlainConvNet(connections="sparse", window=4), "window must be odd"),
        (lambda: PlainConvNet(window=5), "window must be 3 for dense"),
        (lambda: initialise(PlainConvNet(2), base="x", seed=0), "base must be one of"),
        (
            lambda: initialise(PlainConvNet(2), profile=torch.ones(5, 5) / 25, seed=0),
            "profile must be of the kernel's shape",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
