"""Tiled inference of a dense network: the overlap that makes it exact, checked by doing it.

Weights and pixels are whole numbers, and every sum stays below 2^53, so float64 rounds nothing:
the tiled output is right only if it is equal, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import datasets, rf


class UNet(nn.Module):
    """A small U-Net: two max pools down, two transposed convolutions up, skips concatenated."""

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.first = _double(1, channels)
        self.second = _double(channels, channels)
        self.bottom = _double(channels, channels)
        self.pool = nn.MaxPool2d(2)
        self.up_second = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.after_second = _double(2 * channels, channels)
        self.up_first = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.after_first = _double(2 * channels, channels)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        second = self.second(self.pool(first))
        bottom = self.bottom(self.pool(second))
        up = self.after_second(torch.cat([second, self.up_second(bottom)], 1))
        return self.head(self.after_first(torch.cat([first, self.up_first(up)], 1)))


@dataclass(frozen=True)
class TilingCheck:
    """A network run whole, and in tiles that overlap by more or less.

    Args:
        image: the input, one channel of whole numbers.
        tile_px: side of a tile of the output.
        tiling: what the analysis asks for.
        field: the receptive field of the network's output.
        overlaps: by case, the pixels added before and after each tile.
        errors: by case, |tiled - whole| at every output pixel.
        largest: largest magnitude in any layer, which must stay below 2^53.
    """

    image: Float[np.ndarray, "height width"]
    tile_px: int
    tiling: rf.Tiling
    field: rf.Field
    overlaps: dict[str, tuple[int, int]]
    errors: dict[str, Float[np.ndarray, "height width"]]
    largest: float

    def wrong_share(self, case: str) -> float:
        """Return the share of output pixels that tiling got wrong."""
        return float((self.errors[case] > 0).mean())


def whole_number_unet(seed: int) -> UNet:
    """Return a U-Net in float64 whose weights are -1, 0 or 1."""
    model = UNet().double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=generator))
    return model


def check_tiling(tile_px: int = 64, side_px: int = 256, seed: int = 0) -> TilingCheck:
    """Run a U-Net on a photograph whole and in tiles: with the exact overlap, less, and none.

    Args:
        tile_px: side of a tile of the output, a multiple of the network's total pooling.
        side_px: side of the image.
        seed: of the weights.

    Raises:
        ValueError: tiles of a side at which the network's pooling would be out of step.
    """
    model = whole_number_unet(seed)
    pixels = datasets.load_photographs()["cat"].pixels.astype(np.float64)
    image = pixels[:side_px, 80 : 80 + side_px].mean(2).round()
    report = rf.analyze(model, (1, side_px, side_px))
    tiling = rf.tiling(report, "")
    multiple = _one(tiling.multiple)
    if tile_px % multiple or side_px % multiple:
        raise ValueError(
            f"tile_px and side_px must be multiples of {multiple}, not {tile_px} and {side_px}"
        )
    exact = (_one(tiling.before), _one(tiling.after))
    overlaps = {
        "exact": exact,
        "less before": (exact[0] - multiple, exact[1]),
        "less after": (exact[0], exact[1] - multiple),
        "none": (0, 0),
    }
    whole, largest = _run(model, image)
    errors = {
        case: np.abs(_run_tiled(model, image, tile_px, *overlap) - whole)
        for case, overlap in overlaps.items()
    }
    return TilingCheck(image, tile_px, tiling, report[""], overlaps, errors, largest)


def name_tiling(check: TilingCheck) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    shares = {
        f"tiling_wrong_{case.replace(' ', '_')}": {"value": check.wrong_share(case)}
        for case in check.overlaps
    }
    return shares | {
        "tiling_before": {"value": _one(check.tiling.before), "unit": "px"},
        "tiling_after": {"value": _one(check.tiling.after), "unit": "px"},
        "tiling_multiple": {"value": _one(check.tiling.multiple), "unit": "px"},
        "tiling_size": {"value": check.field.size[0], "unit": "px"},
        "tiling_largest": {"value": check.largest},
        "tiling_exact": {"value": check.wrong_share("exact") == 0 and check.largest < 2**53},
    }


def _double(n_in: int, n_out: int) -> nn.Sequential:
    first, second = (nn.Conv2d(n, n_out, 3, padding=1) for n in (n_in, n_out))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def _run(model: nn.Module, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the output, and the largest magnitude that any layer gives."""
    largest = [0.0]
    hooks = [
        module.register_forward_hook(lambda _, __, out: largest.append(float(out.abs().max())))
        for module in model.modules()
    ]
    with torch.no_grad():
        output = model(torch.from_numpy(image)[None, None])[0, 0].numpy()
    for hook in hooks:
        hook.remove()
    return output, max(largest)


def _run_tiled(
    model: nn.Module, image: np.ndarray, tile_px: int, before: int, after: int
) -> np.ndarray:
    output = np.empty_like(image)
    lines = [list(_tiles(n, tile_px, before, after)) for n in image.shape]
    for down, across in itertools.product(*lines):
        part, _ = _run(model, image[down.read, across.read])
        output[down.put, across.put] = part[down.keep, across.keep]
    return output


@dataclass(frozen=True)
class _Tile:
    """One tile along one axis: what to read, what of its output to keep, and where to put it."""

    read: slice
    keep: slice
    put: slice


def _tiles(n: int, tile_px: int, before: int, after: int) -> Iterator[_Tile]:
    for start in range(0, n, tile_px):
        stop = min(start + tile_px, n)
        first = max(0, start - before)
        read = slice(first, min(n, stop + after))
        yield _Tile(read, slice(start - first, stop - first), slice(start, stop))


def _one(values: tuple[int, ...]) -> int:
    """Return what both axes of a symmetric network share."""
    return max(values)
