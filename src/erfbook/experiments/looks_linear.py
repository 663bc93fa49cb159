"""A network where the answer is known in closed form, to ask every tool what it measures.

Kernels, images and backgrounds are positive, so every rectifier is open, every signal is positive,
and the unit is linear: f(x) = sum of w x. Then w is its footprint, found here from the kernels
alone, and every tool has one right answer.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import rf
from erfbook.experiments import looks_occlusion as occlusion
from erfbook.experiments import looks_tools as tools
from erfbook.experiments.looks_unit import RULES, Target, go_back

SIDE, CHANNELS, PATCH = 12, 3, 3
LAYER, STRIDE, PADDING = "3", 2, 1


def make_linear_network(seed: int = 0) -> nn.Sequential:
    """Return conv, ReLU, conv, ReLU (layer 3), mean over the plane, class scores; all positive."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(CHANNELS, 4, 3, stride=STRIDE, padding=PADDING, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3, padding=PADDING, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2, bias=False),
    )
    for parameter in model.parameters():
        parameter.data = torch.rand(parameter.shape, generator=generator)
        parameter.requires_grad_(False)
    return model.eval()


def find_footprint(
    model: nn.Sequential, target: Target
) -> Float[np.ndarray, "channels height width"]:
    """Return the unit's weights on the image, from the two kernels and nothing else."""
    first, second = (model.get_submodule(i).get_parameter("weight").numpy() for i in "02")
    padded = np.zeros((CHANNELS, SIDE + 2 * PADDING + 2, SIDE + 2 * PADDING + 2))
    middle = SIDE // STRIDE  # units of the first layer along an axis
    for i in range(3):
        for j in range(3):
            row, column = (u + d - PADDING for u, d in zip(target.unit, (i, j), strict=True))
            if not (0 <= row < middle and 0 <= column < middle):
                continue  # the second layer's padding
            rows, columns = (slice(STRIDE * n, STRIDE * n + 3) for n in (row, column))
            taps = np.tensordot(second[target.channel, :, i, j], first, axes=1)
            padded[:, rows, columns] += taps
    return padded[:, PADDING : PADDING + SIDE, PADDING : PADDING + SIDE]


def check_known_unit(seed: int = 0) -> dict[str, float]:
    """Return each tool's largest error on the linear unit, over the largest right value.

    Right are: for gradients the footprint w; for methods with a baseline b, w (x - b); for
    occlusion the sum of that over each patch; for Grad-CAM the class weights times the features.
    """
    model = make_linear_network(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    image, base = (
        torch.rand((1, CHANNELS, SIDE, SIDE), generator=generator) + shift for shift in (1.0, 0.0)
    )
    report = rf.analyze(model, tuple(image.shape[1:]))
    row, column = report[LAYER].central_unit
    target = Target(LAYER, (row, column), 1, report[LAYER])
    weights = find_footprint(model, target)
    value, difference = weights * image[0].numpy(), weights * (image - base)[0].numpy()
    starts = occlusion.slide((SIDE, SIDE), (PATCH, PATCH), 2)
    effects = np.array([value[:, r : r + PATCH, c : c + PATCH].sum() for r, c in starts])
    covered = occlusion.spread(effects, starts, (PATCH, PATCH), (SIDE, SIDE))
    patches = occlusion.occlude(model, image, target, patch=(PATCH, PATCH), starts=starts)
    gaps = {rule: _gap(go_back(model, image, target, rule).numpy(), weights) for rule in RULES}
    gaps["occlusion"] = _gap(patches.map, covered)
    if tools.is_installed("captum"):
        gaps |= _check_captum(model, image, target, weights, covered)
        integrated = tools.integrate_gradients(model, image, target, 8)
        gaps["integrated"] = _gap(integrated.numpy(), value)
    if tools.is_installed("shap"):
        expected = tools.expect_gradients(model, image, target, base, n_samples=4, seed=seed)
        gaps["expected"] = _gap(expected, difference)
        cells = tools.share_among_cells(
            model, image, target, base, n_evals=2 * image.numel(), one_context=True
        )
        gaps["partition"] = _gap(cells, difference)
        gaps["deep"] = _gap(tools.explain_deeply(model, image, target, base), difference)
    return gaps


def _check_captum(model, image, target, weights, covered) -> dict[str, float]:
    backward = tools.go_back_with_captum(model, image, target)
    gaps = {f"captum_{rule}": _gap(found.numpy(), weights) for rule, found in backward.items()}
    theirs = occlusion.occlude_with_captum(model, image, target, PATCH, 2)
    cam = tools.locate_class(model, image, LAYER, 0, resize=False)
    with torch.no_grad():
        features = model[: int(LAYER) + 1](image)[0].numpy()
    # The gradient of a class with respect to a feature is its weight over the number of units.
    score = np.tensordot(model[6].weight[0].numpy(), features, axes=1) / features[0].size
    return {**gaps, "captum_occlusion": _gap(theirs, covered), "gradcam": _gap(cam, score)}


def _gap(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(np.squeeze(found) - right).max() / np.abs(right).max())
