"""What a run refuses, when it stops by itself, and what it shows meanwhile."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training_cases import (
    N_CLASSES,
    N_IMAGES,
    differing,
    outcome,
    recipe,
    run,
    small_net,
    small_set,
)

from erfbook import training
from erfbook.errors import RunError, UserError
from erfbook.training import run as module
from erfbook.training.devices import choose_layout


def test_a_loss_that_is_no_number_stops_the_run_and_says_what_to_do():
    with pytest.raises(training.Diverged, match=r"step \d of 9.*lower recipe.lr \(1e\+30\)"):
        run(recipe=recipe(lr=1e30), observe=None)


def test_weights_that_are_no_numbers_are_never_observed_or_returned():
    """A loss that is still a number can have a gradient that is none: the last step shows it."""

    class Trap(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.nan

    class Trapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.calls = small_net(), 0

        def forward(self, x):
            self.calls += self.training
            return Trap.apply(self.body(x)) if self.calls == 9 else self.body(x)

    with pytest.raises(training.Diverged, match=r"weight is not finite after step 8 of 9"):
        run(Trapped())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: run(seed=-1), "the seed must be a whole number of at least 0, not -1"),
        (lambda: run(observe_at=(-1,)), "observe_at must be epochs of at least 0, not -1"),
        (lambda: run(small_net(pixels=True)), r"scores of shape \(8, 3, 4, 4\) for labels of"),
        (lambda: run(small_net(), small_set(pixels=True)), r"scores of shape \(8, 3\) for labels"),
        (lambda: run(data=small_set().limited(-N_IMAGES, 0)), "has 0 images and 0 labels"),
        (lambda: run(small_net().requires_grad_(False)), "no parameter to train"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, message):
    with pytest.raises(UserError, match=message):
        change()


def test_an_observer_s_value_that_no_file_can_hold_is_refused():
    with pytest.raises(TypeError, match="observer's 'model' must be numbers, words or arrays"):
        run(observe=lambda model, moment: {"model": model})


def test_too_little_memory_names_the_remedy(monkeypatch):
    def fail(*arguments):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(module, "summed_loss", fail)
    with pytest.raises(RunError, match=r"suffice for 8 images at once: raise recipe\.acc"):
        run()


def test_compiled_steps_are_asked_for_by_the_recipe(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda model: asked.append(model) or model)
    net, _ = run(recipe=recipe(compile=True))
    assert asked == [net]


@pytest.mark.parametrize("block", [2, 4, 100])
def test_looking_at_losses_in_blocks_changes_no_bit(monkeypatch, block):
    """A GPU's losses are fetched in blocks; here the processor's are."""
    wanted = outcome(*run(observe_at=(0, 1 / 3, 2)))
    monkeypatch.setattr(module, "_BLOCK", {"cpu": block})
    assert differing(outcome(*run(observe_at=(0, 1 / 3, 2))), wanted) == []


def test_a_block_of_losses_names_its_first_bad_step_and_nothing_after_it_is_kept(
    monkeypatch, tmp_path
):
    how, messages = recipe(lr=1e12, warmup=0), []
    for block in (1, 5):
        monkeypatch.setattr(module, "_BLOCK", {"cpu": block})
        path = tmp_path / f"{block}.run"
        checkpoint = training.Checkpoint(path, every_s=0)
        with pytest.raises(training.Diverged, match=r"the loss is nan at step \d of 9") as error:
            run(recipe=how, observe=None, checkpoint=checkpoint)
        messages.append(str(error.value).split(" of 9")[0])
        assert path.exists() is (block == 1)
    assert messages[0] == messages[1]
    assert "nothing is kept of the run" in str(error.value)


@pytest.mark.parametrize(
    ("name", "variable", "drawn"),
    [("a run", "0", True), ("a run", "", False), ("a run", "1", False), ("", "0", False)],
)
def test_the_bar_is_drawn_where_there_is_a_terminal_or_where_it_is_asked_for(
    monkeypatch, capsys, name, variable, drawn
):
    monkeypatch.setenv("TQDM_DISABLE", variable)
    run(progress=name)
    written = capsys.readouterr()
    assert written.out == ""
    assert bool(written.err) is drawn
    if drawn:
        last = written.err.split("\r")[-1]
        assert "a run: 100%" in last and "images/s" in last and "loss=" in last


@pytest.mark.parametrize(
    ("conv", "layout"),
    [
        (nn.Conv2d(8, 16, 1, stride=2), torch.contiguous_format),
        (nn.Conv2d(32, 32, 1, stride=2, groups=4), torch.contiguous_format),
        (nn.Conv2d(16, 16, 1, stride=2), torch.channels_last),
        (nn.Conv2d(8, 16, 1), torch.channels_last),
        (nn.Conv2d(8, 16, 3, stride=2, padding=1), torch.channels_last),
    ],
    ids=["few channels", "few a group", "enough channels", "stride 1", "3 x 3"],
)
def test_a_layout_that_writes_past_its_buffer_is_not_used(conv, layout):
    """oneDNN issue 6035, in which PyTorch 2.13 crashes or gives wrong gradients."""
    assert choose_layout(nn.Sequential(conv), torch.device("cpu")) is layout
    assert choose_layout(nn.Sequential(conv), torch.device("cuda")) is torch.channels_last


def test_a_network_with_a_narrow_strided_shortcut_trains():
    """Without the other layout this ends the process."""

    class Shortcut(nn.Sequential):
        def forward(self, x):
            return super().forward(F.interpolate(x, (60, 80)))

    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, N_CLASSES)]
    net = Shortcut(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 1, stride=2), *head)
    _, history = run(net.to(memory_format=torch.channels_last), recipe=recipe(epochs=2))
    assert next(net.parameters()).is_contiguous()
    assert math.isfinite(history.losses[-1])
