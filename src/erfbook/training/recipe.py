"""How a network is trained: every number of it in one frozen place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from erfbook.errors import UserError

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "step", "constant")
PRECISIONS = ("auto", "float32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of one training run.

    Args:
        epochs: passes over the training images; a part of one will do.
        batch_size: images a step; the last step of an epoch takes what is left.
        accumulate: slices a batch is computed in, one after the other, to save memory. The step
            stays the same, but batch norm sees one slice at a time.
        optimizer: ``sgd`` with Nesterov's momentum, or ``adamw``.
        lr: largest learning rate.
        schedule: ``cosine`` down to 0, ``step`` (a tenth at half and at three quarters), or
            ``constant``.
        warmup: share of the steps over which the rate rises from 0.
        momentum, weight_decay: of the optimizer; norms and biases do not decay. ``adamw`` has
            its own moments (0.9, 0.999).
        clip: largest norm of the gradient; 0 for no limit.
        crop_padding: zeros around an image before a random crop of its own size, in pixels.
        flip: whether half of the images are mirrored.
        precision: ``float32``, ``bf16`` (autocast), or ``auto``: bf16 on a GPU. A processor with
            instructions for bf16 is faster with it as well, one without many times slower.
        compile: whether ``torch.compile`` is used, which takes a minute before the first step.

    Raises:
        UserError: a value is out of its range; the message names both.
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
    compile: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise UserError(f"recipe.{name} must be one of {', '.join(known)}, not {value!r}")
        for name in ("batch_size", "accumulate", "crop_padding"):
            least = 0 if name == "crop_padding" else 1
            value = getattr(self, name)
            if value != int(value) or value < least:
                raise UserError(
                    f"recipe.{name} must be a whole number of at least {least}, not {value}"
                )
        for name, fits, wanted in (
            ("epochs", self.epochs > 0, "above 0"),
            ("lr", self.lr > 0, "above 0"),
            ("warmup", 0 <= self.warmup < 1, "at least 0 and below 1"),
            ("momentum", 0 <= self.momentum < 1, "at least 0 and below 1"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("clip", self.clip >= 0, "at least 0"),
        ):
            if not fits or not math.isfinite(getattr(self, name)):
                raise UserError(f"recipe.{name} must be {wanted}, not {getattr(self, name)}")

    @property
    def augments(self) -> bool:
        """Whether images are cropped or mirrored at random."""
        return self.flip or self.crop_padding > 0

    def steps(self, n_images: int) -> tuple[int, int]:
        """Return the steps an epoch takes over ``n_images``, and the steps in all."""
        n_per_epoch = math.ceil(n_images / self.batch_size)
        return n_per_epoch, max(1, round(self.epochs * n_per_epoch))

    def rate(self, step: int, n_steps: int) -> float:
        """Return the learning rate of one step.

        Args:
            step: steps done before.
            n_steps: steps in all.

        >>> [Recipe(epochs=1, lr=1, warmup=0.25).rate(step, 8) for step in (0, 2, 5)]
        [0.3333333333333333, 1.0, 0.5]
        """
        n_warmup = round(self.warmup * n_steps)
        if step < n_warmup:
            return self.lr * (step + 1) / (n_warmup + 1)
        if self.schedule == "cosine":
            done = (step - n_warmup) / (n_steps - n_warmup)
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "step":
            return self.lr * 0.1 ** ((2 * step >= n_steps) + (4 * step >= 3 * n_steps))
        return self.lr
