"""Less common code: the analysis is exact, or refuses, or says more than is read and marks it.

What must never be is a pixel that reaches a unit and is not said to.
"""

import numpy as np
import pytest
import rf_blocks as blocks
import torch
from rf_blocks import Do
from rf_oracles import compare, prepare, reached
from torch import nn
from torch.nn import functional as F

from erfbook import rf

LINE, PLANE, SQUARE = (2, 12), (2, 7, 9), (2, 6, 6)


class Indexed(nn.Module):
    """A function of the image and of three indices kept in a buffer."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("index", torch.tensor([3, 0, 5]))

    def forward(self, x):
        return self.function(x, self.index)


class Sequence(nn.Module):
    """A recurrent layer over the positions of a line."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2))[0].transpose(1, 2)


def written_into_zeros(x):
    y = x.new_zeros(x.shape[0], 2, 9, 12)
    y[:, :, 1:8, 2:11] = x
    y[:, :1, ::2] += y[:, 1:, ::2]
    return y


def coordinates(x):
    n, _, rows, columns = x.shape
    lines = [torch.linspace(0, 1, side, dtype=x.dtype) for side in (rows, columns)]
    grid = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    return torch.cat([x, grid.expand(n, -1, -1, -1)], 1)


def own_kernels(x):
    """A 1x1 kernel made of the image's means (dynamic convolution)."""
    n, channels = x.shape[:2]
    kernels = torch.stack([x.mean((2, 3)), x.amax((2, 3))], 1).flatten(0, 1)[..., None, None]
    flat = x.reshape(1, n * channels, *x.shape[2:])
    return F.conv2d(flat, kernels, groups=n).reshape(n, 2, *x.shape[2:])


def written(x, index):
    y = x.clone()
    y[..., index] = x[..., :3]
    return y


def through_a_grid(x):
    here = torch.eye(2, 3, dtype=x.dtype).expand(len(x), 2, 3)
    grid = F.affine_grid(here, [len(x), 2, 5, 5], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def local_attention(x):
    near = F.unfold(x, 3, padding=1).unflatten(1, (2, 9))
    return (near.softmax(2) * near).sum(2).unflatten(2, x.shape[2:])


wide = nn.Conv2d(2, 1, 3, padding=1)
lower = torch.ones(7, 9).tril().bool()
EXACT = {
    "diff": (LINE, lambda x: x.diff(dim=2)),
    "tile": (LINE, lambda x: x.tile(2)),
    "repeat": (PLANE, lambda x: x.repeat(1, 1, 2, 1)),
    "repeat, one channel": (PLANE, lambda x: x.repeat(1, 2, 1, 1)[:, 1:2]),
    "expand": (PLANE, lambda x: x[:, :, :1].expand(-1, -1, 5, -1)),
    "repeat_interleave": (PLANE, lambda x: x.repeat_interleave(2, 3)),
    "larger by expand": (
        PLANE,
        lambda x: x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(len(x), 2, 14, 18),
    ),
    "index_select": (PLANE, Indexed(lambda x, i: x.index_select(2, i))),
    "indices in a buffer": (PLANE, Indexed(lambda x, i: x[:, :, i])),
    "written into zeros": (PLANE, written_into_zeros),
    "copied into": (PLANE, lambda x: torch.empty_like(x).copy_(x.flip(3))),
    "out=": (PLANE, lambda x: torch.add(x, x.flip(3), out=torch.empty_like(x))),
    "coordinates": (PLANE, coordinates),
    "own kernels": (PLANE, own_kernels),
    "zeros beside": (PLANE, lambda x: torch.cat([x.new_zeros(len(x), 2, 7, 2), x], 3)),
    "stacked columns": (PLANE, lambda x: torch.stack([x, x.flip(3)], -1).flatten(3)),
    "stacked rows": (PLANE, lambda x: torch.stack([x, x], 3).flatten(2, 3)),
    "pieces turned": (PLANE, lambda x: torch.cat([t.flip(2) for t in x.split([2, 3, 4], 3)], 3)),
    "pieces swapped": (PLANE, lambda x: torch.cat(x.chunk(4, 3)[::-1], 3)),
    "a loop over positions": (LINE, lambda x: torch.stack([t * 2 for t in x.unbind(2)], 2)),
    "a running sum by a loop": (
        LINE,
        lambda x: torch.stack([sum(x[:, :, : i + 1].unbind(2)) for i in range(12)], 2),
    ),
    "shifted channels": (
        (4, 6, 6),
        lambda x: torch.cat([x[:, :1].roll(1, 2), x[:, 1:2].roll(-1, 2), x[:, 2:]], 1),
    ),
    "gru": (LINE, Sequence(nn.GRU(2, 3, batch_first=True))),
    "lstm": (LINE, Sequence(nn.LSTM(2, 3, batch_first=True))),
    "gru, both ways": (LINE, Sequence(nn.GRU(2, 3, batch_first=True, bidirectional=True))),
    "instance norm, eval": (PLANE, nn.InstanceNorm2d(2, track_running_stats=True).eval()),
    "prelu": (PLANE, nn.PReLU(2)),
    "glu over a spatial axis": ((2, 6, 8), nn.GLU(3)),
    "normalised channels": (PLANE, lambda x: F.normalize(x, dim=1)),
    "normalised columns": (PLANE, lambda x: F.normalize(x, dim=2)),
    "logsumexp": (PLANE, lambda x: x.logsumexp(3, keepdim=True) + x),
    "product": (PLANE, lambda x: x.prod(2, keepdim=True) + x),
    "cosine similarity": (PLANE, lambda x: F.cosine_similarity(x, x.flip(3), dim=1)[:, None]),
    "spatial attention": (PLANE, Do("cbam", lambda x, m: x * m(x).sigmoid(), wide)),
    "coordinate attention": (
        PLANE,
        lambda x: x * x.mean(3, keepdim=True) * x.mean(2, keepdim=True),
    ),
    "axial attention": (
        PLANE,
        lambda x: F.scaled_dot_product_attention(*[x.movedim(1, -1)] * 3).movedim(-1, 1),
    ),
    "pyramid": (
        (2, 8, 8),
        lambda x: x + F.interpolate(F.adaptive_avg_pool2d(x, 2), x.shape[2:], mode="nearest"),
    ),
    "local attention": (SQUARE, local_attention),
    "channels against channels": (
        SQUARE,
        lambda x: ((x.flatten(2) @ x.flatten(2).mT) @ x.flatten(2)).unflatten(2, (6, 6)),
    ),
    "weight norm": (PLANE, torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3))),
    "channels last": (PLANE, Do("", lambda x, m: m(x.to(memory_format=torch.channels_last)), wide)),
    "reshape and back": (PLANE, lambda x: x.reshape(len(x), -1).view(x.shape)),
    "output_size=": (
        PLANE,
        Do("", lambda x, m: m(x, output_size=(14, 18)), nn.ConvTranspose2d(2, 2, 3, 2, 1)),
    ),
}
mask = torch.tensor([True, False, True, True, False, True, False])
EXACT |= {
    "channels in another order": (PLANE, Do("", lambda x, m: m(x[:, [1, 0]]), wide)),
    "a list of rows": (PLANE, lambda x: x[:, :, [3, 0, 5]]),
    "a literal index": (PLANE, lambda x: x[:, :, torch.tensor([3, 0, 5])]),
    "an array of rows": (PLANE, lambda x: x[:, :, np.array([3, 0, -1])]),
    "a constant mask": (PLANE, lambda x: x[:, :, mask]),
    "a literal mask": (PLANE, lambda x: x[:, [False, True]]),
    "a mask in a buffer": (PLANE, Indexed(lambda x, i: x[:, :, torch.arange(7) >= i.min() + 2])),
}
MARKED = {  # more is said than is read, and an axis is said to be global
    "gather": (PLANE, Indexed(lambda x, i: torch.take_along_dim(x, i.view(1, 1, 1, 3), 3))),
    "a grid that is known": (PLANE, through_a_grid),
    "max_unpool": (
        SQUARE,
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    ),
    "rows against rows": (SQUARE, lambda x: x @ x.mT),
    "sort": (PLANE, lambda x: x.sort(3)[0]),
    "topk": (PLANE, lambda x: x.topk(3, 3)[0]),
}
SELECTED = {  # a constant mask selects: which values it has is not looked at
    "masked_fill": (PLANE, lambda x: x.masked_fill(lower, 0.0)),
    "where": (PLANE, lambda x: torch.where(lower, x, x.flip(3))),
}
REFUSED_OR_EXACT = {
    "cumsum": (PLANE, lambda x: x.cumsum(3)),
    "cummax": (LINE, lambda x: x.cummax(2)[0]),
    "fft": (LINE, lambda x: torch.fft.rfft(x, dim=2).abs()),
    "rot90": (SQUARE, lambda x: x.rot90(1, (2, 3))),
    "diagonal": (SQUARE, lambda x: x.diagonal(dim1=2, dim2=3)[..., None].expand(-1, -1, 6, 6)),
    "roll of everything": ((2, 5, 5), lambda x: torch.stack([t.roll(3) for t in x])),
    "as_strided": (PLANE, lambda x: x.as_strided(x.shape, x.stride())),
    "tril": (SQUARE, lambda x: x.tril() + x),
    "a list of indices": (PLANE, lambda x: x[:, :, [3, 0, 5]]),
    "index_add": (PLANE, Indexed(lambda x, i: x.index_add(3, i, x[..., :3]))),
    "index_put": (PLANE, Indexed(written)),
    "complex": (LINE, lambda x: torch.view_as_real(torch.complex(x, x.flip(2))).sum(-1)),
    "cdist": (SQUARE, lambda x: torch.cdist(x, x)),
}


def _ready(case):
    shape, function = case
    model = function if isinstance(function, nn.Module) else Do("", function)
    return prepare(model, "nan"), shape


@pytest.mark.parametrize("name", EXACT)
def test_less_common_code_is_followed_exactly(name):
    model, shape = _ready(EXACT[name])
    compare(rf.analyze(model, shape)[""], reached(model, shape, "nan"))


@pytest.mark.parametrize("name", [*MARKED, *SELECTED])
def test_what_is_said_beyond_what_is_read_is_marked(name):
    model, shape = _ready({**MARKED, **SELECTED}[name])
    field, truth = rf.analyze(model, shape)[""], reached(model, shape, "nan")
    assert field.grid == truth.shape[:2]
    for unit in torch.cartesian_prod(*(torch.arange(n) for n in field.grid)).tolist():
        assert (field.support(tuple(unit)) | ~truth[tuple(unit)]).all()
    assert name in SELECTED or (any(field.global_axes) and field.why)


@pytest.mark.parametrize("name", REFUSED_OR_EXACT)
def test_what_is_not_followed_exactly_is_refused(name):
    model, shape = _ready(REFUSED_OR_EXACT[name])
    try:
        field = rf.analyze(model, shape)[""]
    except rf.TraceError as error:
        assert "has no rule" in str(error)
    else:
        compare(field, reached(model, shape, "nan"))


def test_a_module_of_blocks_is_no_more_than_its_blocks():
    """Window attention and a gate after it: exact inside, then everything."""
    windows = blocks.WindowAttention(blocks.Attention(2, "matmul"), (2, 3), 1)
    model = prepare(nn.Sequential(windows, blocks.Gate(2, 2, True)), "nan")
    report = rf.analyze(model, (2, 8, 9))
    assert not report["0"].is_global and report["1"].is_global
    compare(report["1"], reached(model, (2, 8, 9), "nan"))
