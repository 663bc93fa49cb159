"""The searches for odd numbers against recurrences, brute force, and the networks themselves."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch import nn

from erfbook import rf
from erfbook.experiments import layouts, pool_rules, published_names
from erfbook.models.camvid_resnet import CamvidLayout, CamvidResNet
from erfbook.models.cifar_resnet import CifarResNet
from erfbook.models.pooled import pooled_resnet50, pooled_vgg


def size_of(*layers: tuple[int, int]) -> int:
    """Field of (kernel, stride) layers, by the recurrence from the last layer down."""
    size = 1
    for kernel, stride in reversed(layers):
        size = stride * (size - 1) + kernel
    return size


def test_cifar_sizes_follow_the_recurrence():
    for layout in random.Random(0).sample(list(layouts.enumerate_cifar()), 300):
        kernels = [layout.stem_kernel, *layout.block_kernels * 17, layout.last_kernel]
        assert layout.size == size_of(*((k, 1) for k in kernels))


def test_no_stack_of_odd_kernels_has_an_even_field():
    found = layouts.search_cifar(odd=True)
    assert found.exact == () and (found.below, found.above) == (73, 75)
    assert all(x.size % 2 for x in layouts.enumerate_cifar() if x.is_odd)
    # The same for all stacks of up to six layers of kernels 1 to 4: even if and only if an odd
    # number of kernels is.
    for n in range(1, 7):
        for kernels in itertools.product(range(1, 5), repeat=n):
            n_even = sum(k % 2 == 0 for k in kernels)
            assert size_of(*((k, 1) for k in kernels)) % 2 == (1 + n_even) % 2


def test_layouts_of_74_px_are_found_and_built():
    found = layouts.search_cifar()
    # Blocks that add 68 px leave 5 to the stem and the last layer: (s - 1) + (l - 1) = 5, six ways,
    # for each of the eight blocks of up to three kernels whose sum of k - 1 is 4.
    blocks = {
        tuple(sorted(kernels))
        for n in (1, 2, 3)
        for kernels in itertools.product(range(1, 8), repeat=n)
        if sum(kernels) - n == 4
    }
    assert len(found.exact) == 6 * len(blocks) == 48
    assert all(not x.is_odd for x in found.exact)
    assert found.exact[0].block_kernels == (3, 3) and found.exact[0].stem_kernel == 3
    assert layouts.confirm_cifar(found.exact[0]) == 74
    assert layouts.confirm_cifar(layouts.CifarLayout(3, (3, 3), 3)) == 73


@pytest.mark.parametrize("last_kernel, n_units", [(1, 12), (4, 9)])
def test_the_cifar_network_keeps_its_plane_and_trains(last_kernel, n_units):
    torch.manual_seed(0)
    network = CifarResNet(4, n_blocks=2, stem_kernel=4, last_kernel=last_kernel)
    images = torch.randn(3, 3, 12, 12)
    assert network.features(images).shape == (3, 4, n_units, n_units)
    scores = network(images)
    assert scores.shape == (3, 10)
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def camvid_layers(x: CamvidLayout) -> list[tuple[int, int]]:
    """List a front-end's layers from its description, not from the code's sums."""
    layers = [(x.stem_kernel, x.stem_stride)] + ([(x.stem_pool, 2)] if x.stem_pool else [])
    for stage, n_blocks in enumerate(x.stages):
        convs = [[3, 1] for _ in range(n_blocks * (2 if x.block == "basic" else 1))]
        if stage and x.transition in ("max2", "max3"):
            layers.append((int(x.transition[3]), 2))
        if stage and x.transition == "strided":
            convs[0][1] = 2
        if x.transition == "subsample" and stage + 1 < len(x.stages):
            convs[-1][1] = 2
        layers += map(tuple, convs)
    return [*layers, (x.last_kernel, 1)]


@pytest.fixture(scope="module")
def every_front_end() -> list[CamvidLayout]:
    return list(layouts.enumerate_camvid())


@pytest.fixture(scope="module")
def odd() -> published_names.OddNumbers:
    return published_names.explain_odd_numbers(1)


def test_sums_over_stages_are_the_recurrence_over_layers(every_front_end):
    for layout in random.Random(1).sample(every_front_end, 2000):
        layers = camvid_layers(layout)
        assert layouts.camvid_size(layout) == size_of(*layers)
        assert layouts.path_numbers(layouts.camvid_windows(layout)) == (size_of(*layers), 16)
        assert layout.output_stride == math.prod(stride for _, stride in layers) == 16
        assert sum(layout.stages) == 16


def test_a_sum_that_forgets_where_the_stride_sits_is_rejected(every_front_end):
    wrong = [
        layouts.camvid_size(CamvidLayout(**{**vars(layout), "transition": "subsample"}))
        == size_of(*camvid_layers(layout))
        for layout in random.Random(1).sample(every_front_end, 200)
        if layout.transition == "strided"
    ]
    assert wrong and not any(wrong)


def test_every_front_end_is_tried_once(every_front_end):
    assert len(set(every_front_end)) == len(every_front_end)
    # Stems: 3 kernels; per kernel 5, 4 or 3 stages by how many subsamplings are left, where a
    # distribution of 16 blocks over s stages is a choice of s - 1 of 15 gaps; then 2 kinds of
    # block, 4 transitions and 2 last layers.
    ways = math.comb(15, 4) + (2 + 1) * math.comb(15, 3) + 2 * math.comb(15, 2)
    assert len(every_front_end) == 3 * ways * 2 * 4 * 2


def test_front_ends_of_505_px_are_found_and_built(every_front_end, odd):
    found = odd.camvid
    exact = {x for x in every_front_end if size_of(*camvid_layers(x)) == 505}
    assert set(found.exact) == exact and found.n_tried == len(every_front_end)
    uniform = [x for x in found.exact if layouts.is_uniform(x)]
    # Four 3 x 3 pools and a 3 x 3 stem: 2 + 2 (1 + 2 + 4 + 8) = 32, and the blocks' 3 x 3 layers at
    # strides 2, 4, 8, 16: 4 (2 * 3 + 4 * 4 + 8 * 6 + 16 * 3) = 472.
    assert 1 + 32 + 472 == 505
    assert (3, 4, 6, 3) in {x.stages for x in uniform}
    for layout in [*uniform[:1], *random.Random(2).sample(found.exact, 3)]:
        assert layouts.confirm_camvid(layout) == (505, 16)


@pytest.mark.parametrize("transition", ["strided", "subsample", "max2", "max3"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_a_front_end_gives_scores_at_a_sixteenth_and_trains(block, transition):
    torch.manual_seed(0)
    layout = CamvidLayout(5, 2, 0, (1, 2, 1, 1), block, transition, 3)
    network = CamvidResNet(layout, 2)
    scores = network(torch.randn(2, 3, 32, 48))
    assert scores.shape == (2, 11, 2, 3)
    scores.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    field = rf.analyze(network.eval(), (3, 32, 48))["head"]
    assert field.size == (layouts.camvid_size(layout),) * 2 and field.stride == (16, 16)


def vgg_layers(stages, last_pool, pool):
    layers = []
    for i, n in enumerate(stages):
        layers += [(3, 1)] * n + ([(2, 2)] if last_pool or i < len(stages) - 1 else [])
    return [layers[0], pool, *layers[1:]]


def test_pool_rules_are_all_that_fit_and_a_broken_step_has_none():
    rules = pool_rules.find_pool_rules(pool_rules.VGG_SIZES)
    assert [(r.growth, r.offset, r.rest) for r in rules] == [(0, 1, 178), (1, 1, 177), (2, 1, 176)]
    brute = [
        (growth, offset, rest)
        for growth, offset, rest in itertools.product(range(3), range(-2, 5), range(100, 250))
        if all(
            3 + growth * k + offset - 1 + k * rest == size
            for k, size in zip((1, 2, 3, 4), (181, 359, 537, 715), strict=True)
        )
    ]
    assert brute == [(r.growth, r.offset, r.rest) for r in rules]
    assert pool_rules.find_pool_rules(pool_rules.RESNET_SIZES) == ()
    of_three = pool_rules.find_pool_rules(pool_rules.RESNET_SIZES[1:], (2, 3, 4))
    assert [(r.growth, r.offset) for r in of_three if r.rest == pool_rules.resnet_rest()] == [
        (1, 1)
    ]


def test_vgg_stacks_are_found_and_built():
    found = pool_rules.search_vgg(177)
    assert found[0].distance == 1 and not any(x.distance == 0 for x in found)
    for layout in found:
        for k, size in zip((1, 2, 3, 4), pool_rules.VGG_SIZES, strict=True):
            assert size_of(*vgg_layers(layout.stages, layout.last_pool, (k + 1, k))) == size
    for layout in found[:2]:
        assert pool_rules.confirm_vgg(layout, 3, 2) == 359
    # VGG-16 itself, to its last convolution and to its last pool.
    assert pool_rules.vgg_rest((2, 2, 3, 3, 3)) == 212 - 16 - 3
    assert pool_rules.vgg_rest((2, 2, 3, 3, 3), last_pool=True) == 212 - 3


def test_resnet_pools_are_all_that_fit():
    for size in pool_rules.RESNET_SIZES[:2]:
        found = pool_rules.search_pools(size, pool_rules.resnet_rest())
        for stem, kernel, stride in found:
            assert pool_rules.confirm_resnet(kernel, stride, stem) == size
    assert pool_rules.search_pools(110, 104) == ((3, 4, 1), (5, 2, 1))
    assert pool_rules.confirm_resnet(2, 1) == 108


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_gradient_on_a_constant_image_reads_one_tap_of_each_max_pool(stride):
    taps = [(1 if k == 2 else k, s) for k, s in vgg_layers((2, 2, 3, 3, 3), False, (1, stride))]
    read = pool_rules.measure_gradient_extent(stride, stride)
    assert read == size_of(*taps) == pool_rules.VGG_SIZES[stride - 1]
    full = pool_rules.VggLayout((2, 2, 3, 3, 3), False)
    true = pool_rules.confirm_vgg(full, stride, stride)
    assert true == size_of(*vgg_layers((2, 2, 3, 3, 3), False, (stride, stride))) > read


@pytest.mark.parametrize("build", [pooled_vgg, pooled_resnet50])
def test_pools_leave_parameters_equal_and_small_images_usable(build):
    counts = set()
    for stride in (1, 2, 3, 4):
        network = build(stride + 1, stride, width=0.03)
        counts.add(sum(p.numel() for p in network.parameters()))
        assert network.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert len(counts) == 1


def test_the_pooled_resnet_is_a_resnet50():
    """23,508,032 parameters before the head, less 7 x 7 against 3 x 3 taps in the first layer."""
    with torch.device("meta"):
        network = pooled_resnet50(3, 2)
    n = sum(p.numel() for p in network.features.parameters())
    assert n == 23_508_032 - 3 * 64 * (49 - 9)


def test_all_odd_numbers_are_explained_in_one_call(odd):
    named = {
        name: result["value"] for name, result in published_names.name_odd_numbers(odd).items()
    }
    assert odd.confirmed and named["layouts_confirmed"]
    assert (named["cifar_odd_layouts_74"], named["camvid_layouts_505"]) == (
        0,
        len(odd.camvid.exact),
    )
    assert odd.vgg_sizes == {size: size for size in pool_rules.VGG_SIZES}
    assert odd.resnet_sizes == {110: 108, 213: 213, 318: 318, 423: 423}
    assert named["pooled_vgg_gradient_matches"] == 4
    assert named["camvid_uniform_tried"] == 2 * math.comb(15, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: CamvidResNet(CamvidLayout(block="wide")), "layout.block must be .* not 'wide'"),
        (lambda: CamvidResNet(CamvidLayout(transition="avg")), "layout.transition .* not 'avg'"),
        (lambda: pooled_vgg(0, 1), r"kernel and stride of 1 or more, not \(0, 1\)"),
        (lambda: pooled_resnet50(2, 0), r"kernel and stride of 1 or more, not \(2, 0\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
