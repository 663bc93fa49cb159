"""One run under way: its state, its steps, and what is done between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from erfbook.errors import RunError, UserError
from erfbook.hardware import describe_device
from erfbook.training.batches import NOT_COUNTED, Batches
from erfbook.training.devices import autocast
from erfbook.training.history import History, Moment, freeze
from erfbook.training.interrupts import HeldInterrupt
from erfbook.training.keeper import Keeper
from erfbook.training.optimizer import Optimizer
from erfbook.training.recipe import Recipe
from erfbook.training.scores import summed_loss

Observer = Callable[[nn.Module, Moment], Mapping[str, Any]]

# Steps between two looks at the loss. A processor has it at once; a GPU would have to wait.
_BLOCK = {"cpu": 1}
_GPU_BLOCK = 20


class Paused(Exception):
    """The deadline came: the run is in its checkpoint and can be taken up again."""


class Diverged(RunError):
    """The loss is no longer a number."""


class Run:
    """A run's state between steps, and the ways to advance, keep and resume it.

    Args:
        model: trained in place.
        batches: of the training images.
        recipe, seed: of the run.
        highest_label: the highest one that counts.
        keeper: of its checkpoint; None to keep nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        recipe: Recipe,
        *,
        seed: int,
        highest_label: int,
        keeper: Keeper | None,
    ) -> None:
        self.step, self.n_steps = 0, batches.n_steps
        self._model, self._batches, self._recipe, self._seed = model, batches, recipe, seed
        self._network = torch.compile(model) if recipe.compile else model
        self._optimizer = Optimizer(model, recipe)
        self._device = next(model.parameters()).device
        self._block = _BLOCK.get(self._device.type, _GPU_BLOCK)
        self._highest_label, self._keeper = highest_label, keeper
        self._fits = False  # whether the model's scores were found to fit the labels
        self._losses: list[float] = []
        self._pending: list[torch.Tensor] = []  # losses that are still on the device
        self._moments: list[Moment] = []
        self._n_resumed, self._resumed = 0, False
        self._step_s, self._kept_s, self._begun = 0.0, 0.0, time.perf_counter()
        self._cost_s = {"block": 0.0, "observation": 0.0}  # what the last one of each took
        self._block_begun = self._begun

    def resume(self) -> None:
        """Take up what the checkpoint holds, if there is one."""
        state = self._keeper.load() if self._keeper else None
        if state is None:
            return
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._losses = state["step"], state["losses"].tolist()
        self._moments = [Moment(**moment) for moment in state["moments"]]
        self._step_s, self._kept_s = state["step_s"], state["seconds"]
        self._n_resumed, self._resumed = state["n_resumed"], True

    def go(
        self,
        observe: Observer | None,
        due: Sequence[int],
        *,
        deadline: float | None,
        interrupt: HeldInterrupt,
        bar: tqdm,
    ) -> None:
        """Train to the end, looking up after each block of steps and each observation.

        Args:
            observe: what is called before the steps in ``due``.
            due: those steps.
            deadline: reading of ``time.monotonic()`` at which to stop.
            interrupt: where a Ctrl-C is noted.
            bar: drawn as the run goes on.
        """
        advanced = False
        while self.step < self.n_steps or self._is_due(due):
            observing = self._is_due(due)
            if advanced and self._must_stop(deadline, observing):
                self._pause()
            if self._resumed and not advanced:
                self._n_resumed += 1
            if observing:
                assert observe is not None, "steps are due only with an observer"
                self._observe(observe)
            else:
                self._advance(due)
                bar.set_postfix(loss=f"{self._losses[-1]:.3f}", refresh=False)
                bar.update(self._batches.count(0, self.step) - bar.n)
            advanced = True
            if interrupt.came:
                self._keep()
                raise KeyboardInterrupt
            if self._keeper and self._keeper.is_due:
                self._keep()
        if advanced:
            self._check_weights()
            self._keep()
        self._model.eval()

    def history(self) -> History:
        """Return what the run left."""
        n_images = self._batches.count(0, self.step)
        return History(
            losses=np.array(self._losses),
            moments=tuple(self._moments),
            n_steps=self.step,
            images_per_s=n_images / self._step_s,
            seconds=self._seconds,
            n_resumed=self._n_resumed,
            learning_rates=np.array([self._recipe.rate(s, self.n_steps) for s in range(self.step)]),
            device=describe_device(self._device),
        )

    @property
    def _seconds(self) -> float:
        return self._kept_s + time.perf_counter() - self._begun

    def _is_due(self, due: Sequence[int]) -> bool:
        seen = bool(self._moments) and self._moments[-1].step == self.step
        return self.step in due and not seen

    def _observe(self, observe: Observer) -> None:
        self._check_weights()
        start = time.perf_counter()
        self._model.eval()
        torch.manual_seed(self._draw_seed(1))
        epoch = self.step / self._batches.n_per_epoch
        seen = freeze(observe(self._model, Moment(self.step, epoch, {})))
        self._moments.append(Moment(self.step, epoch, seen))
        self._cost_s["observation"] = time.perf_counter() - start

    def _advance(self, due: Sequence[int]) -> None:
        """Make steps up to the next look at the loss, and look at it."""
        start = time.perf_counter()
        self._model.train()
        last = min([self.step + self._block, self.n_steps, *(s for s in due if s > self.step)])
        while self.step < last:
            self._pending.append(self._take_step())
            self.step += 1
        losses = torch.stack(self._pending).cpu().tolist()
        self._pending.clear()
        for i, loss in enumerate(losses, last - len(losses)):
            if not math.isfinite(loss):
                self._diverge(f"the loss is {loss} at step {i}", i)
        self._losses += losses
        self._cost_s["block"] = time.perf_counter() - start
        self._step_s += self._cost_s["block"]

    def _take_step(self) -> torch.Tensor:
        """Change the weights once and return the loss, on the device."""
        recipe, optimizer = self._recipe, self._optimizer
        torch.manual_seed(self._draw_seed(0))  # for dropout
        images, labels = self._batches[self.step]
        n_counted = (labels != NOT_COUNTED).sum().clamp_min(1)
        n_slice = math.ceil(recipe.batch_size / recipe.accumulate)
        optimizer.zero_grad()
        total = torch.zeros((), device=self._device)
        for x, y in zip(images.split(n_slice), labels.split(n_slice), strict=True):
            with autocast(self._device, recipe.precision):
                scores = self._network(x)
            self._check_scores(scores, y)
            loss = summed_loss(scores, y) / n_counted
            loss.backward()
            total += loss.detach()
        optimizer.step(recipe.rate(self.step, self.n_steps))
        return total

    def _draw_seed(self, purpose: int) -> int:
        state = np.random.SeedSequence([self._seed, self.step, purpose]).generate_state(1)
        return int(state[0])

    def _check_scores(self, scores: torch.Tensor, labels: torch.Tensor) -> None:
        """Refuse, once, a model whose scores do not fit the labels: a GPU would only abort."""
        if self._fits:
            return
        if scores.ndim != (2 if labels.ndim == 1 else 4):
            raise UserError(
                f"the model gives scores of shape {tuple(scores.shape)} for labels of shape "
                f"{tuple(labels.shape)}; it needs (n, classes), or (n, classes, rows, columns) "
                "where pixels have labels"
            )
        if scores.shape[1] <= self._highest_label:
            raise UserError(
                f"the model gives scores of {scores.shape[1]} classes, and the labels go up to "
                f"{self._highest_label}; build it with n_classes={self._highest_label + 1} or more"
            )
        self._fits = True

    def _check_weights(self) -> None:
        """Never keep, show or return weights that are no numbers: a loss tells a step too late."""
        for name, tensor in self._model.state_dict().items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                self._diverge(f"{name} is not finite after step {self.step - 1}", self.step - 1)

    def _diverge(self, what: str, step: int) -> None:
        rate = self._recipe.rate(max(step, 0), self.n_steps)
        kept = f"; {self._keeper.stands}" if self._keeper else ""
        raise Diverged(
            f"{what} of {self.n_steps}, at a learning rate of {rate:.2g}: lower recipe.lr "
            f"({self._recipe.lr:g}), lengthen recipe.warmup ({self._recipe.warmup:g}) or set "
            f"recipe.clip ({self._recipe.clip:g}){kept}"
        )

    def _must_stop(self, deadline: float | None, observing: bool) -> bool:
        if deadline is None:
            return False
        needed = self._cost_s["observation" if observing else "block"]
        needed += self._keeper.seconds if self._keeper else 0.0
        return time.monotonic() + needed >= deadline

    def _pause(self) -> None:
        if self._keeper is None:
            raise Paused(f"paused before step {self.step} of {self.n_steps}; nothing is kept of it")
        self._keep(must=True)
        raise Paused(f"paused before step {self.step} of {self.n_steps}; {self._keeper.stands}")

    def _keep(self, *, must: bool = False) -> None:
        if self._keeper is None:
            return
        self._check_weights()
        state = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "losses": np.array(self._losses),
            "moments": [vars(moment) for moment in self._moments],
            "step_s": self._step_s,
            "seconds": self._seconds,
            "n_resumed": self._n_resumed,
        }
        self._keeper.keep(state, must=must)
