"""The projected gradient: against counts, against powers, and what is made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from erfbook import rf
from erfbook.errors import UserError
from erfbook.experiments import importance_plans as plans
from erfbook.experiments import importance_study as study
from erfbook.experiments import importance_tables as tables
from erfbook.experiments.importance import (
    choose_units,
    find_last_conv,
    project,
    run_importance,
)
from erfbook.experiments.importance_paths import count_paths, predict_power, read_steps
from erfbook.experiments.registry import Workspace, obtain
from erfbook.models.residual import ConvSpec, ResidualUnit
from erfbook.records import Store
from erfbook.records.compact import expand
from erfbook.theory.checkerboard import spread

TINY = replace(plans.SMOKE, width=1 / 64, n_networks=4)


class SumPool(nn.Module):
    """A pool of ones, which counts what a max pool chooses among."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x):
        k, s, p = self.pool.kernel_size, self.pool.stride, self.pool.padding
        rows = x.shape[2]
        n = nn.functional.max_pool2d(x, k, s, p, ceil_mode=self.pool.ceil_mode).shape[2]
        end = max(0, (n - 1) * s + k - p - rows)
        return nn.functional.avg_pool2d(nn.functional.pad(x, (p, end, p, end)), k, s) * k * k


def build_thin(kind: str, stride: int, *, round_up: bool = True) -> nn.Sequential:
    """Return a small network of one channel in every layer, with the study's pool."""
    config = replace(plans.configure(TINY, "vgg", stride), width=1e-6, round_up=round_up)
    if kind == "vgg":
        return replace(config, stages=(2, 1, 1)).build()
    stem = replace(config, stages=(1,)).build()  # a convolution and the pool
    specs = [ConvSpec(1, 1, 1), ConvSpec(3, 1, 1), ConvSpec(1, 1, 1)]
    strided = [specs[0], ConvSpec(3, 2, 1), specs[2]]
    units = [ResidualUnit(1, s) for s in (specs, specs, strided, specs)]
    return nn.Sequential(*stem, *units).eval()


def make_countable(features: nn.Sequential) -> nn.Sequential:
    """Set weights to one and take out what is not a count."""
    features = features.double()
    for name, module in list(features.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            features.set_submodule(name, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            features.set_submodule(name, SumPool(module))
    return features


@pytest.mark.parametrize("round_up", [True, False])
@pytest.mark.parametrize("stride", plans.STRIDES)
@pytest.mark.parametrize("kind", plans.ARCHITECTURES)
def test_paths_are_the_gradient_of_weights_of_one(kind, stride, round_up):
    """Whole numbers below 2^53 in float64 are equal to the last digit; ReLU sees positive ones."""
    features = build_thin(kind, stride, round_up=round_up)
    paths = count_paths(read_steps(features), 20)
    images = torch.ones(1, 3, 20, 20).double()
    gradient, _ = project(make_countable(features), images, place="plane")
    assert (gradient[0, 0].numpy() == paths.astype(float)).all()
    assert paths.max() > 9


def test_counting_that_forgets_a_border_a_stride_or_a_shortcut_is_rejected():
    right = read_steps(build_thin("resnet50", 2))
    paths = count_paths(right, 20)
    forgotten = {
        "border": [replace(s, grid=replace(s.grid, padding=0)) for s in right[:1]] + [*right[1:]],
        "pool": [right[0], replace(right[1], grid=replace(right[1].grid, kernel=2)), *right[2:]],
        "shortcut": [*right[:2], *right[2].branch, *right[3:]],
        "branch": [*right[:2], *right[3:]],
    }
    for steps in forgotten.values():
        assert (count_paths(tuple(steps), 20) != paths).any()


@pytest.mark.parametrize("kind", plans.ARCHITECTURES)
def test_the_gradient_stays_inside_the_field_and_paths_fill_it(kind):
    features = build_thin(kind, 1)
    field = rf.analyze(features, (3, 40, 40))[""]
    gradient, plane = project(features, torch.randn(1, 3, 40, 40), place="plane")
    unit = choose_units(plane[0], "later")[0]
    (top, bottom), (left, right) = field.region((unit, unit), clip=True)
    inside = torch.zeros(40, 40, dtype=torch.bool)
    inside[top : bottom + 1, left : right + 1] = True
    assert inside.sum() < 1600
    assert not gradient[0][:, ~inside].any()
    assert ((count_paths(read_steps(features), 40) > 0) == inside.numpy()).all()


def test_the_ones_sit_at_the_last_convolution_or_behind_the_last_relu():
    config = plans.configure(TINY, "resnet50", 2)
    features = config.build()
    assert find_last_conv(features) is features[-1][-1].convs[-1].conv
    vgg = plans.configure(TINY, "vgg", 2).build()
    assert find_last_conv(vgg) is vgg[-1].conv
    images = torch.randn(1, 3, 64, 64)
    at_conv, _ = project(features, images, place="conv")
    at_plane, _ = project(features, images, place="plane")
    assert at_conv.any() and at_plane.any()
    assert not torch.equal(at_conv, at_plane)


def test_all_central_units_give_the_sum_of_each():
    """Gradients add; float32 rounding of a few hundred terms stays below 1e-4 of the largest."""
    features = plans.configure(TINY, "vgg", 1).build()
    images = torch.randn(1, 3, 64, 64)
    whole, plane = project(features, images, unit="all")
    assert plane == (4, 4)
    hooked: list[torch.Tensor] = []
    handle = features[-1].conv.register_forward_hook(lambda m, i, o: hooked.append(o))
    leaf = images.clone().requires_grad_()
    features(leaf)
    handle.remove()
    parts = [
        torch.autograd.grad(hooked[0][:, :, i, j].sum(), leaf, retain_graph=True)[0]
        for i in (1, 2)
        for j in (1, 2)
    ]
    assert torch.allclose(sum(parts), whole, atol=1e-4 * float(whole.abs().max()), rtol=0)


@pytest.fixture(scope="module")
def linear_squares():
    """Mean square of the gradient of 300 networks without ReLU and norm, and their prediction."""
    config = replace(plans.configure(TINY, "vgg", 2), stages=(2, 1), width=1 / 8, side=20)
    total = np.zeros((20, 20))
    torch.manual_seed(3)
    for _ in range(300):
        features = config.build()
        for name, module in list(features.named_modules()):
            if isinstance(module, nn.ReLU | nn.BatchNorm2d):
                features.set_submodule(name, nn.Identity())
        gradient, _ = project(features, torch.randn(1, 3, 20, 20))
        total += (gradient[0] ** 2).mean(dim=0).numpy() / 300
    return config, features, total


def test_powers_add_over_paths_in_a_linear_network(linear_squares):
    """A square of a normal has relative spread sqrt 2, so the mean of 300 has 8 % a pixel; the sum
    of dozens of partly dependent pixels is known to a few per cent."""
    config, features, measured = linear_squares
    predicted = predict_power(config, features)
    assert measured.sum() == pytest.approx(predicted.sum(), rel=0.1)
    assert np.corrcoef(measured.ravel(), predicted.ravel())[0, 1] > 0.95


def test_a_pool_that_hands_its_gradient_to_all_pixels_is_rejected(linear_squares, monkeypatch):
    from erfbook.experiments import importance_paths

    def to_all(plane, grid, n_pixels, *, chooses=False):
        return spread(plane, grid, n_pixels)

    config, features, measured = linear_squares
    monkeypatch.setattr(importance_paths, "spread", to_all)
    assert predict_power(config, features).sum() > 5 * measured.sum()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("records"))
    config = plans.configure(TINY, "vgg", 2)
    return obtain(plans.PIXEL_IMPORTANCE, config, [0, 1], store), store, config


def test_a_record_holds_every_maximum_and_the_mean_map(records):
    (first, second), store, config = records
    assert len(first.metrics["maxima"]) == 4 and first.metrics["plane"] == [3, 3]
    assert first.metrics["maxima"] != second.metrics["maxima"]
    both = study.gather([first, second])
    assert both.maxima.shape == (8, 1) and both.maps.shape == (8, 64, 64)
    top = both.summed.max()
    assert both.maps.max() == pytest.approx(top, rel=1e-6)  # each group is one projection here
    assert (np.array(first.metrics["maxima"]) <= np.array(first.metrics["maxima_summed"])).all()
    assert study.pick(study.index([store]), {2: config})[2].n == 8
    assert study.pick(study.index([store]), {2: config, 4: plans.configure(TINY, "vgg", 4)}) == {}


def test_a_run_is_the_same_when_repeated_and_another_behind_another_pool(records):
    (first, _), _, config = records
    again = run_importance(config, 0, Workspace())
    assert again.metrics["maxima"] == first.metrics["maxima"]
    other = run_importance(replace(config, pool_stride=3), 0, Workspace())
    assert other.metrics["maxima"] != first.metrics["maxima"]


def test_projections_of_one_network_differ_by_their_image_alone():
    config = replace(plans.configure(TINY, "vgg", 2), n_networks=1, n_images=3, n_groups=3)
    outcome = run_importance(config, 0, Workspace())
    assert len(set(outcome.metrics["maxima"])) == 3
    assert expand(outcome.arrays, "maps").shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "middle"}, "unit must be one of later, earlier, all, not 'middle'"),
        ({"norm": "train"}, "norm must be one of initial, batch, none"),
        ({"n_groups": 9}, "n_groups must lie in 1 to the 4 projections, not 9"),
    ],
)
def test_settings_that_are_none_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        run_importance(replace(plans.configure(TINY, "vgg", 1), **change), 0, Workspace())


def fake(maps: np.ndarray, maxima: np.ndarray | None = None) -> study.Projection:
    maxima = np.ones((5, 1)) if maxima is None else maxima
    return study.Projection({}, maxima, maxima, 1.0, maps, maps.mean(0), 4)


def test_a_spectrum_reads_a_checkerboard_as_its_counts_say():
    """Counts 2, 1 have 1/3 of the mean at period 2; 2, 1, 1, 1 have 1/5 at periods 4 and 2."""
    rows = np.tile([2.0, 1.0], 32)
    assert study.measure_spectrum(np.outer(rows, rows))[24] == pytest.approx(1 / 3, abs=1e-12)
    rows = np.tile([2.0, 1.0, 1.0, 1.0], 16)
    spectrum = study.measure_spectrum(np.outer(rows, rows))
    assert spectrum[[12, 24]] == pytest.approx([1 / 5, 1 / 5], abs=1e-12)
    smooth = np.outer(*[np.exp(-((np.arange(64) - 30.0) ** 2) / 800)] * 2)
    assert study.measure_spectrum(smooth)[8:].max() < 1e-3
    with pytest.raises(ValueError, match="60 px or more, not 40"):
        study.measure_spectrum(np.ones((40, 40)))


def test_patterns_correlate_without_their_noise():
    """Truth r = 0.6 with noise as strong as the pattern: the plain one is near 0.55."""
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=(2, 64, 64))
    b = 0.6 * a + 0.8 * c
    noisy = [fake(5 + x + rng.normal(size=(10, 64, 64))) for x in (a, 3 * b)]
    found = study.compare_patterns(*noisy)
    assert found.low < 0.6 < found.high and found.high - found.low < 0.15
    plain = np.corrcoef(noisy[0].map.ravel(), noisy[1].map.ravel())[0, 1]
    assert plain < found.value


def test_a_coarse_comparison_does_not_see_a_checkerboard():
    hill = np.outer(*[np.exp(-((np.arange(64) - 30.0) ** 2) / 800)] * 2)
    board = np.outer(*[np.tile([1.8, 0.2], 32)] * 2)
    noise = 1e-3 * np.random.default_rng(1).normal(size=(2, 6, 64, 64))
    pair = fake(hill + noise[0]), fake(hill * board + noise[1])
    assert study.compare_patterns(*pair).value < 0.5
    assert study.compare_patterns(*pair, coarse=True).value > 0.99


def test_a_radius_is_that_of_the_mass():
    ring = np.zeros((4, 64, 64))
    ring[:, 32, [22, 42]] = ring[:, [22, 42], 32] = 1
    assert study.measure_radius(fake(ring)).value == pytest.approx(10)


def test_a_fall_is_certain_only_with_an_interval_and_enough_networks():
    rng = np.random.default_rng(2)

    def four(n, drop, sigma=0.1):
        return {
            s: fake(np.ones((4, 64, 64)), drop**-s * (1 + sigma * rng.normal(size=(n, 1))))
            for s in plans.STRIDES
        }

    assert study.falls(four(50, 1.5)) is True
    assert study.falls(four(50, 1.0)) is False
    assert study.falls(four(50, 0.7)) is False
    assert study.falls(four(4, 1.5)) is None


def test_the_printed_numbers_miss_themselves_by_nothing():
    for kind in plans.ARCHITECTURES:
        exact = {
            s: fake(np.ones((4, 64, 64)), np.full((5, 1), plans.PRINTED[kind][s - 1][0]))
            for s in plans.STRIDES
        }
        tenth = {
            s: fake(np.ones((4, 64, 64)), np.full((5, 1), plans.PRINTED[kind][s - 1][0] / 10))
            for s in plans.STRIDES
        }
        assert study.measure_miss(exact, kind) == pytest.approx((0, 0), abs=1e-12)
        assert study.measure_miss(tenth, kind) == pytest.approx((1, 0), abs=1e-12)
        assert study.find_nearest({"far": tenth, "near": exact}, kind) == "near"


def test_every_change_changes_something_and_every_plan_has_names_of_its_own():
    for profile, plan in plans.PIXEL_IMPORTANCE.plans.items():
        names = [config.name for config, _ in plan]
        assert len(set(names)) == len(names), profile
        assert len({replace(config, name="") for config, _ in plan}) == len(names), profile


def test_prediction_falls_with_the_pool_and_has_the_checkerboards_of_even_strides():
    sigmas = tables.predict_all(TINY)
    for kind in plans.ARCHITECTURES:
        decline = list(tables.predict_decline(sigmas[kind]).values())
        assert decline == sorted(decline, reverse=True) or kind == "resnet50"
    waves = {s: study.measure_spectrum(sigmas["vgg"][s]) for s in plans.STRIDES}
    assert waves[2][24] > 0.05 and waves[4][12] > 0.03
    assert max(waves[1][12:].max(), waves[3][12:].max()) < 0.005
