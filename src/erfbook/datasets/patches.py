"""Colour patches of scikit-image's photographs, labelled by the photograph: needs no download.

Training patches come from the left half of a photograph, test patches from the right half, so no
pixel is in both. Every patch gets a mean colour and a contrast drawn anew: a retina is orange and
a night sky is black, and a label that the mean colour gives away asks nothing of a receptive field.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from erfbook.datasets.counter import draw
from erfbook.datasets.images import load_photographs
from erfbook.datasets.sets import ImageSet, Split

VERSION = 2  # raised with any change of a pixel or a label; a test holds the content to it

# Chosen by us: mean colours that leave room for contrast on both sides, and a mean deviation from
# them of 15 to 35 grey levels. Flatter patches than 4 grey levels are scaled up as if they had 4.
_MEAN_COLOUR = (80, 176)
_DEVIATION_TENTHS = (150, 350)
_FLATTEST_TENTHS = 40
_CHUNK = 512


def load_patches(side: int, n_train: int = 4000, n_test: int = 1000, seed: int = 0) -> ImageSet:
    """Return recoloured patches of photographs; the classes take turns.

    Args:
        side: of a patch, in pixels.
        n_train, n_test: patches of the left and of the right halves.
        seed: of places, colours and contrasts.
    """
    photographs = load_photographs()
    pixels = [photograph.pixels for photograph in photographs.values()]
    left = [image[:, : image.shape[1] // 2] for image in pixels]
    right = [image[:, image.shape[1] // 2 :] for image in pixels]
    note = f"patches of {side} px of scikit-image's photographs, recoloured"
    train = _split(left, side, n_train, seed=2 * seed)
    test = _split(right, side, n_test, seed=2 * seed + 1)
    name = f"patches{side}"
    return ImageSet(name, note, tuple(photographs), train, test, fingerprint(side))


def fingerprint(side: int) -> str:
    """Return the fingerprint of the default patches of a side."""
    return f"patches{side}-v{VERSION}"


def _split(parts: list[UInt8[np.ndarray, "_ _ 3"]], side: int, n: int, seed: int) -> Split:
    labels = np.arange(n) % len(parts)
    heights, widths = (np.array([part.shape[axis] for part in parts]) for axis in (0, 1))
    top = draw(seed, 0, n, 0, 2**31 - 1) % (heights[labels] - side + 1)
    left = draw(seed, 1, n, 0, 2**31 - 1) % (widths[labels] - side + 1)
    images = np.empty((n, 3, side, side), np.uint8)
    for i in range(n):
        patch = parts[labels[i]][top[i] : top[i] + side, left[i] : left[i] + side]
        images[i] = patch.transpose(2, 0, 1)
    colours = np.stack([draw(seed, 2 + c, n, *_MEAN_COLOUR) for c in range(3)], axis=1)
    deviations = draw(seed, 5, n, *_DEVIATION_TENTHS)
    for i in range(0, n, _CHUNK):
        rows = slice(i, i + _CHUNK)
        images[rows] = _recolour(images[rows], colours[rows], deviations[rows])
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.uint8)))


def _recolour(
    images: UInt8[np.ndarray, "n 3 side side"],
    colours: Int64[np.ndarray, "n 3"],
    deviations: Int64[np.ndarray, n],
) -> UInt8[np.ndarray, "n 3 side side"]:
    """Give each image a mean colour and a mean absolute deviation (tenths of a grey level)."""
    area = images.shape[2] * images.shape[3]
    sums = images.sum(axis=(2, 3), dtype=np.int64)
    centred = images.astype(np.int32) - (sums // area).astype(np.int32)[:, :, None, None]
    found = np.abs(centred).sum(axis=(1, 2, 3), dtype=np.int64) * 10 // (3 * area)
    divisor = np.maximum(found, _FLATTEST_TENTHS).astype(np.int32)[:, None, None, None]
    centred *= deviations.astype(np.int32)[:, None, None, None]
    centred //= divisor
    centred += colours.astype(np.int32)[:, :, None, None]
    return np.clip(centred, 0, 255).astype(np.uint8)
