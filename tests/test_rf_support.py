"""The analysis against what really reaches a unit: each operation alone, and random networks.

ERFBOOK_GRAPHS sets the number of random networks: 2000 for the full run. rf_oracles.py says which
oracle is exact for what.
"""

from collections import Counter

import numpy as np
import pytest
import rf_blocks as blocks
import rf_cases
import rf_cases_mixing
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from rf_graphs import graphs
from rf_operations import OPERATIONS
from rf_oracles import (
    FULL_RUN,
    N_GRAPHS,
    ORACLES,
    Unclear,
    check,
    compare,
    hull,
    prepare,
    reached,
)
from torch import nn
from torch.nn import functional as F

from erfbook import rf

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

KINDS = [(how, n) for how in ORACLES for n in (1, 2, 3)]
CASES = rf_cases.CASES + rf_cases_mixing.CASES


@pytest.fixture(scope="module")
def checked():
    """For each kind the networks that were checked, each once; and how often an operation was."""
    return {}, Counter()


@pytest.mark.parametrize(
    ("shape", "model", "how"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_operation_alone_is_exact(shape, model, how):
    check(prepare(model, how), shape, how)


def test_products_of_rows_are_global_and_say_so():
    """Unit (i, j) of x xT reads rows i and j alone; the whole plane is said, and why."""
    rows = prepare(blocks.Do("x @ x.mT", lambda x: x @ x.mT), "nan")
    field, truth = rf.analyze(rows, (2, 6, 6))[""], reached(rows, (2, 6, 6), "nan")
    assert field.is_global and "matrix product" in field.why and not truth.all()


@pytest.mark.parametrize(("how", "n"), KINDS, ids=[f"{how} {n}d" for how, n in KINDS])
def test_random_networks_are_exact(how, n, checked):
    networks, operations = checked
    wanted = -(-N_GRAPHS // len(KINDS))
    mine = set()

    # Hypothesis makes some networks more than once: they count once, hence more examples.
    @settings(
        max_examples=wanted * 4 // 3 + 5,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(graphs(how, n))
    def run(case):
        model, shape, used = case
        name = f"{shape} {model}"
        if name in mine or not used:
            return
        try:
            check(model, shape, how)
        except Unclear:
            assume(False)
        mine.add(name)
        operations.update(used)

    run()
    assert len(mine) >= wanted
    networks[how, n] = mine  # not reached if one of them failed


def test_as_many_networks_as_asked_for_were_checked(checked, capsys):
    networks, operations = checked
    if len(networks) < len(KINDS):
        pytest.skip("not all kinds of networks were run, or one failed")
    total = sum(len(names) for names in networks.values())
    assert total >= N_GRAPHS
    if N_GRAPHS >= FULL_RUN:
        assert not set(OPERATIONS) - set(operations)
        with capsys.disabled():
            print(f"\n{total:,} random networks, no mismatch; {dict(operations)}")


# The oracles themselves, on cases worked out by hand.


def _line(model, n_pixels, how, channels=1):
    return reached(prepare(model, how), (channels, n_pixels), how)


def _sets(truth):
    return [np.flatnonzero(row).tolist() for row in truth]


def test_a_nan_shows_a_dilated_strided_padded_convolution():
    # unit u reads 2u - 2, 2u and 2u + 2
    truth = _line(nn.Conv1d(1, 1, 3, stride=2, padding=2, dilation=2), 7, "nan")
    assert _sets(truth) == [[0, 2], [0, 2, 4], [2, 4, 6], [4, 6]]
    assert [hull(row) for row in truth][1] == ((0, 4),) and hull(truth[0] & False) is None


def test_an_impulse_shows_linear_interpolation_without_the_taps_of_weight_zero():
    # twice as many: unit u lies at (u - 0.5) / 2, and the border is repeated
    truth = _line(nn.Upsample(scale_factor=2, mode="linear"), 3, "impulse")
    assert _sets(truth) == [[0], [0, 1], [0, 1], [1, 2], [1, 2], [2]]
    corners = _line(nn.Upsample(5, mode="linear", align_corners=True), 3, "impulse")
    assert _sets(corners) == [[0], [0, 1], [1], [1, 2], [2]]
    thirds = _line(nn.Upsample(9, mode="linear"), 3, "impulse")  # 1/3 is not exact in binary
    assert _sets(thirds)[1::3] == [[0], [1], [2]]


def test_generic_weights_show_the_four_taps_of_bicubic_interpolation():
    model = blocks.Do(
        "to 5", lambda x: F.interpolate(x, (5, 1), mode="bicubic", align_corners=True)
    )
    truth = reached(prepare(model, "generic"), (1, 3, 1), "generic")[:, 0, :, 0]
    assert _sets(truth) == [[0], [0, 1, 2], [1], [0, 1, 2], [2]]


def test_a_response_near_rounding_is_refused_not_guessed():
    faint = blocks.Do("x + 1e-11 flip", lambda x: x + 1e-11 * x.flip(2))
    with pytest.raises(Unclear, match="near"):
        _line(faint, 4, "impulse")
    assert _sets(_line(blocks.Do("", lambda x: x + 1e-17 * x.flip(2)), 2, "impulse")) == [[0], [1]]


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: F.max_pool2d(x, 3, 1, 1).amax((2, 3)),
        lambda x: F.adaptive_max_pool2d(x, 1),
        lambda x: F.lp_pool2d(x, 2, 5),
        lambda x: torch.maximum(x, x.flip(3)).amax((2, 3)),
        lambda x: x.softmax(3).sum((2, 3)),
        lambda x: F.relu(x).clamp(0, 1).sum((2, 3)),
        lambda x: F.hardswish(F.gelu(x)).sum((2, 3)),
        lambda x: F.scaled_dot_product_attention(torch.ones_like(x), torch.ones_like(x), x)[:, 0],
        lambda x: F.scaled_dot_product_attention(torch.ones_like(x), x, torch.ones_like(x))[:, 0],
        lambda x: F.group_norm(x, 1)[:, :, 0, 0],
    ],
)
def test_pytorch_passes_a_nan_on(operation):
    x = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    x[0, 0, 2, 3] = torch.nan
    assert operation(x).isnan().any() and not operation(torch.ones_like(x)).isnan().any()


# A check that could not fail would be none: analyse one network, run another.

_conv, _plane = nn.Conv2d, (2, 9, 9)
_odd, _flip = _conv(2, 2, 3, padding=1), blocks.Do("flip", lambda x: x.flip(3))


def _first_half(x, mix, body):
    """Channel 1 sees more than channel 0, which alone is kept."""
    return mix(torch.cat([x[:, :1], body(x)[:, :1]], 1))[:, :1]


WRONG = {
    "dilation forgotten": (_conv(2, 2, 3, dilation=2, padding=2), _conv(2, 2, 3, padding=1)),
    "holes of dilation filled": (_conv(2, 2, 3, dilation=2), _conv(2, 2, 5)),
    "padding moved": (
        _conv(2, 2, 4, padding=1),
        nn.Sequential(nn.ZeroPad2d((2, 0, 2, 0)), _conv(2, 2, 4)),
    ),
    "axes swapped": (_conv(2, 2, (1, 3), padding=(0, 1)), _conv(2, 2, (3, 1), padding=(1, 0))),
    "the last tap forgotten": (_conv(2, 2, 3, 2), _conv(2, 2, 2, 2)),
    "one path forgotten": (blocks.Both(nn.ReLU(), _flip, "add", "start"), _flip),
    "shortcut as a chain": (
        blocks.Both(_odd, _flip, "add", "start"),
        nn.Sequential(_odd, _flip),
    ),
    "groups read everything": (
        blocks.Do("groups", _first_half, nn.Conv2d(2, 2, 1, groups=2), _odd),
        blocks.Do("all", _first_half, nn.Conv2d(2, 2, 1), _odd),
    ),
    "crop at the other end": (
        blocks.Do("[1:]", lambda x: x[..., 1:]),
        blocks.Do("[:-1]", lambda x: x[..., :-1]),
    ),
    "nearest for nearest-exact": (nn.Upsample((5, 5), mode="nearest-exact"), nn.Upsample((5, 5))),
    "corners for no corners": (
        nn.Upsample((5, 5), mode="bilinear", align_corners=True),
        nn.Upsample((5, 5), mode="bilinear"),
    ),
    "bilinear for bicubic": (
        nn.Upsample((5, 5), mode="bicubic"),
        nn.Upsample((5, 5), mode="bilinear"),
    ),
    "adaptive as strided": (nn.AdaptiveAvgPool2d(4), nn.AvgPool2d(2)),
    "ceil mode's last window": (nn.MaxPool2d(2, 2, ceil_mode=True), nn.MaxPool2d(3, 2, 1)),
    "transposed as nearest": (nn.ConvTranspose2d(2, 2, 3, 2, 1, 1), nn.Upsample(scale_factor=2)),
    "reflection as zeros": (_conv(2, 2, 3, padding=1, padding_mode="circular"), _odd),
    "training as evaluation": (nn.BatchNorm2d(2).train(), nn.BatchNorm2d(2).eval()),
    "gate as elementwise": (blocks.Gate(2, 2, True), nn.ReLU()),
    "roll ignored": (blocks.Do("", lambda x: x.roll(1, 3)), nn.ReLU()),
    "row mean ignored": (blocks.Do("", lambda x: x - x.mean(3, keepdim=True)), nn.ReLU()),
    "row mean as a plane's": (
        blocks.Do("", lambda x: x - x.mean(3, keepdim=True)),
        blocks.Do("", lambda x: x - x.mean((2, 3), keepdim=True)),
    ),
    "windows not shifted": (
        blocks.WindowAttention(blocks.Attention(2, "matmul"), (3, 3), 1),
        blocks.WindowAttention(blocks.Attention(2, "matmul"), (3, 3), 0),
    ),
    "the other branch's channels": (
        blocks.Do("0", lambda x, m: torch.cat([x, m(x)], 1)[:, :2], _odd),
        blocks.Do("2", lambda x, m: torch.cat([x, m(x)], 1)[:, 2:], _odd),
    ),
    "a concatenation's whole field": (
        blocks.Do("0", lambda x, m: torch.cat([x, m(x)], 1)[:, :2], _odd),
        blocks.Do("all", lambda x, m: torch.cat([x, m(x)], 1), _odd),
    ),
    "a module's second call": (nn.Sequential(_odd, _odd), _odd),
}
HOW = {"bilinear for bicubic": "generic", "corners for no corners": "impulse"}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_analysis_is_rejected(name):
    ran, analysed = WRONG[name]
    how = HOW.get(name, "nan")
    prepare(analysed, how)
    truth = check(prepare(ran, how), _plane, how)
    assert rf.analyze(analysed, _plane)[""].grid == truth.shape[:2], "the shape alone must not tell"
    with pytest.raises(AssertionError, match=r"unit|pixel"):
        check(ran, _plane, how, analysed=analysed)


class _Wrong:
    """A field that answers one question wrongly."""

    def __init__(self, field, **answers):
        self._field, self._answers = field, answers

    def __getattr__(self, name):
        return self._answers.get(name) or getattr(self._field, name)


def test_a_wrong_answer_is_rejected():
    model = prepare(nn.Conv1d(1, 1, 3, padding=2, dilation=2), "nan")
    field, truth = rf.analyze(model, (1, 9))[""], reached(model, (1, 9), "nan")
    compare(field, truth)
    filled = np.ones(9, bool)
    for wrong, match in (
        ({"support": lambda u: filled}, "said but not reached"),
        ({"support": lambda u: ~filled}, "reached but not said"),
        ({"region": lambda u, clip: field.region(u)}, "region"),
        ({"units_seeing": lambda p: filled[:9]}, "of pixel"),
        ({"grid": (7,)}, r"units \(7,\), made \(9,\)"),
    ):
        with pytest.raises(AssertionError, match=match):
            compare(_Wrong(field, **wrong), truth)
