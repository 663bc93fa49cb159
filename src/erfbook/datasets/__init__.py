"""Images: the only place that reads them."""

from erfbook.datasets.images import (
    Photograph,
    crop_photographs,
    find_images,
    load_folder,
    load_image,
    load_photographs,
    normalise,
)

__all__ = [
    "Photograph",
    "crop_photographs",
    "find_images",
    "load_folder",
    "load_image",
    "load_photographs",
    "normalise",
]
