"""What cannot be visualised is refused in one line; what was interrupted goes on."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from featurevis_networks import PLAIN, seeded, small_network
from torch import nn

from erfbook.errors import RunError, UserError
from erfbook.featurevis import FourierAscent, PixelAscent, Settings, notes_on, optimize
from erfbook.models import load_model
from erfbook.models.layers import no_such_layer

FEW = PixelAscent(steps=3)


def see(model=None, layer="6", channel=0, unit=(1, 1), **options):
    options = {"size": (16, 16), "method": FEW, "settings": PLAIN, **options}
    return optimize(model or small_network(), layer, channel, unit, **options)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"channel": 6}, "channel must lie in 0 to 5 at '6', not 6"),
        ({"channel": [0, -1]}, "channel must lie in 0 to 5 at '6', not -1"),
        ({"channel": "conv"}, "channel must be a whole number"),
        ({"unit": (4, 0)}, r"unit must lie in \(0, 0\) to \(3, 3\) at '6', not \(4, 0\)"),
        ({"unit": [(0, 0), (0, -1)]}, r"unit must lie in .* not \(0, -1\)"),
        ({"unit": (1, 2, 3)}, r"unit must be \(row, column\)"),
        ({"unit": []}, "unit must be .* it is empty"),
        ({"layer": "66"}, "the model has no layer '66'; nearest: '6'"),
        ({"settings": replace(PLAIN, call=1)}, "call must lie in 0 to 0 at '6', not 1"),
        ({"seeds": ()}, "seeds must be different whole numbers"),
        ({"seeds": (1, 1)}, "seeds must be different whole numbers"),
        ({"size": (16,)}, "size must be"),
        ({"start": torch.zeros(3, 8, 8)}, r"never resized, and has the shape \(1, 3, 8, 8\)"),
        ({"start": torch.zeros(3, 16, 16), "method": FourierAscent()}, "FourierAscent draws"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(wrong, words):
    with pytest.raises(UserError, match=words) as caught:
        see(**wrong)
    assert "\n" not in str(caught.value)


def test_a_layer_without_rows_and_columns_is_refused():
    model = nn.Sequential(small_network(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    with pytest.raises(UserError, match="'2' has no spatial extent"):
        see(model, layer="2", unit=None)


def test_an_image_that_the_model_refuses_is_not_resized():
    model = nn.Sequential(nn.Conv2d(3, 4, 7), nn.Conv2d(4, 4, 7)).double()
    with pytest.raises(UserError, match="size 8x8 does not suit this model, and no image"):
        see(model, layer="1", size=(8, 8))


@pytest.mark.parametrize("unit", [(1, 1), None])
def test_a_unit_without_a_gradient_is_called_dead_instead_of_shown_grey(unit):
    model = small_network()
    with torch.no_grad():
        model[5].weight[1] = 0.0
    with pytest.raises(UserError, match=r"channel 1 of '6' is dead at .*seed 0 and 1 more"):
        see(model, channel=1, unit=unit, seeds=(0, 1))
    found = see(model, channel=[0, 1], unit=unit)  # among others it is marked
    assert found.moved.tolist() == [True, False]
    assert any("no gradient reached" in note for note in found.notes)


def test_what_is_not_finite_is_named():
    model = small_network()
    with torch.no_grad():
        model[2].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(RunError, match=r"input of relu.* is not finite at step 0"):
        see(model)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: PixelAscent(steps=0), "steps must be"),
        (lambda: PixelAscent(step=0.01, last_step=0.02), "last_step must lie"),
        (lambda: PixelAscent(blur_px=0.1, last_blur_px=0.2), "last_blur_px must lie"),
        (lambda: PixelAscent(dots=0.6), "dots must lie"),
        (lambda: FourierAscent(steps=0), "steps must be"),
        (lambda: FourierAscent(noise=0.0), "noise must be positive"),
        (lambda: Settings(batch_size=0), "batch_size must be 1 or more"),
        (lambda: Settings(std=(1.0, 0.0, 1.0)), "std positive"),
    ],
)
def test_a_setting_out_of_range_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Interrupted(nn.Module):
    """A network in which Ctrl-C is pressed during one forward pass that counts."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.body, self.left = small_network(), at

    def forward(self, x):
        self.left -= x.requires_grad
        if x.requires_grad and self.left == 0:
            raise KeyboardInterrupt
        return self.body(x)


@pytest.mark.parametrize("method", [PixelAscent(steps=6), FourierAscent(steps=6)])
@pytest.mark.parametrize("at", [1, 4, 7, 8, 11])  # 6 steps and a last look a batch, two batches
def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, method, at):
    path = tmp_path / "kept" / "images.pt"
    settings = replace(PLAIN, batch_size=2, checkpoint=path)
    options = {"layer": "body.6", "method": method, "unit": (1, 2), "seeds": (0, 1, 2, 3)}
    model = Interrupted(at)
    with pytest.raises(KeyboardInterrupt):
        see(model, settings=settings, **options)
    assert path.is_file()
    resumed = see(model, settings=settings, **options)
    whole = see(Interrupted(-1), settings=replace(settings, checkpoint=None), **options)
    assert np.array_equal(resumed.images, whole.images)
    assert np.array_equal(resumed.activations, whole.activations)
    assert not path.exists()


def test_a_run_that_keeps_itself_at_every_step_gives_the_same_numbers(tmp_path):
    settings = replace(PLAIN, checkpoint=tmp_path / "images.pt", every_s=0.0)
    assert np.array_equal(see(settings=settings).images, see().images)


def test_an_interrupt_without_a_checkpoint_ends_cleanly():
    with pytest.raises(KeyboardInterrupt):
        see(Interrupted(2), layer="body.6")


def test_a_checkpoint_of_other_weights_or_units_is_refused(tmp_path):
    settings = replace(PLAIN, checkpoint=tmp_path / "images.pt")
    model = Interrupted(3)
    with pytest.raises(KeyboardInterrupt):
        see(model, layer="body.6", settings=settings)
    with pytest.raises(UserError, match=r"images\.pt is of another run"):
        see(model, layer="body.6", unit=(2, 1), settings=settings)
    seeded(model, seed=1)
    with pytest.raises(UserError, match=r"images\.pt is of another run"):
        see(model, layer="body.6", settings=settings)


def test_a_damaged_checkpoint_is_set_aside(tmp_path, caplog):
    path = tmp_path / "images.pt"
    settings = replace(PLAIN, checkpoint=path)
    model = Interrupted(3)
    with pytest.raises(KeyboardInterrupt):
        see(model, layer="body.6", settings=settings)
    path.write_bytes(path.read_bytes()[:-10])
    with caplog.at_level(logging.WARNING):
        found = see(model, layer="body.6", settings=settings)
    assert "damaged" in caplog.text and path.with_name("images.pt.damaged").is_file()
    assert np.array_equal(found.images, see(Interrupted(-1), layer="body.6").images)


def test_a_checkpoint_that_cannot_be_written_is_an_error_of_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    settings = replace(PLAIN, checkpoint=tmp_path / "file" / "images.pt", every_s=0.0)
    with pytest.raises(RunError, match=r"cannot (read|write) the checkpoint"):
        see(settings=settings)


def test_googlenet_says_how_it_differs_from_the_papers():
    model = load_model("googlenet", "none")
    notes = " ".join(notes_on(model))
    assert "3x3" in notes and "869" in notes
    # what the notes say of its structure, read off the network itself
    assert model.inception3a.branch3[1].conv.kernel_size == (3, 3)
    assert model.maxpool4.kernel_size == 2 and model.maxpool3.kernel_size == 3
    assert isinstance(model.conv1.bn, nn.BatchNorm2d)
    assert not any(isinstance(m, nn.LocalResponseNorm) for m in model.modules())
    options = {"size": (32, 32), "method": PixelAscent(steps=1)}
    found = optimize(model, "inception3a", 70, (1, 1), settings=Settings(progress=""), **options)
    assert found.notes == notes_on(model) and "input of relu" in found.target


def test_weights_that_cannot_be_fetched_are_named_with_what_to_do(monkeypatch):
    import torchvision

    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(
        torchvision.models, "get_model_builder", lambda name: lambda **k: unreachable()
    )
    with pytest.raises(UserError, match="cannot load googlenet with trained weights") as told:
        load_model("googlenet", "DEFAULT")
    assert re.search(
        r"fetch https://\S+googlenet\S+\.pth elsewhere and give --weights FILE, or take --weights",
        str(told.value),
    )


def test_a_layer_that_is_not_there_is_answered_with_some_that_are():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    assert no_such_layer(model, "qqqqqq").endswith("no layer 'qqqqqq'; it ends with '0', '1'")
    named = nn.ModuleDict({"stem": nn.ReLU(), "head": nn.ReLU()})
    assert no_such_layer(named, "stm").endswith("nearest: 'stem'")
