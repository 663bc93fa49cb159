"""Linear CKA: its laws, its two estimates, and what wrong versions of it do."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from theory_oracles import rejects

from erfbook.similarity import linear_cka, predict_independent_cka

# Sums of n^2 products in float64, n <= 200: relative rounding below n^2 2^-53 = 5e-12.
TOLERANCE = 1e-11


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pair(n=40, d1=7, d2=5, seed=0):
    """Two sets of features that share a part."""
    x = draw(n, d1, seed=seed)
    return x, x @ draw(d1, d2, seed=seed + 1) + draw(n, d2, seed=seed + 2)


def hsic_by_loops(x, y):
    """HSIC_1 from its definition as a mean over tuples of different images, in loops.

    The mean over i != j of K_ij L_ij, plus that over four different images of K_ij L_qr, less
    twice that over three of K_ij L_iq.
    """
    n = len(x)
    k, m = (x @ x.T).tolist(), (y @ y.T).tolist()
    two = [k[i][j] * m[i][j] for i, j in itertools.permutations(range(n), 2)]
    three = [k[i][j] * m[i][q] for i, j, q in itertools.permutations(range(n), 3)]
    four = [k[i][j] * m[q][r] for i, j, q, r in itertools.permutations(range(n), 4)]
    return sum(two) / len(two) + sum(four) / len(four) - 2 * sum(three) / len(three)


def cka_by_loops(x, y):
    return hsic_by_loops(x, y) / math.sqrt(hsic_by_loops(x, x) * hsic_by_loops(y, y))


def cka_by_definition(x, y):
    """The biased estimate: doubly centred Gram matrices, multiplied."""
    h = np.eye(len(x)) - 1 / len(x)
    k, m = (h @ np.asarray(v @ v.T) @ h for v in (x, y))
    return np.sum(k * m) / math.sqrt(np.sum(k * k) * np.sum(m * m))


def keeps_diagonals(x, y, debiased=True):
    return cka_by_definition(x, y)


def forgets_rows(x, y, debiased=True):
    """Off-diagonal products of centred features, without the terms of HSIC_1 that follow."""
    k, m = ((c @ c.T).fill_diagonal_(0) for c in (x - x.mean(0), y - y.mean(0)))
    return float((k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt())


@pytest.mark.parametrize("d1, d2", [(2, 3), (9, 3), (30, 40)])
def test_the_debiased_index_is_the_definition_in_loops(d1, d2):
    x, y = pair(9, d1, d2)

    def check(version):
        assert math.isclose(version(x, y, debiased=True), cka_by_loops(x, y), abs_tol=TOLERANCE)

    check(linear_cka)
    rejects(check, keeps_diagonals)
    rejects(check, forgets_rows)


@pytest.mark.parametrize("d1, d2", [(2, 3), (39, 3), (100, 90)])
def test_the_biased_index_is_the_definition(d1, d2):
    x, y = pair(40, d1, d2)
    assert math.isclose(
        linear_cka(x, y, debiased=False), cka_by_definition(x, y), abs_tol=TOLERANCE
    )


@pytest.mark.parametrize("debiased", [True, False])
def test_products_of_features_and_of_images_agree(debiased):
    x, y = pair(60, 12, 8)
    zeros = torch.zeros(60, 100, dtype=x.dtype)  # adds nothing but makes features outnumber images
    by_features = linear_cka(x, y, debiased)
    by_images = linear_cka(torch.cat([x, zeros], 1), y, debiased)
    assert math.isclose(by_features, by_images, abs_tol=TOLERANCE)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("d", [5, 70])
def test_only_rotation_shift_and_scale_leave_the_index(debiased, d):
    x, y = pair(50, d, 6)
    rotation = torch.linalg.qr(draw(d, d, seed=5)).Q
    before = linear_cka(x, y, debiased)
    assert math.isclose(linear_cka(x, x, debiased), 1, abs_tol=TOLERANCE)
    assert math.isclose(linear_cka(x @ rotation, y, debiased), before, abs_tol=TOLERANCE)
    assert math.isclose(linear_cka(x - 3, 7 * y, debiased), before, abs_tol=TOLERANCE)
    assert math.isclose(linear_cka(y, x, debiased), before, abs_tol=TOLERANCE)
    stretched = x * torch.logspace(-1, 1, d, dtype=x.dtype)
    assert abs(linear_cka(stretched, x, debiased) - 1) > 0.05  # a general linear map does not


@pytest.mark.parametrize("n, d", [(32, 8), (32, 128), (100, 20)])
def test_independent_features_give_zero_only_without_bias(n, d):
    """Over 60 draws the mean lies within 4 standard errors of 0, or of the biased prediction.

    The prediction divides expectations; the ratio's own bias is of the order of the variance of
    HSIC(K, K), relative 4 / n, and of that a twentieth is far more than seen.
    """
    draws = [(draw(n, d, seed=2 * i), draw(n, d, seed=2 * i + 1)) for i in range(60)]

    def mean_and_error(version):
        values = np.array([version(x, y, debiased=True) for x, y in draws])
        return values.mean(), values.std(ddof=1) / math.sqrt(len(values))

    def check_zero(version):
        mean, error = mean_and_error(version)
        assert abs(mean) < 4 * error

    check_zero(linear_cka)
    rejects(check_zero, keeps_diagonals)
    biased, error = mean_and_error(keeps_diagonals)
    assert abs(biased - predict_independent_cka(n, d, d)) < 4 * error + 0.05 * 4 / n


def test_the_bias_at_32_images_and_8_features_is_a_fifth():
    assert math.isclose(predict_independent_cka(32, 8, 8), 0.2)


def raw_float32(x, y, debiased=True):
    """Products of features as they are, centred afterwards, all in their own precision."""
    n = len(x)
    h = torch.eye(n) - 1 / n
    k, m = (h @ (v.float() @ v.float().T) @ h for v in (x, y))
    return float((k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt())


@pytest.mark.parametrize("d", [3, 40])
def test_features_far_from_zero_lose_no_digits(d):
    """Float32 features with a mean 2000 times their spread, against exact fractions."""
    x, y = (draw(12, d, seed=s, dtype=torch.float32) + 2000 for s in (1, 2))

    def exact(v):
        rows = [[Fraction(float(value)) for value in row] for row in v]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        rows = [[a - m for a, m in zip(row, means, strict=True)] for row in rows]
        return [[sum(a * b for a, b in zip(p, q, strict=True)) for q in rows] for p in rows]

    def inner(k, m):
        return sum(a * b for p, q in zip(k, m, strict=True) for a, b in zip(p, q, strict=True))

    k, m = exact(x), exact(y)
    truth = float(inner(k, m)) / math.sqrt(inner(k, k) * inner(m, m))

    def check(version):
        # values of 2000 in float64 less their mean: absolute 2e-13, of a spread of 1; products
        # and sums add little
        assert math.isclose(version(x, y, debiased=False), truth, abs_tol=1e-11)

    check(linear_cka)
    rejects(check, raw_float32)


@pytest.mark.parametrize(
    "dtype, close", [(torch.float16, 2e-3), (torch.bfloat16, 1e-2), (torch.float32, 1e-6)]
)
def test_any_real_type_is_taken(dtype, close):
    x, y = pair(30, 6, 6)
    # rounding the features moves each by 2^-11, 2^-8, 2^-24 of itself; CKA by about as much
    assert math.isclose(linear_cka(x.to(dtype), y.to(dtype)), linear_cka(x, y), abs_tol=close)
    assert linear_cka(x.numpy(), y.numpy()) == linear_cka(x, y)


@pytest.mark.parametrize(
    "x, y, debiased, says",
    [
        (draw(3, 2), draw(3, 2), True, "x has 3 images; CKA needs 4"),
        (draw(5, 2), draw(6, 2), True, "x has 5 images and y 6"),
        (draw(5, 2), torch.full((5, 2), math.nan), True, "y has features that are not finite"),
        (torch.full((5, 2), 3.1), draw(5, 2), False, "x is the same for every image"),
        (draw(5, 2, 2), draw(5, 2), True, r"x must be real features .*flatten"),
        (draw(5), draw(5, 2), True, "x must be real features"),
        (draw(5, 0), draw(5, 2), True, "x must be real features"),
        (draw(5, 2), draw(5, 2).to(torch.complex64), True, "y must be real features .* complex"),
        (draw(6, 2), torch.eye(6), True, "y: every two of its 6 images are equally far apart"),
    ],
)
def test_what_has_no_index_is_refused_by_name(x, y, debiased, says):
    with pytest.raises(ValueError, match=says):
        linear_cka(x, y, debiased)


def test_equally_distant_images_have_a_biased_index():
    assert math.isclose(linear_cka(torch.eye(6), torch.eye(6), debiased=False), 1)
