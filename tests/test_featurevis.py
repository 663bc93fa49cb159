"""Ascent on the image: its optimum, its support, its symmetries, and what may not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from featurevis_networks import (
    PLAIN,
    Branches,
    Residual,
    Twice,
    gradient_of,
    images,
    seeded,
    small_network,
)
from torch import nn

from erfbook import rf
from erfbook.featurevis import FourierAscent, PixelAscent, optimize
from erfbook.featurevis.pixels import blur

# Steps so small that nothing is clipped, and no blur: the ascent alone.
BARE = PixelAscent(steps=3, step=0.01, last_step=0.01, blur_px=0, last_blur_px=0)
SIDE = 32


def kernel_at(conv: nn.Conv2d, channel: int, first: tuple[int, int], side: int) -> torch.Tensor:
    """Return an image that holds a channel's kernel where a unit's field begins."""
    drawn = torch.zeros(3, side, side, dtype=torch.float64)
    height, width = conv.kernel_size
    drawn[:, first[0] : first[0] + height, first[1] : first[1] + width] = conv.weight[channel]
    return drawn.detach()


def is_kernel_at(conv, unit, first) -> bool:
    """Whether every step goes along the kernel at a place, and so ends at the norm's optimum."""
    start = torch.full((3, SIDE, SIDE), 0.5, dtype=torch.float64)
    found = optimize(
        nn.Sequential(conv), "0", 1, unit, size=(SIDE, SIDE), method=BARE, start=start,
        settings=PLAIN,
    )  # fmt: skip
    moved = torch.from_numpy(found.images[0]) - start
    expected = kernel_at(conv, 1, first, SIDE)
    cosine = (moved * expected).sum() / moved.norm() / expected.norm()
    # By Cauchy and Schwarz no image of this norm does better than one with cosine 1; float64
    # leaves 1e-15 a sum of 75 products.
    return abs(float(cosine) - 1) < 1e-12


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (3, 2)])
def test_a_linear_convolution_prefers_its_kernel_at_the_predicted_place(stride, padding):
    conv = seeded(nn.Conv2d(3, 2, 5, stride=stride, padding=padding))
    unit = (4, 6)
    first = tuple(u * stride - padding for u in unit)
    assert is_kernel_at(conv, unit, first)
    assert not is_kernel_at(conv, unit, (first[0] + 1, first[1]))  # one pixel off is noticed
    assert not is_kernel_at(conv, unit, (first[1], first[0]))  # and so are swapped axes


def stays_inside(support: np.ndarray, change: np.ndarray) -> bool:
    return not change.any(axis=0)[~support].any() and bool(change.any(axis=0)[support].any())


@pytest.mark.parametrize("layer", ["0", "3", "6"])
def test_pixels_outside_the_exact_field_keep_their_start_values_at_every_position(layer):
    model = small_network()
    field = rf.analyze(model, (3, SIDE, SIDE))[layer]
    units = [tuple(u) for u in np.ndindex(field.grid)][:: max(1, field.grid[0] // 3)]
    last = tuple(n - 1 for n in field.grid)
    units = list(dict.fromkeys([(0, 0), last, (0, last[1]), *units]))
    method = PixelAscent(steps=4)
    found = optimize(model, layer, 1, units, size=(SIDE, SIDE), method=method, settings=PLAIN)
    one_off = np.zeros((SIDE, SIDE), dtype=bool)
    rejected = 0
    for image, unit in zip(found.images, found.units, strict=True):
        start = method.draw((0, 1, unit[0] + 1, unit[1] + 1), (SIDE, SIDE)).numpy()
        change = image != start
        assert stays_inside(field.support(unit), change)
        one_off[1:, 1:] = field.support(unit)[:-1, :-1]
        rejected += not stays_inside(one_off, change)
    assert rejected > 0.9 * len(units)  # a field that is one pixel off would be noticed


@pytest.mark.parametrize("layer", ["2", "6"])
def test_the_gradient_of_the_tiled_objective_is_the_sum_of_the_units_gradients(layer):
    model, image = small_network(), images(1, 16)[0]
    tiled, plane = gradient_of(model, layer, 1, None, image)
    units = list(np.ndindex(*plane.shape))
    each = torch.stack([gradient_of(model, layer, 1, unit, image)[0] for unit in units])
    # sums of the same terms in another order: rounding only
    torch.testing.assert_close(each.sum(dim=0), tiled, rtol=1e-10, atol=1e-12)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(each.mean(dim=0), tiled, rtol=1e-10, atol=1e-12)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(each[:-1].sum(dim=0), tiled, rtol=1e-10, atol=1e-12)


def test_one_tiled_step_follows_the_sum_of_the_units_gradients():
    model, image = small_network(), 0.4 + 0.2 * images(1, 16)[0]
    total, _ = gradient_of(model, "2", 1, None, image)
    method = replace(BARE, steps=1, step=0.001, last_step=0.001)
    found = optimize(model, "2", 1, size=(16, 16), method=method, start=image, settings=PLAIN)
    step = torch.from_numpy(found.images[0]) - image
    torch.testing.assert_close(step, 0.001 * total / total.abs().mean(), rtol=1e-9, atol=1e-12)


def test_moving_unit_and_start_together_moves_the_picture():
    model, method, stride = small_network(), PixelAscent(steps=5), 4
    settings = replace(PLAIN, crop=False)
    side = 64
    start = 0.4 + 0.2 * images(1, side)[0]
    shifted = torch.roll(start, (stride, 2 * stride), dims=(1, 2))
    options = {"size": (side, side), "method": method, "settings": settings}
    here = optimize(model, "6", 2, (7, 7), start=start, **options).images[0]
    there = optimize(model, "6", 2, (8, 9), start=shifted, **options).images[0]
    moved = np.roll(here, (stride, 2 * stride), axis=(1, 2))
    (top, bottom), (left, right) = rf.analyze(model, (3, side, side))["6"].region((8, 9))
    box = np.s_[:, top : bottom + 1, left : right + 1]
    # five steps of float64 rounding, normalised: far below a picture's 0.01
    np.testing.assert_allclose(there[box], moved[box], atol=1e-9)
    assert np.abs(there[box] - here[box]).max() > 0.01  # without the shift they differ
    wrong = optimize(model, "6", 2, (8, 8), start=shifted, **options).images[0]
    assert np.abs(wrong[box] - moved[box]).max() > 0.01  # and so does the unit beside


@pytest.mark.parametrize("method", [PixelAscent(steps=4), FourierAscent(steps=4)])
def test_cropping_to_the_field_changes_no_image_and_saves_most_of_the_pixels(method):
    model = small_network()
    options = {"size": (64, 64), "method": method}
    units = [(0, 0), (15, 3), (16, 16), (31, 31)]
    shown: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(
        lambda m, inputs: shown.append(inputs[0].shape) if inputs[0].requires_grad else None
    )
    part = optimize(model, "2", 3, units, settings=PLAIN, **options)
    largest = max(shape[2] for shape in shown)
    handle.remove()
    whole = optimize(model, "2", 3, units, settings=replace(PLAIN, crop=False), **options)
    assert largest < 16
    np.testing.assert_allclose(part.images, whole.images, atol=1e-9)  # rounding over four steps
    np.testing.assert_allclose(part.activations, whole.activations, atol=1e-8)


@pytest.mark.parametrize("method", [PixelAscent(steps=4), FourierAscent(steps=4)])
def test_an_image_does_not_depend_on_what_shares_its_batch(method):
    model, options = small_network(), {"size": (SIDE, SIDE), "method": method}
    units, seeds = [(1, 1), (4, 4)], (3, 5)
    together = optimize(model, "6", [0, 2], units, seeds=seeds, settings=PLAIN, **options)
    for channel, unit, seed, image in zip(
        together.channels, together.units, together.seeds, together.images, strict=True
    ):
        alone = optimize(model, "6", channel, unit, seeds=[seed], settings=PLAIN, **options)
        np.testing.assert_allclose(alone.images[0], image, atol=1e-9)
        other = optimize(model, "6", channel, unit, seeds=[seed + 1], settings=PLAIN, **options)
        assert np.abs(other.images[0] - image).max() > 1e-3
    ones = optimize(
        model, "6", [0, 2], units, seeds=seeds, settings=replace(PLAIN, batch_size=1), **options
    )
    np.testing.assert_allclose(ones.images, together.images, atol=1e-9)


@pytest.mark.parametrize("method", [PixelAscent(steps=3), FourierAscent(steps=3)])
def test_the_same_call_gives_the_same_numbers(method):
    options = {"size": (SIDE, SIDE), "method": method, "settings": PLAIN, "seeds": (0, 1)}
    one, two = (optimize(small_network(), "6", 0, **options) for _ in range(2))
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.activations, two.activations)


@pytest.mark.parametrize("method", [PixelAscent(steps=20), FourierAscent(steps=20)])
@pytest.mark.parametrize("unit", [(4, 4), None])
def test_the_ascent_raises_what_it_drives(method, unit):
    found = optimize(
        small_network(), "6", [0, 3], unit, size=(SIDE, SIDE), method=method, settings=PLAIN
    )
    assert (found.activations[:, -1] > found.activations[:, 0] + 1).all()
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert found.activations.shape == (2, method.steps + 1)


def test_a_silent_unit_moves_because_what_enters_its_activation_is_driven():
    model = small_network()
    with torch.no_grad():
        model[5].bias[1] = -9.0  # below zero at the start
    options = {"size": (SIDE, SIDE), "method": PixelAscent(steps=10)}
    found = optimize(model, "6", 1, (4, 4), settings=PLAIN, **options)
    assert found.activations[0, 0] < 0 and found.activations[0, -1] > found.activations[0, 0] + 1
    assert "input of relu" in found.target
    with pytest.raises(ValueError, match="channel 1 of '6' is dead at position"):
        optimize(model, "6", 1, (4, 4), settings=replace(PLAIN, pre_activation=False), **options)


@pytest.mark.parametrize(
    "make, layer, channel, words, source, inner",
    [
        (Branches, "", 1, "input of relu", "one", 1),
        (Branches, "", 3, "input of relu", "two", 1),
        (small_network, "6", 2, "input of relu", "5", 2),
        (small_network, "5", 2, "output of '5'", "5", 2),
        (Residual, "", 2, "output of ''", "", 2),
    ],
)
def test_the_target_is_what_enters_the_activation(make, layer, channel, words, source, inner):
    model = make() if make is small_network else seeded(make())
    image = images(1, 16)[0]
    found = optimize(
        model, layer, channel, (1, 1), size=(16, 16), method=BARE, settings=PLAIN, start=image
    )
    assert words in found.target
    _, plane = gradient_of(model, layer, channel, None, image)
    read = []
    handle = model.get_submodule(source).register_forward_hook(
        lambda m, i, o: read.append(o.clone())  # before ReLU overwrites it
    )
    with torch.no_grad():
        model(image[None])
    handle.remove()
    assert torch.equal(plane, read[0][0, inner])
    assert found.activations[0, 0] == pytest.approx(float(plane[1, 1]), rel=1e-12)


def test_a_call_of_a_reused_module_is_the_one_asked_for():
    model = seeded(Twice())
    options = {"size": (16, 16), "method": BARE}
    sizes = []
    for call in (0, 1):
        found = optimize(model, "conv", 0, (8, 8), settings=replace(PLAIN, call=call), **options)
        (top, bottom), _ = found.regions[0]
        sizes.append(bottom - top + 1)
        start = BARE.draw((0, 0, 9, 9), (16, 16)).numpy()
        assert stays_inside(found.field.support((8, 8)), found.images[0] != start)
    assert sizes == [3, 5]


def test_the_model_is_left_as_it_was():
    model = small_network().train()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimize(model, "6", 0, size=(SIDE, SIDE), method=BARE, settings=PLAIN)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [False] * 2 + [True] * 4
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_blur_keeps_a_flat_image_flat_up_to_the_masks_edge():
    mask = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    mask[:, :, 2:9, 3:] = 1
    flat = (0.1 + 0.6 * mask).expand(1, 3, 12, 12)
    inside = mask.bool().expand(1, 3, 12, 12)
    torch.testing.assert_close(blur(flat, mask, 1.3)[inside], flat[inside])
    unmasked = blur(flat, torch.ones_like(mask), 1.3)  # which takes the outside in
    assert (unmasked[inside] - 0.7).abs().max() > 0.1


def test_of_picks_images_by_channel_unit_and_seed():
    options = {"size": (16, 16), "method": replace(BARE, steps=1), "settings": PLAIN}
    found = optimize(small_network(), "2", [0, 4], [(1, 1), (2, 3)], seeds=(0, 7), **options)
    assert found.images.shape == (8, 3, 16, 16)
    (image,) = found.of(channel=4, unit=(2, 3), seed=7)
    assert np.array_equal(image, found.images[-1])
    assert len(found.of(unit=(1, 1))) == 4 and len(found.of()) == 8
