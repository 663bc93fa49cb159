"""What one layer of a random single-path network does to an effective receptive field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One convolutional layer ``y = [x +] conv(drop(x))``; layers are listed from the input up.

    Args:
        kernel: side of the square kernel, in taps.
        stride: spacing of the layer's units, in units of its input.
        dilation: spacing of the kernel's taps, in units of the layer's input.
        residual: whether the layer's input is added to its output (needs stride 1).
        keep: probability that dropout keeps an input of the layer; 1 is no dropout.

    Raises:
        ValueError: a field lies outside its range, or a residual layer changes the size.

    >>> Layer(kernel=3, dilation=2).reach
    5
    """

    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    residual: bool = False
    keep: float = 1.0

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Layer.{name} must be an integer of at least 1, not {value!r}")
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(f"Layer.keep must lie in (0, 1], not {self.keep!r}")
        if self.residual and (self.stride != 1 or self.reach % 2 == 0):
            raise ValueError(
                "a residual Layer needs stride 1 and an odd reach, "
                f"not stride {self.stride} and reach {self.reach}"
            )

    @property
    def reach(self) -> int:
        """Width of the dilated kernel in units of the layer's input (distill: a(k-1)+1)."""
        return self.dilation * (self.kernel - 1) + 1


def example_stacks(
    depth: int = 15, *, at: tuple[int, int, int] = (4, 8, 12)
) -> dict[str, list[Layer]]:
    """Return stacks of 3 x 3 layers with one feature each, by name: the cases of luo section 2.5.

    Args:
        depth: number of layers.
        at: the layers, counted from 1, that get stride 2, or dilation 2, 4 and 8. Luo et al. do
            not say which; the default spreads them evenly (chosen by us).

    Returns:
        ``plain``, ``dropout`` (half of the inputs), ``skip``, ``subsample`` and ``dilation``.
    """
    dilation = dict(zip(at, (2, 4, 8), strict=True))
    numbers = range(1, depth + 1)
    return {
        "plain": [Layer()] * depth,
        "dropout": [Layer(keep=0.5)] * depth,
        "skip": [Layer(residual=True)] * depth,
        "subsample": [Layer(stride=2 if n in at else 1) for n in numbers],
        "dilation": [Layer(dilation=dilation.get(n, 1)) for n in numbers],
    }
