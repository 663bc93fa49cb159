"""The only reader of images: photographs, embedded sets, and real sets on this machine."""

from __future__ import annotations

from functools import lru_cache

from erfbook.datasets import patches, streets
from erfbook.datasets.catalogue import find_entry, read_table
from erfbook.datasets.images import (
    Photograph,
    crop_photographs,
    find_images,
    load_folder,
    load_image,
    load_photographs,
    normalise,
)
from erfbook.datasets.real import is_here, load_real, real_fingerprint
from erfbook.datasets.sets import ImageSet, Split

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

_EMBEDDED = {
    "patches32": (lambda: patches.load_patches(32), lambda: patches.fingerprint(32)),
    "patches64": (lambda: patches.load_patches(64), lambda: patches.fingerprint(64)),
    "streets": (streets.load_streets, streets.fingerprint),
}


def is_present(name: str) -> bool:
    """Return whether ``load(name)`` would find its data on this machine."""
    if name in _EMBEDDED:
        return True
    entry = read_table().get(name)
    return entry is not None and is_here(entry)


def fingerprint(name: str) -> str:
    """Return a set's fingerprint without loading its images.

    Raises:
        UserError: there is no set of that name, or its data are missing or damaged.
    """
    if name in _EMBEDDED:
        return _EMBEDDED[name][1]()
    return real_fingerprint(find_entry(name))


def load(name: str) -> ImageSet:
    """Return a data set by its name; one that was loaded before is not loaded again.

    Raises:
        UserError: there is no set of that name, or its data are missing or damaged.
    """
    return _load_embedded(name) if name in _EMBEDDED else load_real(find_entry(name))


@lru_cache(maxsize=4)
def _load_embedded(name: str) -> ImageSet:
    return _EMBEDDED[name][0]()
