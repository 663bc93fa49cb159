"""Linear CKA of two sets of features, and the two estimates of HSIC it may rest on.

With K and L the Gram matrices of n images, CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)). The
usual estimate of HSIC doubly centres K and L and counts their diagonals, which correlate whatever
the features are; HSIC_1 leaves the diagonals out and its expectation is exact. Both are

    <K, L> + a (K 1) . (L 1) + b (1' K 1) (1' L 1)

with a = -2/n, b = 1/n^2 for the first, and for HSIC_1, of matrices whose diagonal is set to zero,
a = -2/(n-2), b = 1/((n-1)(n-2)). Constant factors cancel in CKA.

Both depend on differences of images only, so features are centred before anything is multiplied:
with a mean far above the spread, products of raw features lose all digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LEAST_IMAGES = 4  # HSIC_1 divides by n - 3
_COLUMNS = 4096  # features that are held in float64 at once
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Moments:
    """What HSIC needs of two Gram matrices: of one with the other, and of each with itself.

    Args:
        cross, first, second: <K, L>, <K, K>, <L, L>, with or without the diagonals.
        rows_first, rows_second: sums of the rows of K and L, likewise.
    """

    cross: Tensor
    first: Tensor
    second: Tensor
    rows_first: Float[Tensor, " n"]
    rows_second: Float[Tensor, " n"]


def linear_cka(
    x: Float[Tensor, "n d1"] | np.ndarray,
    y: Float[Tensor, "n d2"] | np.ndarray,
    debiased: bool = True,
) -> float:
    """Return the linear CKA of two sets of features (avendano s. 3.3, figure 3).

    One for the same features up to rotation, shift and scale. Debiased, it is zero on average for
    independent features and may fall below zero; otherwise independent features of n images give
    :func:`predict_independent_cka`. All sums are in float64. With fewer features than images the
    products of features are taken, otherwise those of images: both are exact.

    Args:
        x, y: features of the same n images, in the same order; of any real type.
        debiased: rest it on HSIC_1.

    Raises:
        ValueError: features that are not (n, d), of unequal n, of fewer than four images, that
            are not finite, or that do not differ between images.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(linear_cka(x, 2 * x.flip(1) + 5), 12)
    1.0
    """
    first, second = check_features(x, "x"), check_features(y, "y")
    if len(first) != len(second):
        raise ValueError(f"x has {len(first)} images and y {len(second)}; they must be the same")
    n = len(first)
    found = (_by_features if max(first.shape[1], second.shape[1]) < n else _by_images)(
        first, second, debiased
    )
    a, b = coefficients(n, debiased)
    r, s = found.rows_first, found.rows_second
    cross = float(found.cross + a * (r @ s) + b * r.sum() * s.sum())
    norms = [
        float(own + a * (rows @ rows) + b * rows.sum() ** 2)
        for own, rows in ((found.first, r), (found.second, s))
    ]
    for name, norm, own in zip("xy", norms, (found.first, found.second), strict=True):
        if norm <= n * _EPS * float(own):  # what is left of own is rounding
            raise ValueError(
                f"{name}: every two of its {n} images are equally far apart, which leaves the "
                "debiased CKA undefined; take debiased=False or more images"
            )
    return cross / math.sqrt(norms[0] * norms[1])


def predict_independent_cka(n: int, d1: int, d2: int) -> float:
    """Return about what the biased CKA of independent features is (Gaussian, of equal variance).

    Follows from the second moments of Wishart matrices of n - 1 degrees of freedom. The debiased
    CKA is 0 on average.

    Args:
        n: images.
        d1, d2: features.

    >>> round(predict_independent_cka(32, 8, 8), 2)  # nothing in common
    0.2
    """
    return math.sqrt(d1 * d2 / ((d1 + n) * (d2 + n)))


def check_features(x: Tensor | np.ndarray, name: str) -> Tensor:
    """Return features as a tensor (n, d).

    Raises:
        ValueError: see :func:`linear_cka`.
    """
    features = torch.as_tensor(x).detach()
    if features.ndim != 2 or features.shape[1] == 0 or features.is_complex():
        kind = "complex " if features.is_complex() else ""
        raise ValueError(
            f"{name} must be real features (n, d), one row an image, not {kind}"
            f"{tuple(features.shape)}; x.flatten(1) puts the rest of an image's axes into one"
        )
    if len(features) < LEAST_IMAGES:
        raise ValueError(
            f"{name} has {len(features)} images; CKA needs {LEAST_IMAGES} or more of them"
        )
    if not torch.isfinite(features).all():
        raise ValueError(f"{name} has features that are not finite (NaN or infinite)")
    if (features == features[:1]).all():
        raise ValueError(f"{name} is the same for every image: a constant has no CKA")
    return features


def coefficients(n: int, debiased: bool) -> tuple[float, float]:
    """Return a and b of the module's head."""
    return (-2 / (n - 2), 1 / ((n - 1) * (n - 2))) if debiased else (-2 / n, 1 / n**2)


def centred_columns(
    features: Tensor, columns: int = _COLUMNS, *, single: bool = False
) -> Iterator[Tensor]:
    """Yield features less their mean over images, a block of columns at a time, in float64.

    Of features in less than float64 the sums of equal values are exact, so a constant gives zero.
    With ``single`` blocks and means are in float32: near their mean, numbers subtract without
    error, and that the mean is rounded shifts all images alike, which CKA does not see.
    """
    for block in features.split(columns, dim=1):
        if single:
            narrow = block.float()
            yield narrow - narrow.mean(0)
            continue
        wide = block.to(torch.float64, copy=True)
        yield wide.sub_(wide.sum(0) / len(wide))


def add_gram(gram: Float[Tensor, "n n"], features: Tensor, *, single: bool = False) -> None:
    """Add the products of centred features to the lower half of a float64 matrix, in place.

    What lies above the diagonal strips is the mirror image of what lies below, and is left out:
    nearly half of the work.

    Args:
        gram: what is added to.
        features: (n, d).
        single: multiply in float32, block by block, which errs by about 1e-6 of a CKA; sums over
            blocks stay in float64. Features in float64 are multiplied in float64 all the same.
    """
    n = len(gram)
    step = max(-(-n // 8), 32)
    single = single and features.dtype != torch.float64
    for block in centred_columns(features, single=single):
        for start in range(0, n, step):
            end = min(start + step, n)
            if single:
                gram[start:end, :end] += block[start:end] @ block[:end].T
            else:
                gram[start:end, :end].addmm_(block[start:end], block[:end].T)


def _by_features(x: Tensor, y: Tensor, debiased: bool) -> Moments:
    """The same moments from products of features: centred Gram matrices have rows of sum 0."""
    first, second = (torch.cat(list(centred_columns(f)), 1) for f in (x, y))
    pairs = (first, second), (first, first), (second, second)
    cross, own_x, own_y = (((p.T @ q) ** 2).sum() for p, q in pairs)
    k, m = (first**2).sum(1), (second**2).sum(1)
    if not debiased:
        zero = torch.zeros_like(k)
        return Moments(cross, own_x, own_y, zero, zero)
    return Moments(cross - k @ m, own_x - k @ k, own_y - m @ m, -k, -m)


def _by_images(x: Tensor, y: Tensor, debiased: bool) -> Moments:
    grams = []
    for features in (x, y):
        gram = torch.zeros(len(x), len(x), dtype=torch.float64, device=features.device)
        add_gram(gram, features)
        full = gram.tril() + gram.tril(-1).T
        grams.append(full.fill_diagonal_(0) if debiased else full)
    first, second = grams
    inner = [(p * q).sum() for p, q in ((first, second), (first, first), (second, second))]
    return Moments(inner[0], inner[1], inner[2], first.sum(1), second.sum(1))
