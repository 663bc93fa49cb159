"""Laws that hold between the answers of `erfbook.rf`, on random networks.

None of them needs a run of the network. A region is on the plane that padding extends; what is true
of it is stated for the graphs for which it is true:

- ``plain`` graphs (convolution, pooling, padding inside them, elementwise) never crop. There a
  window that touches padding at any layer reaches beyond the image, so a region inside the image is
  exactly what reaches the unit. A slice after a padded layer would break this.
- with zeros as padding, no pixel outside the region reaches the unit. Reflection, circular padding
  and rolls fetch pixels from elsewhere.
"""

import numpy as np
import pytest
import rf_blocks as blocks
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from rf_graphs import PLAIN, SIDES, Builder, graphs
from rf_operations import OPERATIONS, available
from rf_oracles import FULL_RUN, N_GRAPHS, prepare
from torch import nn

from erfbook import rf

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

# What stays a plane of positions: f's output is g's image, so it must not be flattened.
LOCAL = sorted(set(OPERATIONS) - {"flat_linear", "products", "transposes", "attention"})
N_EXAMPLES = max(25, N_GRAPHS // 5 if N_GRAPHS >= FULL_RUN else 0)
networks = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
dims = st.sampled_from([1, 2, 3])


def _inside(region, sides) -> bool:
    return all(0 <= a and b < n for (a, b), n in zip(region, sides, strict=True))


@networks
@given(dims.flatmap(lambda n: graphs("nan", n, PLAIN, crops=False)))
def test_a_plain_networks_region_inside_the_image_is_what_reaches_the_unit(case):
    model, shape, _ = case
    field = rf.analyze(model, shape)[""]
    zeros = all(getattr(m, "padding_mode", "zeros") == "zeros" for m in model.modules())
    for unit in np.ndindex(*field.grid):
        region, clipped = field.region(unit), field.region(unit, clip=True)
        if _inside(region, shape[1:]):
            assert region == clipped
        if zeros and all(a <= b for a, b in clipped):
            pairs = zip(region, clipped, strict=True)
            assert all(a <= c and d <= b for (a, b), (c, d) in pairs)


@networks
@given(dims.flatmap(lambda n: graphs("nan", n)))
def test_regions_repeat_after_a_period_and_move_by_the_stride(case):
    model, shape, _ = case
    field = rf.analyze(model, shape)[""]
    for axis, (period, stride) in enumerate(zip(field.period, field.stride, strict=True)):
        if period is None or stride is None:
            continue
        for unit in np.ndindex(*field.grid):
            later = tuple(u + period * (i == axis) for i, u in enumerate(unit))
            if later[axis] >= field.grid[axis]:
                continue
            step = stride * period
            assert step == int(step)
            (a, b), (c, d) = field.region(unit)[axis], field.region(later)[axis]
            assert field.centre(unit)[axis] == (a + b) / 2
            if b < a:  # between the taps of a transposed convolution there may be nothing
                assert d < c
                continue
            assert (c, d) == (a + step, b + step), (unit, axis)
            assert field.centre(later)[axis] == pytest.approx(field.centre(unit)[axis] + step)


@networks
@given(dims.flatmap(lambda n: graphs("nan", n)))
def test_size_is_the_largest_extent_in_a_period(case):
    model, shape, _ = case
    field = rf.analyze(model, shape)[""]
    for axis, (period, units) in enumerate(zip(field.period, field.grid, strict=True)):
        if period is None or units < period or field.global_axes[axis]:
            continue
        extents = []
        for u in range(period):
            unit = tuple(u if i == axis else c for i, c in enumerate(field.central_unit))
            first, last = field.region(unit)[axis]
            extents.append(last - first + 1)
        assert field.size[axis] == max(extents)


@networks
@given(dims.flatmap(lambda n: graphs("nan", n, PLAIN)))
def test_padding_places_every_centre(case):
    model, shape, _ = case
    field = rf.analyze(model, shape)[""]
    for axis, (size, stride, padding) in enumerate(
        zip(field.size, field.stride, field.padding, strict=True)
    ):
        if stride is None or padding is None or field.period[axis] != 1:
            continue
        for u in range(field.grid[axis]):
            unit = tuple(u if i == axis else c for i, c in enumerate(field.central_unit))
            assert field.centre(unit)[axis] == -padding + (size - 1) / 2 + stride * u


@networks
@given(dims.flatmap(lambda n: graphs("nan", n)))
def test_shares_inside_are_means_over_the_units(case):
    model, shape, _ = case
    field = rf.analyze(model, shape)[""]
    inside, shares = [], []
    for unit in np.ndindex(*field.grid):
        region, share = field.region(unit), 1.0
        for (a, b), n in zip(region, shape[1:], strict=True):
            if a <= b:  # of nothing, nothing is outside
                share *= max(min(b, n - 1) - max(a, 0) + 1, 0) / (b - a + 1)
        inside.append(_inside(region, shape[1:]))
        shares.append(share)
    assert field.units_inside == pytest.approx(np.mean(inside))
    assert field.mean_share_inside == pytest.approx(np.mean(shares))


@st.composite
def pairs(draw):
    """Return two networks, the second one for the output of the first, and both sizes."""
    n = draw(dims)
    names = [name for name in LOCAL if name in available("nan", n)]
    shape = (2, *(draw(st.integers(*SIDES[n])) for _ in range(n)))
    builder = Builder(draw, "nan", n, names)
    first, between = builder.chain(shape, 1, 2, 1)
    assume(builder.used)
    last, _ = builder.chain(between, 1, 2, 1)
    # All channels are mixed where the two meet, or a part of them would reach further than another.
    mix = blocks.CONV[n](between[0], between[0], 1)
    return first, nn.Sequential(mix, last), shape, between


def _matrix(model, shape):
    field = rf.analyze(model, shape)[""]
    assume(field.is_plane)  # an axis of one position that is joined to another is none any more
    rows = [field.support(unit).ravel() for unit in np.ndindex(*field.grid)]
    return np.array(rows, dtype=np.int64)


@networks
@given(pairs())
def test_the_field_of_a_composition_is_the_product_of_the_fields(case):
    first, last, shape, between = case
    for model in (first, last):
        prepare(model, "nan")
    whole = _matrix(nn.Sequential(first, last), shape)
    assert np.array_equal(whole > 0, _matrix(last, between) @ _matrix(first, shape) > 0)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_inverse_question_has_the_same_answer_as_the_question(step):
    field = rf.analyze(nn.Conv2d(1, 1, (3, 2), step, padding=1), (1, 8, 7))[""]
    supports = {unit: field.support(unit) for unit in np.ndindex(*field.grid)}
    for pixel in np.ndindex(8, 7):
        seeing = field.units_seeing(pixel)
        assert all(seeing[unit] == support[pixel] for unit, support in supports.items())
