"""EfficientNet-Lite0, two of its units and the photographs they look at: one chapter's subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import nn

from erfbook.experiments.lite0 import load_lite0, load_square
from erfbook.experiments.looks_occlusion import scan_bars
from erfbook.experiments.looks_unit import Target, choose_target
from erfbook.notation import round_to

# Blocks whose fields of 67 and 147 px lie wholly inside a photograph of 224 px, the size at which
# the network was trained. Chosen by us.
LAYERS = ("_blocks.4", "_blocks.7")
PHOTOGRAPHS = ("cat", "coffee", "astronaut", "rocket", "motorcycle")


@dataclass(frozen=True)
class Subject:
    """What the tools are asked about.

    Args:
        model: the trained network, its parameters without gradients.
        photograph: the photograph's name.
        image: the photograph, normalised.
        others: other photographs, of the same size.
        targets: one unit of each of ``LAYERS``.
    """

    model: nn.Module
    photograph: str
    image: Float[torch.Tensor, "1 3 side side"]
    others: Float[torch.Tensor, "n 3 side side"]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Reach:
    """How many positions of a bar change a unit: found, and at most possible."""

    field_px: int
    width_px: int
    found: int

    @property
    def predicted(self) -> int:
        """Field plus bar less one: the positions at which they share a pixel."""
        return self.field_px + self.width_px - 1


def load_subject(photograph: str, n_others: int, side: int = 224) -> Subject:
    """Return the network, one photograph, some others, and the units that it excites most."""
    model = load_lite0().requires_grad_(False)
    image = load_square(photograph, side)
    names = [name for name in PHOTOGRAPHS if name != photograph][:n_others]
    others = torch.cat([load_square(name, side) for name in names])
    targets = tuple(choose_target(model, image, layer) for layer in LAYERS)
    return Subject(model, photograph, image, others, targets)


def measure_reaches(subject: Subject, widths_px: Sequence[int]) -> tuple[Reach, ...]:
    """Slide bars of several widths over the photograph and count what changes each unit."""
    return tuple(
        Reach(
            target.field.size[1],
            width,
            scan_bars(subject.model, subject.image, target, width),
        )
        for target in subject.targets
        for width in widths_px
    )


def tabulate_known(errors: dict[str, float]) -> pd.DataFrame:
    """Return each tool's largest relative error where the answer is known."""
    labels = {
        "gradient": ("gradient, ours", "w"),
        "deconvnet": ("deconvnet, ours", "w"),
        "guided": ("guided backprop, ours", "w"),
        "captum_gradient": ("Captum NeuronGradient", "w"),
        "captum_deconvnet": ("Captum NeuronDeconvolution", "w"),
        "captum_guided": ("Captum NeuronGuidedBackprop", "w"),
        "integrated": ("Captum IntegratedGradients", "w (x − b)"),
        "expected": ("SHAP GradientExplainer", "w (x − b)"),
        "deep": ("SHAP DeepExplainer", "w (x − b)"),
        "partition": ("SHAP PartitionExplainer", "w (x − b)"),
        "occlusion": ("occlusion, ours", "sum of w (x − b) over the patch"),
        "captum_occlusion": ("Captum Occlusion", "sum of w (x − b) over the patch"),
        "gradcam": ("Captum LayerGradCam", "class weights × features"),
    }
    rows = [
        {"tool": tool, "right answer": right, "largest error": round_to(errors[key], 1)}
        for key, (tool, right) in labels.items()
        if key in errors
    ]
    return pd.DataFrame(rows).set_index("tool").rename_axis(None)
