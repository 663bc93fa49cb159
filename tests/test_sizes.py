"""Sizes of maps whose sizes are known: Gaussians, discs, deltas, extended binomials."""

import math
from itertools import pairwise

import numpy as np
import pytest

from erfbook.erf import Map, area_ratio, fit_gaussian, size

SHARE = 0.0455


def gaussian(shape, centre, sigma):
    rows, columns = (np.arange(n) for n in shape)
    down = np.exp(-0.5 * ((rows - centre[0]) / sigma[0]) ** 2)
    return np.outer(down, np.exp(-0.5 * ((columns - centre[1]) / sigma[1]) ** 2))


def extended_binomial(n, k):
    row = np.ones(1)
    for _ in range(n):
        row = np.convolve(row, np.ones(k))
    return row


def map_of(values, centre):
    middle = (float(centre[0]), float(centre[1]))
    return Map(values=np.asarray(values, dtype=float), centre=middle, input_size=values.shape)


def check_gaussian_size(size_function):
    """A Gaussian's size is s * sqrt(2 pi ln(1/t)); the disc's border pixels are the only error."""
    for sigma in (5.0, 12.0, 20.0):
        values = gaussian((201, 201), (100, 100), (sigma, sigma))
        expected = sigma * math.sqrt(2 * math.pi * math.log(1 / SHARE))
        radius = sigma * math.sqrt(2 * math.log(1 / SHARE))
        # Gauss's circle problem: the pixel count errs by less than 2 sqrt(2) pi r; the square
        # root halves the relative error.
        tolerance = expected * math.sqrt(2) / radius
        assert abs(size_function(values) - expected) < tolerance
        # the same yardstick, far tighter than the guarantee: what lattice counts do in practice
        assert size_function(values) == pytest.approx(expected, rel=0.02)


def test_size_of_a_gaussian_is_its_closed_form():
    check_gaussian_size(size)


def size_forgetting_the_root(values):
    return size(values) ** 2


def size_against_the_largest_share(values):
    return math.sqrt(np.count_nonzero(values > 1 - SHARE))


def size_as_two_radii(values):
    return 2 * math.sqrt(np.count_nonzero(values > SHARE) / math.pi)


@pytest.mark.parametrize(
    "wrong", [size_forgetting_the_root, size_against_the_largest_share, size_as_two_radii]
)
def test_a_wrong_size_is_rejected(wrong):
    with pytest.raises(AssertionError):
        check_gaussian_size(wrong)


def test_size_of_an_elliptic_gaussian_is_the_geometric_mean_of_its_axes():
    values = gaussian((301, 301), (150, 150), (8.0, 18.0))
    assert size(values) == pytest.approx(
        12.0 * math.sqrt(2 * math.pi * math.log(1 / SHARE)), rel=0.02
    )


def test_size_counts_the_pixels_of_a_disc_and_of_one_pixel():
    rows, columns = np.mgrid[-20:21, -20:21]
    disc = (rows**2 + columns**2 <= 15**2).astype(float)
    assert size(disc) == math.sqrt(disc.sum())
    delta = np.zeros((7, 7))
    delta[3, 3] = 2.0
    assert size(delta) == 1.0


def test_size_uses_the_field_centre_and_not_the_image_centre():
    values = gaussian((80, 120), (20, 90), (4.0, 4.0))
    expected = size(gaussian((81, 81), (40, 40), (4.0, 4.0)))
    assert size(map_of(values, (20, 90))) == expected
    with pytest.raises(ValueError, match="zero at its centre"):
        size(np.where(values > 1e-3, values, 0.0))


@pytest.mark.parametrize("centre", [(20.5, 20.5), (20, 20.5), (20.5, 20)])
def test_size_takes_the_mean_of_the_pixels_nearest_to_a_half_integer_centre(centre):
    values = gaussian((42, 42), centre, (1.0, 1.0))
    near = [[math.floor(c), math.ceil(c)] for c in centre]
    yardstick = values[np.ix_(*near)].mean()
    assert size(map_of(values, centre)) == math.sqrt((values > SHARE * yardstick).sum())
    # at sigma 1 the four neighbours lie visibly below the peak, so the choice can be told apart
    assert yardstick < 0.95


def test_size_does_not_depend_on_scale_or_sign():
    values = gaussian((41, 41), (20, 20), (4.0, 4.0))
    assert size(values) == size(1e-9 * values) == size(-3.0 * values)


def check_square(ratio_function):
    """A flat map's centred square holds its share of the pixels: (2i + 1)^2 of 81."""
    for i, j in pairwise(range(5)):
        inside, next_up = (2 * i + 1) ** 2 / 81, (2 * j + 1) ** 2 / 81
        assert ratio_function(np.ones((9, 9)), inside) == pytest.approx(inside)
        assert ratio_function(np.ones((9, 9)), inside + 1e-6) == pytest.approx(next_up)
    # all mass at a corner: a centred square must grow to the whole image
    corner = np.zeros((9, 9))
    corner[0, 0] = 1.0
    assert ratio_function(corner, 0.5) == 1.0


def test_centred_square_holds_the_share_asked_for():
    check_square(area_ratio)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda values, share: area_ratio(values, share, method="smallest-set"),
        lambda values, share: math.sqrt(area_ratio(values, share)),
    ],
    ids=["the smallest set instead of the square", "side ratio instead of area ratio"],
)
def test_a_wrong_square_is_rejected(wrong):
    with pytest.raises(AssertionError):
        check_square(wrong)


def test_centred_square_follows_an_even_grid_and_a_moved_centre():
    assert area_ratio(np.ones((8, 8)), 4 / 64) == 4 / 64  # the four pixels round the middle
    moved = np.zeros((9, 9))
    moved[1:4, 5:8] = 1.0
    assert area_ratio(map_of(moved, (2, 6)), 1.0) == 9 / 81
    assert area_ratio(map_of(moved, (2.0, 6.5)), 1.0) == 3 * 4 / 81  # half a side 1.5


def test_smallest_set_ignores_the_arrangement_and_never_exceeds_the_square():
    random = np.random.default_rng(0)
    values = random.random((31, 31)) ** 4
    shuffled = random.permutation(values.ravel()).reshape(values.shape)
    for share in (0.2, 0.5, 0.9, 1.0):
        smallest = area_ratio(values, share, method="smallest-set")
        assert smallest == area_ratio(shuffled, share, method="smallest-set")
        assert smallest <= area_ratio(values, share, scale="linear")


def test_log_scale_depends_on_the_unit_of_the_gradient_and_linear_does_not():
    values = gaussian((101, 101), (50, 50), (8.0, 8.0))
    assert area_ratio(values, 0.5) < area_ratio(1e6 * values, 0.5)
    assert area_ratio(values, 0.5, scale="linear") == area_ratio(1e6 * values, 0.5, scale="linear")
    # for a Gaussian the disc of mass s has area 2 pi sigma^2 ln(1/(1-s)); 2 % as in size
    expected = 2 * math.pi * 64 * math.log(2) / 101**2
    assert area_ratio(values, 0.5, method="smallest-set") == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("n", "k"), [(5, 3), (20, 3), (8, 5), (12, 2)])
def test_moments_of_extended_binomials_are_luo_eq_11(n, k):
    row = extended_binomial(n, k)
    fit = fit_gaussian(np.outer(row, row))
    # sums of at most 41 terms of one sign in float64: a relative error of a few 1e-15
    assert fit.sigma == pytest.approx((math.sqrt(n * (k**2 - 1) / 12),) * 2, rel=1e-12)
    # fourth cumulant of n uniform steps on k points: -n (k^4 - 1) / 120
    expected = -n * (k**4 - 1) / 120 / (n * (k**2 - 1) / 12) ** 2
    assert fit.excess_kurtosis == pytest.approx((expected, expected), rel=1e-10)
    assert fit.centre == pytest.approx(((len(row) - 1) / 2,) * 2)


def check_fit(fit_function):
    """An off-centre elliptic Gaussian is found exactly, and explained wholly."""
    values = 3.0 * gaussian((90, 110), (40.3, 61.7), (6.0, 9.0))
    fit = fit_function(values)
    # scipy stops at a relative change of 1e-8 in the parameters
    assert fit.fitted_centre == pytest.approx((40.3, 61.7), rel=1e-6)
    assert fit.fitted_sigma == pytest.approx((6.0, 9.0), rel=1e-6)
    assert fit.amplitude == pytest.approx(3.0, rel=1e-6)
    assert fit.r_squared == pytest.approx(1.0, abs=1e-9)
    # the map holds 8 sigma and more on each side (tails below 1e-6 of the mass)
    assert fit.sigma == pytest.approx((6.0, 9.0), rel=1e-4)
    assert fit.excess_kurtosis == pytest.approx((0.0, 0.0), abs=1e-2)


def test_fit_recovers_a_gaussian():
    check_fit(fit_gaussian)


@pytest.mark.parametrize(
    "wrong", [lambda v: fit_gaussian(v.T), lambda v: fit_gaussian(v**2)], ids=["axes swapped", "g²"]
)
def test_a_wrong_fit_is_rejected(wrong):
    with pytest.raises(AssertionError):
        check_fit(wrong)


def test_a_square_is_not_gaussian():
    values = np.zeros((61, 61))
    values[20:41, 20:41] = 1.0
    fit = fit_gaussian(values)
    # a uniform row of m points has excess kurtosis -6 (m^2 + 1) / (5 (m^2 - 1))
    assert fit.excess_kurtosis[0] == pytest.approx(-6 * (21**2 + 1) / (5 * (21**2 - 1)))
    assert fit.r_squared < 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: size(np.ones((3, 3)), threshold=1.5),
            "threshold must lie between 0 and 1, not 1.5",
        ),
        (lambda: size(np.ones((0, 3))), "two axes"),
        (lambda: size(np.full((3, 3), np.nan)), "not finite"),
        (lambda: size(map_of(np.ones((3, 3)), (5, 0))), "outside the map"),
        (lambda: area_ratio(np.ones((3, 3)), 0.0), "share must lie above 0"),
        (lambda: area_ratio(np.ones((3, 3)), 0.5, method="disc"), "method must be"),
        (lambda: area_ratio(np.ones((3, 3)), 0.5, scale="ln"), "scale must be"),
        (lambda: area_ratio(np.zeros((3, 3)), 0.5), "zero everywhere"),
        (lambda: fit_gaussian(np.zeros((3, 3))), "zero everywhere"),
        (lambda: fit_gaussian(np.eye(3)[1:2]), "no spread"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
