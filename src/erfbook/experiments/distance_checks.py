"""Is the task what it claims to be? Flip the asked mark and see which pixels change; then guess."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from erfbook.experiments.distance_task import (
    Rings,
    distance_px,
    draw_rings,
    guess_by_template,
    paint_rings,
)


def count_leaks(rings: Rings, distance: int, *, n_images: int, seed: int) -> tuple[int, int]:
    """Return how many pixels change nearer than the asked mark, and elsewhere, when it flips.

    The tone is a fair coin that nothing else depends on. If turning it over changes no pixel
    inside a disc, then those pixels are independent of the label, and whoever sees only them
    guesses right with probability one half, exactly and whatever the method.

    Args:
        rings: what the images are like.
        distance: of the asked mark.
        n_images: images that are painted with either tone.
        seed: of the draws.
    """
    draws = draw_rings(rings, n_images, seed)
    flipped = draws.tones.copy()
    flipped[:, rings.distances.index(distance)] ^= 1
    before = paint_rings(rings, draws)
    after = paint_rings(rings, dataclasses.replace(draws, tones=flipped))
    inside = distance_px(rings.side_px) < distance - rings.reach_px
    changed = before != after
    return int(changed[:, inside].sum()), int(changed[:, ~inside].sum())


def check_task(rings: Rings, *, n_images: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return what the checks of all distances found, by name.

    ``leaks``: pixels nearer than the asked mark that changed with it; ``template_whole``: the
    lowest share of right guesses of one who knows the mark and sees the whole image;
    ``template_short``: the largest log odds either way of the same with a view that ends before
    the mark; ``tone_gap``: how far the tones' shares lie from one half, in standard errors of a
    fair coin.
    """
    draws = draw_rings(rings, n_images, seed)
    images = paint_rings(rings, draws)
    leaks, right, odds_short = 0, [], []
    for place, distance in enumerate(rings.distances):
        leaks += count_leaks(rings, distance, n_images=n_images, seed=seed)[0]
        odds = guess_by_template(rings, images, distance, view_px=math.inf)
        right.append(float(np.mean((odds > 0) == (draws.tones[:, place] > 0))))
        short = guess_by_template(rings, images, distance, view_px=distance - rings.reach_px)
        odds_short.append(float(np.abs(short).max()))
    gaps = np.abs(draws.tones.mean(0) - 0.5) / (0.5 / math.sqrt(n_images))
    return {
        "leaks": {"value": leaks},
        "template_whole": {"value": min(right)},
        "template_short": {"value": max(odds_short)},
        "tone_gap": {"value": float(gaps.max())},
    }
