"""The schedule at named steps and against PyTorch's own; values out of range."""

from __future__ import annotations

import math

import pytest
import torch
from training_cases import recipe

from erfbook.errors import UserError
from erfbook.training import Recipe


def rates(n_steps, **changes):
    made = recipe(lr=0.4, **changes)
    return [made.rate(step, n_steps) for step in range(n_steps)]


def test_cosine_falls_from_the_largest_rate_to_nothing_at_the_end():
    found = rates(8, warmup=0)
    assert found[0] == 0.4
    assert found[4] == pytest.approx(0.2, abs=1e-15)
    assert found[2] == pytest.approx(0.2 * (1 + math.sqrt(0.5)), abs=1e-15)
    assert recipe(warmup=0).rate(8, 8) == pytest.approx(0, abs=1e-15)


def test_steps_are_a_tenth_at_half_and_at_three_quarters():
    assert rates(8, warmup=0, schedule="step") == pytest.approx(
        [0.4] * 4 + [0.04] * 2 + [0.004] * 2
    )


def test_a_constant_rate_stays():
    assert rates(5, warmup=0, schedule="constant") == [0.4] * 5


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_warm_up_rises_evenly_to_the_largest_rate(schedule):
    found = rates(40, warmup=0.1, schedule=schedule)
    assert found[:5] == pytest.approx([0.4 * i / 5 for i in (1, 2, 3, 4, 5)])
    assert max(found) == 0.4


def test_the_schedule_is_that_of_pytorch_s_own_schedulers():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.4)
    n, n_warmup = 50, 10
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 11, 1.0, n_warmup)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n - n_warmup)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, fall], [n_warmup])
    theirs = []
    for _ in range(n):
        theirs.append(both.get_last_lr()[0])
        optimizer.step()
        both.step()
    assert rates(n, warmup=0.2) == pytest.approx(theirs, abs=1e-12)


def test_steps_follow_from_epochs_and_images_and_there_is_one_at_least():
    assert recipe(epochs=3).steps(20) == (3, 9)
    assert recipe(epochs=2.5).steps(16) == (2, 5)
    assert recipe(epochs=0.01).steps(20) == (3, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer", "adam", "recipe.optimizer must be one of sgd, adamw, not 'adam'"),
        ("schedule", "cos", "recipe.schedule must be one of cosine, step, constant"),
        ("precision", "fp16", "recipe.precision must be one of auto, float32, bf16"),
        ("batch_size", 0, "recipe.batch_size must be a whole number of at least 1, not 0"),
        ("accumulate", 1.5, "recipe.accumulate must be a whole number of at least 1, not 1.5"),
        ("crop_padding", -1, "recipe.crop_padding must be a whole number of at least 0, not -1"),
        ("epochs", 0, "recipe.epochs must be above 0, not 0"),
        ("lr", math.nan, "recipe.lr must be above 0, not nan"),
        ("lr", math.inf, "recipe.lr must be above 0, not inf"),
        ("warmup", 1.0, r"recipe.warmup must be at least 0 and below 1, not 1.0"),
        ("momentum", 1.0, "recipe.momentum must be at least 0 and below 1"),
        ("weight_decay", -1e-4, "recipe.weight_decay must be at least 0"),
        ("clip", -1, "recipe.clip must be at least 0, not -1"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_wanted(name, value, message):
    with pytest.raises(UserError, match=message):
        Recipe(**{"epochs": 1, name: value})
