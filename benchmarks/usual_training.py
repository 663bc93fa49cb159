"""What bench_training.py compares with: the usual loop, and ways to train several seeds at once.

Nothing here is part of the package.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as TF

from erfbook.datasets.sets import ImageSet

PADDING = 4


class Pictures(Dataset):
    """PIL images of a set with torchvision's transforms, one at a time: pad, crop, mirror."""

    def __init__(self, data: ImageSet) -> None:
        images = data.train.images.permute(0, 2, 3, 1).numpy()
        self.images = [Image.fromarray(image) for image in images]
        self.labels = data.train.labels
        self.mean, self.std = data.mean.tolist(), data.std.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int):
        image, label = TF.pad(self.images[i], PADDING), self.labels[i].long()
        top, left = random.randint(0, 2 * PADDING), random.randint(0, 2 * PADDING)
        width, height = self.images[i].size
        image = TF.crop(image, top, left, height, width)
        if label.ndim:
            label = TF.crop(F.pad(label, (PADDING,) * 4, value=-100), top, left, height, width)
        if random.random() < 0.5:
            image = TF.hflip(image)
            label = label.flip(-1) if label.ndim else label
        return TF.normalize(TF.to_tensor(image), self.mean, self.std), label


def usual_loop(model: nn.Module, data: ImageSet, batch_size: int) -> None:
    """One epoch as tutorials write it: a loader, float32, PyTorch's SGD."""
    device = next(model.parameters()).device
    workers = {"num_workers": 4, "pin_memory": True} if device.type == "cuda" else {}
    loader = DataLoader(Pictures(data), batch_size, shuffle=True, **workers)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = model(images)
        if labels.ndim > 1:
            scores = F.interpolate(scores, labels.shape[1:], mode="bilinear", align_corners=False)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        loss.item()


Step = Callable[[], object]


def one_after_the_other(make: Callable[[], nn.Module], n: int, x, y) -> Step:
    """Return a step of ``n`` networks, one by one: forward and backward."""
    models = [make().train().to(memory_format=torch.channels_last) for _ in range(n)]
    x = x.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        for model in models:
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()

    return step


def mapped(make: Callable[[], nn.Module], n: int, x, y) -> Step:
    """Return a step of ``n`` networks by torch.vmap over stacked weights and buffers."""
    models = [make().train() for _ in range(n)]
    weights, buffers = stack_module_state(models)
    shell = copy.deepcopy(models[0])

    def loss(weights, buffers):
        return F.cross_entropy(functional_call(shell, (weights, buffers), (x,)), y)

    return lambda: vmap(grad_and_value(loss))(weights, buffers)


def grouped(make: Callable[[], nn.Module], n: int, x, y) -> Step:
    """Return a step of ``n`` networks whose channels lie side by side, one group a network."""
    model = make().train()
    head = model.head
    _widen(model, n)
    model.head = nn.Conv1d(head.in_features * n, head.out_features * n, 1, groups=n)
    model = model.to(memory_format=torch.channels_last)
    wide = x.repeat(1, n, 1, 1).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        model.zero_grad()
        means = model.features(wide).mean((2, 3))[..., None]
        scores = model.head(means).unflatten(1, (n, -1))[..., 0]
        F.cross_entropy(scores.flatten(0, 1), y.repeat_interleave(n)).backward()

    return step


def _widen(module: nn.Module, n: int) -> None:
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d):
            sizes = (part.kernel_size, part.stride, part.padding)
            channels = part.in_channels * n, part.out_channels * n
            setattr(module, name, nn.Conv2d(*channels, *sizes, groups=n, bias=False))
        elif isinstance(part, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(part.num_features * n))
        else:
            _widen(part, n)


def random_set(n: int, height: int, width: int, *, pixels: bool = False) -> ImageSet:
    """Return a set of noise: speed does not depend on what an image shows."""
    from erfbook.datasets.sets import Split

    random_state = np.random.default_rng(0)
    images = random_state.integers(0, 256, (n, 3, height, width), dtype=np.uint8)
    shape = (n, height, width) if pixels else (n,)
    labels = random_state.integers(0, 10, shape, dtype=np.uint8)
    split = Split(torch.from_numpy(images), torch.from_numpy(labels))
    return ImageSet("noise", "noise", tuple("abcdefghij"), split, split, "noise")
