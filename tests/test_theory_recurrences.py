"""The closed forms of a single path against enumerated index sets, layer by layer."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erfbook.theory import recurrences as theory
from erfbook.theory.recurrences import Window


@st.composite
def layers(draw):
    """One layer as a framework writes it: taps, dilation, stride, paddings."""
    taps, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    stride = draw(st.integers(1, 3))
    return taps, dilation, stride, draw(st.integers(-1, 4)), draw(st.integers(-1, 4))


stacks = st.lists(layers(), max_size=6)


def windows(stack):
    return [
        Window(theory.effective_kernel(taps, dilation), stride, before, after)
        for taps, dilation, stride, before, after in stack
    ]


def enumerate_inputs(stack, unit):
    """Every input index that a unit reads: the definition of each layer, applied to sets."""
    seen = {unit}
    for taps, dilation, stride, before, _ in reversed(stack):
        seen = {stride * u - before + dilation * j for u in seen for j in range(taps)}
    return seen


def enumerate_units(n, stack):
    """Slide each layer's window along its padded input and count the places that fit."""
    for taps, dilation, stride, before, after in stack:
        reach = dilation * (taps - 1) + 1
        n = len(range(0, n + before + after - reach + 1, stride))
    return n


@given(stacks, st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_closed_forms_and_recurrences_are_the_enumerated_ends(stack, unit):
    path, seen = windows(stack), enumerate_inputs(stack, unit)
    size, region = 1, (unit, unit)
    for window in reversed(path):
        size, region = theory.step_size(size, window), theory.step_region(region, window)
    ends = min(seen), max(seen)
    assert theory.predict_region(path, unit) == region == ends
    assert theory.predict_field_size(path) == size == ends[1] - ends[0] + 1
    assert theory.predict_centre(path, unit) == Fraction(sum(ends), 2)
    next_first = min(enumerate_inputs(stack, unit + 1))
    assert theory.predict_effective_stride(path) == next_first - ends[0]
    assert theory.predict_effective_padding(path) == -min(enumerate_inputs(stack, 0))


@given(stacks, st.integers(-5, 40))
@settings(max_examples=100, deadline=None)
def test_units_seeing_a_pixel_are_those_whose_ends_enclose_it(stack, pixel):
    found = theory.predict_units_seeing(windows(stack), pixel)
    for unit in range(min(found, default=0) - 3, max(found, default=0) + 4):
        seen = enumerate_inputs(stack, unit)
        assert (unit in found) == (min(seen) <= pixel <= max(seen))


@given(stacks, stacks, stacks)
@settings(max_examples=100, deadline=None)
def test_a_path_is_one_layer_however_it_is_split(lower, middle, upper):
    a, b, c = (theory.collapse(windows(stack)) for stack in (lower, middle, upper))
    whole = theory.collapse(windows(lower + middle + upper))
    assert theory.compose(theory.compose(a, b), c) == theory.compose(a, theory.compose(b, c))
    assert whole == theory.compose(a, theory.compose(b, c))
    path = windows(lower + middle + upper)
    assert whole.kernel == theory.predict_field_size(path)
    assert (whole.stride, whole.padding) == (
        theory.predict_effective_stride(path),
        theory.predict_effective_padding(path),
    )


@given(stacks, st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_units_are_counted_and_found_inside_as_by_sliding_windows(stack, n_pixels):
    expected = enumerate_units(n_pixels, stack)
    # A layer in the middle that has no unit left leaves none above it, whatever padding adds.
    lengths = [enumerate_units(n_pixels, stack[:i]) for i in range(1, len(stack) + 1)]
    if not all(lengths):
        return
    assert theory.count_units(n_pixels, windows(stack)) == expected
    inside = [enumerate_inputs(stack, u) <= set(range(n_pixels)) for u in range(expected)]
    # The region is the hull: with holes from dilation, its ends are still indices that are read.
    assert theory.predict_units_inside(n_pixels, windows(stack)) == np.mean(inside)


WRONG = {
    "dilation left out": lambda t, d, s, p: Window(t, s, p),
    "kernel for kernel - 1": lambda t, d, s, p: Window(theory.effective_kernel(t, d) + 1, s, p),
    "padding left out": lambda t, d, s, p: Window(theory.effective_kernel(t, d), s),
    "stride left out": lambda t, d, s, p: Window(theory.effective_kernel(t, d), 1, p),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_enumeration_rejects_wrong_windows(wrong):
    stack = [(3, 2, 2, 1, 1), (3, 1, 1, 1, 1)]
    path = [wrong(*layer[:4]) for layer in stack]
    seen = enumerate_inputs(stack, 2)
    assert theory.predict_region(path, 2) != (min(seen), max(seen))


def read_nearest(unit, factor, _):
    return {unit // factor}


def read_linear(unit, factor, _):
    place = Fraction(2 * unit + 1, 2 * factor) - Fraction(1, 2)
    below = place.numerator // place.denominator
    return {below} if place == below else {below, below + 1}


def read_transposed(unit, stride, options):
    kernel, padding = options
    return {
        (unit + padding - m) // stride for m in range(kernel) if not (unit + padding - m) % stride
    }


RESIZED = [
    *[(read_nearest, m, None, theory.upsampling(m)) for m in (1, 2, 3, 4)],
    *[(read_linear, m, None, theory.upsampling(m, linear=True)) for m in (1, 2, 3, 4, 5)],
    *[
        (read_transposed, s, (k, p), theory.transposed(k, s, p))
        for k, s, p in [(2, 2, 0), (4, 2, 1), (3, 2, 1), (5, 3, 2), (3, 1, 1)]
    ],
]


@pytest.mark.parametrize("read, factor, options, window", RESIZED)
@pytest.mark.parametrize("above", [[], [(3, 1, 1, 1, 1)], [(2, 2, 1, 0, 0), (3, 1, 1, 1, 1)]])
@pytest.mark.parametrize("below", [[], [(3, 1, 2, 1, 1)]])
def test_resizing_is_its_window_on_average_over_one_period(
    read, factor, options, window, above, below
):
    """Ends are linear in the unit plus a periodic part, so they average to the closed form."""
    ends = []
    for unit in range(20, 20 + factor):
        seen = enumerate_inputs(above, unit)
        seen = set(itertools.chain(*(read(u, factor, options) for u in seen)))
        seen = set(itertools.chain(*(enumerate_inputs(below, u) for u in seen)))
        ends.append((min(seen), max(seen)))
    path = [*windows(below), window, *windows(above)]
    regions = [theory.predict_region(path, unit) for unit in range(20, 20 + factor)]
    for side in (0, 1):
        assert sum(e[side] for e in ends) == sum(r[side] for r in regions)
    sizes = [last - first + 1 for first, last in ends]
    assert Fraction(sum(sizes), factor) == theory.predict_field_size(path)


def test_paths_are_aligned_when_every_unit_has_one_centre():
    body, shortcut = [Window(3, padding=1), Window(3, 2, 1)], [Window(1, 2)]
    assert theory.compare_paths([body, shortcut]).is_aligned
    shifted = theory.compare_paths([[Window(3), Window(3, 2, 1)], shortcut])
    assert shifted.same_stride and not shifted.is_aligned
    # Same centre for unit 0 and different strides: centres part from unit 1 on.
    drifting = theory.compare_paths([body, [Window(1)]])
    assert drifting.centres[0] == drifting.centres[1]
    assert not drifting.same_stride and not drifting.is_aligned


def test_bad_layers_are_refused():
    with pytest.raises(ValueError, match=r"Window\.kernel must be positive, not 0"):
        Window(0)
    with pytest.raises(ValueError, match=r"Window\.stride must be positive, not -1"):
        Window(3, stride=-1)
    with pytest.raises(ValueError, match="n_pixels must leave a unit; 2 px leave none"):
        theory.predict_units_inside(2, [Window(5)])
