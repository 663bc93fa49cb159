"""Follow every ATen operation on shapes alone, and keep for each tensor what its units read.

Writing into a tensor, or into a part of it, changes what all its views hold. So each view keeps
how it was taken; it is taken again when it is used after a write, and a write into it is carried
on into what it was taken from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from erfbook.rf.builder import Builder
from erfbook.rf.calls import arguments_of, is_view, name_of, read_of, written_of
from erfbook.rf.carrying import carry
from erfbook.rf.graph import Graph, Node
from erfbook.rf.joining import join
from erfbook.rf.layout import Factor, Layout, Unknown, canonical, channels, uniform
from erfbook.rf.rules import Op, Tensor, apply

PAD = "aten._pad_circular"
MOST_VALUES = 1_000_000  # elements of a whole-number constant whose values are kept

# Operations whose result has a tensor's shape and nothing of its values.
BLANK = {f"aten.{n}_like" for n in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")}
BLANK |= {f"aten.new_{n}" for n in ("zeros", "ones", "empty", "full", "empty_strided")}


class TraceError(ValueError):
    """A model whose receptive fields cannot be found; the message names the place and the cause."""


class NoRuleError(TraceError):
    """An operation that cannot be followed; ``why`` names it without the ways out."""

    def __init__(self, why: str, name: str) -> None:
        super().__init__(
            f"{why}; register one with erfbook.rf.register({name!r}), or pass unknown='global'"
        )
        self.why = why


@dataclass
class _Kept:
    """What is known of one tensor.

    Args:
        tensor: the tensor; kept, so that its id is not used again.
        layout: what its channels and positions read; None if it does not depend on the input.
        version: how often its memory had been written into when that was found.
        memory: where its elements lay then.
        source: for a view, the tensor it was taken from, the operation and its arguments.
        place: which of the operation's outputs it is.
        unfollowed: why its layout cannot be told; empty where it can.
    """

    tensor: torch.Tensor
    layout: Layout | None
    version: int
    memory: tuple
    source: tuple[torch.Tensor, str, dict[str, Any]] | None = None
    place: int = 0
    unfollowed: str = ""


class Recorder(TorchDispatchMode):
    """Gives each tensor that depends on the input a layout, and the graph its nodes."""

    def __init__(self, unknown: str, n_axes: int) -> None:
        super().__init__()
        self.unknown = unknown
        self.graph = Graph()
        self.build = Builder(self.graph, n_axes)
        self.stack: list[str] = []
        self.given: list[tuple[int, ...]] = []  # shapes that the modules on the stack were given
        self.failed: tuple[str, tuple[int, ...]] | None = None  # the innermost module that raised
        self.elements = 0
        self.calls: Counter[str] = Counter()
        self._kept: dict[int, _Kept] = {}
        self._versions: dict[int, int] = defaultdict(int)
        self._values: dict[int, np.ndarray] = {}
        self._ops: dict[int, str] = {}
        self._reached: dict[int, torch.UntypedStorage] = {}  # memory that depends on the input
        self._running = "input"

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler, which takes seconds

    def begin(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return the input, as a tensor without data."""
        image = torch.empty(shape, dtype=dtype, device="meta")
        self.graph.nodes.append(Node("input", "", shape[2:]))
        positions = tuple((Factor(n, a),) for a, n in enumerate(shape[2:]))
        dims = (*channels(shape[:2]), *positions)
        sizes = [f.size for d in dims for f in d if f.axis is None]
        layout = canonical(dims, np.broadcast_to(np.int64(0), sizes), len(shape) - 2)
        self._keep(image, layout, "input")
        self._image = Tensor(shape, layout)
        return image

    def remember(self, meta: torch.Tensor, real: torch.Tensor) -> None:
        """Keep the values of a constant that may index others."""
        if not real.dtype.is_floating_point and real.numel() <= MOST_VALUES and not real.is_meta:
            self._kept.setdefault(id(meta), _Kept(meta, None, 0, _memory(meta)))
            self._values[id(meta)] = real.detach().cpu().numpy()

    def values_of(self, tensor: torch.Tensor) -> np.ndarray | None:
        """Return the values of a whole-number constant, where they are known."""
        if not tensor.is_meta:
            with _disable_current_modes():
                return tensor.numpy(force=True)
        kept = self._kept.get(id(tensor))
        known = kept is not None and kept.memory == _memory(tensor)
        return self._values.get(id(tensor)) if known else None

    def layout_of(self, tensor: torch.Tensor) -> Layout | None:
        """Return the layout of a tensor, or None where it does not depend on the input."""
        kept = self._kept.get(id(tensor))
        memory = tensor.untyped_storage()._cdata
        if kept is None or kept.memory != _memory(tensor):
            if memory not in self._reached and (kept is None or kept.layout is None):
                return None
            return self._unfollowed(tensor, "a tensor has been given another's data unseen")
        if kept.unfollowed:
            return self._unfollowed(tensor, kept.unfollowed)
        if kept.version != self._versions[memory] and kept.source is not None:
            parent, name, args = kept.source
            if self.layout_of(parent) is not None:
                layouts = self._layouts(name, args, tuple(tensor.shape), pointwise=False)
                kept.layout = layouts[min(kept.place, len(layouts) - 1)]
            kept.version = self._versions[memory]
        return kept.layout

    def op_of(self, tensor: torch.Tensor) -> str:
        """Return the operation that made a tensor."""
        return self._ops.get(id(tensor), "input")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = (args, kwargs or {})
        # A constant that the model keeps outside its parameters is replaced on the fly.
        args, kwargs = tree_map(self._to_meta, given)
        name = name_of(func)
        named = arguments_of(func, args, kwargs)
        written = written_of(func, named)
        self._running = name
        for t in written:
            self.layout_of(t)  # before the operation can move it in memory
        result = func(*args, **kwargs)
        for kept in (self._kept[id(t)] for t in written if id(t) in self._kept):
            kept.memory = _memory(kept.tensor)
        outputs = [t for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor)]
        tensors = {id(t): t for t in tree_flatten(named)[0] if isinstance(t, torch.Tensor)}
        if written:
            self._write(name, func, named, written)
        elif name in BLANK or not outputs:
            pass
        elif any(self.layout_of(t) is not None for t in tensors.values()):
            self._record(name, func, named, outputs)
        elif is_view(func):
            for place, t in enumerate(outputs):
                self._view(t, None, name, named, place)
        if outputs and not written:
            self._fold(func, args, kwargs, outputs)
            self.elements += sum(prod(t.shape) for t in outputs)
        return result

    def record_pad(self, tensor: torch.Tensor, pad: list[int]) -> torch.Tensor:
        """Return a tensor padded by its other end, as one operation.

        PyTorch writes it in pieces, which would read as paths that differ.
        """
        shape = list(tensor.shape)
        for i in range(len(pad) // 2):
            shape[-1 - i] += pad[2 * i] + pad[2 * i + 1]
        with _disable_current_modes():
            out = torch.empty(shape, dtype=tensor.dtype, device="meta")
        named = {"self": tensor, "pad": list(pad)}
        if self.layout_of(tensor) is not None:
            self._keep(out, self._layouts(PAD, named, tuple(shape), False)[0], PAD)
        return out

    # -- what happens to one operation -----------------------------------------------------------

    def _record(self, name: str, func, named: dict, outputs: list[torch.Tensor]) -> None:
        pointwise = torch.Tag.pointwise in func.tags
        layouts = self._layouts(name, named, tuple(outputs[0].shape), pointwise)
        for place, tensor in enumerate(outputs):
            layout = layouts[min(place, len(layouts) - 1)]
            if layout.shape != tuple(tensor.shape):
                kept = self._keep(tensor, None, name)  # like the mean that a normalisation saves
                kept.unfollowed = f"a by-product of {name} is used as a value"
            elif is_view(func):
                self._view(tensor, layout, name, named, place)
            else:
                self._keep(tensor, layout, name)

    def _layouts(self, name: str, named: dict, shape, pointwise: bool) -> list[Layout]:
        self.graph.ops.append(name)
        return self._guarded(name, named, shape, apply, pointwise)

    def _guarded(
        self,
        name: str,
        named: dict,
        shape: tuple[int, ...],
        make: Callable[[Op], list[Layout]],
        pointwise: bool = False,
    ) -> list[Layout]:
        """Return what ``make`` finds for an operation, which is refused where it finds nothing."""
        self.build.begin(name, self.stack[-1] if self.stack else "")
        op = Op(name, tree_map(self._argument, named), shape, self.build, pointwise)
        try:
            return make(op)
        except Unknown as reason:
            return [op.everything(self._refuse(name, str(reason)))]
        except Exception as error:
            failure = f"it failed on this call: {type(error).__name__}: {error}"
            try:
                return [op.everything(self._refuse(name, failure))]
            except TraceError as refused:
                raise refused from error

    def _write(self, name: str, func, named: dict, written: list[torch.Tensor]) -> None:
        """Record an operation that writes into some of its arguments, and carry it on."""
        read = [t for t in tree_flatten(read_of(func, named))[0] if isinstance(t, torch.Tensor)]
        if not any(self.layout_of(t) is not None for t in (*read, *written)):
            for memory in {t.untyped_storage()._cdata for t in written}:
                for i in [i for i in self._values if self._memory_of(i) == memory]:
                    del self._values[i]
        elif len(written) == 1:
            self._write_one(name, func, named, written[0])
        else:
            why = self._refuse(name, "it writes into several tensors at once")
            each = [self._everything(name, named, tuple(t.shape), why) for t in written]
            for target, layout in zip(written, each, strict=True):
                self._assign(target, layout, name)

    def _write_one(self, name: str, func, named: dict, target: torch.Tensor) -> None:
        shape = tuple(target.shape)
        read = read_of(func, named)
        tensors = [t for t in tree_flatten(read)[0] if isinstance(t, torch.Tensor)]
        sources = [t for t in tensors if t is not target or name != "aten.copy"]
        tracked = [t for t in sources if self.layout_of(t) is not None]
        present = self.layout_of(target)
        if name == "aten.as_strided" and present is not None and present.shape == shape:
            return  # only the order in memory changes
        if torch.Tag.inplace_view in func.tags and self._is_shared(target):
            layout = self._unfollowed(target, "it turns a tensor in place that has views")
        elif name in ("aten.copy", "aten.zero", "aten.fill") or not tracked:
            given = {"from": next((t for t in tracked if t is not target), None)}
            layout = self._guarded(name, given, shape, _copied)[0]
        else:
            pointwise = torch.Tag.pointwise in func.tags
            layout = self._layouts(name, read, shape, pointwise)[0]
            if layout.shape != shape:
                why = self._refuse(name, "it changes the shape of a tensor that others may share")
                layout = self._everything(name, named, shape, why)
        self._assign(target, layout, name)

    def _everything(self, name: str, named: dict, shape: tuple[int, ...], why: str) -> Layout:
        self.build.begin(name, self.stack[-1] if self.stack else "")
        return Op(name, tree_map(self._argument, named), shape, self.build).everything(why)

    def _unfollowed(self, tensor: torch.Tensor, reason: str) -> Layout:
        """Return what a tensor may hold of which nothing is known: all of the input."""
        why = self._refuse(self._running, reason)
        return self._everything(self._running, {"image": self._image}, tuple(tensor.shape), why)

    def _assign(self, tensor: torch.Tensor, layout: Layout, name: str) -> None:
        kept = self._kept.get(id(tensor)) or self._keep(tensor, None, name)
        chain = []
        while kept.source is not None:
            parent, taken, args = kept.source
            chain.append((parent, (taken, args, kept.place), self.layout_of(parent)))
            kept = self._kept.get(id(parent)) or self._keep(parent, None, name)
        memory = tensor.untyped_storage()._cdata
        self._versions[memory] += 1
        self._set(tensor, layout, name)
        for parent, view, old in chain:
            shape, new = tuple(parent.shape), layout
            both = {"old": Tensor(shape, old), "new": Tensor(new.shape, new)}

            def carried(op: Op, view=view) -> list[Layout]:
                held, written = op.args["old"].layout, op.args["new"].layout
                return [carry(op.build, view, held, written, op.shape)]

            layout = self._guarded(view[0], both, shape, carried)[0]
            self._set(parent, layout, name)

    def _refuse(self, name: str, reason: str) -> str:
        where = f" in module {self.stack[-1]!r}" if self.stack and self.stack[-1] else ""
        why = f"{name}{where} has no rule" + (f": {reason}" if reason else "")
        if self.unknown == "global":
            return why
        raise NoRuleError(why, name)

    # -- what is kept ------------------------------------------------------------------------------

    def _keep(self, tensor: torch.Tensor, layout: Layout | None, name: str) -> _Kept:
        version = self._versions[tensor.untyped_storage()._cdata]
        self._kept[id(tensor)] = kept = _Kept(tensor, layout, version, _memory(tensor))
        if layout is not None:
            self._reach(tensor)
        self._ops[id(tensor)] = name
        return kept

    def _view(self, tensor, layout: Layout | None, name: str, named: dict, place: int) -> None:
        kept = self._keep(tensor, layout, name)
        parent = next(t for t in tree_flatten(named)[0] if isinstance(t, torch.Tensor))
        if parent is not tensor:
            if id(parent) not in self._kept:
                self._keep(parent, None, name)
            kept.source, kept.place = (parent, name, named), place

    def _set(self, tensor: torch.Tensor, layout: Layout, name: str) -> None:
        kept = self._kept[id(tensor)]
        kept.layout = layout
        kept.unfollowed, kept.memory = "", _memory(tensor)
        kept.version = self._versions[tensor.untyped_storage()._cdata]
        self._ops[id(tensor)] = name
        self._reach(tensor)

    def _reach(self, tensor: torch.Tensor) -> None:
        memory = tensor.untyped_storage()
        self._reached[memory._cdata] = memory

    def _is_shared(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor is a view of another, or another a view of it."""
        sources = [kept.source for kept in self._kept.values() if kept.source is not None]
        own = self._kept.get(id(tensor))
        taken = own is not None and own.source is not None
        return taken or any(parent is tensor for parent, _, _ in sources)

    def _memory_of(self, i: int) -> int:
        return self._kept[i].tensor.untyped_storage()._cdata

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            layout = self.layout_of(value)
            values = self._values.get(id(value))
            known = values is not None and self._kept[id(value)].memory == _memory(value)
            return Tensor(tuple(value.shape), layout, values if known else None)
        return value

    def _fold(self, func, args, kwargs, outputs: list[torch.Tensor]) -> None:
        """Compute whole-number constants for real: they may index others."""
        out = outputs[0]
        if len(outputs) != 1 or out.dtype.is_floating_point or out.numel() > MOST_VALUES:
            return
        given = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
        if (
            any(id(t) not in self._values for t in given)
            or torch.Tag.nondeterministic_seeded in func.tags
        ):
            return

        def real(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return torch.from_numpy(np.ascontiguousarray(self._values[id(value)]))
            if isinstance(value, torch.device):
                return torch.device("cpu")
            return value

        args, kwargs = tree_map(real, (args, kwargs))
        with _disable_current_modes():
            self._values[id(out)] = func(*args, **kwargs).numpy()
        self._kept.setdefault(id(out), _Kept(out, None, 0, _memory(out)))

    def _to_meta(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.device.type != "meta":
            meta = torch.empty_like(value, device="meta").requires_grad_(False)
            self.remember(meta, value)
            return meta
        return value


def _memory(tensor: torch.Tensor) -> tuple:
    """Return where a tensor's elements lie: another answer later means that it was exchanged."""
    memory = tensor.untyped_storage()._cdata
    return memory, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _copied(op: Op) -> list[Layout]:
    """What has been copied into a tensor, broadcast; a constant leaves nothing of the input."""
    given = op.tracked()
    if given:
        return [join(op.build, given, op.shape)]
    nothing = op.build.nothing((1,) * op.build.n_axes)
    return [uniform(nothing, channels(op.shape), op.build.n_axes)]
