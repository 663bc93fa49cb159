"""What is measured on a picture, on a channel's map, and between pictures: functions of arrays.

Pictures are (n, 3, height, width) in display range, 0 to 1; maps of a channel (n, rows, columns).
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float
from scipy import ndimage, stats

Pictures = Float[np.ndarray, "n 3 height width"]
Maps = Float[np.ndarray, "n rows columns"]

COARSE = 4  # cycles a picture, up to which structure counts as its layout; chosen by us
_LUMINANCE = (0.299, 0.587, 0.114)  # weights of red, green and blue in ITU-R BT.601
_SMOOTH_PX = 2.0  # dots and combs finer than this do not count for a correlation length
_WINDOW_PX = 4.0  # width of the Gaussian under which contrast is read
_STEEPEST = 0.25  # cycles a pixel: above it, strides print combs and blur erases


def luminance(pictures: Pictures) -> Maps:
    """Return brightness."""
    return np.einsum("c,nchw->nhw", _LUMINANCE, np.asarray(pictures, dtype=np.float64))


def split_scales(pictures: Pictures, cycles: float = COARSE) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures without their mean colour as coarse and fine parts, which sum to them.

    Args:
        pictures: of any side.
        cycles: the coarse part holds all waves of up to this many periods across the picture.
    """
    centred = pictures - pictures.mean(axis=(2, 3), keepdims=True)
    height, width = pictures.shape[2:]
    across = np.fft.rfftfreq(width, 1 / width)
    frequency = np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], across)
    spectrum = np.fft.rfft2(centred) * (frequency <= cycles)
    coarse = np.fft.irfft2(spectrum, s=(height, width))
    return coarse, centred - coarse


def correlate(items: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n n"]:
    """Return the cosine between every two items; zero where one of them is zero."""
    flat = items.reshape(len(items), -1)
    norms = np.linalg.norm(flat, axis=1)
    unit = flat / np.where(norms > 0, norms, 1.0)[:, None]
    return unit @ unit.T


def correlation_lengths(pictures: Pictures) -> Float[np.ndarray, " n"]:
    """Return the longest shift, in pixels, that still correlates with 1/e or more.

    Shifts in all directions are tried, up to half the picture's shorter side; each is compared on
    the part that both copies share. Brightness is blurred a little first.
    """
    lengths = []
    for plane in luminance(pictures):
        smooth = ndimage.gaussian_filter(plane, _SMOOTH_PX, mode="nearest")
        found, distance = _autocorrelation(smooth - smooth.mean())
        lengths.append(distance[found >= np.exp(-1)].max(initial=0.0))
    return np.array(lengths)


def _autocorrelation(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean product over the overlap at every shift of half a side or less, and shifts.

    The product is scaled by the variance, and the shifts are lengths in pixels.
    """
    sides = tuple(2 * n for n in plane.shape)
    power = np.abs(np.fft.rfft2(plane, s=sides)) ** 2
    ones = np.abs(np.fft.rfft2(np.ones_like(plane), s=sides)) ** 2
    products, overlap = (np.fft.irfft2(p, s=sides) for p in (power, ones))
    shifts = [np.fft.fftfreq(n, 1 / n) for n in sides]
    distance = np.hypot(shifts[0][:, None], shifts[1])
    near = distance <= min(plane.shape) / 2
    variance = float((plane**2).mean()) or 1.0
    return products[near] / np.maximum(overlap[near], 0.5) / variance, distance[near]


def spectrum_slopes(pictures: Pictures) -> Float[np.ndarray, " n"]:
    """Return the slope of log power over log frequency; photographs have about -2.

    Power is that of brightness under a Hann window, averaged over directions, from three periods
    a picture up to a quarter cycle a pixel.
    """
    height, width = pictures.shape[2:]
    window = np.outer(np.hanning(height), np.hanning(width))
    planes = luminance(pictures)
    planes = (planes - planes.mean(axis=(1, 2), keepdims=True)) * window
    power = np.abs(np.fft.fft2(planes)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    side = min(height, width)
    edges = np.geomspace(min(3 / side, _STEEPEST / 2), _STEEPEST, 9)
    rings = [(frequency >= a) & (frequency < b) for a, b in itertools.pairwise(edges)]
    rings = [ring for ring in rings if ring.any()]
    means = np.log(np.stack([power[:, ring].mean(axis=1) for ring in rings]) + 1e-12)
    middle = np.log([frequency[ring].mean() for ring in rings])
    return np.polyfit(middle, means, 1)[0]


def edge_kurtoses(pictures: Pictures) -> Float[np.ndarray, " n"]:
    """Return the excess kurtosis of brightness steps between neighbours; 0 for Gaussian ones."""
    planes = luminance(pictures)
    steps = [np.diff(planes, axis=axis).reshape(len(planes), -1) for axis in (1, 2)]
    return stats.kurtosis(np.concatenate(steps, axis=1), axis=1)


def sparseness(maps: Maps) -> Float[np.ndarray, " n"]:
    """Return Treves and Rolls's sparseness of the positive part: 0 if all are equal, 1 for one.

    A map without a positive unit is not sparse but silent: NaN.
    """
    flat = np.maximum(maps, 0).reshape(len(maps), -1)
    squares = (flat**2).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        density = flat.mean(axis=1) ** 2 / squares
    return (1 - density) / (1 - 1 / flat.shape[1])


def top_shares(maps: Maps, part: float = 0.1) -> Float[np.ndarray, " n"]:
    """Return the share of the positive response that the strongest units give.

    Args:
        maps: of a channel.
        part: share of the units that count as the strongest, rounded up.
    """
    flat = np.sort(np.maximum(maps, 0).reshape(len(maps), -1), axis=1)[:, ::-1]
    n = int(np.ceil(part * flat.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return flat[:, :n].sum(axis=1) / flat.sum(axis=1)


def count_peaks(maps: Maps, height: float = 0.5) -> Float[np.ndarray, " n"]:
    """Return how many units are the largest of their 3x3 neighbours and of a certain height.

    Args:
        maps: of a channel.
        height: share of the map's largest value that a peak must reach.
    """
    largest = maps.max(axis=(1, 2), keepdims=True)
    around = ndimage.maximum_filter(maps, size=(1, 3, 3), mode="nearest")
    return ((maps == around) & (maps >= height * largest) & (maps > 0)).sum(axis=(1, 2)) * 1.0


def local_contrast(pictures: Pictures) -> Maps:
    """Return the standard deviation of brightness under a Gaussian around every pixel."""
    planes = luminance(pictures)
    sigma = (0, _WINDOW_PX, _WINDOW_PX)
    mean = ndimage.gaussian_filter(planes, sigma)
    return np.sqrt(np.maximum(ndimage.gaussian_filter(planes**2, sigma) - mean**2, 0))


def smooth_maps(maps: Maps) -> Maps:
    """Return maps blurred by the window under which contrast is read."""
    return ndimage.gaussian_filter(maps, (0, _WINDOW_PX, _WINDOW_PX))


def rank_correlate(
    a: Maps, b: Float[np.ndarray, "m rows columns"], step: int = 4
) -> Float[np.ndarray, "n m"]:
    """Return Spearman's correlation over pixels of every map of one set with all of the other.

    Args:
        a, b: maps of one size.
        step: every how many pixels, along each axis, a value is taken.
    """
    ranks = [
        stats.rankdata(x[:, ::step, ::step].reshape(len(x), -1), axis=1).astype(float)
        for x in (a, b)
    ]
    ranks = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    norms = [np.maximum(np.linalg.norm(r, axis=1), 1e-12) for r in ranks]
    return (ranks[0] @ ranks[1].T) / np.outer(norms[0], norms[1])


def held_by_half(contrast: Maps, fields: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of squared contrast where half of an effective field lies, and its area.

    Args:
        contrast: of each picture.
        fields: effective field of the same unit; the smallest set with half its mass is taken.
    """
    shares, areas = [], []
    for energy, field in zip(contrast**2, fields, strict=True):
        order = np.argsort(field, axis=None)[::-1]
        mass = np.cumsum(field.ravel()[order])
        chosen = order[: int(np.searchsorted(mass, mass[-1] / 2)) + 1]
        shares.append(energy.ravel()[chosen].sum() / energy.sum())
        areas.append(len(chosen) / field.size)
    return np.array(shares), np.array(areas)
