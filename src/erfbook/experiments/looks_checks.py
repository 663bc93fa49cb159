"""What the tools say of each other, what they react to, and where they do not apply."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import erf, rf
from erfbook.experiments import looks_occlusion as occlusion
from erfbook.experiments import looks_tools as tools
from erfbook.experiments.looks import LAST_LAYER
from erfbook.experiments.looks_ranks import correlate
from erfbook.experiments.looks_unit import (
    RULES,
    Target,
    UnitValue,
    choose_target,
    go_back,
    run_to,
)
from erfbook.experiments.photographs import make_copy

CHANGES = ("photograph", "channel", "weights")
SLOW = ("integrated", "occlusion")
ASKED = (*RULES, *SLOW)


@dataclass(frozen=True)
class Reactions:
    """How alike a tool's map stays when something is changed that ought to matter.

    Args:
        target: the unit.
        correlations: (tool, change) to the rank correlation with the map before, a value for each
            other photograph, channel or set of weights.
    """

    target: Target
    correlations: Mapping[tuple[str, str], tuple[float, ...]]

    def mean(self, tool: str, change: str) -> float:
        """Return the mean over the changed photographs, channels or weights."""
        return float(np.mean(self.correlations[tool, change]))


def measure_reactions(
    model: nn.Module,
    image: Float[torch.Tensor, "1 3 height width"],
    target: Target,
    others: Float[torch.Tensor, "n 3 height width"],
    settings: tools.ToolSettings,
) -> Reactions:
    """Return how each tool's map changes with the photograph, the channel and the weights.

    Args:
        model, image, target, settings: as for ``ask_tools``.
        others: other photographs; as many channels and sets of weights are tried. The channels are
            the next most excited ones; the weights are the trained ones, each tensor shuffled, with
            batch norm calibrated on the photographs. Integrated gradients and occlusion, which take
            a hundred images each, are tried once; occlusion also with its patches moved by half.
    """
    n = len(others)
    photographs = torch.cat([image, others])
    channels = [choose_target(model, image, target.layer, rank) for rank in range(1, n + 1)]
    shuffled = [make_copy("shuffled", model, _no_model, photographs, seed) for seed in range(n)]
    changed = {
        "photograph": [(model, other[None], target) for other in others],
        "channel": [(model, image, channel) for channel in channels],
        "weights": [(weights.requires_grad_(False), image, target) for weights in shuffled],
    }
    found = {}
    for tool in ASKED:
        before = _ask(tool, model, image, target, settings)
        for change, cases in changed.items():
            tried = cases[:1] if tool in SLOW else cases
            after = [_ask(tool, *case, settings) for case in tried]
            found[tool, change] = tuple(
                correlate(before, one, target, detail=True) for one in after
            )
    # `before` is occlusion's now: how much of it is owed to where its patches happen to lie?
    moved = _ask("occlusion", model, image, target, settings, shift=settings.patch_px // 2)
    found["occlusion", "grid"] = (correlate(before, moved, target, detail=True),)
    return Reactions(target, found)


def name_reactions(reactions: Reactions) -> dict[str, dict]:
    """Return the mean correlations as ``stays_TOOL_CHANGE_SIDE``."""
    side = reactions.target.field.size[0]
    return {
        f"stays_{tool}_{change}_{side}": {"value": float(np.mean(values)), "n": len(values)}
        for (tool, change), values in reactions.correlations.items()
    }


def compare_with_captum(
    model: nn.Module, image: Float[torch.Tensor, "1 3 height width"], target: Target
) -> dict[str, float]:
    """Return the largest differences between ours and Captum's, over the largest value.

    ``gradient`` and ``occlusion`` are on the network as it is; ``deconvnet_relu`` and
    ``guided_relu`` on a copy in which every ReLU6 is a ReLU. ``deconvnet_relu6`` and
    ``guided_relu6`` compare Captum on the network as it is with the plain gradient: 0 means that
    Captum changed nothing. All NaN without Captum.
    """
    names = ("gradient", "occlusion", "deconvnet_relu", "guided_relu")
    if not tools.is_installed("captum"):
        return dict.fromkeys((*names, "deconvnet_relu6", "guided_relu6"), np.nan)
    theirs = tools.go_back_with_captum(model, image, target)
    plain = go_back(model, image, target)
    plainer = use_relu(model)
    on_relu = tools.go_back_with_captum(plainer, image, target)
    patch = (32, 32)
    height, width = image.shape[2:]
    starts = occlusion.slide((height, width), patch, 32)
    covered = occlusion.occlude(model, image, target, patch=patch, starts=starts).map
    return {
        "gradient": _gap(theirs["gradient"], plain),
        "occlusion": _gap(occlusion.occlude_with_captum(model, image, target, 32, 32), covered),
        "deconvnet_relu6": _gap(theirs["deconvnet"], plain),
        "guided_relu6": _gap(theirs["guided"], plain),
        **{
            f"{rule}_relu": _gap(on_relu[rule], go_back(plainer, image, target, rule))
            for rule in ("deconvnet", "guided")
        },
    }


def check_sums(
    model: nn.Module,
    image: Float[torch.Tensor, "1 3 height width"],
    target: Target,
    n_steps: int,
) -> dict[str, float | bool]:
    """Return how far attributions are from adding up to what they explain, relative to it.

    Integrated gradients and SHAP's DeepExplainer, both from the image of mean colour, should sum
    to the difference of the unit's values on the two images. ``refused`` tells whether
    DeepExplainer's own check of the sum refuses its values.
    """
    base = torch.zeros_like(image)
    with torch.no_grad():
        unit = UnitValue(model, target)
        difference = float(unit(image) - unit(base))
    gaps: dict[str, float | bool] = {"integrated": np.nan, "deep": np.nan, "refused": False}
    if tools.is_installed("captum"):
        total = tools.integrate_gradients(model, image, target, n_steps).double().sum()
        gaps["integrated"] = abs(float(total) / difference - 1)
    if tools.is_installed("shap"):
        total = tools.explain_deeply(model, image, target, base).sum()
        gaps["deep"] = abs(float(total) / difference - 1)
        try:
            tools.explain_deeply(model, image, target, base, check=True)
        except AssertionError:
            gaps["refused"] = True
    return gaps


def locate_cell(
    model: nn.Module, image: Float[torch.Tensor, "1 3 height width"]
) -> dict[str, float]:
    """Return how much of Grad-CAM's last plane a unit's cell really is of where the unit looks.

    Grad-CAM draws a 7 x 7 plane over the image, as if each unit saw its own cell. Returned are the
    cell's side, the exact field of the unit, and the share of the gradient's mass in its cell for
    the unit that is most active on average over channels.
    """
    field = rf.analyze(model, tuple(image.shape[1:]))[LAST_LAYER]
    with torch.no_grad():
        plane = run_to(model, LAST_LAYER, image)[0].relu().mean(dim=0)
    unit = divmod(int(plane.argmax()), plane.shape[1])
    map = erf.measure(model, image, LAST_LAYER, unit)
    side = image.shape[2] // plane.shape[0]
    rows, columns = (slice(u * side, (u + 1) * side) for u in unit)
    share = map.values[rows, columns].sum() / map.values.sum()
    return {"cell_px": side, "cell_field_px": field.size[0], "cell_share": float(share)}


def use_relu(model: nn.Module) -> nn.Module:
    """Return a copy of a network in which every ReLU6 is a ReLU."""
    plain = copy.deepcopy(model)
    for module in list(plain.modules()):
        for name, child in list(module._modules.items()):  # a shared child has several names
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU())
    return plain


def _ask(tool, model, image, target, settings, shift: int = 0) -> np.ndarray:
    if tool in RULES:
        return tools.magnitude(go_back(model, image, target, tool))
    if tool == "integrated":
        if not tools.is_installed("captum"):
            return np.zeros(tuple(image.shape[2:]))
        return tools.magnitude(
            tools.integrate_gradients(model, image, target, max(settings.n_steps // 4, 4))
        )
    patch = (settings.patch_px, settings.patch_px)
    starts = occlusion.slide(tuple(image.shape[2:]), patch, settings.patch_px) - shift
    near = starts[occlusion.meet(starts, patch, target.box)]  # elsewhere the effect is exactly zero
    return np.abs(occlusion.occlude(model, image, target, patch=patch, starts=near).map)


def _no_model() -> nn.Module:
    raise AssertionError("a shuffled copy is made from the trained network")


def _gap(found, right) -> float:
    found, right = (np.asarray(a, dtype=np.float64).squeeze() for a in (found, right))
    return float(np.abs(found - right).max() / np.abs(right).max())
