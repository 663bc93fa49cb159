"""Where does this unit look? Every tool's answer for one unit and one photograph, measured.

All tools get the same unit of the same network. What is compared is the map of magnitudes over the
image; the exact theoretical field is the yardstick, since no pixel outside it can matter.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import nn

from erfbook import erf
from erfbook.experiments import looks_occlusion as occlusion
from erfbook.experiments import looks_tools as tools
from erfbook.experiments.looks_ranks import correlate
from erfbook.experiments.looks_unit import Target, go_back

LABELS = {
    "gradient": "gradient",
    "deconvnet": "deconvnet",
    "guided": "guided backprop",
    "integrated": "integrated gradients",
    "expected": "SHAP, gradients",
    "partition": "SHAP, cells",
    "occlusion": "occlusion",
    "gradcam": "Grad-CAM (class)",
}
NEEDS = {"integrated": "captum", "gradcam": "captum", "expected": "shap", "partition": "shap"}
BACKWARD = ("gradient", "deconvnet", "guided", "integrated", "expected")
LAST_LAYER = "_bn1"  # where Grad-CAM is taken: the last plane, 7 x 7 units


@dataclass(frozen=True)
class Look:
    """One tool's answer.

    Args:
        tool: a key of ``LABELS``.
        map: magnitude at each pixel, summed over channels; all zero if the tool is not installed.
        target: the unit that was asked about.
        seconds: what the tool took, its import left out.
    """

    tool: str
    map: Float[np.ndarray, "height width"]
    target: Target
    seconds: float

    @property
    def share_inside(self) -> float:
        """Share of the map's mass on pixels that can influence the unit."""
        # By what lies outside: where that is nothing the share is 1 in the last bit, too.
        return 1 - self._share(self.map[~self.target.inside].sum())

    @property
    def outside(self) -> float:
        """Largest value outside the exact field, over the largest of all."""
        largest = self.map.max()
        return float(self.map[~self.target.inside].max() / largest) if largest else np.nan

    @property
    def hull(self) -> tuple[int, int]:
        """Height and width of the smallest box that holds every pixel that is not zero."""
        where = np.argwhere(self.map > 0)
        if not len(where):
            return (0, 0)
        height, width = np.ptp(where, axis=0) + 1
        return int(height), int(width)

    @property
    def mass_px(self) -> float:
        """Side of the square as large as the smallest set that holds 95.45 % of the mass."""
        return self._side("smallest-set")

    @property
    def square_px(self) -> float:
        """Side of the smallest square around the field's centre that holds as much."""
        return self._side("centred-square")

    @property
    def pixels_px(self) -> float:
        """Luo's size: pixels above 4.55 % of the centre; NaN where the centre itself is zero."""
        try:
            return erf.size(self._as_map())
        except ValueError:
            return np.nan

    @property
    def offset_px(self) -> float:
        """Distance of the map's centre of mass from the field's centre."""
        if not self.map.any():
            return np.nan
        places = np.indices(self.map.shape).reshape(2, -1)
        middle = places @ self.map.ravel() / self.map.sum()
        return float(np.hypot(*(middle - self.target.field.centre(self.target.unit))))

    def _share(self, mass: float) -> float:
        total = self.map.sum()
        return float(mass / total) if total else np.nan

    def _side(self, method: str) -> float:
        if not self.map.any():
            return np.nan
        share = erf.area_ratio(self._as_map(), 1 - erf.TWO_SIGMA, method=method, scale="linear")
        return float(np.sqrt(share * self.map.size))

    def _as_map(self) -> erf.Map:
        row, column = self.target.field.centre(self.target.unit)
        return erf.Map(values=self.map, centre=(row, column))


@dataclass(frozen=True)
class Looks:
    """All tools' answers for one unit on one photograph; ``looks["occlusion"]``."""

    target: Target
    image: Float[torch.Tensor, "1 3 height width"]
    answers: Mapping[str, Look]
    settings: tools.ToolSettings

    def __getitem__(self, tool: str) -> Look:
        return self.answers[tool]

    @property
    def beyond_patch(self) -> float:
        """Largest occlusion effect where no patch over the pixel can meet the field."""
        reach = self.settings.patch_px - 1
        beyond = np.ones(self.target.inside.shape, dtype=bool)
        rows, columns = (slice(max(a - reach, 0), b + reach + 1) for a, b in self.target.box)
        beyond[rows, columns] = False
        return float(self["occlusion"].map[beyond].max(initial=0.0))

    @property
    def nearness(self) -> float:
        """Rank correlation of the gradient with a map that only falls off from the field's centre.

        Such a map knows neither the photograph nor the weights: it is what being large in the
        middle is worth alone. Without the envelope nothing of it would be left.
        """
        places = np.indices(self.target.inside.shape, dtype=float)
        away = places - np.array(self.target.field.centre(self.target.unit))[:, None, None]
        return correlate(self["gradient"].map, -np.hypot(*away), self.target)

    def correlations(self, *, detail: bool = False) -> Float[np.ndarray, "tool tool"]:
        """Return the rank correlation of every pair of maps; see :func:`correlate`."""
        maps = [one.map for one in self.answers.values()]
        pairs = [[correlate(a, b, self.target, detail=detail) for b in maps] for a in maps]
        return np.array(pairs)


def ask_tools(
    model: nn.Module,
    image: Float[torch.Tensor, "1 3 height width"],
    target: Target,
    background: Float[torch.Tensor, "n 3 height width"],
    settings: tools.ToolSettings,
) -> Looks:
    """Ask every installed tool where a unit looks.

    Args:
        model: the network, in evaluation mode.
        image: the photograph.
        target: the unit.
        background: other photographs, from which SHAP's GradientExplainer starts.
        settings: how much work the tools may do.
    """
    askers = _askers(model, image, target, background, settings)
    answers = {}
    for tool in LABELS:
        missing = tool in NEEDS and not tools.is_installed(NEEDS[tool])
        if not missing:
            _import(NEEDS.get(tool))
        started = time.perf_counter()
        found = np.zeros(tuple(image.shape[2:])) if missing else askers[tool]()
        answers[tool] = Look(tool, tools.magnitude(found), target, time.perf_counter() - started)
    return Looks(target, image, answers, settings)


def _askers(model, image, target, background, settings) -> dict[str, Callable]:
    patch = (settings.patch_px, settings.patch_px)
    starts = occlusion.slide(tuple(image.shape[2:]), patch, settings.stride_px)

    def measure():
        return erf.measure(
            model, image, target.layer, target.unit, channel=target.channel, crop=False
        ).values

    def cover():
        return occlusion.occlude(model, image, target, patch=patch, starts=starts).map

    def integrate():
        return tools.integrate_gradients(model, image, target, settings.n_steps)

    def expect():
        options = {"n_samples": settings.n_samples, "seed": settings.seed}
        return tools.expect_gradients(model, image, target, background, **options)

    def halve():
        options = {"n_evals": settings.n_evals, "seed": settings.seed}
        return tools.share_among_cells(model, image, target, tools.blur(image), **options)

    def locate():
        with torch.no_grad():
            index = int(model(image).argmax())
        return tools.locate_class(model, image, LAST_LAYER, index)

    return {
        "gradient": measure,
        "deconvnet": lambda: go_back(model, image, target, "deconvnet"),
        "guided": lambda: go_back(model, image, target, "guided"),
        "integrated": integrate,
        "expected": expect,
        "partition": halve,
        "occlusion": cover,
        "gradcam": locate,
    }


def tabulate_looks(looks: Looks) -> pd.DataFrame:
    """Return one row a tool: how much of the map can matter, how far it reaches, its size."""
    rows = [
        {
            "tool": LABELS[one.tool],
            "inside the field": f"{one.share_inside:.1%}",
            "box, px": f"{one.hull[0]} × {one.hull[1]}",
            "95.45 % of mass, px": f"{one.mass_px:.0f}",
            "centred square, px": f"{one.square_px:.0f}",
            "above 4.55 %, px": f"{one.pixels_px:.0f}",
            "offset, px": f"{one.offset_px:.1f}",
            "seconds": f"{one.seconds:.2f}",
        }
        for one in looks.answers.values()
    ]
    return pd.DataFrame(rows).set_index("tool").rename_axis(None)


def name_looks(looks: Looks) -> dict[str, dict]:
    """Return the answers under the names that prose and the ledger use, tagged by the field."""
    side = looks.target.field.size[0]
    named: dict[str, dict] = {
        f"channel_{side}": {"value": looks.target.channel},
        f"z_score_{side}": {"value": looks.target.z_score},
        f"unit_{side}": {"value": looks.target.unit[0]},
        f"beyond_patch_{side}": {"value": looks.beyond_patch},
    }
    for tool, one in looks.answers.items():
        named |= {
            f"inside_{tool}_{side}": {"value": one.share_inside},
            f"outside_{tool}_{side}": {"value": one.outside},
            f"box_{tool}_{side}": {"value": max(one.hull), "unit": "px"},
            f"mass_{tool}_{side}": {"value": one.mass_px, "unit": "px"},
            f"area_{tool}_{side}": {"value": (one.mass_px / side) ** 2},
            f"spread_{tool}_{side}": {"value": one.mass_px / looks["gradient"].mass_px},
            f"offset_{tool}_{side}": {"value": one.offset_px, "unit": "px"},
            f"seconds_{tool}_{side}": {"value": one.seconds, "unit": "s"},
        }
    for name, detail in (("rank", False), ("detail", True)):
        with_gradient = looks.correlations(detail=detail)[0]
        for tool, value in zip(looks.answers, with_gradient, strict=True):
            named[f"{name}_{tool}_{side}"] = {"value": float(value)}
    named[f"rank_nearness_{side}"] = {"value": looks.nearness}
    return named


def _import(library: str | None) -> None:
    """Import a library before its first use is timed."""
    if library:
        with tools.expected_warnings():
            importlib.import_module("captum.attr" if library == "captum" else library)
