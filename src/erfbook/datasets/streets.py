"""Procedurally drawn street scenes with CamVid's eleven classes: needs no download.

All arithmetic is that of whole numbers, and every image has random numbers of its own, so the
scenes are the same on every platform.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8

from erfbook.datasets.counter import draw, hash_counters
from erfbook.datasets.sets import ImageSet, Split
from erfbook.datasets.street_scene import CLASSES, UNLABELLED, Canvas, Numbers, draw_scene

VERSION = 1  # raised with any change of a pixel or a label; a test holds the content to it

_N_NUMBERS = 512  # drawn for one scene; a scene uses far less


def load_streets(
    height: int = 120, width: int = 160, n_train: int = 300, n_test: int = 100, seed: int = 0
) -> ImageSet:
    """Return drawn street scenes with a class for every pixel.

    Args:
        height, width: of an image, in pixels.
        n_train, n_test: scenes; no scene is in both.
        seed: of everything drawn.
    """
    train = _split(height, width, n_train, seed=2 * seed)
    test = _split(height, width, n_test, seed=2 * seed + 1)
    note = f"procedurally drawn street scenes, {width} x {height} px"
    return ImageSet("streets", note, CLASSES, train, test, fingerprint(), ignore=UNLABELLED)


def fingerprint() -> str:
    """Return the fingerprint of the default scenes."""
    return f"streets-v{VERSION}"


def _split(height: int, width: int, n: int, seed: int) -> Split:
    labels = np.empty((n, height, width), np.uint8)
    images = np.empty((n, 3, height, width), np.uint8)
    numbers = draw(seed, 0, n * _N_NUMBERS, 0, 2**31 - 1).reshape(n, _N_NUMBERS)
    for i in range(n):
        draw_scene(Canvas(labels[i], images[i]), Numbers(numbers[i]))
        _light(images[i], seed, i)
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _light(image: UInt8[np.ndarray, "3 h w"], seed: int, i: int) -> None:
    """Scale a scene's brightness and add noise of up to 13 grey levels, the same in all colours."""
    n = image.shape[1] * image.shape[2]
    noise = hash_counters(seed, 1 + i, n + 1)
    brightness = 70 + int(noise[-1] >> np.uint64(32)) % 51  # per cent
    grain = (noise[:-1] >> np.uint64(32)) % np.uint64(27)
    lit = image.astype(np.int32) * brightness // 100
    image[:] = np.clip(lit + grain.astype(np.int32).reshape(image.shape[1:]) - 13, 0, 255)
