"""What really reaches a unit, found by running a model: the oracles for `erfbook.rf`.

Each oracle changes one input pixel (all its channels) at a time and looks which units of the output
change. None of them knows anything about receptive fields.

``nan``: the pixel is NaN. Every arithmetic operation passes a NaN on, whatever the weights, so a
    unit is NaN exactly where it reads the pixel, also through a max pool (PyTorch's on a CPU keeps
    NaN: test_rf_support.py), a softmax or a normalisation. Not exact where an operation discards
    what it read: comparisons and ``where``. Not wanted where a weight of the interpolation is
    exactly 0, since 0 * NaN = NaN.
``impulse``: zero weights nowhere, positive weights everywhere, no bias; the image is 0 and the
    pixel 1. All terms of a sum are then >= 0, so nothing cancels, and a unit is > 0 exactly where
    it reads the pixel with a weight > 0. Exact for linear operations with positive weights, for
    maxima, and for linear interpolation. Not for products, gates and whatever moves a 0.
``generic``: the same with weights of both signs, drawn at random: sums cancel with probability 0.
    Exact for linear operations; the only one for bicubic interpolation, whose weights have both
    signs.

A weight that is 0 in exact arithmetic comes out of the floating-point interpolation as 1e-17 or so.
Both impulse oracles therefore call 0 what is below 1e-11 of the largest response, and refuse a
model (`Unclear`) that has a response within a factor of 100 of that bound.
"""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from erfbook import rf

ORACLES = ("nan", "impulse", "generic")
FULL_RUN = 2000  # random networks
N_GRAPHS = int(os.environ.get("ERFBOOK_GRAPHS", "225"))
# All units and pixels in the full run; otherwise corners, middle and some between.
MOST_UNITS, MOST_PIXELS = (10**6, 40) if N_GRAPHS >= FULL_RUN else (16, 6)


class Unclear(Exception):
    """A network that decides nothing: a response near rounding, or a limit of the analysis."""


LIMIT = "positions became channels"  # a field that is given up as global above so many positions


def prepare(model: nn.Module, how: str, seed: int = 0) -> nn.Module:
    """Give a model float64 weights that suit the oracle; its training modes stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if how == "generic" or (how == "nan" and "bias" in name):
                weight.normal_(generator=generator)
            elif how == "nan":
                weight.copy_(torch.randn(weight.shape, generator=generator) / 2)
            else:
                weight.uniform_(0.5, 1.5, generator=generator)
            if how != "nan" and "bias" in name:
                weight.zero_()
    return model


def reached(model: nn.Module, shape: tuple[int, ...], how: str) -> np.ndarray:
    """Return bool (*units, *pixels): whether the pixel reaches any channel of the unit.

    Args:
        model: maps (batch, channels, *pixels) to (batch, channels, *units), in float64.
        shape: (channels, *pixels).
        how: one of `ORACLES`, for which the model was made ready by `prepare`.

    Raises:
        Unclear: a response is neither clearly zero nor clearly not.
    """
    channels, *sides = shape
    n_pixels = int(np.prod(sides))
    each = torch.arange(n_pixels)
    if how == "nan":
        image = torch.randn(channels, *sides, dtype=torch.float64, generator=_fixed())
        value = torch.nan
    else:
        image, value = torch.zeros(channels, *sides, dtype=torch.float64), 1.0
    x = image.expand(n_pixels, *image.shape).clone()
    x.flatten(2)[each, :, each] = value
    with torch.no_grad(), _one_thread():
        rest = model(image[None].clone())
        after = torch.cat([model(one) for one in x.split(1 if _couples_a_batch(model) else 512)])
    assert rest.isfinite().all(), "a model that overflows has no oracle"
    if how == "nan":
        changed = after.isnan()
    else:
        assert not rest.any(), "zeros must stay zeros for an impulse to be seen exactly"
        changed = _clear(after.abs())
    return changed.any(1).movedim(0, -1).unflatten(-1, sides).numpy()


def hull(pixels: np.ndarray) -> tuple[tuple[int, int], ...] | None:
    """Return ((first, last), ...) of the pixels that are set; None if none is."""
    where = np.argwhere(pixels)
    if not len(where):
        return None
    return tuple((int(a), int(b)) for a, b in zip(where.min(0), where.max(0), strict=True))


def check(model: nn.Module, shape: tuple[int, ...], how: str, *, analysed=None) -> np.ndarray:
    """Assert that the analysis says of every unit and pixel what the oracle says.

    Args:
        model: made ready by `prepare`.
        shape: (channels, *pixels).
        how: which oracle.
        analysed: a model to analyse instead of the one that is run, to see the check fail.

    Returns:
        What `reached` returns.
    """
    truth = reached(model, shape, how)
    compare(rf.analyze(analysed or model, shape)[""], truth)
    return truth


def compare(field: rf.Field, truth: np.ndarray) -> None:
    """Assert that a field's supports, hulls and seeing units are those of the oracle.

    Where an output has no plane any more (rows stacked as channels, tokens behind a class token),
    the field has one unit along an axis, which sees what any of the output's positions sees.
    """
    n = len(field.input_size)
    assert field.input_size == truth.shape[n:]
    if not field.is_plane:
        for axis in (a for a in range(n) if field.grid[a] == 1):
            truth = truth.any(axis, keepdims=True)
    assert field.grid == truth.shape[:n], f"units {field.grid}, made {truth.shape[:n]}"
    if field.is_global and LIMIT in field.why:
        assert all((field.support(u) >= truth[u]).all() for u in spread(field.grid, MOST_UNITS))
        raise Unclear(f"the field is said to be global: {field.why}")
    for unit in spread(field.grid, MOST_UNITS):
        support = field.support(unit)
        assert support.dtype == bool and support.shape == field.input_size
        if not np.array_equal(support, truth[unit]):
            raise AssertionError(_difference(unit, support, truth[unit]))
        region, true_hull = field.region(unit, clip=True), hull(truth[unit])
        if true_hull is None:  # an empty region is (first, first - 1)
            assert all(last == first - 1 for first, last in region), (unit, region)
        else:
            assert region == true_hull, f"unit {unit}: region {region}, reached {true_hull}"
    for pixel in spread(field.input_size, MOST_PIXELS):
        seeing = field.units_seeing(pixel)
        assert seeing.dtype == bool and seeing.shape == field.grid
        if not np.array_equal(seeing, truth[(..., *pixel)]):
            raise AssertionError(f"of pixel {pixel}: {_difference('', seeing, truth[..., *pixel])}")


def spread(sides: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """Return about ``most`` places of a grid: its corners, its middle and some between, or all."""
    corners = list(itertools.product(*({0, n - 1} for n in sides)))
    total = int(np.prod(sides))
    if total <= most:
        return list(np.ndindex(*sides))
    rest = np.random.default_rng(total).choice(total, most, replace=False)
    inner = [tuple(int(i) for i in np.unravel_index(flat, sides)) for flat in rest]
    return list(dict.fromkeys([*corners, tuple(n // 2 for n in sides), *inner]))


@contextmanager
def _one_thread():
    """Planes this small are slower on several threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clear(response: torch.Tensor) -> torch.Tensor:
    bound = 1e-11 * response.max()
    if ((response > bound / 100) & (response < bound * 100)).any():
        raise Unclear(f"a response lies near {bound:.1e}")
    return response > bound


def _couples_a_batch(model: nn.Module) -> bool:
    """Batch norm in training mode takes its statistics over all probes at once."""
    kinds = nn.modules.batchnorm._BatchNorm
    return any(isinstance(m, kinds) and m.training for m in model.modules())


def _difference(unit, said: np.ndarray, truth: np.ndarray) -> str:
    extra, missing = np.argwhere(said & ~truth), np.argwhere(truth & ~said)
    return (
        f"unit {unit}: {len(extra)} said but not reached {extra[:6].tolist()}, "
        f"{len(missing)} reached but not said {missing[:6].tolist()}"
    )


def _fixed() -> torch.Generator:
    return torch.Generator().manual_seed(1)
