"""Windows over a pixel, paths to a unit, and the waves that uneven cover prints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from erfbook.theory.checkerboard import (
    Grid,
    count_windows,
    is_even,
    pass_wave,
    predict_amplitude,
    predict_coverage,
    predict_maximum,
    spread,
)

PAIRS = [(k, s) for k in range(1, 8) for s in range(1, 6)]


def count_by_nan(grid: Grid, n_pixels: int) -> list[int]:
    """Count outputs that turn NaN when one pixel does: no arithmetic on windows at all."""
    found = []
    for i in range(n_pixels):
        x = torch.zeros(1, 1, n_pixels)
        x[0, 0, i] = math.nan
        # max_pool1d propagates NaN, takes dilation, padding and rounding up
        y = F.max_pool1d(
            x,
            grid.kernel,
            grid.stride,
            padding=grid.padding,
            dilation=grid.dilation,
            ceil_mode=grid.round_up,
        )
        found.append(int(y.isnan().sum()))
    return found


@pytest.mark.parametrize("round_up", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), PAIRS)
def test_windows_are_those_that_see_a_nan(kernel, stride, round_up):
    for padding in range(kernel // 2 + 1):
        for n_pixels in (13, 16):
            grid = Grid(kernel=kernel, stride=stride, padding=padding, round_up=round_up)
            assert list(count_windows(grid, n_pixels)) == count_by_nan(grid, n_pixels)


def test_dilated_windows_are_those_that_see_a_nan():
    grid = Grid(kernel=3, stride=2, padding=1, dilation=3)
    assert list(count_windows(grid, 17)) == count_by_nan(grid, 17)


@pytest.mark.parametrize(("kernel", "stride"), PAIRS)
def test_the_interior_repeats_the_predicted_counts_with_the_strides_period(kernel, stride):
    counts = count_windows(Grid(kernel=kernel, stride=stride), 30 * stride)
    inner = counts[10 * stride : 20 * stride].reshape(10, stride)
    assert (inner == predict_coverage(kernel, stride)).all()


@pytest.mark.parametrize(("kernel", "stride"), PAIRS)
def test_cover_is_even_exactly_where_the_stride_divides_the_kernel(kernel, stride):
    assert (len(set(predict_coverage(kernel, stride))) == 1) == is_even(kernel, stride)


WRONG_RULES = {
    "odd kernel on even stride": lambda k, s: not (k % 2 == 1 and s % 2 == 0),
    "even kernel": lambda k, s: k % 2 == 0,
    "windows overlap": lambda k, s: k <= s,
    "kernel is the stride": lambda k, s: k == s,
}


@pytest.mark.parametrize("rule", WRONG_RULES.values(), ids=WRONG_RULES)
def test_other_rules_for_even_cover_fail_on_some_pair(rule):
    assert any(rule(k, s) != is_even(k, s) for k, s in PAIRS)


def test_the_papers_rule_is_right_one_way_round():
    """An odd kernel on an even stride is always uneven."""
    assert not any(is_even(k, s) for k, s in PAIRS if k % 2 and s % 2 == 0)


@pytest.mark.parametrize(("kernel", "stride"), [p for p in PAIRS if p[1] > 1])
def test_the_wave_is_the_fourier_coefficient_of_the_counts(kernel, stride):
    counts = np.array(predict_coverage(kernel, stride))
    waves = np.abs(np.fft.fft(counts)) / counts.sum()
    for m in range(1, stride):  # sums of fewer than ten terms of order one: rounding of 1e-15
        assert predict_amplitude(kernel, stride, m) == pytest.approx(waves[m], abs=1e-14)


def test_a_layer_of_three_erases_period_three_and_leaves_a_third_of_two_and_four():
    for period, left in ((3, 0.0), (2, 1 / 3), (4, 1 / 3)):
        line = np.cos(2 * np.pi * np.arange(240) / period)
        smooth = np.convolve(line, np.ones(3) / 3, mode="valid")
        assert pass_wave(3, 1 / period) == pytest.approx(left, abs=1e-14)
        assert np.abs(smooth).max() == pytest.approx(left, abs=1e-12)


@pytest.mark.parametrize(
    "grid",
    [
        Grid(kernel=3, padding=1),
        Grid(kernel=3, stride=2, padding=1),
        Grid(kernel=4, stride=3, padding=1),
        Grid(kernel=1, stride=2),
    ],
)
def test_spread_is_the_gradient_of_a_layer_of_ones(grid):
    x = torch.zeros(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 1, grid.kernel, grid.kernel, dtype=torch.float64)
    y = F.conv2d(x, ones, stride=grid.stride, padding=grid.padding)
    plane = torch.arange(1.0, y.numel() + 1, dtype=torch.float64).reshape(y.shape)
    (gradient,) = torch.autograd.grad(y, x, plane)
    counted = spread(plane[0, 0].numpy().astype(np.int64), grid, 12)
    assert (counted == gradient[0, 0].numpy()).all()  # whole numbers: exact
    assert counted.dtype == np.int64


def test_a_choosing_layer_keeps_the_total():
    grid = Grid(kernel=5, stride=4, padding=2, round_up=True)
    plane = np.random.default_rng(0).random((grid.count_outputs(64),) * 2)
    kept = spread(plane, grid, 64, chooses=True)
    assert kept.sum() == pytest.approx(plane.sum(), rel=1e-12)
    assert spread(plane, grid, 64).sum() > 10 * plane.sum()


@pytest.mark.parametrize(("n", "copies"), [(1, 1), (40, 1), (40, 3)])
def test_the_expected_maximum_is_that_of_many_draws(n, copies):
    sigma = np.linspace(0.1, 1, n)
    draws = np.random.default_rng(1).normal(size=(20_000, copies, n)) * sigma
    top = np.abs(draws).max(axis=(1, 2))
    # four standard errors of the mean, and the rule's step of 8/400 squared
    assert predict_maximum(sigma, copies=copies) == pytest.approx(
        top.mean(), abs=4 * top.std() / 20_000**0.5 + 1e-3
    )


def test_no_gradient_has_no_maximum():
    assert predict_maximum(np.zeros(4)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Grid(kernel=0), "at least 1"),
        (lambda: Grid(kernel=3, padding=-1), "at least 0"),
        (lambda: Grid(kernel=9).count_outputs(4), "4 pixels are too few"),
        (lambda: predict_coverage(0, 1), "must be at least 1"),
        (lambda: predict_amplitude(3, 2, 2), "harmonic must lie in 1 to 1"),
        (lambda: spread(np.ones((2, 2)), Grid(kernel=3), 12), "must have 10 x 10 windows"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
