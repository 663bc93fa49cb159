"""How a network is trained: every number of it in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of one training run.

    Args:
        epochs: passes over the training images.
        batch_size: images a step.
        accumulate: slices a batch is computed in, one after the other, to save memory.
        optimizer: ``sgd`` with Nesterov momentum, or ``adamw``.
        lr: largest learning rate.
        schedule: ``cosine`` down to 0, ``step`` (a tenth at half and at three quarters), or
            ``constant``.
        warmup: share of the steps over which the rate rises from 0.
        momentum, weight_decay: of the optimizer; norms and biases do not decay.
        clip: largest norm of the gradient; 0 for no limit.
        crop_padding: zeros around an image before a random crop of its own size, in pixels.
        flip: whether half of the images are mirrored.
        precision: ``float32``, ``bf16`` (autocast), or ``auto``: bf16 on a GPU.
    """

    epochs: float
    batch_size: int = 128
    accumulate: int = 1
    optimizer: str = "sgd"
    lr: float = 0.1
    schedule: str = "cosine"
    warmup: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip: float = 0.0
    crop_padding: int = 4
    flip: bool = True
    precision: str = "auto"
