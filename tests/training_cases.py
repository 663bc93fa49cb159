"""What the tests of training share: small sets, small networks, and runs that are compared."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from erfbook import training
from erfbook.datasets.sets import ImageSet, Split

N_IMAGES, SIDE, N_CLASSES, IGNORED = 20, 8, 3, 9


def small_set(n: int = N_IMAGES, *, pixels: bool = False, seed: int = 0) -> ImageSet:
    """Random images whose class shows in their colour; or a class a pixel, some ignored."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 200, (n, 3, SIDE, SIDE)).astype(np.uint8)
    labels = random.integers(0, N_CLASSES, n).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[label] += 50
    if pixels:
        labels = random.choice([0, 1, 2, IGNORED], (n, SIDE, SIDE)).astype(np.uint8)
    split = Split(torch.from_numpy(images), torch.from_numpy(labels))
    ignore = IGNORED if pixels else None
    return ImageSet("small", "random", ("a", "b", "c"), split, split, f"small{seed}", ignore)


def small_net(*, norm: bool = True, pixels: bool = False, seed: int = 0) -> nn.Sequential:
    """A convolution, batch norm if asked for, and scores an image or a region of 2 x 2 px."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2 if pixels else 1, padding=1))
    net.append(nn.BatchNorm2d(4) if norm else nn.Identity())
    net.append(nn.ReLU(inplace=True))
    if pixels:
        return net.append(nn.Conv2d(4, N_CLASSES, 1))
    return net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, N_CLASSES)])


def recipe(**changes) -> training.Recipe:
    """Nine steps of SGD, the last one of each epoch on half a batch."""
    plain = {"epochs": 3, "batch_size": 8, "lr": 0.05, "crop_padding": 2, "precision": "float32"}
    return training.Recipe(**{**plain, **changes})


def observe(model: nn.Module, moment: training.Moment) -> dict:
    """What the fault tests look at: a number and an array of the model's own."""
    weights = next(model.parameters()).detach()
    return {"sum": float(weights.sum()), "weights": weights.numpy().astype(np.float16)}


def run(model: nn.Module | None = None, data: ImageSet | None = None, **options):
    """Train with the defaults of these tests; return the model and the history."""
    model = model or small_net()
    how = options.pop("recipe", recipe())
    options = {"seed": 3, "observe": observe, "observe_at": (0, 1.5, 3), **options}
    return model, training.train(model, data or small_set(), how, **options)


def outcome(model: nn.Module, history: training.History) -> dict[str, np.ndarray]:
    """All that a run computed, array by array."""
    found = {f"model {n}": t.detach().numpy() for n, t in model.state_dict().items()}
    found |= {"losses": history.losses, "rates": history.learning_rates}
    found["steps"] = np.array([m.step for m in history.moments])
    for moment in history.moments:
        found |= {f"{k} {moment.step}": np.asarray(v) for k, v in moment.seen.items()}
    return found


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Names under which two outcomes do not hold the same bits."""
    names = sorted(one.keys() | other.keys())
    same = lambda n: n in one and n in other and one[n].tobytes() == other[n].tobytes()  # noqa: E731
    return [name for name in names if not same(name)]
