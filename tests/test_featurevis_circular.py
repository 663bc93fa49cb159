"""A network without borders: a shift of the image by the stride shifts every layer exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from featurevis_networks import PLAIN, images, seeded, small_network
from torch import nn

from erfbook.errors import UserError
from erfbook.featurevis import PixelAscent, optimize, with_circular_padding
from erfbook.models import load_model

# Each has another reason to lose the symmetry: zeros at the border, a valid convolution, an even
# kernel, a ceil-mode pool, a kernel smaller than its stride, dilation, a field wider than the
# image, padding counted in an average.
LAYERS = {
    "zero padding": (lambda: nn.Conv2d(3, 3, 3, padding=1), 1),
    "stride": (lambda: nn.Conv2d(3, 3, 3, stride=2, padding=1), 2),
    "same": (lambda: nn.Conv2d(3, 3, 5, padding="same"), 1),
    "valid": (lambda: nn.Conv2d(3, 3, 5), 1),
    "even kernel": (lambda: nn.Conv2d(3, 3, 4, stride=2, padding=1), 2),
    "small kernel": (lambda: nn.Conv2d(3, 3, 1, stride=4), 4),
    "dilation": (lambda: nn.Conv2d(3, 3, 3, stride=2, padding=2, dilation=2), 2),
    "wider than the image": (lambda: nn.Conv2d(3, 3, 5, padding=18, dilation=9), 1),
    "two numbers": (lambda: nn.Conv2d(3, 3, (1, 5), stride=(1, 2), padding=(0, 2)), 2),
    "max pool": (lambda: nn.MaxPool2d(3, stride=2, padding=1), 2),
    "ceil-mode pool": (lambda: nn.MaxPool2d(3, stride=2, ceil_mode=True), 2),
    "average pool": (lambda: nn.AvgPool2d(3, stride=2, padding=1), 2),
}


def is_equivariant(model, stride: int, side: int = 16) -> bool:
    """Whether all shifts by multiples of the stride shift the output, over all positions."""
    image = images(1, side)
    with torch.no_grad():
        plain = model(image)
        for n in range(side // stride):
            for m in range(side // stride):
                moved = model(torch.roll(image, (n * stride, m * stride), dims=(2, 3)))
                steps = tuple(
                    k * stride * units // side
                    for k, units in zip((n, m), plain.shape[2:], strict=True)
                )
                if (moved - torch.roll(plain, steps, dims=(2, 3))).abs().max() > 1e-12:
                    return False
    return True


@pytest.mark.parametrize("name", LAYERS)
def test_shifting_the_image_shifts_the_output_for_every_position(name):
    make, stride = LAYERS[name]
    layer = seeded(make())
    circular = with_circular_padding(layer)
    assert is_equivariant(circular, stride)
    side = circular(images(1, 16)).shape[-1]
    assert side == 16 // stride
    if name not in ("small kernel",):  # which reads no border anyway
        assert not is_equivariant(layer, stride)


def test_a_whole_network_becomes_equivariant_and_keeps_its_inner_values():
    model = small_network()
    circular = with_circular_padding(model)
    assert is_equivariant(circular, 4) and not is_equivariant(model, 4)
    assert list(dict(circular.named_modules())) == list(dict(model.named_modules()))
    image = images(1, 64)
    inner = np.s_[:, :, 4:-4, 4:-4]  # fields of 23 px and stride 4 end inside
    torch.testing.assert_close(circular(image)[inner], model(image)[inner])
    assert model[0].padding == (1, 1)  # the model itself is untouched


def test_pictures_at_all_positions_are_one_picture_shifted():
    model = with_circular_padding(small_network())
    start = 0.4 + 0.2 * images(1, 32)[0]
    # no mask may break the symmetry, so the field must cover the torus or nothing be blurred
    method = PixelAscent(steps=3, blur_px=0, last_blur_px=0)
    found = []
    for n, m in ((4, 4), (0, 0), (7, 2)):
        moved = torch.roll(start, (4 * n, 4 * m), dims=(1, 2))
        options = {"size": (32, 32), "method": method, "start": moved, "settings": PLAIN}
        image = optimize(model, "6", 1, (n, m), **options).images[0]
        found.append(np.roll(image, (-4 * n, -4 * m), axis=(1, 2)))
    np.testing.assert_allclose(found[1], found[0], atol=1e-9)
    np.testing.assert_allclose(found[2], found[0], atol=1e-9)


def test_efficientnet_lite0_becomes_equivariant():
    model = load_model("efficientnet_lite0", "none").double()
    image = images(1, 64)
    stem = nn.Sequential(model._conv_stem, model._blocks[0], *model._blocks[1:4])
    circular = with_circular_padding(stem)
    with torch.no_grad():
        plain, moved = circular(image), circular(torch.roll(image, (8, 24), dims=(2, 3)))
        border = stem(torch.roll(image, (8, 24), dims=(2, 3)))
    torch.testing.assert_close(moved, torch.roll(plain, (1, 3), dims=(2, 3)))
    assert plain.shape == border.shape
    assert (border - moved).abs().max() > 1e-3 * moved.abs().max()


@pytest.mark.parametrize(
    "module", [nn.ConvTranspose2d(3, 3, 2), nn.ZeroPad2d(1), nn.ReflectionPad2d(1)]
)
def test_what_cannot_be_closed_is_refused(module):
    with pytest.raises(UserError, match=f"'0' is a {type(module).__name__}"):
        with_circular_padding(nn.Sequential(module))


def test_another_padding_of_a_convolution_is_refused():
    with pytest.raises(UserError, match="pads in its own way"):
        with_circular_padding(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))


def test_a_side_that_is_no_multiple_of_the_stride_is_refused():
    model = with_circular_padding(seeded(nn.Conv2d(3, 3, 3, stride=2, padding=1)))
    with pytest.raises(UserError, match="height of 15, which is no multiple of its stride 2"):
        model(images(1, 16)[:, :, :15])
