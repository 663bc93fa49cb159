"""One training loop: resumable, deterministic for a seed, on any device."""

from erfbook.training.checkpoint import Checkpoint, remove_checkpoint
from erfbook.training.history import History, Moment
from erfbook.training.loop import train
from erfbook.training.recipe import Recipe
from erfbook.training.run import Diverged, Paused
from erfbook.training.scores import Confusion, accuracy, confusion, mean_iou, predict

__all__ = [
    "Checkpoint",
    "Confusion",
    "Diverged",
    "History",
    "Moment",
    "Paused",
    "Recipe",
    "accuracy",
    "confusion",
    "mean_iou",
    "predict",
    "remove_checkpoint",
    "train",
]
