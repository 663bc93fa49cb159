"""Tools that look at one unit: each against a closed form, and wrong ones rejected."""

import dataclasses
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from erfbook import erf, experiments, plots, rf
from erfbook.experiments import (
    looks,
    looks_checks,
    looks_linear,
    looks_lite0,
    looks_occlusion,
    looks_ranks,
    looks_tools,
)
from erfbook.experiments.looks_unit import (
    Target,
    UnitValue,
    choose_target,
    go_back,
    rectifiers_follow,
)

SMALL = looks_tools.ToolSettings(
    n_steps=8, n_samples=4, n_evals=24, patch_px=4, stride_px=4, seed=0
)


def make_net(rectifier=nn.ReLU6, seed=0):
    """A field of 9 px with mixed signs; one rectifier is used twice, as in EfficientNet."""
    torch.manual_seed(seed)
    shared = rectifier()
    return (
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            shared,
            nn.Conv2d(6, 6, 3, stride=2, padding=1),
            shared,
            nn.Conv2d(6, 5, 3, padding=1),
            nn.BatchNorm2d(5),
        )
        .eval()
        .requires_grad_(False)
    )


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(3)
    return 2 * torch.randn(1, 3, 32, 32)


@pytest.fixture(scope="module")
def model():
    return make_net()


@pytest.fixture(scope="module")
def target(model, image):
    return choose_target(model, image, "4")


@pytest.fixture(scope="module")
def answers(model, image, target):
    pytest.importorskip("captum")
    pytest.importorskip("shap")
    with pytest.MonkeyPatch.context() as patch:
        # Grad-CAM of the tiny network, whose fifth module stands for the last plane.
        patch.setattr(looks, "LAST_LAYER", "4")
        net = nn.Sequential(*model, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        background = torch.randn(2, 3, 32, 32)
        return looks.ask_tools(net, image, target, background, SMALL)


# --- the unit and the rules at its rectifiers ---


def test_the_units_value_is_the_layers_output_there(model, image, target):
    row, column = target.unit
    expected = model[:5](image)[0, target.channel, row, column]
    # channels last adds in another order: 54 terms of size one in single precision
    assert torch.allclose(UnitValue(model, target)(image)[0, 0], expected, atol=1e-5)


def test_the_channel_chosen_stands_out_most_at_the_centre(model, image, target):
    plane = model[:5](image)[0].double().numpy()
    row, column = target.unit
    z = [(p[row, column] - p.mean()) / p.std(ddof=1) for p in plane]
    assert target.channel == int(np.argmax(z)) and target.z_score == pytest.approx(max(z))
    second = choose_target(model, image, "4", rank=1)
    assert second.channel == int(np.argsort(z)[-2])


def go_back_by_hand(model, image, target, rule):
    """The three rules with transposed convolutions and nothing from autograd."""
    before, x = [], image
    for module in list(model)[:5]:
        before.append(x)
        x = module(x)
    signal = torch.zeros_like(x)
    signal[0, target.channel, *target.unit] = 1.0
    for module, given in reversed(list(zip(model, before, strict=False))):
        if isinstance(module, nn.Conv2d):
            lost = given.shape[-1] - ((signal.shape[-1] - 1) * module.stride[0] + 1)
            signal = nn.functional.conv_transpose2d(
                signal, module.weight, None, module.stride, module.padding, lost
            )
            continue
        top = 6.0 if isinstance(module, nn.ReLU6) else float("inf")
        is_open = (given > 0) & (given < top)
        if rule != "gradient":
            signal = signal.relu()
        if rule != "deconvnet":
            signal = signal * is_open
    return signal


def check_rule(rule_back, model, image, target, rule):
    expected = go_back_by_hand(model, image, target, rule)
    found = rule_back(model, image, target, rule)
    # float32 sums of at most 54 terms of size one, in another order: 54 * 6e-8 = 3e-6
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("rectifier", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_going_back_follows_the_rule_at_every_rectifier(rectifier, rule, image):
    model = make_net(rectifier)
    check_rule(go_back, model, image, choose_target(model, image, "4"), rule)


@pytest.mark.parametrize("wrong", ["gradient", "deconvnet"])
def test_another_rule_is_rejected(wrong, model, image, target):
    with pytest.raises(AssertionError):
        check_rule(lambda m, x, t, _: go_back(m, x, t, wrong), model, image, target, "guided")


def test_a_network_is_left_as_it_was(model, image, target):
    before = go_back(model, image, target)
    go_back(model, image, target, "deconvnet")
    assert torch.equal(go_back(model, image, target), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_deconvnet_without_pooling_does_not_see_the_image(model, image, target):
    other = torch.randn(image.shape, generator=torch.Generator().manual_seed(9))
    assert torch.equal(
        go_back(model, image, target, "deconvnet"), go_back(model, other, target, "deconvnet")
    )
    assert not torch.equal(go_back(model, image, target), go_back(model, other, target))


def test_unknown_rules_and_networks_without_rectifiers_are_refused(model):
    with pytest.raises(ValueError, match="rule must be one of gradient, deconvnet, guided"):
        with rectifiers_follow(model, "magic"):
            pass
    with pytest.raises(ValueError, match="needs ReLU or ReLU6 modules, and the model has none"):
        with rectifiers_follow(nn.Conv2d(3, 3, 3), "guided"):
            pass


# --- a unit whose answer is known ---


def test_the_footprint_is_what_single_pixels_do():
    model = looks_linear.make_linear_network()
    report = rf.analyze(model, (3, 12, 12))
    target = Target("3", report["3"].central_unit, 1, report["3"])
    pixels = torch.eye(3 * 12 * 12).reshape(-1, 3, 12, 12)
    found = UnitValue(model, target)(pixels)[:, 0].reshape(3, 12, 12).numpy()
    # nine sums of four products of numbers below one
    assert np.allclose(looks_linear.find_footprint(model, target), found, atol=1e-5)
    assert np.array_equal((found != 0).any(axis=0), target.inside)


def test_every_tool_is_right_where_the_unit_is_linear():
    pytest.importorskip("captum")
    pytest.importorskip("shap")
    errors = looks_linear.check_known_unit()
    assert len(errors) == 13
    # the worst is a difference of two values of about 50 in single precision, over 0.3
    assert max(errors.values()) < 1e-4, errors


def test_the_known_unit_finds_a_wrong_tool(monkeypatch):
    def without_baseline(model, image, target, n_steps):
        return go_back(model, image, target)

    pytest.importorskip("captum")
    monkeypatch.setattr(looks_tools, "integrate_gradients", without_baseline)
    assert looks_linear.check_known_unit()["integrated"] > 0.1


# --- occlusion ---


def occlude_one_by_one(model, image, target, patch, starts):
    unit, effects = UnitValue(model, target), []
    for top, left in starts:
        covered = image.clone()
        covered[:, :, max(top, 0) : top + patch[0], max(left, 0) : left + patch[1]] = 0
        effects.append(float(unit(image) - unit(covered)))
    return np.array(effects)


@pytest.mark.parametrize("patch", [(1, 1), (3, 5), (8, 2)])
def test_occlusion_is_the_loss_of_each_patch(model, image, target, patch):
    starts = looks_occlusion.slide((32, 32), patch, 3)
    found = looks_occlusion.occlude(model, image, target, patch=patch, starts=starts)
    expected = occlude_one_by_one(model, image, target, patch, starts)
    # differences of two values of size one in single precision
    assert np.allclose(found.effects, expected, atol=2e-6)


def check_meets(meets, model, image, target):
    """A patch has an effect if it shares a pixel with the field, and none if it does not."""
    patch = (5, 5)
    starts = looks_occlusion.slide((32, 32), patch, 1)
    found = looks_occlusion.occlude(model, image, target, patch=patch, starts=starts)
    expected = [
        target.inside[top : top + patch[0], left : left + patch[1]].any() for top, left in starts
    ]
    assert np.array_equal(meets(starts, patch, target.box), expected)
    assert not (found.effects[~np.array(expected)] != 0).any()


def test_patches_beside_the_field_change_nothing_at_all(model, image, target):
    check_meets(looks_occlusion.meet, model, image, target)


def off_by_one(starts, patch, box):
    (top, bottom), (left, right) = box
    return looks_occlusion.meet(starts, patch, ((top, bottom + 1), (left, right)))


def test_a_field_one_pixel_too_large_is_rejected(model, image, target):
    with pytest.raises(AssertionError):
        check_meets(off_by_one, model, image, target)


@pytest.mark.parametrize("width", [1, 4, 9])
def test_a_bar_has_an_effect_at_field_plus_width_less_one_positions(model, image, target, width):
    found = looks_occlusion.scan_bars(model, image, target, width)
    assert found == target.field.size[1] + width - 1


def test_the_map_reaches_a_patch_less_one_beyond_the_field(answers):
    assert answers.beyond_patch == 0
    (top, bottom), (left, right) = answers.target.box
    reach = 2 * (SMALL.patch_px - 1)
    assert answers["occlusion"].hull[0] <= bottom - top + 1 + reach
    assert answers["occlusion"].hull[1] <= right - left + 1 + reach


def test_the_mean_over_patches_by_hand():
    starts = np.array([[0, 0], [0, 1], [-1, 2]])
    found = looks_occlusion.spread(np.array([1.0, 3.0, 8.0]), starts, (2, 2), (2, 4))
    assert found.tolist() == [[1.0, 2.0, 5.5, 8.0], [1.0, 2.0, 3.0, 0.0]]


# --- what the tools answer ---


def test_what_goes_back_is_zero_outside_the_field_and_ends_at_its_border(answers):
    side = answers.target.field.size
    for tool in looks.BACKWARD:
        assert answers[tool].outside == 0 and answers[tool].share_inside == 1, tool
        assert all(n <= s for n, s in zip(answers[tool].hull, side, strict=True)), tool
    assert answers["gradient"].hull == side


def test_the_gradient_is_the_plain_measurement(answers, model, image, target):
    expected = erf.measure(model, image, "4", target.unit, channel=target.channel).values
    assert np.allclose(answers["gradient"].map, expected, rtol=1e-5, atol=1e-7)


def test_sizes_of_a_square_of_ones(target):
    values = np.zeros((32, 32))
    row, column = (int(c) for c in target.field.centre(target.unit))
    values[row - 2 : row + 3, column - 2 : column + 3] = 1
    one = looks.Look("gradient", values, target, 0.0)
    # 24 of 25 pixels are the fewest with 95.45 % of the mass
    assert one.mass_px == pytest.approx(24**0.5) and one.square_px == one.pixels_px == 5
    assert one.hull == (5, 5) and one.offset_px == pytest.approx(0) and one.share_inside == 1
    moved = dataclasses.replace(one, map=np.roll(values, (3, 4), axis=(0, 1)))
    assert moved.offset_px == pytest.approx(5)
    half = dataclasses.replace(one, map=np.where(np.arange(32) <= column, 1.0, 0.0) * (values + 1))
    assert 0 < half.share_inside < 1 and half.outside == 0.5


def test_rank_correlation_in_detail_knows_no_envelope():
    field = rf.analyze(nn.Conv2d(3, 2, 63, padding=31), (3, 80, 80))[""]
    target = Target("", (40, 40), 0, field)
    rng = np.random.default_rng(0)
    y, x = np.indices((80, 80)) - 40
    bell = np.exp(-np.maximum(np.abs(x), np.abs(y)) / 10)
    a, b = (bell * rng.uniform(0.8, 1.2, bell.shape) for _ in range(2))
    assert looks_ranks.correlate(a, b, target) > 0.9
    # 49 blocks in 10 orbits: the standard error of a correlation of nothing is 1/sqrt(39)
    assert abs(looks_ranks.correlate(a, b, target, detail=True)) < 3 / 39**0.5
    for detail in (False, True):
        assert looks_ranks.correlate(a, 2 * a, target, detail=detail) == pytest.approx(1)
    assert np.isnan(looks_ranks.correlate(a, np.zeros_like(a), target))
    away = -np.hypot(*(np.indices((80, 80)) - np.array(field.centre((40, 40)))[:, None, None]))
    cone = looks.Look("gradient", away - away.min(), target, 0.0)
    found = looks.Looks(target, torch.zeros(1, 3, 80, 80), {"gradient": cone}, SMALL)
    assert found.nearness == pytest.approx(1)
    turned = looks.Look("gradient", cone.map * (x > 0), target, 0.0)
    halved = looks.Looks(target, torch.zeros(1, 3, 80, 80), {"gradient": turned}, SMALL)
    assert 0 < halved.nearness < 0.9


def test_names_and_tables_hold_every_tool(answers):
    named = looks.name_looks(answers)
    assert named["inside_gradient_9"]["value"] == 1 and named["spread_gradient_9"]["value"] == 1
    assert np.isnan(named["rank_nearness_9"]["value"])  # blocks of so small a field lie alike
    assert list(looks.tabulate_looks(answers).index) == list(looks.LABELS.values())


def test_without_the_libraries_the_rest_is_answered(monkeypatch, model, image, target):
    monkeypatch.setattr(looks_tools, "is_installed", lambda name: False)
    found = looks.ask_tools(model, image, target, image, SMALL)
    assert found["gradient"].share_inside == found["deconvnet"].share_inside == 1
    for tool in looks.NEEDS:
        assert np.isnan(found[tool].share_inside) and np.isnan(found[tool].mass_px)
    assert np.isnan(looks.name_looks(found)["rank_partition_9"]["value"])
    assert set(looks_linear.check_known_unit()) == {"gradient", "deconvnet", "guided", "occlusion"}
    assert np.isnan(list(looks_checks.compare_with_captum(model, image, target).values())).all()


# --- what the libraries do not say ---


def test_captum_agrees_where_it_applies_and_is_the_gradient_where_it_does_not(model, image, target):
    pytest.importorskip("captum")
    found = looks_checks.compare_with_captum(model, image, target)
    for name in ("gradient", "occlusion", "deconvnet_relu", "guided_relu"):
        assert found[name] < 1e-5, name
    assert max(found["deconvnet_relu6"], found["guided_relu6"]) < 1e-5  # rounding of a sum
    plain = go_back(model, image, target)
    for rule in ("deconvnet", "guided"):
        assert not torch.allclose(go_back(model, image, target, rule), plain, rtol=0.1)


def test_sums_hold_for_integrated_gradients_and_not_for_deep_explainer(model, image, target):
    pytest.importorskip("captum")
    pytest.importorskip("shap")
    found = looks_checks.check_sums(model, image, target, 256)
    # a midpoint-like rule on a piecewise linear function: an error of some kinks' size over 256
    assert found["integrated"] < 0.05 and found["deep"] > 0.05 and found["refused"]


def test_only_expected_warnings_are_silenced():
    with pytest.warns(UserWarning, match="something else"), looks_tools.expected_warnings():
        warnings.warn("unrecognized nn.Module: ReLU6", stacklevel=1)
        warnings.warn("something else", stacklevel=1)


def test_reactions_and_figures(model, image, target, answers, monkeypatch):
    pytest.importorskip("captum")
    monkeypatch.setattr(looks_ranks, "BLOCK_PX", 1)  # the tiny field has no blocks of 8 px
    others = torch.randn(2, 3, 32, 32)
    found = looks_checks.measure_reactions(model, image, target, others, SMALL)
    assert found.correlations["deconvnet", "photograph"] == pytest.approx((1, 1), abs=1e-12)
    assert len(found.correlations["gradient", "weights"]) == 2
    subject = looks_lite0.Subject(model, "noise", image, others, (target, target))
    reaches = looks_lite0.measure_reaches(subject, (2, 6))
    assert [r.predicted - r.found for r in reaches] == [0] * 4
    for draw, shape, result in (
        (plots.plot_looks_units, (), subject),
        (plots.plot_looks_maps, (4, 4), [answers, answers]),
        (plots.plot_looks_sizes, (), [answers, answers]),
        (plots.plot_looks_reach, (), reaches),
        (plots.plot_looks_agreement, (1, 2), answers),
        (plots.plot_looks_reactions, (1, 2), [found, found]),
    ):
        fig, axes = plots.figure(*shape)
        assert draw(axes, result) is axes
        fig.canvas.draw()
        plt.close(fig)


def test_the_chapters_units_see_only_the_photograph():
    subject = experiments.load_subject("cat", 1)
    assert [t.field.size for t in subject.targets] == [(67, 67), (147, 147)]
    for one in subject.targets:
        assert one.field.region(one.unit) == one.box and one.z_score > 1
