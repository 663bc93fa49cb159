"""The only reader of images: photographs, embedded sets, and real sets on this machine."""

from __future__ import annotations

from functools import lru_cache

from erfbook.datasets import patches, streets
from erfbook.datasets.images import (
    Photograph,
    crop_photographs,
    find_images,
    load_folder,
    load_image,
    load_photographs,
    normalise,
)
from erfbook.datasets.sets import ImageSet, Split
from erfbook.errors import UserError

__all__ = [
    "ImageSet",
    "Photograph",
    "Split",
    "crop_photographs",
    "find_images",
    "fingerprint",
    "is_present",
    "load",
    "load_folder",
    "load_image",
    "load_photographs",
    "normalise",
]

EMBEDDED = {
    "patches32": (lambda: patches.load_patches(32), lambda: patches.fingerprint(32)),
    "patches64": (lambda: patches.load_patches(64), lambda: patches.fingerprint(64)),
    "streets": (streets.load_streets, streets.fingerprint),
}


def is_present(name: str) -> bool:
    """Return whether ``load(name)`` would find its data on this machine."""
    return name in EMBEDDED


def fingerprint(name: str) -> str:
    """Return the set's fingerprint without loading it."""
    return EMBEDDED[name][1]() if name in EMBEDDED else load(name).fingerprint


@lru_cache(maxsize=4)
def load(name: str) -> ImageSet:
    """Return a data set by its name.

    Raises:
        UserError: there is no set of that name, or its data are not on this machine.
    """
    if name in EMBEDDED:
        return EMBEDDED[name][0]()
    raise UserError(f"no data set {name!r}")
