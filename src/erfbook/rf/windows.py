"""Which units of its parent a unit reads along one axis, in exact arithmetic.

One form covers almost everything: the whole numbers among ``stride*u + offset + step*t`` for
t = 0 ... size-1, all four rational. A convolution has whole numbers throughout; a transposed one
divides them by its stride, and what is not whole is a tap that meets no unit; nearest and linear
interpolation and adaptive pooling are combs whose step is one over a denominator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm

import numpy as np

Rational = Fraction | int


@dataclass(frozen=True)
class Window:
    """The parent's units that unit u reads: the whole numbers in a comb.

    Args:
        stride: step of the comb from one unit to the next, in the parent's units.
        offset: where unit 0's comb begins; minus the padding.
        size: teeth of the comb, from the first to the last.
        step: distance of its teeth; the dilation.
        edge: what is read beyond the parent's ends: ``zero`` nothing, ``replicate`` the last unit,
            ``reflect`` the mirror image, ``wrap`` the other end.
        domain: (first, last) unit that reads at all; None leaves a side open.
        phase: (remainder, modulus): only units u = remainder (mod modulus) read at all.
        whole: every unit reads all of the parent's, however many there are.
    """

    stride: Rational = 1
    offset: Rational = 0
    size: int = 1
    step: Rational = 1
    edge: str = "zero"
    domain: tuple[int | None, int | None] = (None, None)
    phase: tuple[int, int] = (0, 1)
    whole: bool = False
    _numbers: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("stride", "offset", "step"):  # a quotient of whole numbers must stay exact
            value = getattr(self, name)
            if type(value) is not int:
                value = Fraction(value)
                whole = value.denominator == 1
                object.__setattr__(self, name, value.numerator if whole else value)
        if type(self.stride) is type(self.offset) is type(self.step) is int:
            numbers = (self.stride, self.offset, self.step, 1, 1, 1, 0)
        else:
            scale = lcm(*(Fraction(v).denominator for v in (self.stride, self.offset, self.step)))
            a, b, c = (int(v * scale) for v in (self.stride, self.offset, self.step))
            common = gcd(c, scale)
            every = scale // common
            numbers = (a, b, c, scale, common, every, pow(c // common, -1, every))
        object.__setattr__(self, "_numbers", numbers)

    @property
    def is_identity(self) -> bool:
        """Whether unit u reads unit u alone."""
        return self == IDENTITY

    @property
    def is_regular(self) -> bool:
        """Whether all teeth are whole for every unit, and every unit reads."""
        return self._numbers[3] == 1 and self.is_open and not self.whole

    @property
    def is_open(self) -> bool:
        """Whether every unit reads, whatever its index."""
        return self.domain == (None, None) and self.phase[1] == 1

    @property
    def is_open_everywhere(self) -> bool:
        """Whether no unit is left out by its index, but perhaps by its turn."""
        return self.domain == (None, None)

    @property
    def middle(self) -> Fraction:
        """Middle of unit 0's comb."""
        return Fraction(self.offset) + Fraction(self.step) * (self.size - 1) / 2

    @property
    def repeats(self) -> int:
        """Units after which the comb meets the parent's units in the same way again."""
        return lcm(Fraction(self.stride).denominator, self.phase[1])

    def units(self, u: int) -> range:
        """Return the parent's units that unit u reads, its ends ignored; empty where none is."""
        first, last = self.domain
        if (first is not None and u < first) or (last is not None and u > last):
            return range(0)
        if u % self.phase[1] != self.phase[0]:
            return range(0)
        a, b, c, scale, common, every, inverse = self._numbers
        x = a * u + b
        if x % common:
            return range(0)
        t = (-(x // common) * inverse) % every
        count = -(-(self.size - t) // every)
        jump = c * every // scale
        start = (x + c * t) // scale
        return range(start, start + jump * max(count, 0), jump)

    def reads(self, n_units: int, n_parent: int) -> np.ndarray:
        """Return what every unit really reads: int array (n_units, reads), -1 for nothing."""
        if self.whole:
            return np.broadcast_to(np.arange(n_parent), (n_units, n_parent))
        a, b, c, scale, common, every, inverse = self._numbers
        u = np.arange(n_units)
        x = a * u + b
        first = (-(x // common) * inverse) % every
        t = first[:, None] + every * np.arange(-(-self.size // every))
        index = (x[:, None] + c * t) // scale
        valid = (t < self.size) & (x % common == 0)[:, None]
        low, high = self.domain
        valid &= ((u >= (low or 0)) & (u <= (n_units if high is None else high)))[:, None]
        valid &= (u % self.phase[1] == self.phase[0])[:, None]
        index, valid = _at_edges(index, valid, n_parent, self.edge)
        return np.where(valid, index, -1)


@dataclass(frozen=True)
class Table:
    """The parent's units that each unit reads, listed: for what no comb describes."""

    rows: tuple[tuple[int, ...], ...]
    stride: Rational = 0
    whole: bool = False

    is_identity = is_regular = is_open = is_open_everywhere = False
    edge, domain, phase = "zero", (None, None), (0, 1)

    def units(self, u: int) -> tuple[int, ...]:
        """Return the parent's units that unit u reads; none outside the list."""
        return self.rows[u] if 0 <= u < len(self.rows) else ()

    def reads(self, n_units: int, n_parent: int) -> np.ndarray:
        """Return what every unit really reads: int array (n_units, reads), -1 for nothing."""
        width = max((len(row) for row in self.rows), default=0)
        index = np.full((n_units, max(width, 1)), -1)
        for u, row in enumerate(self.rows):
            index[u, : len(row)] = row
        return np.where(index < n_parent, index, -1)


AnyWindow = Window | Table
IDENTITY = Window()
WHOLE = Window(stride=0, whole=True)


def nearest(slope: Rational, start: Rational = 0) -> Window:
    """Return the window that reads unit floor(slope*u + start), held inside the parent.

    >>> [list(nearest(Fraction(1, 2)).units(u)) for u in range(4)]
    [[0], [0], [1], [1]]
    """
    q = _denominator(slope, start)
    return Window(slope, start - Fraction(q - 1, q), q, Fraction(1, q), "replicate")


def linear(slope: Rational, start: Rational) -> Window:
    """Return the window of the two units around slope*u + start; of one where that is whole.

    >>> [list(linear(Fraction(1, 2), Fraction(-1, 4)).units(u)) for u in (1, 2)]
    [[0, 1], [0, 1]]
    """
    q = _denominator(slope, start)
    return Window(slope, start - Fraction(q - 1, q), 2 * q - 1, Fraction(1, q), "replicate")


def cubic(slope: Rational, start: Rational, n_units: int, n_parent: int) -> AnyWindow:
    """Return the window of the four units around slope*u + start; of one where that is whole."""
    q = _denominator(slope, start)
    comb = Window(slope, start - 2 + Fraction(1, q), 4 * q - 1, Fraction(1, q), "replicate")
    places = [slope * u + Fraction(start) for u in range(n_units)]
    if q > 1 and not any(x.denominator == 1 for x in places):
        return comb
    rows = []
    for u, x in enumerate(places):
        read = [int(x)] if x.denominator == 1 else comb.units(u)
        rows.append(tuple(sorted({min(max(i, 0), n_parent - 1) for i in read})))
    return Table(tuple(rows), slope)


def adaptive(n_parent: int, n_units: int) -> Window:
    """Return the window of adaptive pooling: floor(u*r) to ceil((u+1)*r) - 1, r = parent/units.

    >>> [list(adaptive(10, 4).units(u)) for u in range(4)]
    [[0, 1, 2], [2, 3, 4], [5, 6, 7], [7, 8, 9]]
    """
    ratio = Fraction(n_parent, n_units)
    q = ratio.denominator
    return Window(ratio, -Fraction(q - 1, q), int(ratio * q) + q - 1, Fraction(1, q))


def transposed(kernel: int, stride: int, padding: int, dilation: int) -> Window:
    """Return the window of a transposed convolution: (u + padding - dilation*t)/stride.

    >>> [list(transposed(4, 2, 1, 1).units(u)) for u in range(3)]
    [[-1, 0], [0, 1], [0, 1]]
    """
    begin = Fraction(padding - dilation * (kernel - 1), stride)
    return Window(Fraction(1, stride), begin, kernel, Fraction(dilation, stride))


def _denominator(*values: Rational) -> int:
    return lcm(*(Fraction(v).denominator for v in values))


def _at_edges(index, valid, n: int, edge: str) -> tuple[np.ndarray, np.ndarray]:
    if edge == "replicate":
        return index.clip(0, n - 1), valid
    if edge == "wrap":
        return index % n, valid
    if edge == "reflect" and n > 1:
        folded = index % (2 * n - 2)
        return np.minimum(folded, 2 * n - 2 - folded), valid
    return index, valid & (index >= 0) & (index < n)
