"""Run a model on shapes alone and record every ATen operation that touches its input.

The model runs under a dispatch mode with parameters, buffers and input on the meta device: nothing
is computed or allocated, functional code is seen as well as modules, and the model's own tensors
are never touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from erfbook.rf import rules
from erfbook.rf.graph import Call, Global, Graph, Local, Node


class TraceError(ValueError):
    """A model whose receptive fields cannot be found; the message names the place and the cause."""


def trace(model: nn.Module, input_size: tuple[int, ...], unknown: str = "error") -> Graph:
    """Return the graph of one forward pass on an input of shape ``(1, *input_size)``.

    Args:
        model: any module that takes one tensor; its modes (train, eval) are used as they are.
        input_size: (channels, *spatial).
        unknown: ``error`` or ``global``: what becomes of an operation without a rule.

    Raises:
        TraceError: the model refuses the input, or an operation has no rule.
    """
    if unknown not in ("error", "global"):
        raise ValueError(f"unknown must be 'error' or 'global', not {unknown!r}")
    if not 2 <= len(input_size) <= 4 or any(n < 1 for n in input_size):
        raise ValueError(
            f"input_size must be (channels, *spatial) with 1 to 3 spatial axes, not {input_size!r}"
        )
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    dtype = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    recorder = _Recorder(unknown)
    image = recorder.begin((1, *input_size), dtype)
    meta = {name: _to_meta(tensor) for name, tensor in state.items()}
    handles = _watch(model, recorder)
    try:
        with torch.no_grad(), torch.device("meta"), recorder:
            # Ties are left alone: a module reached by several paths would be swapped once for
            # each of them and could not be put back. What is not swapped turns meta on the fly.
            functional_call(model, meta, (image,), tie_weights=False)
    except (TraceError, NotImplementedError, RuntimeError, TypeError) as error:
        raise _explained(error, recorder, input_size) from error
    finally:
        for handle in handles:
            handle.remove()
    return recorder.graph


class InputError(TraceError):
    """An input that the model refuses: the wrong size, or the wrong number of channels."""


class _Recorder(TorchDispatchMode):
    """Gives each tensor that depends on the input a node."""

    def __init__(self, unknown: str) -> None:
        super().__init__()
        self.unknown = unknown
        self.graph = Graph()
        self.stack: list[str] = []
        self.failed = ""  # the module that was running when something went wrong
        self.calls: Counter[str] = Counter()
        self._of: dict[int, int] = {}  # id of a tensor -> its node
        self._kept: list[torch.Tensor] = []  # keeps ids from being reused
        self._outdated: dict[int, str] = {}  # id of a tensor -> the operation that wrote into it
        self._tensors_on: dict[int, set[int]] = defaultdict(set)  # storage -> tensors that share it

    def begin(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        image = torch.empty(shape, dtype=dtype, device="meta")
        self._add(image, Node("input", "", shape, Local(tuple(range(2, len(shape))), ())))
        return image

    def node_of(self, tensor: torch.Tensor) -> int | None:
        """Return the node of a tensor, or None where it does not depend on the input."""
        name = self._outdated.pop(id(tensor), None)
        if name is not None:
            step = self._unknown(name, "it writes into a tensor of which a view is used later")
            self._add(tensor, Node(name, "", tuple(tensor.shape), step))
        return self._of.get(id(tensor))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(_constant_to_meta, (args, kwargs or {}))
        result = func(*args, **kwargs)
        outputs = [t for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor)]
        if not outputs:
            return result
        named = rules.normalise(func, args, kwargs)
        parents, constants = self._parents(named)
        if parents:
            step = self._step(func, named, parents, constants, outputs[0])
            module = self.stack[-1] if self.stack else ""
            for tensor in outputs:
                self._add(tensor, Node(_name(func), module, tuple(tensor.shape), step))
        return result

    def _parents(self, named: dict) -> tuple[dict[str, list[int]], list[tuple[int, ...]]]:
        parents: dict[str, list[int]] = {}
        constants = []
        for name, value in named.items():
            for tensor in tree_flatten(value)[0]:
                if not isinstance(tensor, torch.Tensor):
                    continue
                index = self.node_of(tensor)
                if index is None:
                    constants.append(tuple(tensor.shape))
                else:
                    parents.setdefault(name, []).append(index)
        return parents, constants

    def _step(self, func, named, parents, constants, output) -> Local | Global:
        pointwise = torch.Tag.pointwise in func.tags
        shape = tuple(output.shape)
        op = rules.Op(_name(func), named, parents, self.graph.nodes, shape, pointwise, constants)
        try:
            if func._schema.is_mutable and len(set(op.all_parents)) > 1:
                self._outdate(op.name, output)
            return rules.apply(op, writes=func._schema.is_mutable)
        except rules.Unknown as reason:
            return self._unknown(op.name, str(reason))

    def _unknown(self, name: str, reason: str) -> Global:
        where = f" in module {self.stack[-1]!r}" if self.stack and self.stack[-1] else ""
        why = f"{name}{where} has no rule" + (f": {reason}" if reason else "")
        if self.unknown == "global":
            return Global(why)
        raise TraceError(
            f"{why}; register one with erfbook.rf.register({name!r}), or pass unknown='global'"
        )

    def _outdate(self, name: str, written: torch.Tensor) -> None:
        """Views of what is written into hold something new, of which nothing is known."""
        for other in self._tensors_on[written.untyped_storage()._cdata] - {id(written)}:
            self._outdated[other] = name

    def _add(self, tensor: torch.Tensor, node: Node) -> None:
        self._of[id(tensor)] = len(self.graph.nodes)
        self._kept.append(tensor)
        self._tensors_on[tensor.untyped_storage()._cdata].add(id(tensor))
        self.graph.nodes.append(node)


def _watch(model: nn.Module, recorder: _Recorder) -> list:
    """Hook every module, so that operations know their module and outputs their path."""
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_enter(path, recorder)))
        handles.append(module.register_forward_hook(_leave(path, recorder), always_call=True))
    return handles


def _enter(path: str, recorder: _Recorder):
    def hook(module, inputs):
        recorder.stack.append(path)

    return hook


def _leave(path: str, recorder: _Recorder):
    def hook(module, inputs, output):
        if output is None:  # the module raised
            recorder.failed = recorder.failed or path
            recorder.stack.pop()
            return
        recorder.stack.pop()
        call = recorder.calls[path]
        recorder.calls[path] += 1
        for name, tensor in _named_tensors(path, output):
            index = recorder.node_of(tensor)
            if index is not None:
                recorder.graph.calls.append(Call(name, index, call))

    return hook


def _named_tensors(path: str, output) -> list[tuple[str, torch.Tensor]]:
    if isinstance(output, torch.Tensor):
        return [(path, output)]
    if hasattr(output, "_asdict"):
        output = output._asdict()
    items = output.items() if isinstance(output, dict) else enumerate(tree_flatten(output)[0])
    return [(f"{path}[{key}]", t) for key, t in items if isinstance(t, torch.Tensor)]


def _name(func) -> str:
    """Return ``aten.relu`` for ``aten::relu_``: in-place twins read the same."""
    space, name = func._schema.name.split("::")
    return f"{space}.{name if name.startswith('__') else name.rstrip('_')}"


def _to_meta(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(tensor, device="meta").requires_grad_(False)


def _constant_to_meta(value):
    """Tensors that a model keeps outside its parameters and buffers are replaced on the fly."""
    if isinstance(value, torch.Tensor) and value.device.type != "meta":
        return _to_meta(value)
    return value


def _explained(error: Exception, recorder: _Recorder, input_size) -> TraceError:
    if isinstance(error, TraceError):
        return error
    where = f"module {recorder.failed!r}" if recorder.failed else "the model"
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    last = recorder.graph.nodes[-1]
    if isinstance(error, NotImplementedError) or "meta tensor" in text.lower():
        return TraceError(f"{where} looks at values, so its operations depend on the data: {text}")
    return InputError(
        f"{where} refused an input of size {tuple(input_size)}: {text} "
        f"(the last tensor had shape {last.shape})"
    )
