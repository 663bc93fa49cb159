"""What is measured on pictures of one channel at several positions, aligned to the unit's field."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from erfbook import rf
from erfbook.experiments.seen.position_network import Unit
from erfbook.featurevis.settings import IMAGENET_MEAN, IMAGENET_STD
from erfbook.featurevis.targets import find_targets, read_target

GREY = 0.5
Box = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Alignment:
    """Which part of the field all positions show, and where it lies in each image.

    Args:
        corners: first row and column of the common part in each position's image; they may be
            negative where the image is closed to a ring.
        shape: rows and columns of the common part.
        cut: share of each position's field that lies outside the image.
    """

    corners: tuple[Unit, ...]
    shape: Unit
    cut: tuple[float, ...]

    def crop(self, images: np.ndarray, position: int) -> np.ndarray:
        """Return the common part of one position's images, (..., rows, columns)."""
        for axis in (0, 1):
            first, n = self.corners[position][axis], images.shape[axis - 2]
            places = np.arange(first, first + self.shape[axis]) % n
            images = images.take(places, axis=axis - 2)
        return images


def align(field: rf.Field, units: Sequence[Unit]) -> Alignment:
    """Return the part of a layer's field that lies inside the image at every one of some units.

    Raises:
        ValueError: the units' fields have no visible part in common.
    """
    regions = [field.region(unit) for unit in units]
    sides = field.input_size
    first = [max(max(r[a][0], 0) - r[a][0] for r in regions) for a in (0, 1)]
    last = [min(min(r[a][1], sides[a] - 1) - r[a][0] for r in regions) for a in (0, 1)]
    if first[0] > last[0] or first[1] > last[1]:
        raise ValueError(f"the fields of {tuple(units)} show no common part on {sides} px")
    cut = []
    for r in regions:
        seen = [min(r[a][1], sides[a] - 1) - max(r[a][0], 0) + 1 for a in (0, 1)]
        whole = [r[a][1] - r[a][0] + 1 for a in (0, 1)]
        cut.append(1 - float(np.prod(seen)) / float(np.prod(whole)))
    return Alignment(
        corners=tuple((r[0][0] + first[0], r[1][0] + first[1]) for r in regions),
        shape=(last[0] - first[0] + 1, last[1] - first[1] + 1),
        cut=tuple(cut),
    )


def correlate(vectors: Float[np.ndarray, "*n image d"]) -> Float[np.ndarray, "*n image image"]:
    """Return Pearson's correlation of every two vectors; 0 where one does not vary."""
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-12)
    return unit @ np.swapaxes(unit, -1, -2)


def describe(trunk: nn.Module, crops: Float[np.ndarray, "n 3 rows columns"]) -> np.ndarray:
    """Return a layer's mean over the plane, (n, channels), each channel in standard deviations.

    A pattern that is merely shifted by a whole number of the layer's strides has nearly the same
    mean, so this asks what there is and not exactly where. The mean over all images is taken away:
    two images that have only in common what all have do not count as alike.
    """
    means = []
    with torch.no_grad():
        for part in np.array_split(crops, max(1, len(crops) // 32)):
            means.append(trunk(_normalise(torch.from_numpy(part).float())).mean(dim=(2, 3)))
    features = torch.cat(means).double().numpy()
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def complexity(crops: Float[np.ndarray, "n 3 rows columns"]) -> Float[np.ndarray, " n"]:
    """Return the bytes a pixel that JPEG (quality 75) needs for each picture, less a grey one's."""
    from PIL import Image

    def n_bytes(picture: UInt8[np.ndarray, "rows columns 3"]) -> int:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="JPEG", quality=75)
        return buffer.tell()

    pictures = to_bytes(crops).transpose(0, 2, 3, 1)
    grey = n_bytes(np.full_like(pictures[0], 128))
    return np.array([(n_bytes(p) - grey) / p[..., 0].size for p in pictures])


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Return images in display range as whole numbers of one byte."""
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


class Responses:
    """Reads units of a trunk: before its last activation function, as the ascent does.

    Args:
        trunk: the network up to the layer.
        side_px: side of the images.
        channels: of the layer.
    """

    def __init__(self, trunk: nn.Module, side_px: int, channels: Sequence[int]) -> None:
        self.trunk, self.channels = trunk, tuple(channels)
        example = torch.zeros((1, 3, side_px, side_px))
        self.targets = find_targets(trunk, "", 0, self.channels, example, True)

    def planes(self, images: torch.Tensor) -> torch.Tensor:
        """Return the channels' planes for images in display range, (n, channels, rows, columns)."""
        found: dict[int | None, torch.Tensor] = {}
        for target in self.targets:  # channels of one concatenation may stand in several tensors
            if target.activation not in found:
                found[target.activation] = read_target(self.trunk, _normalise(images), target)
        each = [found[t.activation][:, t.channel] for t in self.targets]
        return torch.stack(each, dim=1)

    def of(self, images: np.ndarray, channel: Sequence[int] | np.ndarray, unit: Unit) -> np.ndarray:
        """Return one unit's value for each image, of the channel (by number in the list) given."""
        values = []
        with torch.no_grad():
            for first in range(0, len(images), 32):
                part = torch.from_numpy(images[first : first + 32]).float()
                planes = self.planes(part)[:, :, unit[0], unit[1]]
                rows = torch.arange(len(part))
                values.append(planes[rows, torch.tensor(list(channel[first : first + 32]))])
        return torch.cat(values).double().numpy()


def move(images: np.ndarray, by: Unit, *, circular: bool) -> np.ndarray:
    """Return images shifted down and right; what comes in is grey, or what left on a ring."""
    moved = np.roll(images, by, axis=(-2, -1))
    if not circular:
        for axis, n in zip((-2, -1), by, strict=True):
            view = np.moveaxis(moved, axis, 0)
            view[: max(n, 0)] = GREY
            view[len(view) + min(n, 0) :] = GREY
    return moved


def measure_gains(
    responses: Responses, images: torch.Tensor, units: Sequence[Unit], n_signs: int, seed: int
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, "rows columns"]]:
    """Return how strongly units react to their image, and the first unit's mean squared gradient.

    The root mean square, over channels and images, of the gradient's norm. Channels are added with
    random signs, under which the squared norm's mean is the sum of the channels' squared norms.

    Args:
        responses: of the channels.
        images: in display range, (n, 3, side, side).
        units: positions.
        n_signs: draws of signs.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    n_channels = len(responses.channels)
    squares, first = np.zeros(len(units)), np.zeros(images.shape[-2:])
    leaf = images.clone().requires_grad_()
    with torch.enable_grad():
        planes = responses.planes(leaf)
        for _ in range(n_signs):
            signs = torch.randint(2, (len(images), n_channels), generator=generator) * 2.0 - 1
            for i, (row, column) in enumerate(units):
                total = (signs * planes[:, :, row, column]).sum()
                (gradient,) = torch.autograd.grad(total, leaf, retain_graph=True)
                maps = gradient.double().square().sum(dim=1).mean(dim=0) / n_channels / n_signs
                squares[i] += float(maps.sum())
                if i == 0:
                    first += maps.numpy()
    return np.sqrt(squares), first


def ring_profile(
    squares: Float[np.ndarray, "rows columns"], field: rf.Field, unit: Unit, most: int = 10
) -> Float[np.ndarray, " ring"]:
    """Return the root mean square gradient of pixels by their distance from a field's centre.

    There are ``most`` rings or, where the field is small, one for each pixel. Distances are the
    larger of the two axes', so that rings are square as the field is; the last ring ends at the
    field's border. NaN where a ring has no pixel in the image.
    """
    n_rings = min(most, field.size[0] // 2)
    centre, half = field.centre(unit), field.size[0] / 2
    rows, columns = (np.arange(n) for n in squares.shape)
    distance = np.maximum(abs(rows - centre[0])[:, None], abs(columns - centre[1])[None]) / half
    rings = [squares[(distance * n_rings).astype(int) == i] for i in range(n_rings)]
    return np.array([np.sqrt(r.mean()) if r.size else np.nan for r in rings])


def _normalise(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std
