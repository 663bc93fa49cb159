"""The loop against arithmetic written out, and against PyTorch's own optimizers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training_cases import (
    N_CLASSES,
    N_IMAGES,
    SIDE,
    differing,
    outcome,
    recipe,
    run,
    small_net,
    small_set,
)

from erfbook import training
from erfbook.datasets.sets import Split
from erfbook.errors import UserError
from erfbook.training import run as module
from erfbook.training.batches import Batches

PLAIN = {"crop_padding": 0, "flip": False}


def linear_net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, N_CLASSES))


def regress(data, how, weights, bias, *, nesterov=True, decays_bias=False, late=0):
    """Softmax regression on all images at once, in float64, gradient and steps written out."""
    x = data.train.images.double().flatten(2)
    mean, std = data.mean.double()[:, None], data.std.double()[:, None]
    x = ((x / 255 - mean) / std).flatten(1).numpy()
    truth = np.eye(N_CLASSES)[data.train.labels.numpy()]
    n_steps, n_warmup, losses = how.epochs, round(how.warmup * how.epochs), []
    moving, moving_b = np.zeros_like(weights), np.zeros_like(bias)
    for step in range(n_steps):
        scores = x @ weights.T + bias
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        losses.append(-np.log((shares * truth).sum(1)).mean())
        slope = (shares - truth) / len(x)
        g, g_b = slope.T @ x + how.weight_decay * weights, slope.sum(0)
        if decays_bias:
            g_b = g_b + how.weight_decay * bias
        moving, moving_b = how.momentum * moving + g, how.momentum * moving_b + g_b
        done = (step + late - n_warmup) / (n_steps - n_warmup)
        rate = how.lr * (1 + math.cos(math.pi * done)) / 2
        if step < n_warmup:
            rate = how.lr * (step + 1) / (n_warmup + 1)
        ahead = (how.momentum * moving, how.momentum * moving_b) if nesterov else (0, 0)
        pulls = (g + ahead[0], g_b + ahead[1]) if nesterov else (moving, moving_b)
        weights, bias = weights - rate * pulls[0], bias - rate * pulls[1]
    return np.array(losses), weights, bias


REGRESSION = recipe(epochs=12, batch_size=N_IMAGES, lr=0.02, warmup=0.25, weight_decay=0.1, **PLAIN)


def regression_gap(**wrong):
    """Largest difference between the loop and the arithmetic, as a share of the largest value."""
    data, net = small_set(), linear_net()
    start = [p.detach().double().numpy() for p in net.parameters()]
    net, history = run(net, data, recipe=REGRESSION, observe=None)
    losses, *trained = regress(data, REGRESSION, *start, **wrong)
    pairs = [(history.losses, losses)]
    pairs += [(p.detach().numpy(), t) for p, t in zip(net.parameters(), trained, strict=True)]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


# Twelve steps of float32 on sums of 192 terms: 12 * sqrt(192) * 2**-24 is 1e-5.
REGRESSION_ROUNDING = 2e-5


def test_full_batch_softmax_regression_is_the_arithmetic_written_out():
    assert regression_gap() < REGRESSION_ROUNDING


@pytest.mark.parametrize("wrong", [{"nesterov": False}, {"decays_bias": True}, {"late": 1}])
def test_the_arithmetic_rejects_a_loop_that_differs_in_one_thing(wrong):
    assert regression_gap(**wrong) > 5 * REGRESSION_ROUNDING


def theirs(net, data, how, seed, make):
    """A loop with an optimizer of PyTorch, on our batches."""
    batches = Batches(data, how, seed=seed, device=torch.device("cpu"))
    decaying = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decaying}, {"params": others, "weight_decay": 0}]
    optimizer, losses = make(groups), []
    for step in range(batches.n_steps):
        for group in optimizer.param_groups:
            group["lr"] = how.rate(step, batches.n_steps)
        images, labels = batches[step]
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        if how.clip:
            nn.utils.clip_grad_norm_(net.parameters(), how.clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("changes", "make"),
    [
        ({}, lambda g: torch.optim.SGD(g, 1, 0.9, weight_decay=5e-4, nesterov=True)),
        ({"clip": 0.05}, lambda g: torch.optim.SGD(g, 1, 0.9, weight_decay=5e-4, nesterov=True)),
        ({"momentum": 0.0}, lambda g: torch.optim.SGD(g, 1, weight_decay=5e-4)),
        ({"optimizer": "adamw"}, lambda g: torch.optim.AdamW(g, 1, weight_decay=5e-4)),
    ],
    ids=["sgd", "clipped", "no momentum", "adamw"],
)
def test_a_run_is_that_of_pytorch_s_own_optimizer(changes, make):
    how, data = recipe(**changes), small_set()
    net, history = run(small_net(), data, recipe=how)
    other = small_net().to(memory_format=torch.channels_last)
    losses = theirs(other, data, how, 3, make)
    # The same float32 arithmetic in another order here and there, over nine steps; AdamW divides
    # by the root of tiny squares, which amplifies a rounding.
    assert history.losses == pytest.approx(losses, rel=1e-4)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def test_pytorch_s_optimizer_rejects_decay_of_norms_and_biases():
    def all_decay(groups):
        return torch.optim.SGD([p for g in groups for p in g["params"]], 1, 0.9, weight_decay=0.5)

    how, data, other = recipe(weight_decay=0.5), small_set(), small_net()
    net, _ = run(small_net(), data, recipe=how)
    theirs(other, data, how, 3, all_decay)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    assert not all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("slices", [2, 3, 8])
def test_accumulation_changes_no_number_beyond_rounding(pixels, slices):
    data = small_set(pixels=pixels)
    pair = [
        run(small_net(norm=False, pixels=pixels), data, recipe=recipe(accumulate=n))
        for n in (1, slices)
    ]
    # Nine steps of float32 sums in another order.
    assert pair[0][1].losses == pytest.approx(pair[1][1].losses, rel=1e-5)
    for a, b in zip(pair[0][0].parameters(), pair[1][0].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_law_of_accumulation_rejects_a_mean_of_the_slices_means(monkeypatch):
    """Slices of 3, 3 and 2 images, or of unequally many counted pixels, do not weigh the same."""
    one = run(small_net(norm=False), recipe=recipe())[1]
    mean_of_means = lambda s, y: F.cross_entropy(s, y) * 8 / 3  # noqa: E731
    monkeypatch.setattr(module, "summed_loss", mean_of_means)
    other = run(small_net(norm=False), recipe=recipe(accumulate=3))[1]
    assert other.losses[0] != pytest.approx(one.losses[0], rel=1e-5)


def test_the_gradient_is_clipped_to_its_largest_norm():
    """The first step of Nesterov's SGD moves by (1 + momentum) * rate times the gradient."""
    how = recipe(epochs=1 / 3, clip=1e-3, weight_decay=0.0, warmup=0)
    before = torch.cat([p.detach().flatten().clone() for p in small_net().parameters()])
    net, history = run(recipe=how, observe=None)
    moved = torch.cat([p.detach().flatten() for p in net.parameters()]) - before
    assert history.n_steps == 1
    # Weights of order one, so a difference is exact to 2**-24 in each of about 130 entries.
    wanted = 1.9 * how.lr * how.clip
    assert float(moved.norm()) == pytest.approx(wanted, abs=2 * math.sqrt(130) * 2**-24)


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"precision": "bf16"}])
def test_two_runs_of_a_seed_give_the_same_bits_and_another_seed_others(changes):
    def make(seed):
        net = small_net().append(nn.Dropout(0.1))
        return outcome(*run(net, recipe=recipe(**changes), seed=seed))

    assert differing(make(3), make(3)) == []
    assert "losses" in differing(make(3), make(4))


def test_a_run_leaves_the_callers_random_numbers_as_they_were():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    net = small_net()
    torch.manual_seed(5)
    run(net)
    assert torch.equal(torch.rand(3), wanted)


def test_the_model_is_observed_in_evaluation_mode_at_the_epochs_asked_for():
    modes = []

    def look(model, moment):
        modes.append(model.training)
        return {"step": moment.step, "array": np.float32([1, 2]), "scalar": np.float64(2.5)}

    net, history = run(observe=look, observe_at=(3, 0, 1, 0.4, 99))
    assert [m.step for m in history.moments] == [0, 1, 3, 9]
    assert [m.epoch for m in history.moments] == [0, 1 / 3, 1, 3]
    assert modes == [False] * 4 and not net.training
    epochs, steps = history.curve("step")
    assert epochs.tolist() == [0, 1 / 3, 1, 3] and steps.tolist() == [0, 1, 3, 9]
    assert isinstance(history.moments[0].seen["scalar"], float)
    assert history.curve("array")[1].shape == (4, 2)


def test_the_history_says_how_the_run_went():
    _, history = run()
    assert len(history.losses) == len(history.learning_rates) == history.n_steps == 9
    assert history.learning_rates.tolist() == [recipe().rate(s, 9) for s in range(9)]
    assert history.images_per_s > 0 and history.seconds > 0 and history.n_resumed == 0
    assert "thread" in history.device


def test_a_network_learns_what_colours_say():
    data = small_set(60)
    net, history = run(data=data, recipe=recipe(epochs=40, lr=0.1, **PLAIN), observe=None)
    assert history.losses[-1] < 0.5 * history.losses[0]
    assert training.accuracy(net, data, data.train) > 0.8


def test_regions_learn_their_pixels_classes_and_ignored_pixels_do_not_matter():
    data = small_set(pixels=True)
    labels = data.train.images.argmax(1).to(torch.uint8)
    labels[:, ::2] = data.ignore
    data = replace(data, train=Split(data.train.images, labels))
    _, history = run(small_net(pixels=True), data, recipe=recipe(epochs=20, lr=0.1))
    assert history.losses[-1] < history.losses[0]
    with pytest.raises(UserError, match="scores of 3 classes, and the labels go up to 9"):
        run(small_net(pixels=True), replace(data, ignore=None))
