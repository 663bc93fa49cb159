"""Writing into a part of a tensor: each unit holds what was written there, and nothing else.

What is written broadcasts as PyTorch's own assignment does, so that one mean may fill a slice. Each
case is compared with what really reaches every unit: `reached` of rf_oracles.py.
"""

import numpy as np
import pytest
import torch
from rf_blocks import Do
from rf_oracles import compare, prepare, reached
from torch import nn

from erfbook import rf

LINE, PLANE = (2, 12), (2, 5, 7)
near = nn.Conv2d(2, 2, 3, padding=1)
wide = nn.Conv2d(4, 2, 3, padding=1)


def filled(x, where, value):
    y = x.clone()
    y[where] = value
    return y


def context(x, first, second):
    a = first(x)
    y = torch.empty(len(a), 4, *a.shape[2:], dtype=a.dtype, device=a.device)
    y[:, :2] = a
    y[:, 2:] = a.mean((2, 3), keepdim=True)
    return second(y)


def one_column(x, conv):
    y = conv(x).clone()
    y[:, 1:] = y[:, :1, :, 3:4]
    return y


def turned(x):
    y = x.clone()
    y[:, :, 1:4] = x.flip(3)[:, :, :3]
    y[:, :, :, 2] = x[:, :, :, 0]
    return y


def in_a_loop(x):
    y = torch.zeros_like(x)
    for i in range(x.shape[2]):
        y[:, :, i] = x[:, :, : i + 1].sum(2)
    return y


def pieces_of_views(x):
    y = x.clone()
    y.transpose(2, 3)[:, 1:, :2] = x.mean((2, 3), keepdim=True)[:, 1:]
    y.view(len(x), 2, 35)[:, :1] = x.flatten(2)[:, 1:]
    return y


def halves(x):
    y = torch.zeros(len(x), 2, *x.shape[2:], dtype=x.dtype)
    y[:, :, :2], y[:, :, 2:] = x[:, :, 3:].mean(2, keepdim=True), x[:, :, :3]
    return y


def by_steps(x):
    y = x.flip(3).clone()
    y[:, :, 1::2] = x[:, :, ::2][:, :, :2]
    y[:, :, :, 1:6:3] = x.mean(3, keepdim=True)
    y[:, 1::2] = x[:, :1].mean(2, keepdim=True)
    return y


def onto_what_is_alike(x):
    y = x.mean((2, 3), keepdim=True).expand_as(x).clone()
    y[:, :, 1:4] = x[:, :, :3]
    return y


WRITTEN = {
    "a mean beside the plane": (PLANE, Do("", context, near, wide)),
    "one column into channels": (PLANE, Do("", one_column, near)),
    "means of rows": (PLANE, lambda x: filled(x, np.s_[:, 1:], x[:, :1].mean(3, keepdim=True))),
    "copy_": (PLANE, lambda x: (y := x.clone())[:, 1:].copy_(x.mean((2, 3), True)[:, 1:]) * 0 + y),
    "expanded": (
        PLANE,
        lambda x: filled(x, np.s_[:, 1:], x[:, :1].mean((2, 3), True).expand(-1, -1, 5, 7)),
    ),
    "one row": (PLANE, lambda x: filled(x, np.s_[:, :, 0], x.mean((2, 3))[..., None])),
    "two rows": (PLANE, lambda x: filled(x, np.s_[:, :, :2], x.mean((2, 3), keepdim=True))),
    "rows between": (PLANE, lambda x: filled(x, np.s_[:, :, 1:4], x.mean((2, 3), True))),
    "all rows but one": (PLANE, lambda x: filled(x, np.s_[:, :, 1:], x[:, :, :1])),
    "a corner": (PLANE, lambda x: filled(x, np.s_[:, :, :2, :2], x.mean((2, 3), True))),
    "a block of one channel": (
        PLANE,
        lambda x: filled(x, np.s_[:, :1, 1:4, 2:6], x.sum((2, 3), True)[:, 1:]),
    ),
    "part of a line": (LINE, lambda x: filled(x, np.s_[:, 1:, 3:9], x[:, :1].mean(2, True))),
    "turned": (PLANE, turned),
    "in a loop": (PLANE, in_a_loop),
    "views": (PLANE, pieces_of_views),
    "halves": (PLANE, halves),
    "by steps": (PLANE, by_steps),
    "onto what is alike": (PLANE, onto_what_is_alike),
    "added": (PLANE, lambda x: filled(x, np.s_[:, 1:], x[:, 1:] + x[:, :1].mean((2, 3), True))),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_into_a_part_is_found_there_exactly(name):
    shape, function = WRITTEN[name]
    model = function if isinstance(function, nn.Module) else Do(name, function)
    model = prepare(model, "generic")
    compare(rf.analyze(model, shape)[""], reached(model, shape, "generic"))


def filled_with_one_value(x):
    y = x.clone()
    y[0, :, 1:].fill_(x.mean())
    return y


def test_a_part_filled_with_one_value_of_the_image():
    """A batch of one: the oracle changes pixels in a batch, of which this mean is one number."""
    field = rf.analyze(Do("", filled_with_one_value), PLANE)[""]
    assert field.support((0, 3)).sum() == 1
    assert all(field.support((i, 3)).all() for i in range(1, 5))
    assert field.units_seeing((0, 0)).sum() == 29


def cumulated(x, where):
    y = x.clone()
    y[where].cumsum_(3)
    return y


@pytest.mark.parametrize("where", [np.s_[:, :1], np.s_[:, :, 2:], np.s_[:, :, :, 1:4]])
def test_what_is_taken_as_global_reads_everything_that_it_may(where):
    model = prepare(Do("", lambda x: cumulated(x, where)), "generic")
    field, truth = rf.analyze(model, PLANE, unknown="global")[""], reached(model, PLANE, "generic")
    for unit in np.ndindex(*field.grid):
        assert (field.support(unit) | ~truth[unit]).all(), unit


def test_a_tensor_put_together_by_writing_is_no_less_regular_than_one_put_together_by_cat():
    def padded(x):
        y = x.new_zeros(len(x), 2, 9, 12)
        y[:, :, 1:6, 2:9] = x
        return y

    field = rf.analyze(Do("", padded), PLANE)[""]
    assert (field.stride, field.padding, field.size) == ((1, 1), (1, 2), (1, 1))
    assert field.region((1, 2)) == ((0, 0), (0, 0)) and not field.support((0, 2)).any()
