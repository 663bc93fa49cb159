"""One set of images, several questions: on which side of grey is the mark at this distance?

Every image is grey noise with one square mark on each of several circles around its centre. A
mark's angle is uniform and it is lighter or darker than its ground with even odds, all drawn
independently of one another. A task names one circle, and the label is the tone of that circle's
mark. So all tasks share one distribution of images, and what lies nearer or farther than the asked
mark is independent of the label: a field that ends before it can only guess.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from erfbook.datasets import ImageSet, Split
from erfbook.errors import UserError
from erfbook.experiments.estimates import seed_for

VERSION = 1
GREY = 128
CLASSES = ("darker", "lighter")


@dataclass(frozen=True)
class Rings:
    """What the images are like.

    Args:
        side_px: side of an image, odd.
        distances: of the marks from the central pixel, in pixels; rising, one mark each.
        mark_px: side of a mark, odd.
        contrast: how much lighter or darker a mark is, in grey levels of 255.
        noise: standard deviation of the ground, in grey levels.

    Raises:
        UserError: an even side, marks that leave the image, or distances that are not rising.
    """

    side_px: int
    distances: tuple[int, ...]
    mark_px: int = 3
    contrast: float = 80.0
    noise: float = 20.0

    def __post_init__(self) -> None:
        needed = 2 * (max(self.distances) + self.mark_px // 2) + 1
        if self.side_px % 2 == 0 or self.mark_px % 2 == 0:
            raise UserError(
                "an image and a mark need a central pixel, so their sides must be odd, not "
                f"{self.side_px} and {self.mark_px} px"
            )
        if self.side_px < needed:
            raise UserError(
                f"a mark at {max(self.distances)} px needs an image of {needed} px, not "
                f"{self.side_px}: ask for less, or give the network a larger field"
            )
        if list(self.distances) != sorted(set(self.distances)) or self.distances[0] < 0:
            raise UserError(f"distances must rise from 0 or more, not {self.distances}")

    @property
    def fingerprint(self) -> str:
        """Changes with any setting, and with the way images are made."""
        words = json.dumps([VERSION, dataclasses.asdict(self)], sort_keys=True)
        return f"rings-v{VERSION}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"

    @property
    def reach_px(self) -> float:
        """How far a mark's pixels may lie from its circle, rounding of its place included."""
        return math.sqrt(2) * (self.mark_px // 2 + 0.5)


@dataclass(frozen=True)
class Draws:
    """What chance decides in some images, each on its own.

    Args:
        tones: whether each mark is lighter than its ground.
        angles: of each mark, in radians.
        ground: the noise, in standard deviations.
    """

    tones: Int[np.ndarray, "n ring"]
    angles: Float[np.ndarray, "n ring"]
    ground: Float[np.ndarray, "n side side"]


def draw_rings(rings: Rings, n: int, seed: int) -> Draws:
    """Return everything random about ``n`` images."""
    random = np.random.default_rng(seed)
    shape = (n, len(rings.distances))
    tones = random.integers(0, 2, shape)
    angles = random.uniform(0, 2 * math.pi, shape)
    ground = random.standard_normal((n, rings.side_px, rings.side_px), dtype=np.float32)
    return Draws(tones, angles, ground)


def paint_rings(rings: Rings, draws: Draws) -> UInt8[np.ndarray, "n side side"]:
    """Return the images that belong to some draws; nothing here is random."""
    levels = GREY + np.float32(rings.noise) * draws.ground
    half = rings.mark_px // 2
    square = np.arange(-half, half + 1)
    image = np.arange(len(levels))[:, None, None]
    for ring, distance in enumerate(rings.distances):
        rows, columns = mark_places(rings, distance, draws.angles[:, ring])
        tone = np.where(draws.tones[:, ring] > 0, rings.contrast, -rings.contrast)
        rows = rows[:, None, None] + square[:, None]
        columns = columns[:, None, None] + square
        levels[image, rows, columns] += tone[:, None, None]  # within a mark no pixel occurs twice
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def mark_places(
    rings: Rings, distance: int, angles: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the rows and columns of the marks' central pixels, rounded to whole ones."""
    middle = rings.side_px // 2
    rows = np.rint(middle + distance * np.sin(angles)).astype(int)
    return rows, np.rint(middle + distance * np.cos(angles)).astype(int)


def mark_coverage(
    rings: Rings, distance: int, *, n_angles: int = 7200
) -> Float[np.ndarray, "side side"]:
    """Return the probability that the mark on a circle covers each pixel."""
    angles = (np.arange(n_angles) + 0.5) * (2 * math.pi / n_angles)
    rows, columns = mark_places(rings, distance, angles)
    covered = np.zeros((rings.side_px, rings.side_px))
    half = rings.mark_px // 2
    for down in range(-half, half + 1):
        for across in range(-half, half + 1):
            np.add.at(covered, (rows + down, columns + across), 1 / n_angles)
    return covered


def distance_px(side_px: int) -> Float[np.ndarray, "side side"]:
    """Return every pixel's distance from the central one."""
    offset = np.arange(side_px) - side_px // 2
    return np.hypot(offset[:, None], offset)


def make_ring_set(
    rings: Rings, distance: int | None, *, n_train: int, n_test: int, seed: int
) -> ImageSet:
    """Return the images with the labels of one task.

    Args:
        rings: what the images are like.
        distance: of the mark whose tone is the label; None for labels that are drawn by lot.
        n_train, n_test: images of each split.
        seed: of the images, which are the same for every task, and of the lots.

    Raises:
        UserError: there is no mark at that distance.
    """
    if distance is not None and distance not in rings.distances:
        raise UserError(f"there is no mark at {distance} px; marks lie at {rings.distances}")
    splits = []
    for name, n in (("train", n_train), ("test", n_test)):
        tones, images = _make_images(rings, n, seed_for(seed, "rings", name))
        if distance is None:
            labels = np.random.default_rng(seed_for(seed, "lots", name)).integers(0, 2, n)
        else:
            labels = tones[:, rings.distances.index(distance)]
        splits.append(Split(images, torch.from_numpy(labels.astype(np.uint8))))
    asked = "labels drawn by lot" if distance is None else f"asked for the mark at {distance} px"
    note = f"synthetic marks in noise, {asked}"
    return ImageSet("rings", note, CLASSES, splits[0], splits[1], f"{rings.fingerprint}-{seed}")


@lru_cache(maxsize=2)
def _make_images(rings: Rings, n: int, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    """Return tones and grey images of three equal channels; kept, for every task asks for them."""
    draws = draw_rings(rings, n, seed)
    grey = torch.from_numpy(paint_rings(rings, draws))
    return draws.tones, grey[:, None].expand(-1, 3, -1, -1)


def guess_by_template(
    rings: Rings, images: UInt8[np.ndarray, "n side side"], distance: int, *, view_px: float
) -> Float[np.ndarray, " n"]:
    """Return the log odds that the mark on a circle is lighter, for one who knows how it is made.

    The mark may be anywhere on its circle; the odds of the places are added up, as Bayes' rule
    says. Other circles' marks count as ground, so this is a little less than the best guess.

    Args:
        rings: what the images are like.
        images: grey levels.
        distance: of the circle.
        view_px: pixels farther than this from the centre are not looked at.
    """
    angles = (np.arange(7200) + 0.5) * (2 * math.pi / 7200)
    places, counts = np.unique(
        np.stack(mark_places(rings, distance, angles), 1), axis=0, return_counts=True
    )
    seen = distance_px(rings.side_px) <= view_px
    standard = np.where(seen, (images - float(GREY)) / rings.noise, 0.0)
    half, size = rings.mark_px // 2, rings.contrast / rings.noise
    odds = []
    for (row, column), count in zip(places, counts, strict=True):
        square = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        match = size * standard[:, square[0], square[1]].sum((1, 2))
        energy = 0.5 * size**2 * np.count_nonzero(seen[square])
        odds.append(np.stack([match - energy, -match - energy]) + math.log(count))
    lighter, darker = np.logaddexp.reduce(odds, axis=0)
    return lighter - darker
