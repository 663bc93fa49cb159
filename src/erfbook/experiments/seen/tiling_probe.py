"""Reads what a network makes of pictures, and turns it into the arrays of a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from erfbook import erf, featurevis, rf
from erfbook.experiments.seen import tiling_measures as measures

_BATCH = 32
_READABLE = 33  # px: the smallest part whose deep features are read; a network takes no less


class Probe:
    """Reads a layer's plane and a deep layer's mean from pictures in display range.

    Args:
        model: in evaluation mode.
        layer, deep: paths of the two.
        device: where the model is.
    """

    def __init__(self, model: nn.Module, layer: str, deep: str, device: torch.device) -> None:
        self.model, self.layer, self.deep, self.device = model, layer, deep, device

    def ask(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the layer's output (n, channels, rows, columns) and the deep features (n, m)."""
        planes, features = [], []
        for first in range(0, len(pictures), _BATCH):
            with torch.no_grad():
                plane, deep = self._run(self._as_input(pictures[first : first + _BATCH]))
            planes.append(plane.cpu().numpy())
            features.append(deep.mean((2, 3)).cpu().numpy())
        return np.concatenate(planes), np.concatenate(features)

    def effective_fields(
        self, pictures: np.ndarray, channels: Sequence[int], unit: tuple[int, int]
    ) -> np.ndarray:
        """Return the mean |g| over pictures and colours, (channels, height, width).

        What ``erf.measure`` gives for each channel, with one forward pass for all of them.
        """
        total = np.zeros((len(channels), *pictures.shape[2:]))
        for first in range(0, len(pictures), _BATCH):
            batch = self._as_input(pictures[first : first + _BATCH]).requires_grad_()
            plane, _ = self._run(batch)
            for i, channel in enumerate(channels):
                value = plane[:, channel, unit[0], unit[1]].sum()
                (slope,) = torch.autograd.grad(value, batch, retain_graph=True)
                total[i] += slope.abs().sum(dim=(0, 1)).cpu().numpy()
        return total / len(pictures)

    def _as_input(self, pictures: np.ndarray) -> torch.Tensor:
        mean, std = (
            torch.tensor(v).reshape(3, 1, 1)
            for v in (featurevis.Settings.mean, featurevis.Settings.std)
        )
        batch = (torch.from_numpy(pictures).float() - mean) / std
        return batch.to(self.device).contiguous(memory_format=torch.channels_last)

    def _run(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept: dict[str, torch.Tensor] = {}

        def keep(name: str):
            # a copy: what follows may write into it
            return lambda module, inputs, output: kept.__setitem__(name, output.clone())

        handles = [
            self.model.get_submodule(name).register_forward_hook(keep(name))
            for name in dict.fromkeys((self.layer, self.deep))
        ]
        try:
            self.model(batch)
        finally:
            for handle in handles:
                handle.remove()
        return kept[self.layer], kept[self.deep]


def inside(pictures: np.ndarray, field: rf.Field, least: int = 1) -> np.ndarray:
    """Return the part of pictures or maps that the central unit could see.

    Args:
        pictures: of the whole image's size.
        field: of the unit's layer.
        least: pixels a side; a smaller part is widened to them.
    """
    parts: list[slice] = [...]  # type: ignore[list-item]
    region = field.region(field.central_unit, clip=True)
    for (first, last), side in zip(region, field.input_size, strict=True):
        n = min(max(last - first + 1, least), side)
        begin = min(max((first + last + 1 - n) // 2, 0), side - n)
        parts.append(slice(begin, begin + n))
    return pictures[tuple(parts)]


def measure_photographs(photographs, planes, probe, channels, field) -> dict[str, np.ndarray]:
    """Return what the channels and the statistics of style say of photographs."""
    maps = planes[:, channels]  # (crop, channel, rows, columns)
    flat = maps.reshape(-1, *maps.shape[2:])
    shape = maps.shape[:2]
    return {
        "slope_photograph": measures.spectrum_slopes(inside(photographs, field)),
        "kurtosis_photograph": measures.edge_kurtoses(inside(photographs, field)),
        "length_photograph": measures.correlation_lengths(photographs),
        "sparse_photograph": measures.sparseness(flat).reshape(shape).T,
        "top_photograph": measures.top_shares(flat).reshape(shape).T,
        "peaks_photograph": measures.count_peaks(flat).reshape(shape).T,
        "present_photograph": planes.max(axis=(2, 3)),
        "part_photograph": probe.ask(inside(photographs, field, _READABLE))[1].astype(np.float32),
    }


def measure_kind(kind, found, probe, channels, field) -> dict[str, np.ndarray]:
    """Return numbers of every picture of a kind, and how alike any two of them are."""
    pictures = found.images
    planes, features = probe.ask(pictures)
    n = len(pictures) // len(channels)
    own = planes[np.arange(len(pictures)), np.repeat(channels, n)]
    seen = inside(pictures, field) if kind == "single" else pictures
    coarse, fine = measures.split_scales(seen)
    middle = inside(pictures, field)
    numbers = {
        "attained": found.activations[:, -1],
        "sparse": measures.sparseness(own),
        "top": measures.top_shares(own),
        "peaks": measures.count_peaks(own),
        "summed": np.maximum(own, 0).sum(axis=(1, 2)),
        "length": measures.correlation_lengths(seen),
        "slope": measures.spectrum_slopes(middle),
        "kurtosis": measures.edge_kurtoses(middle),
        "coarse_share": (coarse**2).sum(axis=(1, 2, 3)) / ((coarse + fine) ** 2).sum((1, 2, 3)),
    }
    rows = {f"{k}_{kind}": v.reshape(len(channels), n) for k, v in numbers.items()}
    return rows | {
        f"map_{kind}": own.reshape(len(channels), n, *own.shape[1:]).astype(np.float16),
        f"layout_{kind}": measures.correlate(coarse).astype(np.float32),
        f"details_{kind}": measures.correlate(fine).astype(np.float32),
        f"features_{kind}": features.astype(np.float32),
        f"part_{kind}": probe.ask(inside(pictures, field, _READABLE))[1].astype(np.float32),
        f"present_{kind}": planes.max(axis=(2, 3)).astype(np.float32),
    }


def measure_effective(probe, photographs, single, channels, field) -> dict[str, np.ndarray]:
    """Return how the single unit's picture goes with its own and with others' effective field."""
    fields = probe.effective_fields(photographs, channels, field.central_unit)
    seen = inside(fields, field)
    contrast = inside(measures.local_contrast(single.images), field)
    n = len(contrast) // len(channels)
    shape = (len(channels), n)
    ranks = measures.rank_correlate(contrast, inside(measures.smooth_maps(fields), field))
    middle = [(first + last) / 2 for first, last in field.region(field.central_unit)]
    rows, columns = (np.arange(side) - m for side, m in zip(field.input_size, middle, strict=True))
    nearness = -np.hypot(rows[:, None], columns)
    central = measures.rank_correlate(contrast, inside(nearness, field)[None])
    shares, areas = measures.held_by_half(contrast, np.repeat(seen, n, axis=0))
    return {
        "rank_effective": ranks.reshape(*shape, len(channels)),
        "rank_centre": central.reshape(shape),
        "half_share": shares.reshape(shape),
        "half_area": areas.reshape(shape),
        "effective_px": np.sqrt([_pixels_of(f, 1 - erf.TWO_SIGMA) for f in seen]),
        "effective_map": _as_bytes(inside(measures.smooth_maps(fields), field)),
        "contrast_map": _as_bytes(contrast.reshape(*shape, *contrast.shape[1:])[:, 0]),
    }


def _pixels_of(field: np.ndarray, share: float) -> int:
    """Return the size of the smallest set of pixels that holds a share of the mass."""
    mass = np.cumsum(np.sort(field, axis=None)[::-1])
    return int(np.searchsorted(mass, share * mass[-1])) + 1


def _as_bytes(maps: np.ndarray) -> np.ndarray:
    peak = maps.max(axis=(-2, -1), keepdims=True)
    return np.round(255 * np.sqrt(maps / np.where(peak > 0, peak, 1))).astype(np.uint8)
