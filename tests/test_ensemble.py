"""Batched random networks against autograd through plain modules, and against exact powers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from erfbook import erf, theory
from erfbook.erf import ensemble, random_networks
from erfbook.erf.random_networks import Networks, backpropagate, draw_networks
from erfbook.theory import Layer

STACKS = {
    "plain": [Layer()] * 3,
    "stride": [Layer(), Layer(stride=2), Layer(stride=2), Layer()],
    "dilation": [Layer(dilation=2), Layer(dilation=3), Layer()],
    "residual": [Layer(residual=True), Layer(residual=True, dilation=2), Layer(residual=True)],
    "dropout": [Layer(keep=0.5), Layer(keep=0.8), Layer()],
    "pointwise": [Layer(kernel=1, residual=True), Layer(kernel=2), Layer(kernel=5)],
    "mixed": [Layer(dilation=2), Layer(residual=True, keep=0.7), Layer(stride=2), Layer(kernel=4)],
}
DTYPE = torch.float64


def reference_gradient(networks: Networks, which: int, image, masks, *, ignore_dilation=False):
    """Gradient of one network's centre unit by autograd, built from plain modules."""
    x = leaf = image.clone().requires_grad_()
    x = x[None, None]
    activation = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}.get(
        networks.activation, nn.Identity()
    )
    for depth, (layer, kernels) in enumerate(zip(networks.layers, networks.kernels, strict=True)):
        kernel = kernels[which]
        dilation = 1 if ignore_dilation else layer.dilation
        conv = nn.Conv2d(
            *kernel.shape[1::-1], layer.kernel, layer.stride, 0, dilation, bias=False, dtype=DTYPE
        )
        conv.weight.data = kernel
        z = activation(x) if networks.order == "before" else x
        if masks[depth] is not None:
            z = z * masks[depth][:1, which]
        y = conv(z)
        if layer.residual:
            edge = (x.shape[-1] - y.shape[-1]) // 2
            y = y + x[:, : y.shape[1], edge : x.shape[-1] - edge, edge : x.shape[-1] - edge]
        x = activation(y) if networks.order == "after" else y
    middle = (x.shape[-1] - 1) // 2
    (gradient,) = torch.autograd.grad(x[0, 0, middle, middle], leaf)
    return gradient


def batched_gradients(monkeypatch, stack, activation, order, seed=0):
    """The block's gradients, with the images and the dropout masks they were computed with."""
    masks = []
    draw_mask = random_networks._dropout_mask

    def recording(*args):
        masks.append(draw_mask(*args).to(DTYPE))
        return masks[-1]

    monkeypatch.setattr(random_networks, "_dropout_mask", recording)
    networks = draw_networks(
        stack, 4, activation=activation, channels=3, order=order, seed=seed, dtype=DTYPE
    )
    images = torch.randn(1, 4, networks.input_px, networks.input_px, dtype=DTYPE)
    gradients = backpropagate(networks, images, seed=seed + 1)[0]
    drawn = iter(masks)
    by_layer = [next(drawn) if layer.keep < 1 else None for layer in stack]
    return networks, images[0], gradients, by_layer


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("order", ["after", "before"])
def test_each_network_of_a_batch_equals_autograd(monkeypatch, stack, activation, order):
    torch.manual_seed(5)
    networks, images, gradients, masks = batched_gradients(monkeypatch, stack, activation, order)
    for which in range(4):
        expected = reference_gradient(networks, which, images[which], masks)
        # float64 sums of a few hundred products of order 1: 1e-10 is 1e5 roundings.
        torch.testing.assert_close(gradients[which], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("wrong", ["groups mixed up", "dilation ignored"])
def test_autograd_check_rejects_wrong_networks(monkeypatch, wrong):
    torch.manual_seed(5)
    stack = [Layer(dilation=2), Layer(), Layer()]
    networks, images, gradients, masks = batched_gradients(monkeypatch, stack, "tanh", "after")
    if wrong == "groups mixed up":
        expected = reference_gradient(networks, 1, images[0], masks)
    else:
        expected = reference_gradient(networks, 0, images[0], masks, ignore_dilation=True)
    assert not torch.allclose(gradients[0], expected, rtol=1e-3, atol=1e-6)


def projections(power: np.ndarray) -> np.ndarray:
    """Total, spread, corner share and checkerboard of maps: what strides and dilation change."""
    x = np.arange(power.shape[-1]) - (power.shape[-1] - 1) / 2
    spread = x[:, None] ** 2 + x**2
    edge = np.maximum(abs(x[:, None]), abs(x)) > 0.6 * x.max()
    parity = (-1.0) ** np.floor(x[:, None]) + (-1.0) ** np.floor(x)
    weights = np.stack([np.ones_like(spread), spread, edge, parity])
    return np.tensordot(power, weights, axes=((-2, -1), (1, 2)))


def z_scores(stack, predicted, channels=4, n=2500):
    """Standard errors between the measured mean of g^2 and a prediction, by projection."""
    maps = erf.measure_ensemble(stack, n, channels=channels, seed=11)
    runs = projections(maps.statistic("square"))
    return (runs.mean(0) - projections(predicted)) / (runs.std(0, ddof=1) / math.sqrt(n))


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_mean_power_is_the_exact_prediction(stack):
    # Four projections, seven stacks: 4 standard errors are exceeded once in 500 such sets.
    assert np.abs(z_scores(stack, theory.predict_gradient_power(stack))).max() < 4


@pytest.mark.parametrize("name", ["stride", "dilation", "residual", "dropout"])
def test_mean_power_check_rejects_an_ignored_structure(name):
    plain = theory.predict_gradient_power([Layer(kernel=layer.kernel) for layer in STACKS[name]])
    side = theory.receptive_field_size(STACKS[name])
    wrong = np.pad(plain, (side - len(plain)) // 2)
    assert np.abs(z_scores(STACKS[name], wrong)).max() > 8


def test_single_channel_power_is_the_exact_prediction_too():
    stack = [Layer()] * 3
    assert np.abs(z_scores(stack, theory.predict_gradient_power(stack), channels=1)).max() < 4


def test_equal_weights_give_the_trinomial_map():
    maps = erf.measure_ensemble([Layer()] * 6, 1, weights="ones")
    row = np.array([1.0])
    for _ in range(6):
        row = np.convolve(row, [1, 1, 1])
    # float32 rounds each of 6 convolutions of 9 products: well below 54 * 6e-8 of the value.
    np.testing.assert_allclose(maps.gradients[0], np.outer(row, row) / 9.0**6, rtol=4e-6)


@pytest.mark.parametrize("activation, gain", [("relu", 2.0), ("tanh", 1.0), (None, 1.0)])
def test_weight_variance_is_he_or_glorot(activation, gain):
    networks = draw_networks([Layer()] * 3, 400, activation=activation, channels=4, seed=2)
    for kernel, n_in in zip(networks.kernels, (1, 4, 4), strict=True):
        n = kernel.numel()
        relative = kernel.square().mean().item() * 9 * n_in / gain
        assert abs(relative - 1) < 5 * math.sqrt(2 / n)  # variance of a chi-squared mean


def test_half_of_relu_networks_die_by_symmetry():
    networks = draw_networks([Layer()] * 8, 200, activation="relu", seed=3)
    flipped = Networks(
        networks.layers, (*networks.kernels[:-1], -networks.kernels[-1]), "relu", "after"
    )
    inputs = torch.randn(1, 200, 17, 17, generator=torch.Generator().manual_seed(4))
    dead = [~backpropagate(n, inputs)[0].flatten(1).any(1) for n in (networks, flipped)]
    # Negating the last layer negates the output: one of the two is never positive.
    assert (dead[0] | dead[1]).all()


def test_dead_runs_are_counted_and_left_out():
    gradients = torch.tensor([[[0.0, 3.0]], [[0.0, 0.0]], [[-1.0, 1.0]]])
    maps = ensemble.EnsembleMaps(gradients)
    mean = maps.mean("abs")
    assert (maps.n_runs, maps.n_dead, mean.n_kept, mean.n_dropped) == (3, 1, 2, 1)
    np.testing.assert_allclose(mean.values, [[0.5, 2.0]])
    np.testing.assert_allclose(maps.mean("square").values, [[0.5, 5.0]])
    np.testing.assert_allclose(maps.mean("abs", equal=True).values, [[0.25, 0.75]])
    np.testing.assert_allclose(maps.mean("abs", runs=np.array([2, 2])).values, [[1.0, 1.0]])


def test_a_mean_over_dead_runs_only_is_refused():
    maps = ensemble.EnsembleMaps(torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="all 2 runs are zero"):
        maps.mean()


def test_same_seed_same_maps_and_blocks_stay_independent(monkeypatch):
    options = {"activation": "relu", "channels": 2, "n_inputs": 3, "seed": 8}
    first = erf.measure_ensemble([Layer()] * 4, 5, **options)
    again = erf.measure_ensemble([Layer()] * 4, 5, **options)
    assert torch.equal(first.gradients, again.gradients)
    assert first.n_runs == 15
    monkeypatch.setattr(ensemble, "BLOCK_BYTES", 1)  # one network a block
    split = erf.measure_ensemble([Layer()] * 4, 40)
    assert len(torch.unique(split.gradients[:, 4, 4])) == 40


def test_runs_of_one_network_follow_one_another():
    maps = erf.measure_ensemble(
        [Layer()] * 2, 3, n_inputs=2, seed=1
    )  # linear: inputs do not matter
    pairs = maps.gradients.unflatten(0, (3, 2))
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert not torch.equal(pairs[0], pairs[1])


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"n_networks": 0}, "n_networks must be at least 1, not 0"),
        ({"channels": 0}, "channels must be at least 1, not 0"),
        ({"n_inputs": 0}, "n_inputs must be at least 1, not 0"),
        ({"activation": "gelu"}, "activation must be None or one of relu, tanh, sigmoid"),
        ({"weights": "zeros"}, "weights must be 'random' or 'ones', not 'zeros'"),
        ({"order": "both"}, "order must be 'after' or 'before', not 'both'"),
        ({"layers": []}, "layers must be at least 1, not 0"),
    ],
)
def test_bad_arguments_are_named(changed, message):
    arguments = {"layers": [Layer()], "n_networks": 2, **changed}
    with pytest.raises(ValueError, match=message):
        erf.measure_ensemble(arguments.pop("layers"), arguments.pop("n_networks"), **arguments)


def test_unknown_statistic_and_wrong_input_are_named():
    maps = erf.measure_ensemble([Layer()], 2)
    with pytest.raises(ValueError, match="statistic must be 'abs' or 'square', not 'max'"):
        maps.statistic("max")
    networks = draw_networks([Layer()], 2)
    with pytest.raises(ValueError, match="inputs must have the shape"):
        backpropagate(networks, torch.zeros(1, 2, 4, 4))
