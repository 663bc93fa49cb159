"""What changes a tensor, or takes values out of one, where no result shows it.

Such code is followed exactly or refused in one line; taken as global, it leaves no pixel out.
"""

import numpy as np
import pytest
import torch
from rf_blocks import Do
from rf_oracles import compare, prepare, reached
from torch.nn import functional as F

from erfbook import rf

PLANE = (2, 5, 7)


def added_in_a_list(x):
    y = x.clone()
    torch._foreach_add_([y], [x.roll(1, 3)])
    return y


def other_data(x):
    y = x.clone()
    y.data = x.roll(2, 3)
    return y * 2


def swapped(x):
    y, z = x.clone(), x.roll(2, 3)
    torch.utils.swap_tensors(y, z)
    return y * 2


def swapped_parts(x):
    y = torch.cat([x, x.roll(2, 3)], 1)
    a, b = y[:, :2], y[:, 2:]
    torch.utils.swap_tensors(a, b)
    return a * 2


def through_data(x):
    y = x.clone()
    y.data.add_(x.roll(1, 3))
    return y + x.data.roll(2, 3)


def mean_of_layer_norm(x):
    _, mean, _ = torch.native_layer_norm(x, x.shape[3:], None, None, 1e-5)
    return x + mean


def mean_of_batch_norm(x):
    _, mean, _ = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    return x + mean.reshape(1, 2, 1, 1)


def the_largest_written(x):
    values = torch.zeros(len(x), 2, 5, dtype=x.dtype)
    shown = values[:, :, :]
    torch.max(x, 3, out=(values, torch.zeros(len(x), 2, 5, dtype=torch.long)))
    return x + shown[..., None]


def pieces_written(x):
    y = x.clone()
    first, second = y.chunk(2, 1)
    first += second.roll(1, 3)
    for row in y.unbind(2):
        row *= x[:, :, 0]
    return y


def turned_in_place(x):
    y = x[:, :, :, :5].clone()
    z = y[:, :1]
    z.transpose_(2, 3)
    return y


HIDDEN = {
    "turned in place": turned_in_place,
    "a list": added_in_a_list,
    "other data": other_data,
    "swapped": swapped,
    "swapped parts": swapped_parts,
    "through data": through_data,
    "layer norm": mean_of_layer_norm,
    "batch norm": mean_of_batch_norm,
    "out= of two": the_largest_written,
    "pieces": pieces_written,
}


def _truth(model):
    """One image at a time: a batch would couple its images in a batch norm."""
    return np.concatenate([reached(model, PLANE, "nan")])


@pytest.mark.parametrize("name", HIDDEN)
def test_what_cannot_be_followed_is_refused_in_one_line(name):
    model = prepare(Do(name, HIDDEN[name]), "nan")
    try:
        field = rf.analyze(model, PLANE)[""]
    except rf.TraceError as error:
        assert "has no rule" in str(error) and "\n" not in str(error)
    else:
        compare(field, _truth(model))


@pytest.mark.parametrize("name", [*HIDDEN])
def test_what_cannot_be_followed_leaves_no_pixel_out_where_it_is_taken_as_global(name):
    if name == "batch norm":
        pytest.skip("images of a batch are coupled: the oracle has no truth")
    model = prepare(Do(name, HIDDEN[name]), "nan")
    field, truth = rf.analyze(model, PLANE, unknown="global")[""], _truth(model)
    for unit in np.ndindex(*field.grid):
        assert (field.support(unit) | ~truth[unit]).all(), unit


def test_normalisations_as_such_are_not_refused():
    for function in (
        lambda x: F.layer_norm(x, x.shape[2:]),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.group_norm(x, 1),
        lambda x: F.scaled_dot_product_attention(x, x, x),
    ):
        assert rf.analyze(Do("", function), PLANE)[""].why
