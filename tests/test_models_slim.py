"""TF-Slim's networks against published end points, TensorFlow's padding rule and NaN probes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torchvision
from published_end_points import END_POINTS
from torch import nn
from torch.nn import functional as F

from erfbook import rf
from erfbook.models import slim
from erfbook.models.slim import padding, recipes

THIN = 0.02
# The deepest ResNets differ from the first in their numbers of units alone: one side each will do.
SKIPPED = {("resnet_v1_101", 321), ("resnet_v1_152", 224)}
CASES = [(name, side) for name in END_POINTS for side in END_POINTS[name]]
CASES = [case for case in CASES if case not in SKIPPED]


def analyse(name: str, side: int, **options) -> rf.Report:
    with torch.device("meta"):
        network = slim.build_slim(name, width=THIN, **options)
    return rf.analyze(network, (3, side, side))


def wrong_end_points(report: rf.Report, expected: dict) -> list[str]:
    """Return the end points of which a number, on either axis, is not the expected one."""
    return [
        name
        for name, numbers in expected.items()
        if {*zip(report[name].size, report[name].stride, report[name].padding, strict=True)}
        != {numbers}
    ]


@pytest.mark.parametrize("name, side", CASES)
def test_every_end_point_has_the_published_size_stride_and_padding(name, side):
    report = analyse(name, side or 321)
    assert wrong_end_points(report, END_POINTS[name][side]) == []
    assert all(report[point].aligned for point in END_POINTS[name][side])


def test_symmetric_padding_is_rejected_by_the_published_end_points(monkeypatch):
    """PyTorch's habit, half a kernel on each side, gives other paddings on even planes."""
    monkeypatch.setattr(padding, "same_padding", lambda n, kernel, stride: (kernel // 2,) * 2)
    assert wrong_end_points(analyse("mobilenet_v1", 224), END_POINTS["mobilenet_v1"][224])
    assert not wrong_end_points(analyse("mobilenet_v1", 321), END_POINTS["mobilenet_v1"][321])


def test_a_stride_in_the_first_unit_is_rejected_by_the_published_end_points():
    report = analyse("resnet_v1_50", 224, stride_at="first")
    assert wrong_end_points(report, END_POINTS["resnet_v1_50"][224])
    assert report["block4"].size == (427, 427)  # torchvision's, found in test_published


def test_same_pads_as_little_as_gives_ceil_n_over_s_outputs():
    for n, kernel, stride in itertools.product(range(1, 40), range(1, 8), range(1, 5)):
        before, after = slim.same_padding(n, kernel, stride)
        n_out = math.ceil(n / stride)
        needed = [
            total for total in range(kernel + n) if (n + total - kernel) // stride + 1 == n_out
        ]
        if kernel >= stride or needed[0] > 0:  # else values beyond the last window go unread
            assert before + after == needed[0] or before + after == 0
        assert before + after >= needed[0]
        assert after - before in (0, 1)


def slow_same(x: torch.Tensor, kernel: int, stride: int, reduce) -> torch.Tensor:
    """Apply ``reduce`` to each SAME window of a plane in turn; values outside are None."""
    rows, columns = x.shape
    starts = []
    for n in (rows, columns):
        n_out = math.ceil(n / stride)
        missing = max((n_out - 1) * stride + kernel - n, 0)
        starts.append([i * stride - missing // 2 for i in range(n_out)])
    return torch.tensor(
        [
            [
                reduce(
                    [
                        [
                            x[i, j].item() if 0 <= i < rows and 0 <= j < columns else None
                            for j in range(left, left + kernel)
                        ]
                        for i in range(top, top + kernel)
                    ]
                )
                for left in starts[1]
            ]
            for top in starts[0]
        ],
        dtype=x.dtype,
    )


@pytest.mark.parametrize("side, kernel, stride", [(8, 3, 2), (9, 3, 2), (10, 7, 2), (7, 5, 1)])
def test_same_layers_equal_windows_taken_one_by_one(side, kernel, stride):
    generator = torch.Generator().manual_seed(side)
    x = torch.randn(side, side + 1, generator=generator, dtype=torch.float64)
    conv = slim.SameConv2d(1, 1, kernel, stride, bias=False).double()
    weight = conv.weight[0, 0].detach()

    def weigh(window):
        flat = [v or 0.0 for row in window for v in row]
        return float((torch.tensor(flat, dtype=torch.float64) * weight.flatten()).sum())

    def largest(window):
        return max(v for row in window for v in row if v is not None)

    # Sums of at most 49 products of size one: rounding stays below 49 * 1e-16 * 10.
    torch.testing.assert_close(
        conv(x[None, None])[0, 0].detach(), slow_same(x, kernel, stride, weigh), atol=1e-13, rtol=0
    )
    pool = slim.SameMaxPool2d(kernel, stride)
    assert torch.equal(pool(x[None, None])[0, 0], slow_same(x, kernel, stride, largest))


def test_padding_with_zeros_is_no_max_pool_over_the_plane():
    """The oracle above rejects zeros in place of minus infinity: all inputs are negative here."""
    x = -torch.rand(8, 8, dtype=torch.float64) - 1
    zeros = F.max_pool2d(F.pad(x[None, None], (0, 1, 0, 1)), 3, 2)[0, 0]
    expected = slow_same(x, 3, 2, lambda w: max(v for row in w for v in row if v is not None))
    assert not torch.equal(zeros, expected)
    assert torch.equal(slim.SameMaxPool2d(3, 2)(x[None, None])[0, 0], expected)


PROBED = [
    ("alexnet_v2", "conv3"),
    ("vgg_16", "pool3"),
    ("mobilenet_v1", "Conv2d_6_depthwise"),
    ("inception_v2", "Mixed_3b"),
    ("inception_v3", "Mixed_5b"),
    ("inception_v4", "Mixed_5b"),
    ("inception_resnet_v2", "Mixed_5b"),
    ("resnet_v1_50", "block1"),
]


@pytest.mark.parametrize("side", [72, 85])
@pytest.mark.parametrize("name, layer", PROBED)
def test_nan_reaches_exactly_the_units_that_see_the_pixel(name, layer, side):
    torch.manual_seed(0)
    network = slim.build_slim(name, width=THIN)
    part = network[: list(dict(network.named_children())).index(layer) + 1]
    field = rf.analyze(part, (3, side, side))[layer]
    for pixel in [(0, 0), (side // 2, side // 3), (side - 1, 17)]:
        image = torch.randn(1, 3, side, side)
        image[0, :, *pixel] = math.nan
        with torch.no_grad():
            reached = part(image)[0].isnan().any(0)
        assert (reached.numpy() == field.units_seeing(pixel)).all()


@pytest.mark.parametrize("side, aligned", [(224, False), (225, True)])
def test_same_padding_in_a_resnet_misaligns_even_planes(side, aligned):
    field = analyse("resnet_v1_50", side, padding="same")["block4"]
    assert field.aligned is aligned
    assert ("unit_3" in field.why) is not aligned
    assert analyse("resnet_v1_50", side)["block4"].aligned


def n_parameters(network: nn.Module, without: tuple[str, ...] = ()) -> int:
    return sum(
        p.numel() for name, p in network.named_parameters() if name.split(".")[0] not in without
    )


@pytest.mark.parametrize(
    "name, twin, without",
    [
        ("vgg_16", "vgg16", ("classifier",)),
        ("inception_v3", "inception_v3", ("AuxLogits", "fc")),
        ("resnet_v1_50", "resnet50", ("fc",)),
        ("resnet_v1_101", "resnet101", ("fc",)),
        ("resnet_v1_152", "resnet152", ("fc",)),
    ],
)
def test_channels_are_torchvisions_where_it_has_the_network(name, twin, without):
    options = {"init_weights": False} if twin == "inception_v3" else {}
    with torch.device("meta"):
        ours = slim.build_slim(name)
        theirs = torchvision.models.get_model(twin, weights=None, **options)
    assert n_parameters(ours) == n_parameters(theirs, without)


@pytest.mark.parametrize(
    "name, expected",
    [
        # Keras' MobileNet without its head: 3,228,864, of which 21,888 are running means and
        # variances. The published ports of the Inceptions have 42,679,816 and 55,843,464
        # parameters, 1,537,000 of them in the head of 1000 classes.
        ("mobilenet_v1", 3_228_864 - 21_888),
        ("inception_v4", 42_679_816 - 1_537_000),
        ("inception_resnet_v2", 55_843_464 - 1_537_000),
    ],
)
def test_channels_are_those_of_the_published_parameter_counts(name, expected):
    with torch.device("meta"):
        assert n_parameters(slim.build_slim(name)) == expected


@pytest.mark.parametrize("name", ["vgg_16", "mobilenet_v1", "inception_v2", "resnet_v1_50"])
def test_width_changes_channels_and_no_field(name):
    with torch.device("meta"):
        wide, thin = slim.build_slim(name, width=0.1), slim.build_slim(name, width=THIN)
    last = slim.last_end_point(wide)
    assert n_parameters(thin) < n_parameters(wide)
    fields = [rf.analyze(network, (3, 224, 224))[last] for network in (wide, thin)]
    assert fields[0].region((1, 2)) == fields[1].region((1, 2))


def test_a_recipe_word_says_what_it_builds():
    chain = recipes.Builder(4).layer("dw3x3/2 1x3:8v max3/2")
    assert list(dict(chain.named_children())) == ["a_dw3x3", "b_1x3", "c_max3"]
    assert chain.a_dw3x3.conv.groups == 4 and chain.b_1x3.conv.kernel_size == (1, 3)
    # 20 -> 10 (SAME, stride 2) -> 10 x 8 (VALID along the row) -> 5 x 4.
    assert chain(torch.zeros(1, 4, 20, 20)).shape == (1, 8, 5, 4)
    fork = recipes.Builder(4).layer("(1x3:8|3x1:6)")
    assert fork(torch.zeros(1, 4, 5, 5)).shape == (1, 14, 5, 5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: slim.build_slim("resnet_50"), "name must be one of alexnet_v2.*not 'resnet_50'"),
        (lambda: slim.build_slim("vgg_16", width=0), "width must be positive, not 0"),
        (lambda: slim.resnet_v1(34), r"n_layers must be one of \[50, 101, 152\], not 34"),
        (lambda: slim.resnet_v1(50, stride_at="middle"), "stride_at must be .* not 'middle'"),
        (lambda: slim.resnet_v1(50, padding="valid"), "padding must be .* not 'valid'"),
        (lambda: recipes.Builder().layer("3by3"), "a layer is written like .* not '3by3'"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
