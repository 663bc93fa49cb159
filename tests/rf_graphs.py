"""Random networks: chains and branches of the operations of rf_operations.py."""

from __future__ import annotations

from collections import Counter

import rf_blocks as blocks
import rf_operations_mixing  # noqa: F401 (enters its operations)
import torch
from hypothesis import strategies as st
from rf_operations import OPERATIONS, Pick, available
from rf_oracles import prepare
from torch import nn

SIDES = {1: (10, 32), 2: (6, 10), 3: (4, 5)}
MOST_UNITS = {1: 48, 2: 144, 3: 180}
MOST_CHANNELS = 12
JOINS = {
    "nan": ["add", "sub", "mul", "maximum", "cat"],
    "impulse": ["add", "maximum", "where", "cat"],
    "generic": ["add", "sub", "cat"],
}
# Operations whose units see a whole axis or plane: drawn less often, or little else would be seen.
WIDE = {"row_means", "centred", "squeeze_excite", "norm", "attention", "flat_linear", "products"}
# Shape arithmetic of convolution, pooling and padding that never crops: see test_rf_support.py.
PLAIN = ("convolution", "separable", "pooling", "elementwise", "batch_norm_eval", "reused")


class Builder:
    """Draws layers one after the other, each fitting the shape the last one left."""

    def __init__(self, draw, how: str, n: int, names: list[str], crops: bool = True):
        self.pick, self.how, self.n, self.names = Pick(draw), how, n, names
        self.crops = crops  # whether paths of unequal size may meet, and planes lie side by side
        self.used: Counter[str] = Counter()

    def chain(self, shape, least: int, most: int, depth: int):
        """Return a Sequential and the shape that it makes of ``shape``."""
        layers = []
        for _ in range(self.pick.int(least, most)):
            branch = depth < 2 and self.pick.int(0, 3 + depth) == 0
            layer, name = self.join(shape, depth) if branch else self.single(shape)
            after = shape_after(layer, shape)
            if after is None or not self._fits(after):
                continue  # too large, too small, or not for a plane of this size: leave it out
            layers.append(layer)
            self.used[name] += 1
            shape = after
        return nn.Sequential(*layers), shape

    def single(self, shape):
        name = self.pick.of(self.names)
        return OPERATIONS[name].build(self.pick, shape[0], shape[1:]), name

    def join(self, shape, depth: int):
        (left, a), (right, b) = (self.chain(shape, low, 2, depth + 1) for low in (0, 1))
        how, at = self.pick.of(JOINS[self.how]), self.pick.of(["start", "middle", "end"])
        if not self.crops and a[1:] != b[1:]:
            return left, "sequence"
        axis = self.pick.int(0, 3 * self.n)
        if self.crops and axis < self.n:
            return _ConcatenatedPlanes(left, right, axis, a[0], b[0], self.n), "cat along an axis"
        cancels = how == "sub" and self.how == "generic"  # x - x is 0, whatever the weights
        needed = how != "cat" and (a[0] != b[0] or cancels)
        meet = blocks.CONV[self.n](b[0], a[0], 1) if needed else None
        return blocks.Both(left, right, how, at, meet), how

    def _fits(self, shape) -> bool:
        units = int(torch.tensor(shape[1:]).prod())
        return 1 <= units <= MOST_UNITS[self.n] and 1 <= shape[0] <= MOST_CHANNELS


class _ConcatenatedPlanes(nn.Module):
    """Two paths side by side along one spatial axis."""

    def __init__(self, left, right, axis: int, a: int, b: int, n: int):
        super().__init__()
        self.left, self.right, self.axis = left, right, axis
        self.meet = blocks.CONV[n](b, a, 1) if a != b else nn.Identity()

    def forward(self, x):
        a, b = self.left(x), self.meet(self.right(x))
        sides = [min(m, n) for m, n in zip(a.shape[2:], b.shape[2:], strict=True)]
        sides_of = [
            [t.shape[2 + i] if i == self.axis else side for i, side in enumerate(sides)]
            for t in (a, b)
        ]
        pair = [blocks.crop(t, s) for t, s in zip((a, b), sides_of, strict=True)]
        return torch.cat(pair, 2 + self.axis)

    def extra_repr(self) -> str:
        return f"cat along axis {self.axis}"


@st.composite
def graphs(draw, how: str, n: int, names=None, crops: bool = True):
    """Return (model, (channels, *sides), counts of operations), ready for the oracle ``how``.

    Args:
        how: the oracle for which every operation is to be exact.
        n: spatial axes.
        names: the operations to build from; all by default.
        crops: whether paths of unequal size may meet.
    """
    low, high = SIDES[n]
    square = draw(st.booleans())
    side = draw(st.integers(low, high))
    sides = (side,) * n if square else tuple(draw(st.integers(low, high)) for _ in range(n))
    shape = (draw(st.integers(1, 3)), *sides)
    names = [name for name in names or OPERATIONS if name in available(how, n)]
    names = [name for name in names for _ in range(1 if name in WIDE else 2)]
    builder = Builder(draw, how, n, names, crops)
    model, _ = builder.chain(shape, 1, 4, 0)
    return prepare(model, how), shape, builder.used


def shape_after(layer: nn.Module, shape) -> tuple[int, ...] | None:
    """Return the shape a layer makes of a plane, or None where it refuses it."""
    try:
        with torch.no_grad():
            return tuple(layer(torch.zeros(1, *shape, dtype=torch.float32)).shape[1:])
    except (RuntimeError, ValueError, IndexError):
        return None
