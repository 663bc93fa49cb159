"""The parameters of every notebook, declared once: type, range, unit, help, value per profile."""

from __future__ import annotations

import difflib

from erfbook.parameters.field_or_plane import FieldOrPlane
from erfbook.parameters.loss_landscape import LossLandscape
from erfbook.parameters.pixel_importance import PixelImportance
from erfbook.parameters.position import Position
from erfbook.parameters.pruning import Pruning
from erfbook.parameters.representations import Representations
from erfbook.parameters.tiling import Tiling
from erfbook.parameters.trained import ErfDistance, ErfTraining, GaussianDamage
from erfbook.parameters.unit_sheet import UnitSheet
from erfbook.parameters.untrained import (
    ErfPhotographs,
    ErfVerification,
    FourierBinomial,
    TheoreticalRf,
    WhereAUnitLooks,
)
from erfbook.profiles import ParameterError, Parameters

NOTEBOOKS: dict[str, type[Parameters]] = {
    cls.notebook: cls
    for cls in (
        FourierBinomial,
        TheoreticalRf,
        WhereAUnitLooks,
        ErfVerification,
        ErfPhotographs,
        ErfTraining,
        ErfDistance,
        GaussianDamage,
        Pruning,
        LossLandscape,
        Representations,
        PixelImportance,
        FieldOrPlane,
        Position,
        UnitSheet,
        Tiling,
    )
}


def of(notebook: str) -> type[Parameters]:
    """Return the parameters of a notebook.

    Raises:
        ParameterError: no such notebook; the message names the nearest one.
    """
    if notebook in NOTEBOOKS:
        return NOTEBOOKS[notebook]
    close = difflib.get_close_matches(notebook, list(NOTEBOOKS), n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(NOTEBOOKS)}"
    raise ParameterError(f"no notebook {notebook!r}; {hint}")
