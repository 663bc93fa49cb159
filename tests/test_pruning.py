"""Magnitude pruning against a plain sort and PyTorch's own; masks that hold; unused weights."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from training_cases import recipe, small_set

from erfbook import pruning, training
from erfbook.errors import UserError
from erfbook.pruning import find_unused, fine_tune, prune_global

RATES = (0.0, 0.1, 0.37, 0.5, 0.9, 0.99)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def flat(model: nn.Module) -> np.ndarray:
    return np.concatenate([model[i].weight.detach().numpy().ravel() for i in (0, 3, 6)])


def expected(model: nn.Module, rate: float) -> np.ndarray:
    """The law by a stable sort in numpy: smallest first, of equal ones the earlier."""
    weights = flat(model)
    weights[np.argsort(np.abs(weights), kind="stable")[: round(rate * weights.size)]] = 0
    return weights


def tied(model: nn.Module) -> nn.Module:
    """Round to a coarse grid, so that many magnitudes are equal."""
    for i in (0, 3, 6):
        model[i].weight.data = (model[i].weight.data * 10).round() / 10
    return model


def follows_the_law(prune) -> bool:
    dense = tied(network())
    return all(np.array_equal(flat(prune(dense, rate)), expected(dense, rate)) for rate in RATES)


def off_by_one(dense, rate):
    n = flat(dense).size
    return prune_global(dense, max(0, round(rate * n) - 1) / n).model


def survivors_again(dense, rate):
    """The rate taken of what an earlier call at half of it left, as a second call would."""
    once = prune_global(dense, rate / 2).model
    n_left = int((flat(once) != 0).sum())
    n = flat(once).size
    return prune_global(once, min(0.999, (n - n_left + rate * n_left) / n)).model


def threshold_with_ties(dense, rate):
    twin, weights = copy.deepcopy(dense), np.abs(flat(dense))
    n = round(rate * weights.size)
    level = np.sort(weights)[n - 1] if n else -1.0
    for i in (0, 3, 6):
        twin[i].weight.data[twin[i].weight.data.abs() <= level] = 0
    return twin


def stale(dense, rate):
    """What is read of a weight that PyTorch's hooks have not recomputed yet."""
    prune_global(dense, rate)
    return dense


def test_the_smallest_weights_go_exactly_as_many_as_asked():
    assert follows_the_law(lambda dense, rate: prune_global(dense, rate).model)


@pytest.mark.parametrize("wrong", [off_by_one, survivors_again, threshold_with_ties, stale])
def test_the_law_rejects_wrong_pruning(wrong):
    assert not follows_the_law(wrong)


@pytest.mark.parametrize("rate", [0.25, 0.8])
def test_pytorch_prunes_the_same_weights_where_none_are_equal(rate):
    dense = network(1)
    other = copy.deepcopy(dense)
    parts = [(other[i], "weight") for i in (0, 3, 6)]
    torch_prune.global_unstructured(parts, torch_prune.L1Unstructured, amount=rate)
    for part, name in parts:
        torch_prune.remove(part, name)
    np.testing.assert_array_equal(flat(prune_global(dense, rate).model), flat(other))


def test_a_higher_rate_prunes_all_that_a_lower_one_does():
    dense = tied(network(2))
    masks = [prune_global(dense, rate).mask for rate in RATES]
    for low, high in itertools.pairwise(masks):
        assert all(bool((low[name] | ~high[name]).all()) for name in low)


def test_rate_zero_is_the_identity_and_the_dense_model_is_untouched():
    dense = network()
    before = copy.deepcopy(dense.state_dict())
    same = prune_global(dense, 0.0)
    assert all(torch.equal(a, before[k]) for k, a in same.model.state_dict().items())
    pruned = prune_global(dense, 0.9)
    assert all(torch.equal(a, before[k]) for k, a in dense.state_dict().items())
    for name, value in pruned.model.state_dict().items():  # biases and batch norm are kept
        assert name in pruned.mask or torch.equal(value, before[name])
    assert torch.equal(copy.deepcopy(pruned.model)[0].weight, pruned.model[0].weight)


def test_a_layers_scope_prunes_the_share_of_each():
    pruned = prune_global(network(), 0.37, scope="layer")
    sizes = {name: kept.numel() for name, kept in pruned.mask.items()}
    assert pruned.shares == {name: round(0.37 * n) / n for name, n in sizes.items()}
    assert pruned.n_pruned == sum(round(0.37 * n) for n in sizes.values())


def test_sets_of_layers_hold_what_they_say():
    def names(layers):
        return list(prune_global(network(), 0.5, layers=layers).mask)

    assert names("conv+linear") == ["0.weight", "3.weight", "6.weight"]
    assert names("conv") == ["0.weight", "3.weight"]
    assert names("all but first and last") == ["3.weight"]
    assert names(lambda path, part: path == "6") == ["6.weight"]


def test_a_shared_tensor_counts_once():
    dense = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    dense[1].weight = dense[0].weight
    assert prune_global(dense, 0.5).n_weights == 16


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(UserError, match=r"rate must be at least 0 and below 1, not"):
        prune_global(network(), rate)


def test_other_input_that_cannot_be_used_is_refused():
    with pytest.raises(UserError, match="scope must be one of global, layer, not 'all'"):
        prune_global(network(), 0.5, scope="all")
    with pytest.raises(UserError, match=r"layers must be one of .* not 'dense'"):
        prune_global(network(), 0.5, layers="dense")
    with pytest.raises(UserError, match="layers chooses no convolution"):
        prune_global(nn.ReLU(), 0.5)
    masked = network()
    torch_prune.l1_unstructured(masked[0], "weight", 0.5)
    with pytest.raises(UserError, match=r"0\.weight is not a plain parameter"):
        prune_global(masked, 0.5)
    broken = network()
    broken[3].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"3\.weight holds values that are not finite"):
        prune_global(broken, 0.5)


HARD = {"epochs": 2, "weight_decay": 0.1, "clip": 0.1, "lr": 0.3}


def test_fine_tuning_moves_survivors_and_no_pruned_weight():
    pruned = prune_global(network(), 0.7)
    before = copy.deepcopy(pruned.model.state_dict())
    tuned, _ = fine_tune(pruned, small_set(), recipe(**HARD), seed=1)
    for name, kept in tuned.mask.items():
        weight = tuned.model.get_parameter(name)
        assert not bool(weight[~kept].any())
        assert bool((weight[kept] != before[name][kept]).any())
    assert all(torch.equal(v, before[k]) for k, v in pruned.model.state_dict().items())
    assert all(p._backward_hooks is None or not p._backward_hooks for p in tuned.model.parameters())


def test_without_held_gradients_pruned_weights_would_move():
    pruned = prune_global(network(), 0.7)
    training.train(pruned.model, small_set(), recipe(**HARD), seed=1)
    assert any(bool(pruned.model.get_parameter(n)[~kept].any()) for n, kept in pruned.mask.items())


def test_tuning_that_is_paused_and_taken_up_gives_the_same_bits(tmp_path):
    pruned, how = prune_global(network(), 0.7), recipe(**HARD)
    whole, _ = fine_tune(pruned, small_set(), how, seed=1)
    options = {"seed": 1, "checkpoint": tmp_path / "run.pt"}
    n_pauses = 0
    while True:
        try:
            tuned, _ = fine_tune(pruned, small_set(), how, deadline=0.0, **options)
            break
        except training.Paused:
            n_pauses += 1
    assert n_pauses > 2
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, tuned.model.state_dict()[name])


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_unused_weights_change_no_output_and_all_others_do(side):
    """In whole numbers: setting unused weights to anything leaves every output as it is."""
    torch.manual_seed(side)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 5, padding=2, stride=2), nn.Conv2d(3, 2, 3, padding=2, dilation=2)
    ).double()
    images = torch.randn(4, 2, side, side, dtype=torch.double)
    unused = find_unused(model, (2, side, side))
    model.zero_grad()
    (model(images) ** 2).sum().backward()
    for name, mask in unused.items():  # random inputs give every used weight a gradient
        gradient = model.get_parameter(name).grad
        assert torch.equal(gradient == 0, mask)
    before = model(images)
    for name, mask in unused.items():
        model.get_parameter(name).data[mask] = 1e6
    assert torch.equal(model(images), before)


def test_a_plane_of_one_pixel_uses_one_tap_of_nine():
    found = find_unused(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)), (2, 1, 1))["0.weight"]
    assert found.double().mean() == pytest.approx(8 / 9)
    with pytest.raises(UserError, match="0 must pad with a number of zeros, not circular"):
        circular = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
        find_unused(nn.Sequential(circular), (2, 4, 4))


def test_public_names_are_there():
    assert set(pruning.__all__) >= {"Pruned", "prune_global", "fine_tune", "find_unused"}
