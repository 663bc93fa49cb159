"""Batches against a slow loop over images: order, crops, mirror images, labels that move along."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_cases import IGNORED, N_IMAGES, SIDE, recipe, small_set

from erfbook.training import batches as module
from erfbook.training.batches import NOT_COUNTED, Batches

CPU = torch.device("cpu")


def make(data, seed=5, **changes):
    return Batches(data, recipe(**changes), seed=seed, device=CPU)


def slow_crop(image, top, left, mirrored, padding, border):
    """Cut one plane out of its padded copy, pixel by pixel."""
    height, width = image.shape[-2:]
    cut = np.full(image.shape, border, dtype=np.int64)
    for row in range(height):
        for column in range(width):
            source = width - 1 - column if mirrored else column
            y, x = top + row - padding, left + source - padding
            if 0 <= y < height and 0 <= x < width:
                cut[..., row, column] = image[..., y, x]
    return cut


def slow_batch(data, plan, step, size, padding):
    per_epoch = -(-N_IMAGES // size)
    columns = plan(step // per_epoch).numpy().T[step % per_epoch * size :][:size]
    images, labels = data.train.images.numpy(), data.train.labels.numpy()
    mean, std = (v.double().numpy().reshape(3, 1, 1) for v in (data.mean, data.std))
    cuts, targets = [], []
    for i, top, left, mirrored in columns:
        cut = slow_crop(images[i], top, left, mirrored, padding, 0)
        cuts.append((cut / 255 - mean) / std)
        target = labels[i].astype(np.int64)
        target = np.where(target == IGNORED, NOT_COUNTED, target)
        pixels = target.ndim == 2
        moved = slow_crop(target, top, left, mirrored, padding, NOT_COUNTED) if pixels else target
        targets.append(moved)
    return np.stack(cuts), np.stack(targets)


def agree(found, wanted):
    # Values are below 4 and go through three float32 operations.
    close = np.allclose(found[0].numpy(), wanted[0], rtol=0, atol=4 * 3 * 2**-23)
    return close and np.array_equal(found[1].numpy(), wanted[1])


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize(("padding", "flip"), [(2, True), (0, True), (3, False), (0, False)])
def test_crops_and_mirrors_move_images_and_labels_as_a_slow_loop_does(pixels, padding, flip):
    data = small_set(pixels=pixels)
    made = make(data, crop_padding=padding, flip=flip)
    for step in (0, 1, 2, 4, 8):
        assert agree(made[step], slow_batch(data, made._draw, step, 8, padding))


@pytest.mark.parametrize("wrong", ["labels stay", "not mirrored", "border counts"])
def test_the_slow_loop_rejects_a_wrong_crop(monkeypatch, wrong):
    right = module._crop

    def broken(images, padding, places, border=0):
        rows, columns = places
        if wrong == "labels stay" and border:
            return images
        if wrong == "not mirrored" and border:
            columns = columns.sort(dim=1).values
        return right(images, padding, (rows, columns), 0 if wrong == "border counts" else border)

    monkeypatch.setattr(module, "_crop", broken)
    data = small_set(pixels=True)
    made = make(data)
    assert not all(agree(made[s], slow_batch(data, made._draw, s, 8, 2)) for s in range(3))


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    data = small_set()
    made = make(data, flip=False, crop_padding=0)
    wanted = sorted(data.standardise(data.train.images).flatten(1).sum(1).tolist())
    orders = []
    for epoch in range(2):
        seen = torch.cat([made[epoch * 3 + i][0] for i in range(3)]).flatten(1).sum(1).tolist()
        assert sorted(seen) == pytest.approx(wanted)
        orders.append(seen)
    assert orders[0] != orders[1]


def test_a_batch_is_a_function_of_seed_and_step_alone():
    data, steps = small_set(), [7, 0, 3, 3, 8, 1]
    straight, jumping = make(data), make(data)
    kept = [straight[step] for step in range(9)]
    for step in steps:
        assert torch.equal(jumping[step][0], kept[step][0])
    assert not torch.equal(make(data, seed=6)[0][0], kept[0][0])


def test_the_last_batch_of_an_epoch_is_what_is_left_and_counts_say_so():
    made = make(small_set())
    assert [len(made[step][1]) for step in range(4)] == [8, 8, 4, 8]
    assert [made.count(0, step) for step in range(5)] == [0, 8, 16, 20, 28]
    assert made.count(2, 4) == 12


def test_every_offset_and_both_mirrorings_are_drawn_about_equally_often():
    made = make(small_set(), epochs=400)
    plans = np.concatenate([made._draw(epoch).numpy() for epoch in range(400)], axis=1)
    for row, n_values in ((1, 5), (2, 5), (3, 2)):
        counts = np.bincount(plans[row], minlength=n_values)
        share, n = 1 / n_values, plans.shape[1]
        assert len(counts) == n_values
        # Five standard errors of a share.
        assert np.abs(counts / n - share).max() < 5 * np.sqrt(share * (1 - share) / n)


def test_images_are_channels_last_and_the_set_stays_uint8():
    data = small_set()
    made = make(data)
    assert made[0][0].is_contiguous(memory_format=torch.channels_last)
    assert made[0][0].dtype == torch.float32 and made[0][0].shape == (8, 3, SIDE, SIDE)
    assert made._images.data_ptr() == data.train.images.data_ptr()
