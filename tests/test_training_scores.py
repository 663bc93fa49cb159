"""Accuracy and intersection over union against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training_cases import IGNORED, N_CLASSES, SIDE, small_net, small_set

from erfbook import training
from erfbook.training.scores import Confusion, at_labels, summed_loss


def slow_upsample(plane, height, width):
    """Bilinear interpolation whose corner pixels are not aligned, one pixel at a time."""
    rows, columns = plane.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(v), int(u)
            low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = v - top, u - left
            out[y, x] = (1 - a) * ((1 - b) * plane[top, left] + b * plane[top, right]) + a * (
                (1 - b) * plane[low, left] + b * plane[low, right]
            )
    return out


def slow_said(model, data):
    model.eval()
    with torch.no_grad():
        scores = model(data.standardise(data.test.images)).double().numpy()
    large = [[slow_upsample(plane, SIDE, SIDE) for plane in planes] for planes in scores]
    return np.array(large).argmax(1)


def slow_mean_iou(said, labels, count_ignored=False):
    ious = []
    for c in range(N_CLASSES):
        both = either = 0
        for s, t in zip(said.flat, labels.flat, strict=True):
            if t != IGNORED or count_ignored:
                both += s == c and t == c
                either += s == c or t == c
        if either:
            ious.append(both / either)
    return sum(ious) / len(ious)


def test_mean_iou_and_pixel_accuracy_are_those_of_a_loop_over_pixels():
    data, model = small_set(6, pixels=True), small_net(pixels=True)
    said, labels = slow_said(model, data), data.test.labels.numpy()
    wanted = slow_mean_iou(said, labels)
    assert training.mean_iou(model, data, data.test) == pytest.approx(wanted, abs=1e-12)
    assert training.mean_iou(model, data, data.test) != slow_mean_iou(said, labels, True)
    counted = labels != IGNORED
    right = (said == labels)[counted].mean()
    assert training.accuracy(model, data, data.test) == pytest.approx(right, abs=1e-12)


def test_confusion_does_not_depend_on_the_size_of_a_batch():
    data, model = small_set(7, pixels=True), small_net(pixels=True)
    one, other = (training.confusion(model, data, data.test, n).counts for n in (2, 7))
    assert np.array_equal(one, other)
    assert one.sum() == (data.test.labels != IGNORED).sum()


def test_a_class_that_is_neither_there_nor_said_has_no_part_in_the_mean():
    found = Confusion(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert found.mean_iou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert np.isnan(found.class_ious[2])
    assert found.accuracy == 7 / 8


def test_accuracy_is_the_share_of_images_whose_class_scores_highest():
    data, model = small_set(), small_net()
    scores = training.predict(model, data, data.test)
    hits = [int(s.argmax()) == int(t) for s, t in zip(scores, data.test.labels, strict=True)]
    assert training.accuracy(model, data, data.test) == sum(hits) / len(hits)


@pytest.mark.parametrize("mode", [True, False])
def test_predict_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(mode):
    data, model = small_set(), small_net().train(mode)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    whole = training.predict(model, data, data.test)
    assert model.training is mode
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    # Batch norm in training mode would let the images of a batch change each other's scores.
    parts = training.predict(model, data, data.test, batch_size=3)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_the_loss_of_regions_is_that_of_their_upsampled_scores_on_counted_pixels():
    random = np.random.default_rng(0)
    scores = random.standard_normal((2, N_CLASSES, 4, 4))
    labels = random.choice([0, 1, 2, -100], (2, SIDE, SIDE))
    wanted = 0.0
    for planes, target in zip(scores, labels, strict=True):
        large = np.array([slow_upsample(plane, SIDE, SIDE) for plane in planes])
        logs = large - np.log(np.exp(large).sum(0))
        for y in range(SIDE):
            for x in range(SIDE):
                if target[y, x] >= 0:
                    wanted -= logs[target[y, x], y, x]
    found = summed_loss(torch.from_numpy(scores).float(), torch.from_numpy(labels))
    # About a hundred float32 terms of order one.
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_the_loop_over_pixels_rejects_aligned_corners_and_nearest_neighbours():
    plane = np.random.default_rng(1).standard_normal((4, 4))
    tensor = torch.from_numpy(plane)[None, None]
    wanted = slow_upsample(plane, SIDE, SIDE)
    labels = torch.zeros(1, SIDE, SIDE)
    assert np.allclose(at_labels(tensor, labels)[0, 0].numpy(), wanted, atol=1e-12)
    for options in ({"mode": "bilinear", "align_corners": True}, {"mode": "nearest"}):
        assert not np.allclose(F.interpolate(tensor, (SIDE, SIDE), **options)[0, 0], wanted)


def test_scores_in_bf16_are_close_and_of_float32():
    data, model = small_set(), nn.Sequential(*small_net())
    exact = training.predict(model, data, data.test)
    rough = training.predict(model, data, data.test, precision="bf16")
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    # Three layers, each rounding values of order one to 8 bits.
    assert torch.allclose(rough, exact, atol=3 * 4 * 2**-8)
