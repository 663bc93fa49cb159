"""Feature visualisation: images/s of featurevis.optimize, in batches, one by one, and elsewhere.

EfficientNet-Lite0 at 224 px, the central unit of a low, a middle and a high layer, and all units
of a channel. What batches gain over our own calls one at a time, what they and
the exact crop gain over the usual loop (one whole image, no crop), and how torch-lucent compares
on the same objective, parametrisation (1/f Fourier, decorrelated colours, Adam at 0.05) and
number of steps, with its transforms switched off, which would move the unit's field. A peer that
is not installed is left out, with the reason; `make bench` installs those of peers.txt.

    python benchmarks/bench_featurevis.py            # all of it, about four minutes on two cores
    python benchmarks/bench_featurevis.py batches    # or one of: batches laptop lucent
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from itertools import product

import numpy as np
import peers
import report
import torch
from torch import nn

from erfbook import featurevis, models, rf

SIDE, N_IMAGES, STEPS = 224, 8, 4  # few steps: a call's analysis weighs more than in a long run
SMALL = (80, 20, 14, ("_blocks.2", "_blocks.4", "_blocks.6"))  # the chapter's, on a laptop
LAYERS = ("_blocks.4", "_blocks.7", "_blocks.15")  # fields of 67, 147 and 851 px
CHANNELS = range(N_IMAGES)


def ours(
    model: nn.Module,
    layer: str,
    unit: tuple[int, int] | None,
    *,
    method: featurevis.FourierAscent | featurevis.PixelAscent,
    one_by_one: bool = False,
    crop: bool = True,
) -> np.ndarray:
    """Return the images of all channels, in one call or in a call for each."""
    settings = featurevis.Settings(progress="", crop=crop)
    groups = [[c] for c in CHANNELS] if one_by_one else [list(CHANNELS)]
    found = [
        featurevis.optimize(
            model, layer, group, unit, size=(SIDE, SIDE), method=method, settings=settings
        )
        for group in groups
    ]
    return np.concatenate([f.images for f in found])


def lucent(model: nn.Module, layer: str, steps: int, unit: tuple[int, int] | None) -> np.ndarray:
    """Return the images that torch-lucent makes of the same channels, all in one batch.

    Without a position it drives the mean of all units, as ours does, and with one the unit.
    """
    from lucent.optvis import objectives, param, render

    name = layer.replace(".", "_")
    if unit is None:
        each = [objectives.channel(name, c, batch=c) for c in CHANNELS]
    else:
        each = [objectives.neuron(name, c, *reversed(unit), batch=c) for c in CHANNELS]
    found = render.render_vis(
        model,
        objectives.Objective.sum(each),
        lambda: param.image(SIDE, batch=N_IMAGES),
        transforms=[],
        thresholds=(steps,),
        progress=False,
        show_image=False,
    )
    return np.moveaxis(found[-1], 3, 1)


def batches(model: nn.Module) -> None:
    """Time one call for all images against a call for each, cropped and as usual."""
    method = featurevis.PixelAscent(steps=STEPS)
    report.header(f"{N_IMAGES} channels, {STEPS} steps at {SIDE} px; theirs: one call an image")
    analysis = rf.analyze(model, (3, SIDE, SIDE))
    for layer in LAYERS:
        field = analysis[layer]
        ask = partial(ours, model, layer, field.central_unit, method=method)
        words = f"one unit, field {field.size[0]} px"
        one = partial(ask, one_by_one=True)
        report.compare(words, ask, one, repeats=2, items=N_IMAGES)
        if layer == LAYERS[0]:
            usual = partial(one, crop=False)
            report.compare(f"{words}, theirs uncropped", ask, usual, repeats=2, items=N_IMAGES)
    ask = partial(ours, model, LAYERS[1], None, method=method)
    one = partial(ask, one_by_one=True)
    report.compare("all units, field 147 px", ask, one, repeats=2, items=N_IMAGES)


def plain_loop(model: nn.Module, layer: str, units: list[tuple[int, int] | None]) -> np.ndarray:
    """Return images made one at a time by the loop that everyone writes first."""
    side, n_channels, steps, _ = SMALL
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    images = []
    for channel, unit in product(range(n_channels), units):
        image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(channel))
        for _ in range(steps):
            image = image.detach().requires_grad_(True)
            kept.clear()
            model(image)
            plane = kept[0][0, channel]
            (plane.sum() if unit is None else plane[unit]).backward()
            image = image + 0.1 * image.grad / image.grad.std()
        images.append(image.detach().numpy())
    handle.remove()
    return np.concatenate(images)


def laptop(model: nn.Module) -> None:
    """Time the chapter's own calls against the plain loop, one image at a time."""
    side, n_channels, steps, layers = SMALL
    report.header(f"{n_channels} channels, {steps} steps at {side} px; theirs: a plain loop")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    analysis = rf.analyze(model, (3, side, side))
    method = featurevis.PixelAscent(steps=steps)
    settings = featurevis.Settings(progress="")
    for layer in layers:
        (row, column), field = analysis[layer].central_unit, analysis[layer].size[0]
        places = [(row, column), (0, column), (0, 0)]
        both = ((places, "three places"), ([None], "all units"))
        for units, words in both if layer == layers[1] else both[:1]:
            report.compare(
                f"{words}, field {field} px",
                partial(
                    featurevis.optimize,
                    *(model, layer, list(range(n_channels)), units),
                    size=(side, side),
                    method=method,
                    settings=settings,
                ),
                partial(plain_loop, model, layer, units),
                repeats=1,
                items=n_channels * len(units),
            )


def compare_lucent(model: nn.Module) -> None:
    """Time the same ascent here and in torch-lucent, and say what each reaches."""
    if str(peers.FOLDER) not in sys.path:
        sys.path.append(str(peers.FOLDER))  # at the end: what we pin comes first
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lucent.optvis.render  # noqa: F401
    except ImportError as error:
        print(f"torch-lucent is left out: {error}")
        return
    report.header(f"torch-lucent, {N_IMAGES} channels in one batch, {STEPS} steps at {SIDE} px")
    analysis = rf.analyze(model, (3, SIDE, SIDE))
    method = featurevis.FourierAscent(steps=STEPS)
    for layer in LAYERS:
        field = analysis[layer]
        both = ((field.central_unit, "one unit"), (None, "all units"))
        for unit, words in both if layer == LAYERS[1] else both[:1]:
            mine = partial(ours, model, layer, unit, method=method)
            theirs = partial(quietly, model, layer, STEPS, unit)
            title = f"{words}, field {field.size[0]} px"
            report.compare(title, mine, theirs, repeats=2, items=N_IMAGES)
    field = analysis[LAYERS[1]]
    long = featurevis.FourierAscent(steps=4 * STEPS)
    unit = field.central_unit
    reached = {
        "ours": attained(model, field, ours(model, LAYERS[1], unit, method=long)),
        "torch-lucent": attained(model, field, quietly(model, LAYERS[1], 4 * STEPS, unit)),
    }
    text = ", ".join(f"{name} {value:.2f}" for name, value in reached.items())
    print(f"mean response of the central unit after {4 * STEPS} steps, field 147 px: {text}")
    report.record("reached", dict(reached))


def quietly(model: nn.Module, layer: str, steps: int, unit: tuple[int, int] | None) -> np.ndarray:
    """Ask torch-lucent without what it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lucent(model, layer, steps, unit)


def attained(model: nn.Module, field: rf.Field, images: np.ndarray) -> float:
    """Return the mean over channels of the central unit's response to its own image."""
    settings = featurevis.Settings()
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(field.path).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    with torch.no_grad():
        model((torch.from_numpy(images).float() - mean) / std)
    handle.remove()
    row, column = field.central_unit
    return float(kept[0][range(N_IMAGES), CHANNELS, row, column].mean())


def main(words: list[str]) -> None:
    """Run the parts asked for, or all."""
    model = models.load_model("efficientnet_lite0")
    parts = {"batches": batches, "laptop": laptop, "lucent": compare_lucent}
    for word in words or parts:
        parts[word](model)


if __name__ == "__main__":
    main(sys.argv[1:])
