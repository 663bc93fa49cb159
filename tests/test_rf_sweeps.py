"""Every combination of the arguments of the operations that compute indices, on short lines.

Off-by-one errors sit in rare corners: a last window in ceil mode, a rounded ratio, padding of one
sign on one side. The full run (ERFBOOK_GRAPHS=2000) tries all combinations, the usual one a few.
"""

from itertools import islice, product

import pytest
import torch
from rf_blocks import Do
from rf_oracles import FULL_RUN, N_GRAPHS, Unclear, check, prepare
from torch import nn
from torch.nn import functional as F

from erfbook import rf

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

STEP = 1 if N_GRAPHS >= FULL_RUN else 23  # no divisor of the sweeps' lengths: all values come up
FACTORS = (0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.9, 2.0, 2.3, 3.0, 3.3)
MODES = ("linear", "nearest", "nearest-exact", "bicubic")


def adaptive():
    for n, units, kind in product(
        range(1, 11), range(1, 13), (nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d)
    ):
        yield kind(units), n, "nan"


def pooling():
    sizes = product((4, 5, 7, 8), range(1, 5), range(1, 5), (1, 2), (False, True), range(3))
    for n, kernel, stride, dilation, ceil, padding in sizes:
        if padding > kernel // 2:
            continue
        yield nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil), n, "nan"
        if dilation == 1:
            yield nn.AvgPool1d(kernel, stride, padding, ceil), n, "nan"
            yield nn.Sequential(nn.ReLU(), nn.LPPool1d(2, kernel, stride, ceil)), n, "nan"


def convolution():
    sizes = product((4, 7), range(1, 5), (1, 2, 3), range(3), (1, 2, 3))
    for n, kernel, stride, padding, dilation in sizes:
        for mode in ("zeros", "reflect", "replicate", "circular"):
            yield nn.Conv1d(1, 1, kernel, stride, padding, dilation, padding_mode=mode), n, "nan"
        if stride == 1 and padding == 0:
            yield nn.Conv1d(1, 1, kernel, padding="same", dilation=dilation), n, "nan"


def transposed():
    sizes = product((1, 2, 4), range(1, 5), (1, 2, 3), range(3), (1, 2), range(3))
    for n, kernel, stride, padding, dilation, extra in sizes:
        if extra < max(stride, dilation):
            layer = nn.ConvTranspose1d(1, 1, kernel, stride, padding, extra, dilation=dilation)
            yield layer, n, "nan"


def padding():
    modes = ("constant", "reflect", "replicate", "circular")
    for n, first, last, mode in product((3, 4, 6), range(-3, 6), range(-3, 6), modes):
        if n + min(first, 0) + min(last, 0) > 0:  # else PyTorch may return what it never wrote
            amounts = (first, last)
            yield Do(f"{mode} {amounts}", lambda x, a=amounts, m=mode: F.pad(x, a, m)), n, "nan"


def resized():
    for n, units, mode, corners in product(range(1, 9), range(1, 17), MODES, (False, True)):
        if mode.startswith("nearest") and corners:
            continue
        options = {} if mode.startswith("nearest") else {"align_corners": corners}
        yield _line(f"{mode} to {units} {options}", mode, size=units, **options), n, _oracle(mode)


def scaled():
    for n, factor, mode, corners in product(range(1, 12), FACTORS, MODES, (False, True)):
        if (mode.startswith("nearest") and corners) or int(n * factor) < 1:
            continue
        options = {} if mode.startswith("nearest") else {"align_corners": corners}
        layer = _line(f"{mode} by {factor} {options}", mode, scale_factor=factor, **options)
        yield layer, n, _oracle(mode)


def _oracle(mode):
    return "generic" if mode == "bicubic" else "impulse"


def _line(label, mode, **options):
    """Bicubic interpolation exists for planes alone: the line is a plane of one column."""
    if mode != "bicubic":
        return Do(label, lambda x: F.interpolate(x, mode=mode, **options))
    for name in ("size", "scale_factor"):
        if name in options:
            options[name] = (options[name], 1)
    return Do(label, lambda x: F.interpolate(x[..., None], mode=mode, **options).squeeze(3))


def unfolded():
    for n, kernel, stride, padding, dilation in product((4, 6), (1, 2, 3), (1, 2), (0, 1), (1, 2)):
        options = {"stride": (stride, 1), "padding": (padding, 0), "dilation": (dilation, 1)}

        def unfold(x, k=(kernel, 1), o=options):
            return F.unfold(x[..., None], k, **o)

        def fold(x, k=(kernel, 1), o=options):
            return F.fold(F.unfold(x[..., None], k, **o), (x.shape[2], 1), k, **o).squeeze(3)

        yield Do(f"unfold {kernel} {options}", unfold), n, "nan"
        yield Do(f"fold {kernel} {options}", fold), n, "nan"


SWEEPS = (adaptive, pooling, convolution, transposed, padding, resized, scaled, unfolded)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda f: f.__name__)
def test_every_combination_of_arguments_is_exact(sweep):
    n_checked = 0
    for model, n, how in islice(sweep(), 0, None, STEP):
        shape = (1, n)
        try:
            with torch.no_grad():
                empty = model(torch.zeros(1, *shape)).numel() == 0
        except (RuntimeError, ValueError):  # PyTorch knows no such combination
            continue
        if empty:
            continue
        try:
            check(prepare(model, how), shape, how)
        except Unclear:
            continue
        except (AssertionError, rf.TraceError) as error:
            raise AssertionError(f"{model} on {n} pixels: {error}") from error
        n_checked += 1
    assert n_checked > 80 / STEP
