"""Every torchvision classification and segmentation model against a run with NaNs in its image.

Whether a NaN arrives depends on no weight's value, so every weight is one repeated number: networks
of any width are built and run without the memory that their weights would take. Each output of each
module is compared, which is where an error would be named.

The usual run takes one small model of each family; with ERFBOOK_GRAPHS=2000, all models are both
analysed at their own size and run.
"""

from collections import Counter

import numpy as np
import pytest
import torch
import torchvision
from rf_oracles import FULL_RUN, N_GRAPHS
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import segmentation

from erfbook import rf

FULL = N_GRAPHS >= FULL_RUN
CLASSIFIERS = torchvision.models.list_models(module=torchvision.models)
SEGMENTERS = torchvision.models.list_models(module=segmentation)
# One of each family: what is run at a small size is not also analysed at its own.
RUN = (
    "convnext_tiny inception_v3 mobilenet_v3_small regnet_y_400mf resnet18 "
    "shufflenet_v2_x0_5 squeezenet1_1 swin_t vit_b_16"
).split()
REST = (
    "alexnet densenet121 efficientnet_b0 googlenet maxvit_t mobilenet_v2 resnext50_32x4d "
    "swin_v2_t vgg11 deeplabv3_mobilenet_v3_large fcn_resnet50"
).split()
ANALYSED = [*CLASSIFIERS, *SEGMENTERS] if FULL else REST
PROBED = CLASSIFIERS if FULL else RUN
# Where the probed pixels lie, as shares of each side; odd numbers on purpose.
PLACES = [(0, 0.99), (0.5, 0.5), (0.37, 0.21), (0, 0), (0.99, 0.03), (0.71, 0.88)]
NATURAL = {"inception_v3": 299}  # the rest are trained at 224
SMALL = {"inception_v3": (80, 96), "maxvit_t": (224, 224), "alexnet": (96, 80)}


def build(name, **options):
    """Build a model without its weights, for evaluation."""
    if name in ("inception_v3", "googlenet"):
        options["init_weights"] = False
    if name in SEGMENTERS:
        options["weights_backbone"] = None
    with _WeightsOnMeta():
        return torchvision.models.get_model(name, weights=None, **options).eval()


class _WeightsOnMeta(TorchFunctionMode):
    """Layers make their weights with `torch.empty`; RegNet's arithmetic needs real tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.empty:
            kwargs["device"] = "meta"
        return function(*args, **kwargs)


def give_weights(model, dtype=torch.float32):
    """Replace every parameter and buffer by one number, repeated: the mean over its inputs."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                value = 0.0 if name == "bias" else 1 / weight[0].numel() if weight.ndim > 1 else 1.0
                repeated = torch.full((1,) * weight.ndim, value, dtype=dtype).expand(weight.shape)
                module._parameters[name] = nn.Parameter(repeated, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:  # a running mean of 0 and a variance of 1; indices of 0
                kind = dtype if buffer.is_floating_point() else buffer.dtype
                value = 1 if name == "running_var" else 0
                module._buffers[name] = torch.full(buffer.shape, value, dtype=kind)
    return model


def units_reached(nans, grid):
    """Return bool (probes, *grid) of an output in which channels come first or last, or None."""
    if tuple(nans.shape[2:]) == grid:
        return nans.any(1)
    if tuple(nans.shape[1:-1]) == grid:
        return nans.any(-1)
    return None


def compare_all_modules(model, shape, pixels, image, changed):
    """Assert that every output of every module is reached by just the pixels that its field says.

    Args:
        model: with weights.
        shape: (channels, rows, columns).
        pixels: the pixels to probe.
        image: (probes, *shape): one image for each pixel.
        changed: what marks a value that was reached.

    Returns:
        How many outputs were compared, and how many of those see some of the pixels alone.
    """
    report = rf.analyze(model, shape)
    counts, calls = Counter(), Counter()

    def hook(path):
        def look(module, inputs, output):
            if not isinstance(output, torch.Tensor):
                return
            if path not in report:  # made of parameters alone
                assert not changed(output).any()
                return
            field = report.calls(path)[calls[path]]
            calls[path] += 1
            nans = changed(output)
            units = units_reached(nans, field.grid)
            seeing = [field.units_seeing(pixel) for pixel in pixels]
            if units is None and len(nans) != len(pixels):  # windows beside each other in the batch
                counts["windows"] += 1
                return
            counts["compared" if units is not None else "tokens"] += 1
            if units is None:  # tokens, or a vector: whether any of it is reached
                units, seeing = nans.flatten(1).any(1), [s.any() for s in seeing]
            for probe, said, pixel in zip(units.numpy(), seeing, pixels, strict=True):
                assert np.array_equal(probe, said), f"pixel {pixel} in {path!r} ({field.op})"
            counts["partly reached"] += bool(units.any() and not units.all())

        return look

    handles = [m.register_forward_hook(hook(path)) for path, m in model.named_modules()]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return counts


def probed_pixels(sides):
    """Return the pixels to probe: six in the full run, else three."""
    places = PLACES if FULL else PLACES[:3]
    return [tuple(int(p * n) for p, n in zip(place, sides, strict=True)) for place in places]


def nan_images(shape, pixels):
    image = torch.ones(len(pixels), *shape)
    for probe, (row, column) in enumerate(pixels):
        image[probe, :, row, column] = torch.nan
    return image


@pytest.mark.parametrize("name", ANALYSED)
def test_model_is_analysed_at_its_own_size(name):
    size = NATURAL.get(name, 224)
    model = build(name)
    report = rf.analyze(model, (3, size, size))
    assert {path for path in report if "[" not in path} <= set(dict(model.named_modules()))
    for field in report.fields:
        assert field.input_size == (size, size) and len(field.grid) == 2
        assert not field.is_global or field.why, f"{field.path} does not say why it is global"


@pytest.mark.parametrize("name", PROBED)
def test_every_module_of_a_classifier_is_reached_as_its_field_says(name):
    sides = SMALL.get(name, (64, 64))
    options = {"image_size": 64 if name != "vit_h_14" else 56} if name.startswith("vit") else {}
    if options:
        sides = (options["image_size"],) * 2
    model = give_weights(build(name, **options))
    pixels = probed_pixels(sides)
    counts = compare_all_modules(
        model, (3, *sides), pixels, nan_images((3, *sides), pixels), torch.isnan
    )
    assert 2 * counts["compared"] > counts["tokens"] + counts["windows"] or name.startswith("vit")
    assert counts["partly reached"] >= 1


@pytest.mark.parametrize("name", SEGMENTERS if FULL else ["lraspp_mobilenet_v3_large"])
def test_every_module_of_a_segmenter_is_reached_as_its_field_says(name):
    sides = (72, 64)
    model = give_weights(build(name))
    pixels = probed_pixels(sides)
    images = nan_images((3, *sides), pixels)
    counts = compare_all_modules(model, (3, *sides), pixels, images, torch.isnan)
    assert counts["partly reached"] >= 1


def test_a_segmenters_map_is_reached_as_its_field_says():
    """The map of an FCN is interpolated: taps of weight 0 pass a NaN on, but no impulse.

    All weights are positive and nothing gates, so in float64 an impulse in an image of zeros leaves
    a value > 0 wherever it arrives and an exact 0 elsewhere (the scale is a power of 2).
    """
    sides = (256, 24)
    model = give_weights(build("fcn_resnet50"), torch.float64)
    pixels = [(0, 0), (130, 11), (255, 23)]
    image = torch.zeros(len(pixels), 3, *sides, dtype=torch.float64)
    for probe, (row, column) in enumerate(pixels):
        image[probe, :, row, column] = 1
    with torch.no_grad():
        reached = model(image)["out"].any(1)
    field = rf.analyze(model, (3, *sides))["[out]"]
    for probe, pixel in zip(reached.numpy(), pixels, strict=True):
        assert np.array_equal(probe, field.units_seeing(pixel))


def test_a_wrong_field_of_one_module_is_found():
    """The comparison names the module where the run and the analysis part."""
    model = give_weights(build("resnet18"))
    pixels = [(31, 31), (0, 0)]
    images = nan_images((3, 64, 64), pixels)
    model.layer2[0].conv2.dilation = (2, 2)
    model.layer2[0].conv2.padding = (2, 2)
    counts = compare_all_modules(model, (3, 64, 64), pixels, images, torch.isnan)
    assert counts["compared"] > 60

    analyze = rf.analyze

    def wrong(model, shape):
        model.layer2[0].conv2.dilation, model.layer2[0].conv2.padding = (1, 1), (1, 1)
        report = analyze(model, shape)
        model.layer2[0].conv2.dilation, model.layer2[0].conv2.padding = (2, 2), (2, 2)
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rf, "analyze", wrong)
        with pytest.raises(AssertionError, match=r"pixel .* in 'layer2.0.conv2'"):
            compare_all_modules(model, (3, 64, 64), pixels, images, torch.isnan)
