"""One training loop: resumable, deterministic for a seed, on any device."""

from erfbook.training.history import History, Moment
from erfbook.training.loop import Diverged, Paused, accuracy, predict, train
from erfbook.training.recipe import Recipe

__all__ = [
    "Diverged",
    "History",
    "Moment",
    "Paused",
    "Recipe",
    "accuracy",
    "predict",
    "train",
]
