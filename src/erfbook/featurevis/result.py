"""What a visualisation returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from erfbook import rf

Unit = tuple[int, int] | None
Box = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Visualisation:
    """Images that make units respond, one for each channel, position and seed, in this order.

    Args:
        images: colours in display range, 0 to 1.
        activations: each image's target before every step and after the last one: the unit's value
            or, where all of a channel's units were driven, their mean.
        channels, units, seeds: of each image; a unit is (row, column), or None for all of them.
        regions: first and last pixel, inclusive and per axis, of the exact receptive field inside
            the image; for all units of a channel together where the unit is None.
        moved: whether an image's target ever sent a gradient; one that did not is its start.
        layer: path of the module.
        target: what was driven, in words: the layer's output or what enters its activation.
        method: name and numbers of the method.
        notes: what a reader must know besides.
        field: receptive field of the layer's units, at this size of the image.
    """

    images: Float[np.ndarray, "n 3 height width"]
    activations: Float[np.ndarray, "n steps"]
    channels: tuple[int, ...]
    units: tuple[Unit, ...]
    seeds: tuple[int, ...]
    regions: tuple[Box, ...]
    moved: Bool[np.ndarray, " n"]
    layer: str
    target: str
    method: str
    notes: tuple[str, ...] = ()
    field: rf.Field | None = field(default=None, repr=False, compare=False)

    def of(
        self, *, channel: int | None = None, unit: Unit = None, seed: int | None = None
    ) -> Float[np.ndarray, "n 3 height width"]:
        """Return the images of a channel, a unit or a seed; what is not named is not asked for."""
        each = zip(self.channels, self.units, self.seeds, strict=True)
        wanted = [
            channel in (None, c) and unit in (None, u) and seed in (None, s) for c, u, s in each
        ]
        return self.images[np.array(wanted, dtype=bool)]
