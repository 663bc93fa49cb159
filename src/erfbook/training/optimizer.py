"""The optimizer of a recipe, with weight decay on weights alone."""

from __future__ import annotations

import torch
from torch import nn

from erfbook.errors import UserError
from erfbook.training.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over a model's trainable parameters.

    Raises:
        UserError: the model has none.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise UserError("the model has no parameter to train: requires_grad is False in all")
    # Norms and biases are the tensors of one axis.
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr)
    nesterov = recipe.momentum > 0  # without momentum there is nothing to look ahead along
    return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=nesterov)
