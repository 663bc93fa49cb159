"""How the colours of photographs vary together, so that an ascent can take steps that match."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8

# What measure_colours returns for scikit-image's photographs astronaut, cat, coffee, motorcycle and
# rocket (a deep sky and a retina are left out: hardly a colour or one alone).
COLOUR_FACTOR = ((0.856, 0.4315, 0.2849), (0.4315, 0.6717, 0.5091), (0.2849, 0.5091, 0.7375))


def measure_colours(
    photographs: Iterable[UInt8[np.ndarray, "height width 3"]],
) -> Float[np.ndarray, "3 3"]:
    """Return a factor of the colours' covariance, of length one in its longest row.

    Three independent numbers of variance one, multiplied by it, vary together as red, green and
    blue do in photographs. Each photograph counts the same, whatever its size, and is taken about
    its own mean colour. The factor is the symmetric square root, so that no colour comes first.

    Args:
        photographs: colours in 0 to 255.
    """
    covariances = [np.cov(p.reshape(-1, 3).T.astype(np.float64) / 255) for p in photographs]
    values, vectors = np.linalg.eigh(np.mean(covariances, axis=0))
    factor = (vectors * np.sqrt(values)) @ vectors.T
    return factor / np.linalg.norm(factor, axis=1).max()
