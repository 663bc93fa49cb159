"""How large an input must be, and how far tiles must overlap: each against running the network.

Weights and images are small whole numbers in float64: sums are exact whatever their order, so that
a tile's output equals the whole run's bit by bit or is wrong.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from erfbook import rf


class UNet(nn.Module):
    """Two levels down and up again, with skips; ``up`` says how."""

    def __init__(self, up: str):
        super().__init__()
        self.enter, self.down = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.bottom = nn.Conv2d(2, 2, (3, 5), padding=(1, 2))
        self.ups = nn.ModuleList([nn.ConvTranspose2d(2, 2, 2, 2) for _ in range(2)])
        self.joins = nn.ModuleList([nn.Conv2d(4, 2, 3, padding=1) for _ in range(2)])
        self.how = up

    def larger(self, x, level, skip):
        if self.how == "transposed":
            return self.ups[level](x)
        if self.how == "size of the skip":
            return F.interpolate(x, size=skip.shape[2:])
        corners = {"align_corners": False} if self.how == "bilinear" else {}
        return F.interpolate(x, scale_factor=2, mode=self.how, **corners)

    def forward(self, x):
        a = F.relu(self.enter(x))
        b = F.relu(self.down(F.max_pool2d(a, 2)))
        c = F.relu(self.bottom(F.avg_pool2d(b, 2) * 4))
        b = F.relu(self.joins[0](torch.cat([b, self.larger(c, 0, b)], 1)))
        return self.joins[1](torch.cat([a, self.larger(b, 1, a)], 1))


def with_whole_weights(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randint(1, 4, weight.shape, generator=generator))
    return model


def dilated():
    layers = [
        nn.Conv2d(1, 2, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Conv2d(2, 1, (1, 4), 1, (0, 1)),
    ]
    return nn.Sequential(*layers, nn.ZeroPad2d((0, 1, 0, 0)))


def strided():
    layers = [nn.Conv2d(1, 2, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 1, 3, 1, 1)]
    return nn.Sequential(*layers)


NETWORKS = {
    "U-Net, transposed": lambda: UNet("transposed"),
    "U-Net, nearest": lambda: UNet("nearest"),
    "U-Net, bilinear": lambda: UNet("bilinear"),
    "U-Net, size of the skip": lambda: UNet("size of the skip"),
    "dilated": dilated,
    "strided": strided,
}


def run_by_tiles(model, x, tiling, *, before=None, after=None, tiles=1):
    """Return the model's output for a plane, computed tile by tile and put together.

    Args:
        model, x: the network and one image.
        tiling: its `multiple` is the grid on which tiles begin.
        before, after: overlap in pixels, per axis; the tiling's own by default.
        tiles: how many multiples a tile is long.
    """
    before, after = before or tiling.before, after or tiling.after
    with torch.no_grad():
        units = model(x).shape[2:]
        out = torch.full_like(model(x), torch.nan)
        pixels = x.shape[2:]
        stride = [p // u for p, u in zip(pixels, units, strict=True)]
        steps = [m * tiles for m in tiling.multiple]
        for row in range(0, pixels[0], steps[0]):
            for column in range(0, pixels[1], steps[1]):
                cut, take, put = [slice(None)] * 2, [slice(None)] * 2, [slice(None)] * 2
                for axis, a in enumerate((row, column)):
                    b = min(a + steps[axis], pixels[axis])
                    first = max(a - before[axis], 0)
                    cut.append(slice(first, min(b + after[axis], pixels[axis])))
                    s = stride[axis]
                    put.append(slice(a // s, b // s))
                    take.append(slice((a - first) // s, (b - first) // s))
                out[tuple(put)] = model(x[tuple(cut)])[tuple(take)]
    return out


def image(*sides):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 5, (1, 1, *sides), generator=generator).double()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("tiles", [1, 2])
def test_tiles_with_the_overlap_equal_the_whole_bit_by_bit(name, tiles):
    model, x = with_whole_weights(NETWORKS[name]()), image(48, 64)
    tiling = rf.tiling(rf.analyze(model, (1, 48, 64)), "")
    parts = run_by_tiles(model, x, tiling, tiles=tiles)
    with torch.no_grad():
        assert torch.equal(parts, model(x))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("end", ["before", "after"])
def test_tiles_with_a_multiple_less_overlap_are_wrong(name, axis, end):
    model, x = with_whole_weights(NETWORKS[name]()), image(48, 64)
    tiling = rf.tiling(rf.analyze(model, (1, 48, 64)), "")
    less = list(getattr(tiling, end))
    if not less[axis]:
        pytest.skip("nothing is needed at this end")
    less[axis] -= tiling.multiple[axis]
    parts = run_by_tiles(model, x, tiling, **{end: tuple(less)})
    with torch.no_grad():
        assert not torch.equal(parts, model(x))


def test_a_two_level_u_nets_tiles_begin_at_multiples_of_four():
    tiling = rf.tiling(rf.analyze(UNet("transposed").eval(), (1, 48, 64)), "")
    assert tiling.multiple == (4, 4)
    assert all(n % 4 == 0 for n in (*tiling.before, *tiling.after))


class Excited(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        return x * x.mean((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Excited(), "mean over the plane"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1).train()), "training mode"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.InstanceNorm2d(1)), "norm"),
        (nn.AdaptiveAvgPool2d((6, 8)), "adaptive|size"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "pad|circular|where"),
    ],
    ids=["squeeze-excite", "batch norm", "instance norm", "adaptive", "circular"],
)
def test_networks_that_no_tile_can_hold_are_refused_with_the_reason(model, why):
    with pytest.raises(ValueError, match=f"no tile of '' can be exact: .*({why})"):
        rf.tiling(rf.analyze(model, (1, 48, 64)), "")


class Resized(nn.Module):
    """A convolution, resizing, and a convolution; ``size`` is fixed or a share of the input's."""

    def __init__(self, stride=1, size=None, **how):
        super().__init__()
        self.enter = nn.Conv2d(1, 2, 3, stride, 1)
        self.leave, self.size, self.how = nn.Conv2d(2, 1, 3, padding=1), size, how

    def forward(self, x):
        return self.leave(F.interpolate(self.enter(x), self.size or x.shape[2:], **self.how))


class Cut(nn.Module):
    def forward(self, x):
        return x[:, :, :20, :20]


BILINEAR = {"mode": "bilinear", "align_corners": True}


@pytest.mark.parametrize(
    ("model", "sides", "why"),
    [
        (Resized(2, **BILINEAR), (65, 65), "upsample_bilinear2d depends on where"),
        (Resized(2, **BILINEAR), (64, 64), "upsample_bilinear2d depends on where"),
        (Resized(1, (40, 40)), (20, 20), "upsample_nearest2d follows .* a tile of 5x5 px"),
        (Resized(1, (40, 40), mode="bilinear"), (20, 20), "upsample_bilinear2d follows"),
        (Resized(2, (40, 40)), (40, 40), "upsample_nearest2d follows"),
        (Cut(), (40, 40), "follows"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1), nn.Flatten(2), nn.Unflatten(2, (20, 20))),
         (20, 20), "unflatten"),
    ],
    ids=["corners, odd", "corners", "fixed", "fixed, linear", "back to 40", "cut", "reshaped"],
)  # fmt: skip
def test_networks_that_do_something_else_with_a_tile_are_refused_with_the_operation(
    model, sides, why
):
    with pytest.raises(ValueError, match=f"no tile of '' can be exact: .*{why}"):
        rf.tiling(rf.analyze(model.eval(), (1, *sides)), "")


def test_a_layer_before_a_head_that_takes_one_size_has_tiles():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, 1, 1), nn.Flatten(), nn.Linear(2 * 48 * 64, 3))
    assert rf.tiling(rf.analyze(model, (1, 48, 64)), "0").before == (1, 1)


def test_a_tile_that_is_wrong_is_wrong_as_the_refusal_says():
    """Cut at even pixels with a margin of 20 px all around, corners kept: still another output."""
    model, x = with_whole_weights(Resized(2, **BILINEAR)), image(65, 65)
    with torch.no_grad():
        whole, part = model(x), model(x[..., 10:60, 10:60])
    assert not torch.allclose(whole[..., 30:40, 30:40], part[..., 20:30, 20:30])


# The smallest input.


def smallest_by_trying(model, input_size, axis, path=""):
    """Return the first side at which the central unit's region is inside, from 1 pixel on."""
    for side in range(1, 400):
        sides = list(input_size)
        sides[1 + axis] = side
        try:
            field = rf.analyze(model, tuple(sides))[path]
        except rf.InputError:
            continue
        first, last = field.region(field.central_unit)[axis]
        if 0 <= first and last < side:
            return side
    raise AssertionError("no side was large enough")


@pytest.mark.parametrize("name", ["U-Net, transposed", "dilated", "strided"])
def test_smallest_input_is_the_first_at_which_the_centre_is_whole(name):
    model = NETWORKS[name]().eval()
    found = rf.smallest_input(model, (1, 32, 32), "")
    assert found == tuple(smallest_by_trying(model, (1, 32, 32), axis) for axis in (0, 1))


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4), st.integers(1, 2)),
        min_size=1,
        max_size=3,
    )
)
def test_smallest_input_of_chains_is_the_first_found_by_trying(layers):
    model = nn.Sequential(*(nn.Conv1d(1, 1, k, s, p, d) for k, s, p, d in layers))
    assert rf.smallest_input(model, (1, 60), "") == (smallest_by_trying(model, (1, 60), 0),)


def test_smallest_input_of_a_layer_inside():
    model = nn.Sequential(nn.Conv1d(1, 1, 5, padding=2), nn.Conv1d(1, 1, 3, 2))
    assert rf.smallest_input(model, (1, 30), "0") == (5,)
    assert rf.smallest_input(model, (1, 30), "1") == (smallest_by_trying(model, (1, 30), 0, "1"),)


def test_no_input_holds_a_global_field():
    with pytest.raises(
        ValueError, match="no input holds the whole field of '': mean over the plane"
    ):
        rf.smallest_input(Excited(), (1, 16, 16), "")
