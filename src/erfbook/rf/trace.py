"""Run a model on shapes alone and keep what each of its modules' outputs reads.

The model runs under a dispatch mode with parameters, buffers and input on the meta device: nothing
is computed or allocated, functional code is seen as well as modules, and the model's own tensors
are never touched.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from math import prod
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_map

from erfbook.rf.builder import Builder
from erfbook.rf.functions import Functions
from erfbook.rf.graph import Call, Graph
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import restore, to_axis, unroll
from erfbook.rf.recorder import Recorder, TraceError

_META = re.compile(r"meta (tensor|device)", re.IGNORECASE)  # in PyTorch's own messages


class InputError(TraceError):
    """An input that the model refuses: the wrong size, or the wrong number of channels."""


class _Reached(Exception):
    """The pass has come as far as was asked."""


def trace(
    model: nn.Module,
    input_size: tuple[int, ...],
    unknown: str = "error",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    until: tuple[str, int] | None = None,
) -> Graph:
    """Return the graph of one forward pass on an input of shape ``(1, *input_size)``.

    Args:
        model: any module; its modes (train, eval) are used as they are.
        input_size: (channels, *spatial).
        unknown: ``error`` or ``global``: what becomes of an operation without a rule.
        args, kwargs: further arguments of the model's forward; they do not count as input.
        until: a module's path and which of its calls, from 0, the pass ends with; the rest of the
            model and the modules that were still under way are not in the graph.

    Raises:
        TraceError: the model refuses the input, or an operation has no rule.
    """
    if unknown not in ("error", "global"):
        raise ValueError(f"unknown must be 'error' or 'global', not {unknown!r}")
    if not 2 <= len(input_size) <= 4 or any(n < 1 for n in input_size):
        raise ValueError(
            f"input_size must be (channels, *spatial) with 1 to 3 spatial axes, not {input_size!r}"
        )
    _check_module(model)
    _check_arguments(model, args, kwargs or {})
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    recorder = Recorder(unknown, len(input_size) - 1)
    image = recorder.begin((1, *input_size), dtype)
    meta = {name: _to_meta(tensor) for name, tensor in state.items()}
    for name, tensor in state.items():
        recorder.remember(meta[name], tensor)
    rest, named = tree_map(_to_meta_if_tensor, (tuple(args), dict(kwargs or {})))
    handles = _watch(model, recorder, until)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), _uncompiled(), torch.device("meta"), recorder, Functions(recorder):
            # Ties are left alone: a module reached by several paths would be swapped once for
            # each of them and could not be put back. What is not swapped turns meta on the fly.
            functional_call(model, meta, (image, *rest), named, tie_weights=False)
    except _Reached:
        pass
    except Exception as error:  # a model's forward may raise anything
        raise _explained(error, recorder, input_size) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for handle in handles:
            handle.remove()
    return recorder.graph


def _check_module(model: nn.Module) -> None:
    """Refuse a module whose operations cannot be seen, or that has none."""
    name = type(model).__name__
    scripted = next((p for p, m in model.named_modules() if _is_scripted(m)), None)
    if scripted is not None:
        where = f"module {scripted!r}" if scripted else "the model"
        raise TraceError(
            f"{where} is TorchScript (torch.jit.script or torch.jit.trace), whose operations "
            f"cannot be followed: analyse the module that it was made from"
        )
    if type(model).forward is nn.Module.forward and "forward" not in vars(model):
        raise TraceError(f"{name} has no forward, so there is nothing to run: analyse its parts")


def _is_scripted(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _uncompiled():
    """Let what torch.compile has made run as it was written."""
    if "torch._dynamo" not in sys.modules:  # nothing has been compiled
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _check_arguments(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError as error:
        needed = [
            p.name
            for p in list(signature.parameters.values())[1:]
            if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        given = ", ".join(["an image", *(type(a).__name__ for a in args), *sorted(kwargs)])
        raise TraceError(
            f"{type(model).__name__}.forward cannot be called with "
            f"{given if args or kwargs else 'an image alone'}: {error}; pass what it needs besides "
            f"the image ({', '.join(needed) or 'nothing'}) as args=(...) or kwargs={{...}}"
        ) from error


def _watch(model: nn.Module, recorder: Recorder, until: tuple[str, int] | None) -> list:
    """Hook every module, so that operations know their module and outputs their path."""
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_enter(path, recorder)))
        handles.append(
            module.register_forward_hook(_leave(path, recorder, until), always_call=True)
        )
    return handles


def _enter(path: str, recorder: Recorder):
    def hook(module, inputs):
        recorder.stack.append(path)
        tensors = [t for t in tree_flatten(inputs)[0] if isinstance(t, torch.Tensor)]
        recorder.given.append(tuple(tensors[0].shape) if tensors else ())

    return hook


def _leave(path: str, recorder: Recorder, until: tuple[str, int] | None):
    def hook(module, inputs, output):
        given = recorder.given.pop()
        recorder.stack.pop()
        if output is None:  # the module raised
            recorder.failed = recorder.failed or (path, given)
            return
        call = recorder.calls[path]
        recorder.calls[path] += 1
        for name, tensor in _named_tensors(path, output):
            layout = recorder.layout_of(tensor)
            if 0 in tensor.shape and (layout is not None or not path):
                raise InputError(
                    f"module {path!r} makes an empty tensor of shape {tuple(tensor.shape)} from "
                    f"this input: the input is too small for it"
                )
            if layout is not None:
                op = recorder.op_of(tensor)
                recorder.graph.calls.append(_call(recorder, name, call, op, layout))
        if (path, call) == until:
            raise _Reached

    return hook


def _call(recorder: Recorder, path: str, index: int, op: str, layout: Layout) -> Call:
    """Return the record of one output, each axis in a dimension of its own where it can be."""
    n_axes = layout.n_axes
    shape = layout.shape
    recorder.build.begin(op, path)
    if len(shape) == n_axes + 2:
        layout = _as_plane(recorder.build, layout)
    homes = [{d for d, _ in layout.places.get(a, [])} for a in range(n_axes)]
    plane = len(shape) == n_axes + 2 and all(
        home == {2 + a} or (not home and shape[2 + a] == 1) for a, home in enumerate(homes)
    )
    grid = shape[2:] if plane else layout.grid
    flat = len(shape) == 2 and n_axes and any(homes) and prod(layout.grid) < prod(shape)
    why = "flattening: positions become channels" if flat else ""
    elements, n_ops = recorder.elements, len(recorder.graph.ops)
    return Call(path, index, op, shape, layout.distinct, grid, plane, why, elements, n_ops)


def _as_plane(build: Builder, layout: Layout) -> Layout:
    """Return the layout of a tensor of a plane's rank with its axes in their dimensions."""
    dims = range(2, len(layout.dims))
    if layout.has_axis(0) or any({f.axis for f in layout.dims[d]} - {None, d - 2} for d in dims):
        return layout  # channels come last, or windows have been cut
    try:
        if layout.has_axis(1) and layout.axis_of(1) is None:
            layout = unroll(build, layout, 1)  # places within a pixel, kept as channels
        for d in dims:
            layout = to_axis(build, layout, d)
        lost = {a: 2 + a for a in range(layout.n_axes) if a not in layout.places}
        lost = {a: d for a, d in lost.items() if layout.shape[d] > 1}
        if lost:
            layout = restore(build, layout, lost)
    except Unknown:  # it stays in digits
        pass
    return layout


def _named_tensors(path: str, output) -> list[tuple[str, torch.Tensor]]:
    if isinstance(output, torch.Tensor):
        return [(path, output)]
    if hasattr(output, "_asdict"):
        output = output._asdict()
    if dataclasses.is_dataclass(output):
        output = {f.name: getattr(output, f.name) for f in dataclasses.fields(output)}
    if isinstance(output, dict):
        return [named for key, t in output.items() for named in _named_tensors(f"{path}[{key}]", t)]
    leaves = enumerate(tree_flatten(output)[0]) if isinstance(output, list | tuple) else ()
    return [(f"{path}[{i}]", t) for i, t in leaves if isinstance(t, torch.Tensor)]


def _to_meta(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(tensor, device="meta").requires_grad_(False)


def _to_meta_if_tensor(value: Any) -> Any:
    return _to_meta(value) if isinstance(value, torch.Tensor) else value


def _explained(error: Exception, recorder: Recorder, input_size) -> TraceError:
    if isinstance(error, TraceError):
        return error
    path, given = recorder.failed or ("", ())
    where = f"module {path!r}" if path else "the model"
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if not isinstance(error, RuntimeError | ValueError | AssertionError):
        text = f"{type(error).__name__}: {text}"
    if "is missing the required" in text:
        return TraceError(f"{where} calls a module without a forward: {text}")
    if isinstance(error, NotImplementedError) or _META.search(text):
        return TraceError(f"{where} looks at values, so its operations depend on the data: {text}")
    refusals = RuntimeError | ValueError | AssertionError | IndexError | TypeError
    if isinstance(error, RecursionError) or not isinstance(error, refusals):
        return TraceError(f"{where} stopped on an input of size {tuple(input_size)}: {text}")
    return InputError(
        f"{where} refused an input of size {tuple(input_size)}, "
        f"of which it got a tensor of shape {given}: {text}"
    )
