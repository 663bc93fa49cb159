"""Colour patches of scikit-image's photographs, labelled by the photograph: needs no download."""

from __future__ import annotations

import numpy as np
import torch

from erfbook.datasets.images import load_photographs
from erfbook.datasets.sets import ImageSet, Split

VERSION = 1


def load_patches(side: int, n_train: int = 4000, n_test: int = 1000, seed: int = 0) -> ImageSet:
    """Return patches of photographs, training from the left half of each, test from the right."""
    photographs = load_photographs()
    random = np.random.default_rng(seed)
    splits = []
    for half, n in enumerate((n_train, n_test)):
        images, labels = [], []
        for i in range(n):
            label = i % len(photographs)
            pixels = list(photographs.values())[label].pixels
            middle = pixels.shape[1] // 2
            part = pixels[:, :middle] if half == 0 else pixels[:, middle:]
            top, left = (int(random.integers(0, m - side + 1)) for m in part.shape[:2])
            images.append(part[top : top + side, left : left + side])
            labels.append(label)
        stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        splits.append(Split(stack, torch.tensor(labels, dtype=torch.uint8)))
    note = f"patches of {side} px of scikit-image's photographs"
    return ImageSet(
        f"patches{side}",
        note,
        tuple(photographs),
        splits[0],
        splits[1],
        f"patches{side}-v{VERSION}",
    )
