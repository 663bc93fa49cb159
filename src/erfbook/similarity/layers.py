"""Which calls of which modules are layers, and how their outputs are caught.

An output is used or copied inside the hook, before the next module can overwrite it in place. A
module that is called several times, or returns several tensors, is a layer for each of them.
"""

from __future__ import annotations

import contextlib
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# PyTorch's own modules that compute something of interest, by where they are defined.
_KINDS = ("conv", "linear", "pooling", "activation", "rnn", "sparse")


class Layer(NamedTuple):
    """One output of one call of a module.

    Args:
        path: of the module.
        call: 0 for its first call in a forward pass.
        part: of the outputs, if it returns several tensors; else 0.
    """

    path: str
    call: int = 0
    part: int = 0

    def __str__(self) -> str:
        call = f" (call {self.call + 1})" if self.call else ""
        return f"{self.path}{call}" + (f" [{self.part}]" if self.part else "")


def choose_modules(model: nn.Module, patterns: str | Sequence[str] | None) -> dict[str, nn.Module]:
    """Return the modules to listen to, by path.

    Args:
        model: any module.
        patterns: paths, or patterns of paths with * and ?; None for every convolution, linear,
            pooling, recurrent or activation module that has no such module inside.

    Raises:
        ValueError: a pattern that fits no module; the nearest paths are named.
    """
    paths = {path: module for path, module in model.named_modules() if path}
    if patterns is None:
        found = {path: m for path, m in paths.items() if _is_layer(m)}
        leaves = {
            path: m
            for path, m in found.items()
            if not any(other.startswith(f"{path}.") for other in found)
        }
        if not leaves:
            raise ValueError("model has no layers that are known; name them: layers=[path, ...]")
        return leaves
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    if not wanted:
        raise ValueError("layers is empty; name at least one")
    for pattern in wanted:
        if not any(fnmatchcase(path, pattern) for path in paths):
            close = difflib.get_close_matches(pattern, list(paths), n=3, cutoff=0.3)
            near = f"; near it: {', '.join(close)}" if close else ""
            raise ValueError(f"layers: no module's path fits {pattern!r}{near}")
    return {path: m for path, m in paths.items() if any(fnmatchcase(path, w) for w in wanted)}


@contextlib.contextmanager
def listening(
    modules: dict[str, nn.Module], receive: Callable[[Layer, Tensor], None]
) -> Iterator[Counter]:
    """Call ``receive`` with every output of the modules; yield the counter of calls.

    Whoever runs several forward passes clears the counter before each.
    """
    counts: Counter = Counter()
    handles = []

    def hook(path: str) -> Callable[..., None]:
        def listen(module: nn.Module, given: Any, output: Any) -> None:
            call = counts[path]
            counts[path] += 1
            for part, tensor in enumerate(_tensors(output)):
                receive(Layer(path, call, part), tensor)

        return listen

    try:
        for path, module in modules.items():
            handles.append(module.register_forward_hook(hook(path)))
        yield counts
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run without gradients and in evaluation mode; every module's mode is put back."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def place_of(model: nn.Module) -> torch.device:
    """Return the device of a model: that of its first parameter or buffer."""
    for values in (model.parameters(), model.buffers()):
        for tensor in values:
            return tensor.device
    return torch.device("cpu")


def place_inputs(inputs: Tensor, model: nn.Module) -> Tensor:
    """Return inputs where the model is, and of its floating type."""
    device = place_of(model)
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), inputs.dtype)
    return inputs.to(device, kind if inputs.is_floating_point() else inputs.dtype)


@dataclass
class Runner:
    """Runs a model on one batch after another, on a processor with channels last.

    Convolutions and pools of float32 are faster so by a fifth or more, and give the same but for
    rounding. A model that views a plane's memory as rows refuses it, and gets channels first from
    then on.
    """

    model: nn.Module
    channels_last: bool = True

    def __call__(self, inputs: Tensor, start_again: Callable[[], None]) -> None:
        """Run the model; ``start_again`` is called if what hooks have received is void."""
        placed = place_inputs(inputs, self.model)
        suits = placed.ndim == 4 and placed.device.type == "cpu" and placed.dtype != torch.float64
        if self.channels_last and suits:
            try:
                self.model(placed.contiguous(memory_format=torch.channels_last))
            except RuntimeError:
                self.channels_last = False
                start_again()
            else:
                return
        self.model(placed)


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, nn.Identity):
        return False
    homes = (kind.__module__ for kind in type(module).__mro__)
    return any(home == f"torch.nn.modules.{kind}" for home in homes for kind in _KINDS)


def _tensors(output: Any) -> Iterable[Tensor]:
    """Yield the real tensors of an output, however nested."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
