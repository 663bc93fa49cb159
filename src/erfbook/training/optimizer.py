"""Nesterov's SGD and AdamW on lists of tensors, with weight decay on weights alone.

PyTorch's own optimizers import its compiler on first use, which takes several seconds of every
process; these are the same arithmetic, and the tests hold them to PyTorch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from erfbook.errors import UserError
from erfbook.training.recipe import Recipe

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # PyTorch's defaults


class Optimizer:
    """The recipe's optimizer over a model's trainable parameters.

    Args:
        model: its weights are changed in place; norms and biases, the tensors of one axis, do not
            decay.
        recipe: which optimizer, momentum, weight decay, largest norm of the gradient.

    Raises:
        UserError: the model has no parameter to train.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise UserError("the model has no parameter to train: requires_grad is False in all")
        self._parameters, self._recipe, self._n_steps = trained, recipe, 0
        n_buffers = {"sgd": 1, "adamw": 2}[recipe.optimizer]
        self._buffers = [[torch.zeros_like(p) for p in trained] for _ in range(n_buffers)]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the weights by their gradients; those without a gradient stay.

        Args:
            rate: learning rate.
        """
        if self._recipe.clip:
            nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip)
        self._n_steps += 1
        move = self._move_sgd if self._recipe.optimizer == "sgd" else self._move_adamw
        for decays in (True, False):
            chosen = [
                i
                for i, p in enumerate(self._parameters)
                if (p.ndim > 1) is decays and p.grad is not None
            ]
            if chosen:
                move(chosen, rate, self._recipe.weight_decay if decays else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"n_steps": self._n_steps, "buffers": self._buffers}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of an optimizer of the same recipe and model."""
        self._n_steps = state["n_steps"]
        for mine, kept in zip(self._buffers, state["buffers"], strict=True):
            for tensor, value in zip(mine, kept, strict=True):
                tensor.copy_(value)

    def _pick(self, chosen: list[int]) -> tuple[list[torch.Tensor], ...]:
        """Return the chosen parameters, their gradients, and their tensors of each buffer."""
        weights: list[torch.Tensor] = [self._parameters[i] for i in chosen]
        gradients = [p.grad for p in weights if p.grad is not None]
        return weights, gradients, *([buffer[i] for i in chosen] for buffer in self._buffers)

    def _move_sgd(self, chosen: list[int], rate: float, decay: float) -> None:
        weights, gradients, velocities = self._pick(chosen)
        if decay:
            gradients = list(torch._foreach_add(gradients, weights, alpha=decay))
        momentum = self._recipe.momentum
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients)
        ahead = torch._foreach_add(gradients, velocities, alpha=momentum)
        torch._foreach_add_(weights, ahead, alpha=-rate)

    def _move_adamw(self, chosen: list[int], rate: float, decay: float) -> None:
        weights, gradients, means, squares = self._pick(chosen)
        if decay:
            torch._foreach_mul_(weights, 1 - rate * decay)
        first, second = ADAM_BETAS
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        spread = torch._foreach_sqrt(squares)
        torch._foreach_div_(spread, (1 - second**self._n_steps) ** 0.5)
        torch._foreach_add_(spread, ADAM_EPS)
        torch._foreach_addcdiv_(weights, means, spread, -rate / (1 - first**self._n_steps))
