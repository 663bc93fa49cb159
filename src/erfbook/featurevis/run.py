"""Gradient ascent on images, in batches: many units, channels and restarts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from tqdm import tqdm

from erfbook.errors import RunError, UserError
from erfbook.featurevis.fourier import FourierAscent
from erfbook.featurevis.keeping import Keeper, fingerprint
from erfbook.featurevis.notes import notes_on
from erfbook.featurevis.pixels import PixelAscent
from erfbook.featurevis.plan import Job, Plan, make_plan, mask_of
from erfbook.featurevis.result import Visualisation
from erfbook.featurevis.settings import Settings
from erfbook.featurevis.targets import placement, read_target
from erfbook.models.frozen import frozen
from erfbook.progress import open_bar

Method = PixelAscent | FourierAscent
_STEPS_UNTIL_DEAD = 4  # a batch in which nothing has moved by then is given up


def optimize(
    model: nn.Module,
    layer: str,
    channel: int | Sequence[int],
    unit: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
    *,
    size: tuple[int, int] = (224, 224),
    seeds: Sequence[int] = (0,),
    method: Method | None = None,
    start: Float[torch.Tensor, "*n 3 height width"] | None = None,
    settings: Settings | None = None,
) -> Visualisation:
    """Return images that make a unit, or all units of a channel, respond (position, methods).

    The gradient is one at the units and zero at the rest of their layer; it is sent back to the
    image, the image follows it, and this is repeated. The forward pass stops at the layer, a
    single unit's image is computed on the part that the unit can see where that is exact, and all
    images of one size share batches. The start of an image is drawn from its seed, channel and
    position alone, so that it does not depend on what else is computed; batches of other sizes
    differ by rounding. The model is left as it was.

    Args:
        model: any module that takes one tensor (N, 3, H, W), on any device.
        layer: path of the module whose output holds the units.
        channel: one of its channels, or several.
        unit: (row, column) on the layer's grid, or a list of such; None drives all units of the
            channel at once (tiling).
        size: height and width of the images, in pixels; nothing is ever resized.
        seeds: one for each restart; every channel and unit is restarted with each.
        method: :class:`PixelAscent` (the default) or :class:`FourierAscent`.
        start: images in display range to begin with, one for all or one for each seed, instead of
            drawing them; for ascent on pixels alone.
        settings: all the rest.

    Raises:
        UserError: a layer, channel, position, size or start that cannot be; a dead unit.
        RunError: an activation that is not finite; a checkpoint that cannot be written.
        KeyboardInterrupt: after Ctrl-C; what was done is in the checkpoint, where one is asked
            for, and the same call goes on from there.
    """
    method, settings = method or PixelAscent(), settings or Settings()
    channels, units = _several(channel), _units(unit)
    seeds = _checked_seeds(seeds)
    size = _checked_size(size)
    with frozen(model):
        plan = make_plan(model, layer, channels, units, seeds, size, settings)
        starts = _checked_start(start, method, len(seeds), size)
        work = _Work(model, plan, method, settings, size, starts)
        work.run()
    _refuse_dead(plan, work.moved, layer)
    return _as_result(model, plan, work, layer, method)


class _Work:
    """All batches: what is done, what is under way, and how to keep both."""

    def __init__(self, model, plan: Plan, method: Method, settings: Settings, size, starts) -> None:
        self.model, self.plan, self.method, self.settings = model, plan, method, settings
        self.size, self.starts = size, starts
        self.device, self.dtype = placement(model)
        n = len(plan.jobs)
        self.batches = [list(batch) for batch in plan.batches]
        self.images = torch.zeros((n, 3, *size), dtype=self.dtype)
        self.activations = torch.full((n, method.steps + 1), float("nan"), dtype=torch.float64)
        self.moved = torch.zeros(n, dtype=torch.bool)
        self.done = 0  # batches
        parts = (plan.field.path, plan.field.call, plan.jobs, method, settings.mean, settings.std)
        own = () if starts is None else (starts.numpy().tobytes(),)
        identity = "" if settings.checkpoint is None else fingerprint(model, (parts, size, own))
        self.keeper = Keeper(settings.checkpoint, settings.every_s, identity)

    def run(self) -> None:
        """Make all images, from where an earlier piece of the run left off."""
        kept = self.keeper.load()
        under_way = self._restore(kept) if kept else None
        finished = sum(len(batch) for batch in self.batches[: self.done]) * self.method.steps
        if under_way is not None:
            finished += under_way["step"] * len(self.batches[self.done])
        total = len(self.plan.jobs) * self.method.steps
        with open_bar(self.settings.progress, total, "steps", finished) as bar:
            while self.done < len(self.batches):
                self._run_batch(self.batches[self.done], under_way, bar)
                self.done += 1
                under_way = None
        self.keeper.remove()

    def _run_batch(self, members: list[int], under_way: dict[str, Any] | None, bar: tqdm) -> None:
        jobs = [self.plan.jobs[i] for i in members]
        stacked = np.stack([mask_of(self.plan.field, job) for job in jobs])[:, None]
        masks = torch.from_numpy(stacked).to(self.device, self.dtype)
        starts = torch.stack([self._start(job) for job in jobs]).to(self.device, self.dtype)
        ascent = self.method.begin(starts, [job.window for job in jobs], masks, self.size)
        first = 0
        if under_way is not None:
            ascent.load(under_way["ascent"])
            first = under_way["step"]
        done, state = first, ascent.state()
        try:
            for step in range(first, self.method.steps):
                values, gradient = self._look(ascent.image(), jobs, step)
                ascent.advance(gradient, step)
                self.moved[members] |= gradient.flatten(1).abs().amax(dim=1).cpu() > 0
                self.activations[members, step] = values
                bar.update(len(members))
                # Tensors are replaced, not written into: what is kept here stays whole.
                done, state = step + 1, ascent.state()
                if done == _STEPS_UNTIL_DEAD and not self.moved[members].any():
                    break
                if self.keeper.is_due:
                    self._keep(state, done)
            values, _ = self._look(ascent.image(), jobs, self.method.steps)
        except KeyboardInterrupt:
            self._keep(state, done)
            raise
        self.activations[members, -1] = values
        self.images[members] = ascent.finished().detach().cpu()

    def _look(
        self, images: torch.Tensor, jobs: list[Job], step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the targets' values and the gradient of the driven units' sum."""
        leaf = images.detach().requires_grad_()
        mean, std = (
            torch.tensor(v, dtype=self.dtype, device=self.device).reshape(3, 1, 1)
            for v in (self.settings.mean, self.settings.std)
        )
        with torch.enable_grad():
            output = read_target(self.model, (leaf - mean) / std, jobs[0].target)
            each = torch.arange(len(jobs), device=self.device)
            planes = output[each, torch.tensor([job.target.channel for job in jobs])]
            if jobs[0].moved is None:
                sums, n_units = planes.sum(dim=(1, 2)), planes[0].numel()
            else:
                rows, columns = zip(*(job.moved for job in jobs), strict=True)
                sums, n_units = planes[each, list(rows), list(columns)], 1
            total = sums.sum()  # images are independent: one sum serves all
            (gradient,) = (
                torch.autograd.grad(total, leaf, allow_unused=True)
                if total.requires_grad
                else (None,)
            )
        values = sums.detach().cpu().double() / n_units
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        _check_finite(values, gradient, jobs, step)
        return values, gradient

    def _start(self, job: Job) -> torch.Tensor:
        if self.starts is None:
            return self.method.draw(job.key, self.size)
        seeds = list(dict.fromkeys(job.seed for job in self.plan.jobs))
        return self.starts[seeds.index(job.seed) if len(self.starts) > 1 else 0]

    def _keep(self, state: dict[str, torch.Tensor], step: int) -> None:
        content = {
            "batches": self.batches,
            "done": self.done,
            "images": self.images,
            "activations": self.activations,
            "moved": self.moved,
            "under_way": {"step": step, "ascent": {k: v.cpu() for k, v in state.items()}},
        }
        self.keeper.keep(content)

    def _restore(self, kept: dict[str, Any]) -> dict[str, Any]:
        for name in ("batches", "done", "images", "activations", "moved"):
            setattr(self, name, kept[name])
        return kept["under_way"]


def _as_result(model, plan: Plan, work: _Work, layer: str, method: Method) -> Visualisation:
    jobs, moved = plan.jobs, work.moved.numpy()
    words = tuple(dict.fromkeys(job.target.words for job in jobs))
    notes = list(notes_on(model))
    if not moved.all():
        still = [(j.channel, j.unit, j.seed) for j, m in zip(jobs, moved, strict=True) if not m]
        notes.append(f"no gradient reached (channel, unit, seed) {still}: these show their start")
    return Visualisation(
        images=work.images.numpy(),
        activations=work.activations.numpy(),
        channels=tuple(job.channel for job in jobs),
        units=tuple(job.unit for job in jobs),
        seeds=tuple(job.seed for job in jobs),
        regions=tuple(job.region for job in jobs),
        moved=moved,
        layer=layer,
        target="; ".join(words),
        method=repr(method),
        notes=tuple(notes),
        field=plan.field,
    )


def _refuse_dead(plan: Plan, moved: torch.Tensor, layer: str) -> None:
    if moved.any():
        return
    job = plan.jobs[0]
    more = "" if len(plan.jobs) == 1 else f" and {len(plan.jobs) - 1} more"
    where = "all positions" if job.unit is None else f"position {job.unit}"
    raise UserError(
        f"channel {job.channel} of {layer!r} is dead at {where} (seed {job.seed}{more}): the "
        f"{job.target.words} sends no gradient to the image; choose another channel or seed"
    )


def _check_finite(values, gradient, jobs: list[Job], step: int) -> None:
    fine = torch.isfinite(values) & torch.isfinite(gradient).flatten(1).all(dim=1).cpu()
    if fine.all():
        return
    i = int((~fine).nonzero()[0])
    job = jobs[i]
    what = f"the {job.target.words}" if not torch.isfinite(values[i]) else "its gradient"
    raise RunError(
        f"{what} is not finite at step {step} (channel {job.channel}, unit {job.unit}, seed "
        f"{job.seed}): check the model's weights, or take smaller steps"
    )


def _several(channel: int | Sequence[int]) -> list[int]:
    given = [channel] if isinstance(channel, int | np.integer) else list(channel)
    if not given or not all(isinstance(c, int | np.integer) for c in given):
        raise UserError(f"channel must be a whole number or several, not {channel!r}")
    return [int(c) for c in given]


def _units(unit: Any) -> list:
    if unit is None:
        return [None]
    given = list(unit)
    if not given:
        raise UserError("unit must be (row, column), a list of such, or None; it is empty")
    return [unit] if isinstance(given[0], int | np.integer) else given


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    given = [seeds] if isinstance(seeds, int) else list(seeds)
    if not given or len(set(given)) < len(given) or min(given) < 0:
        raise UserError(f"seeds must be different whole numbers from 0 on, not {seeds!r}")
    return [int(s) for s in given]


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise UserError(f"size must be (height, width) in pixels, not {size!r}")
    return int(size[0]), int(size[1])


def _checked_start(start, method: Method, n_seeds: int, size) -> torch.Tensor | None:
    if start is None:
        return None
    if not isinstance(method, PixelAscent):
        raise UserError(f"start is for ascent on pixels; {type(method).__name__} draws its own")
    starts = torch.as_tensor(start).detach().cpu()
    starts = starts[None] if starts.ndim == 3 else starts
    if starts.shape[1:] != (3, *size) or len(starts) not in (1, n_seeds):
        raise UserError(
            f"start must be one image (3, {size[0]}, {size[1]}) or one for each seed; it is never "
            f"resized, and has the shape {tuple(starts.shape)}"
        )
    return starts
