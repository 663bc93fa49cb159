"""The tools that are asked where a unit looks: each turns a unit and an image into a map.

Captum and SHAP are imported where they are needed; a book without them says so instead.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook.experiments.looks_unit import Target, UnitValue

BATCH = 8  # images computed at once: the fastest on a CPU for these networks
# What the two libraries warn about in every use, and why it does not matter here.
_EXPECTED = {
    "IProgress not found": Warning,  # tqdm would like a widget for the bars that are switched off
    "Setting backward hooks on ReLU": UserWarning,  # Captum says that it does what it was asked
    "Input Tensor .* did not already require gradients": UserWarning,  # Captum sets it
    "The set_.* function will be deprecated": PendingDeprecationWarning,  # SHAP's colour maps
    "__array_wrap__ must accept": DeprecationWarning,  # SHAP gives tensors to numpy
    "unrecognized nn.Module": UserWarning,  # SHAP's DeepExplainer; the chapter reports it
}


@dataclass(frozen=True)
class ToolSettings:
    """How much work the tools may do.

    Args:
        n_steps: steps of integrated gradients from the baseline to the image.
        n_samples: samples of SHAP's GradientExplainer.
        n_evals: evaluations of the network by SHAP's PartitionExplainer.
        patch_px: side of the patch of occlusion.
        stride_px: step between its positions.
        seed: of SHAP's samples.
    """

    n_steps: int = 32
    n_samples: int = 32
    n_evals: int = 500
    patch_px: int = 16
    stride_px: int = 8
    seed: int = 0


def is_installed(library: str) -> bool:
    """Return whether a library can be imported, without importing it."""
    return importlib.util.find_spec(library) is not None


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence what Captum and SHAP always warn about; every other warning passes."""
    with warnings.catch_warnings():
        for message, category in _EXPECTED.items():
            warnings.filterwarnings("ignore", message=message, category=category)
        yield


def magnitude(
    attribution: torch.Tensor | np.ndarray,
) -> Float[np.ndarray, "height width"]:
    """Return the sum over channels of an attribution's absolute values, as a map."""
    values = np.abs(np.asarray(attribution, dtype=np.float64).squeeze())
    return values if values.ndim == 2 else values.sum(axis=0)


def integrate_gradients(
    model: nn.Module, image: torch.Tensor, target: Target, n_steps: int
) -> Float[torch.Tensor, "1 c h w"]:
    """Return Captum's integrated gradients of the unit, from an image of mean colour."""
    with expected_warnings():
        from captum.attr import IntegratedGradients

        tool = IntegratedGradients(UnitValue(model, target))
        return tool.attribute(image, target=0, n_steps=n_steps, internal_batch_size=BATCH).detach()


def expect_gradients(
    model: nn.Module,
    image: torch.Tensor,
    target: Target,
    background: Float[torch.Tensor, "n c h w"],
    *,
    n_samples: int,
    seed: int,
) -> Float[np.ndarray, "1 c h w"]:
    """Return the values of SHAP's GradientExplainer for the unit, against other photographs."""
    with expected_warnings(), _numpy_seed(seed):
        import shap

        explainer = shap.GradientExplainer(UnitValue(model, target), background, batch_size=BATCH)
        values = explainer.shap_values(image, nsamples=n_samples, rseed=seed)
    return np.asarray(values, dtype=np.float64)[..., 0]


def share_among_cells(
    model: nn.Module,
    image: Float[torch.Tensor, "1 c h w"],
    target: Target,
    hidden: Float[torch.Tensor, "1 c h w"],
    *,
    n_evals: int,
    seed: int = 0,
    one_context: bool = False,
) -> Float[np.ndarray, "1 c h w"]:
    """Return the values of SHAP's PartitionExplainer for the unit.

    The explainer halves the image again and again and gives every cell its Owen value, as far as
    the evaluations go; the pixels of a last cell share its value equally.

    Args:
        hidden: what stands where a cell is hidden.
        n_evals: evaluations of the network.
        seed: SHAP breaks ties between cells at random.
        one_context: judge a cell with the rest hidden only, not also with the rest shown. This
            reaches single pixels with few evaluations, and is exact where the unit is linear.
    """
    unit = UnitValue(model, target)

    def evaluate(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.asarray(images, dtype=np.float32)).permute(0, 3, 1, 2)
        return evaluate_unit(unit, batch.to(image.dtype)).numpy()[:, None]

    with expected_warnings(), _numpy_seed(seed):
        import shap

        masker = shap.maskers.Image(_channels_last(hidden))
        explain = shap.PartitionExplainer(evaluate, masker)
        found = explain(
            _channels_last(image)[None],
            max_evals=n_evals,
            batch_size=BATCH,
            fixed_context=0 if one_context else None,
            silent=True,
        )
    return np.moveaxis(np.asarray(found.values, dtype=np.float64)[..., 0], -1, 1)


def explain_deeply(
    model: nn.Module,
    image: torch.Tensor,
    target: Target,
    background: torch.Tensor,
    *,
    check: bool = False,
) -> Float[np.ndarray, "1 c h w"]:
    """Return the values of SHAP's DeepExplainer for the unit.

    Raises:
        AssertionError: with ``check``, where SHAP finds that they do not add up.
    """
    with expected_warnings():
        import shap

        unit = UnitValue(copy.deepcopy(model), target)  # it hangs hooks on every module
        explainer = shap.DeepExplainer(unit, background)
        values = explainer.shap_values(image, check_additivity=check)
    return np.asarray(values, dtype=np.float64)[..., 0]


def go_back_with_captum(
    model: nn.Module, image: torch.Tensor, target: Target
) -> dict[str, Float[torch.Tensor, "1 c h w"]]:
    """Return what Captum's three backward methods give for the unit, by the names used here."""
    layer, neuron = model.get_submodule(target.layer), (target.channel, *target.unit)
    with expected_warnings():
        from captum.attr import NeuronDeconvolution, NeuronGradient, NeuronGuidedBackprop

        made = {
            "gradient": NeuronGradient,
            "deconvnet": NeuronDeconvolution,
            "guided": NeuronGuidedBackprop,
        }
        return {
            rule: tool(model, layer).attribute(image, neuron).detach()
            for rule, tool in made.items()
        }


def locate_class(
    model: nn.Module, image: torch.Tensor, layer: str, index: int, *, resize: bool = True
) -> Float[np.ndarray, "height width"]:
    """Return Captum's Grad-CAM of a class at a layer, resized to the image or as it is."""
    with expected_warnings():
        from captum.attr import LayerAttribution, LayerGradCam

        found = LayerGradCam(model, model.get_submodule(layer)).attribute(
            image, target=index, relu_attributions=True
        )
        if resize:
            found = LayerAttribution.interpolate(found, tuple(image.shape[2:]), "bilinear")
    return found[0, 0].detach().double().numpy()


def evaluate_unit(unit: nn.Module, images: Float[torch.Tensor, "n c h w"]) -> torch.Tensor:
    """Return a unit's value on every image, always in batches of the same size.

    A batch's size decides in which order a CPU adds. With full batches (the last is filled up with
    copies) two images that are equal where the unit looks give the same value to the last bit.
    """
    values = []
    with torch.no_grad():
        for batch in images.split(BATCH):
            lacking = BATCH - len(batch)
            full = torch.cat([batch, batch[:1].expand(lacking, -1, -1, -1)]) if lacking else batch
            values.append(unit(full)[: len(batch), 0])
    return torch.cat(values)


def blur(
    image: Float[torch.Tensor, "1 c h w"], sigma_px: float = 12.0
) -> Float[torch.Tensor, "1 c h w"]:
    """Return the image smoothed by a Gaussian, which hides detail and keeps the colours."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.numpy(), (0, 0, sigma_px, sigma_px), mode="nearest")
    return torch.from_numpy(smooth)


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which SHAP draws from, and put it back afterwards."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _channels_last(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
