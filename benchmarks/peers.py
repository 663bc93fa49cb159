"""Other tools for receptive fields, called as their documentation says, and ours beside them.

    .uv/bin/pip install --no-deps --ignore-requires-python --target _build/peers \
        -r benchmarks/peers.txt

Each function takes a model and the size of its input and returns what the tool says of the last
layer: ``size``, ``first`` (of the central unit's field) and ``grid``, as far as it says them.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import copy
import importlib
import io
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from erfbook import rf

FOLDER = Path(__file__).resolve().parents[1] / "_build" / "peers"
Answer = dict[str, tuple[float, ...]]


def ours(model: nn.Module, input_size: tuple[int, ...]) -> Answer:
    """Ask erfbook."""
    report = rf.analyze(model, input_size)
    field = report.fields[-1]
    first = tuple(start for start, _ in field.region(field.central_unit, clip=True))
    return {"size": field.size, "first": first, "grid": field.grid}


def rfa_toolbox(model: nn.Module, input_size: tuple[int, ...]) -> Answer:
    """Ask rfa-toolbox for the largest field of its graph's last node; it has no offsets.

    Squeeze-and-excitation is displayed, so that its fields count as infinite.
    """
    from rfa_toolbox import create_graph_from_pytorch_model

    graph = create_graph_from_pytorch_model(
        model, input_res=(1, *input_size), display_se_modules=True
    )
    return {"size": _per_axis(graph.receptive_field_max, input_size)}


def torchscan(model: nn.Module, input_size: tuple[int, ...]) -> Answer:
    """Ask torchscan for the last row of its table: field, stride, padding and output."""
    import torchscan as tool

    last = tool.crawl_module(model, input_size)["layers"][-1]
    grid = tuple(last["output_shape"][2:])
    first = tuple(last["s"] * (n // 2) - last["p"] for n in grid)
    return {"size": _per_axis(last["rf"], input_size), "first": first, "grid": grid}


def receptivefield(model: nn.Module, input_size: tuple[int, ...]) -> Answer:
    """Ask receptivefield, which probes gradients of a module that keeps its feature maps.

    As it advises, average pooling stands in for max pooling, nothing for ReLU, and weights are
    equal and positive. Its sizes are read by their names, w and h.
    """
    from receptivefield.pytorch import PytorchReceptiveField

    logging.disable(logging.INFO)
    if len(input_size) != 3:
        raise ValueError("it takes images only")
    channels, height, width = input_size
    found = PytorchReceptiveField(lambda: _Kept(_smoothed(model))).compute(
        (height, width, channels)
    )[0]
    size, grid = (found.rf.size.h, found.rf.size.w), (found.size.h, found.size.w)
    first = tuple(
        o + s * (n // 2) - r / 2
        for o, s, n, r in zip(
            reversed(found.rf.offset), reversed(found.rf.stride), grid, size, strict=True
        )
    )
    return {"size": size, "first": first, "grid": grid}


def rf_calc(model: nn.Module, input_size: tuple[int, ...]) -> Answer:
    """Ask rf-calc, which reads the printed model, for the last row of its table."""
    import rf_calc as tool

    row = tool.receptive_field(model, input_size[-1]).iloc[-1]
    size, grid = (
        tuple(int(n) for n in row[name].split("*"))
        for name in ("Receptive_field", "Output_Img_size")
    )
    return {"size": size, "grid": grid}


PEERS = {
    "rfa-toolbox": rfa_toolbox,
    "torchscan": torchscan,
    "receptivefield": receptivefield,
    "rf-calc": rf_calc,
}


class _Kept(nn.Module):
    """A module that keeps its output where receptivefield looks for it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        output = self.model(x)
        self.feature_maps = [output]
        return output


def _smoothed(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if isinstance(part, nn.MaxPool2d):
                sizes = (part.kernel_size, part.stride, part.padding, part.ceil_mode)
                setattr(parent, name, nn.AvgPool2d(*sizes))
            elif isinstance(part, nn.ReLU | nn.ReLU6):
                setattr(parent, name, nn.Identity())
    for parameter in model.parameters():
        n_read = parameter[0].numel()  # so that gradients keep their size through many layers
        nn.init.constant_(parameter, 1 / n_read if parameter.ndim > 1 else 0.1)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
    return model


def _per_axis(value: Any, input_size: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(float(v) for v in np.broadcast_to(value, len(input_size) - 1))


def installed() -> tuple[dict[str, Callable[..., Answer]], dict[str, str]]:
    """Return the peers that can be imported, and why the others cannot."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # at the end: what we pin comes first
    collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    found, missing = {}, {}
    for name, ask in PEERS.items():
        module = name.replace("-", "_")
        module += {"rfa_toolbox": ".encodings.pytorch.ingest_architecture"}.get(module, "")
        module += {"receptivefield": ".pytorch"}.get(module, "")
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing[name] = str(error)
        else:
            found[name] = ask
    return found, missing


def quietly(ask: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call a tool without what it prints or warns of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return ask(*arguments)
