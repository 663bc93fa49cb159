"""The study of trained and untrained copies, on a network small enough to check by hand."""

import copy
import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from erfbook import erf, models, plots
from erfbook.experiments import lite0, photographs


def make_net():
    conv = nn.Conv2d(3, 4, 5, padding=2, bias=False)
    second = nn.Conv2d(4, 4, 5, padding=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.Tanh(), second, nn.BatchNorm2d(4), nn.Tanh())


def narrow_net():
    """A "trained" network whose kernels look at their centre tap nearly alone."""
    torch.manual_seed(5)
    model = make_net()
    with torch.no_grad():
        for conv in (model[0], model[3]):
            centre = conv.weight[:, :, 2, 2].clone()
            conv.weight.mul_(0.05)
            conv.weight[:, :, 2, 2] = centre.sign()
    return model


@pytest.fixture(scope="module")
def crops():
    torch.manual_seed(0)
    return torch.randn(6, 3, 24, 24)


@pytest.fixture(scope="module")
def study(crops):
    layers = ("2", "5")
    return photographs.study_photographs(
        narrow_net(), make_net, crops, layers, n_seeds=2, n_resamples=20
    )


def test_the_trained_map_is_the_plain_measurement(study, crops):
    expected = erf.measure(narrow_net(), crops, "5").values
    found = study["trained", "5"].map.values
    # float32 gradients; the study brings the mass to one
    assert np.allclose(found, expected / expected.sum(), rtol=1e-4, atol=1e-9)
    assert study["trained", "5"].map.n_inputs == 6 and study["untrained", "5"].map.n_inputs == 12


def test_a_network_that_looks_at_its_centre_is_smaller_than_its_copies(study):
    for kind in ("untrained", "fresh", "shuffled"):
        for metric in ("mass", "moments"):
            assert study.ratios[kind, "5", metric].high < 1, (kind, metric)
    assert study["trained", "5"].field.size == (9, 9) and study["trained", "5"].seen_px == 9


def test_ratios_of_the_trained_network_to_itself_are_one(study):
    for layer in study.layers:
        for metric in photographs.METRICS:
            ratio = study.ratios["trained", layer, metric]
            assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)


def check_calibrated(calibrate, crops):
    """After calibration every batch norm's output has mean 0 and variance 1 over the crops."""
    torch.manual_seed(1)
    model = make_net().eval()
    calibrate(model, crops)
    with torch.no_grad():
        for norm in (2, 5):
            out = model[:norm](crops)
            # one batch holds all crops, so its statistics are exact; float32 sums of 3456 terms
            # leave 1e-5, and the epsilon of 1e-5 in the root a share of 1e-4 of the variance
            assert out.mean((0, 2, 3)).abs().max() < 1e-4
            assert (out.var((0, 2, 3)) - 1).abs().max() < 1e-3
    assert not model.training and model[1].momentum == 0.1


def test_calibration_normalises_every_layer(crops):
    check_calibrated(lambda m, x: photographs.calibrate_batch_norm(m, x, batch_size=6), crops)


def moving_average(model, crops):
    """What one pass in training mode does by default: a tenth of the way."""
    model.train()
    with torch.no_grad():
        model(crops)
    model.eval()


@pytest.mark.parametrize("wrong", [moving_average, lambda model, crops: None])
def test_a_wrong_calibration_is_rejected(wrong, crops):
    with pytest.raises(AssertionError):
        check_calibrated(wrong, crops)


def test_shuffling_keeps_each_tensors_values_and_leaves_the_model_alone():
    model = narrow_net()
    before = copy.deepcopy(model.state_dict())
    shuffled = photographs.shuffle_weights(model, seed=0)
    for (name, old), new in zip(model.named_parameters(), shuffled.parameters(), strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
        assert torch.equal(old, before[name])
    assert not torch.equal(model[0].weight, shuffled[0].weight)


def test_the_three_sizes_agree_on_a_gaussian_and_only_there():
    x = np.arange(121) - 60.0
    bell = np.exp(-0.5 * (x / 9.0) ** 2)
    middle = erf.Map(values=np.outer(bell, bell), centre=(60.0, 60.0))
    sizes = photographs.measure_sizes(middle)
    # counting whole pixels errs by a per cent at this width
    assert np.ptp(list(sizes.values())) < 0.01 * sizes["moments"]
    peaked = np.exp(-np.abs(x) / 9.0)
    other = photographs.measure_sizes(dataclasses.replace(middle, values=np.outer(peaked, peaked)))
    assert np.ptp(list(other.values())) > 0.1 * other["moments"]


def test_names_follow_the_field_and_figures_draw(study):
    named = photographs.name_photographs(study)
    assert named["size_trained_9"]["value"] == study["trained", "5"].sizes["mass"].value
    assert named["ratio_fresh_mass_5"]["value"] == study.ratios["fresh", "2", "mass"].value
    assert named["n_comparisons"]["value"] == 6 and named["n_zero"]["value"] == 0
    for draw, shape, rest in (
        (plots.plot_photograph_maps, (4, 2), ()),
        (plots.plot_photograph_sizes, (1, 3), ()),
        (plots.plot_photograph_ratios, (1, 3), ()),
        (plots.plot_photograph_profiles, (1, 2), (study.layers,)),
    ):
        fig, axes = plots.figure(*shape)
        assert draw(axes, study, *rest) is axes
        fig.canvas.draw()
        plt.close(fig)


def test_unknown_kinds_are_refused(crops):
    with pytest.raises(ValueError, match="kind must be one of trained, untrained"):
        photographs.make_copy("tired", narrow_net(), make_net, crops, 0)


def test_lite0_knows_a_cup_of_coffee_and_a_cat():
    model = lite0.load_lite0()
    assert lite0.classify(model, "coffee")[1] == "espresso"
    assert lite0.classify(model, "cat")[1] in ("Egyptian cat", "tabby", "tiger cat")


def test_untrained_models_follow_the_seed():
    def weight():
        torch.manual_seed(7)
        return models.load_model("resnet18").conv1.weight

    assert torch.equal(weight(), weight())
