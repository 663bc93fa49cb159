"""The Fourier parametrisation: what an image is made of, and what its first step does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from erfbook import datasets
from erfbook.featurevis import COLOUR_FACTOR, FourierAscent, measure_colours

PHOTOGRAPHS = ("astronaut", "cat", "coffee", "motorcycle", "rocket")


def begin(method, starts, size):
    whole = [((0, size[0] - 1), (0, size[1] - 1))] * len(starts)
    return method.begin(starts, whole, torch.ones(1), size)


def test_the_colour_factor_is_what_the_photographs_give():
    photographs = datasets.load_photographs()
    measured = measure_colours(photographs[name].pixels for name in PHOTOGRAPHS)
    np.testing.assert_allclose(measured, COLOUR_FACTOR, atol=5e-5)  # four decimals are kept


def test_the_colour_factor_gives_colours_their_covariance():
    random = np.random.default_rng(0)
    mixing = np.array([[0.6, 0.1, 0.0], [0.3, 0.4, 0.1], [0.1, 0.2, 0.5]])
    pixels = 128 + 20 * random.standard_normal((200, 200, 3)) @ mixing.T
    factor = measure_colours([np.clip(pixels, 0, 255).astype(np.uint8)])
    expected = mixing @ mixing.T
    # 40,000 pixels: an entry is known to 1 %; the factor's scale is free
    ratio = (factor @ factor.T) / expected
    np.testing.assert_allclose(ratio / ratio[0, 0], 1, atol=0.04)
    assert np.linalg.norm(factor, axis=1).max() == pytest.approx(1)


@pytest.mark.parametrize("size", [(16, 16), (15, 21), (8, 13)])
def test_a_coefficient_is_a_wave_of_its_frequency_scaled_by_one_over_it(size):
    method = FourierAscent()
    start = torch.zeros(1, 3, size[0], size[1] // 2 + 1, 2, dtype=torch.float64)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for down, across in ((0, 1), (2, 3), (3, 0)):
        start.zero_()
        start[0, 1, down, across, 0] = 1e-3
        if across == 0:  # its mirror lies in the same column
            start[0, 1, -down, 0, 0] = 1e-3
        image = begin(method, start, size).image()[0].numpy()
        wave = np.cos(2 * np.pi * (down * rows / size[0] + across * columns / size[1]))
        frequency = np.hypot(down / size[0], across / size[1])
        plane = 0.25 * 2e-3 * wave / frequency / np.sqrt(size[0] * size[1])
        expected = 1 / (1 + np.exp(-np.array(COLOUR_FACTOR)[:, 1, None, None] * plane))
        np.testing.assert_allclose(image, expected, atol=1e-12)


def test_the_first_step_of_adam_goes_up_by_the_learning_rate_in_every_coefficient():
    method, size = FourierAscent(learning_rate=0.05), (8, 8)
    start = method.draw((0, 1), size)[None]
    ascent = begin(method, start.clone(), size)
    ascent.image()
    ascent.advance(torch.randn((1, 3, *size), dtype=torch.float64), 0)
    change = (ascent.coefficients - start).abs()
    free = change > 0.025  # imaginary parts of self-conjugate waves have no effect and stay
    assert change[free].min() > 0.0499 and change.max() < 0.0501
    assert change[~free].max() < 1e-6 and free.float().mean() > 0.8


def test_a_step_raises_the_objective_to_first_order():
    method, size = FourierAscent(learning_rate=1e-4), (12, 12)
    ascent = begin(method, method.draw((0, 2), size)[None], size)
    weights = torch.randn((1, 3, *size), dtype=torch.float64)
    before = (ascent.image() * weights).sum()
    ascent.advance(weights, 0)
    assert (ascent.image() * weights).sum() > before


def test_the_start_is_nearly_grey_and_the_same_for_the_same_key():
    method = FourierAscent()
    one, two = (method.draw((3, 1, 0, 0), (32, 32))[None] for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, method.draw((4, 1, 0, 0), (32, 32))[None])
    image = begin(method, one, (32, 32)).image()
    assert (image - 0.5).abs().max() < 0.2
