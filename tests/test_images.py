"""Photographs and folders of images."""

import numpy as np
import pytest
import torch
from PIL import Image

from erfbook import datasets
from erfbook.errors import UserError


def test_photographs_are_in_colour_and_name_their_terms():
    found = datasets.load_photographs()
    assert {"astronaut", "cat", "coffee", "rocket"} <= set(found)
    for photograph in found.values():
        pixels = photograph.pixels
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and min(pixels.shape[:2]) >= 300
        assert (pixels[..., 0] != pixels[..., 2]).any() and photograph.terms
    assert found["coffee"].pixels.shape == (400, 600, 3)


def test_crops_lie_in_their_photographs_and_follow_the_seed():
    photographs = datasets.load_photographs()
    crops, names = datasets.crop_photographs(photographs, 9, 320, seed=3)
    assert crops.shape == (9, 3, 320, 320) and "cat" not in names  # 300 px high
    assert len(set(names)) == 6 and names[0] == names[6]
    corner = crops[1].permute(1, 2, 0).numpy()
    whole = photographs[names[1]].pixels
    windows = np.lib.stride_tricks.sliding_window_view(whole, (320, 320, 3))[:, :, 0]
    assert (windows[:, :, 0] == corner[0]).all(axis=(2, 3)).any()
    again, _ = datasets.crop_photographs(photographs, 9, 320, seed=3)
    assert torch.equal(crops, again)
    with pytest.raises(ValueError, match="none has 2000 px"):
        datasets.crop_photographs(photographs, 1, 2000, seed=0)


def test_normalised_images_have_imagenets_mean_at_zero():
    grey = torch.tensor([0.485, 0.456, 0.406]).mul(255).round().to(torch.uint8)
    image = grey.reshape(3, 1, 1).expand(3, 4, 4).contiguous()
    # rounding to a whole number errs by at most 1/2 of 255, over the smallest deviation
    assert datasets.normalise(image).abs().max() < 0.5 / 255 / 0.224


def test_images_are_resized_to_their_shorter_side_and_cut_in_the_middle(tmp_path):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255  # the middle third is white
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = datasets.load_image(tmp_path / "wide.png", 40)
    assert image.shape == (3, 40, 40) and image[:, :, 2:-2].min() > 250
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    assert datasets.load_image(tmp_path / "grey.png", 40).shape == (3, 40, 40)


def test_folders_without_images_and_damaged_images_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no image"):
        datasets.find_images(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.jpg cannot be read"):
        list(datasets.load_folder(tmp_path, 8))
    with pytest.raises(UserError, match="no folder"):
        datasets.find_images(tmp_path / "b")
