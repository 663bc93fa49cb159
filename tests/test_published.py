"""The recomputed table, the rule of SAME padding and the line through accuracies, done again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision

from erfbook import rf
from erfbook.experiments import accuracy, published, published_names, same_padding
from erfbook.experiments.accuracy import Rated

# Published rows as the source prints them: name, size, padding, top-1.
SOURCE = """
alexnet_v2 195 64 .572
vgg_16 212 90 .715
mobilenet_v1 315 126 .709
inception_v2 699 318 .739
inception_v3 1311 618 .780
inception_v4 2071 998 .802
inception_resnet_v2 3039 1482 .804
resnet_v1_50 483 239 .752
resnet_v1_101 1027 511 .764
resnet_v1_152 1507 751 .768
"""
THIN = 0.02


def test_the_table_is_the_sources():
    printed = [line.split() for line in SOURCE.strip().splitlines()]
    ours = [(r.name, r.size, r.padding, r.top1, r.stride) for r in published.published_table()]
    assert ours == [
        (name, int(size), int(padding), pytest.approx(100 * float(top1)), 32)
        for name, size, padding, top1 in printed
    ]


@pytest.fixture(scope="module")
def rows():
    names = ["alexnet_v2", "vgg_16", "mobilenet_v1", "resnet_v1_50"]
    return {row.published.name: row for row in published.recompute_table(names, width=THIN)}


def chain(*layers: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size, stride and padding of (kernel, stride, padding) layers, from the last one down."""
    size, first = 1, 0
    for kernel, stride, padding in reversed(layers):
        size, first = stride * (size - 1) + kernel, stride * first - padding
    return size, math.prod(stride for _, stride, _ in layers), -first


def resnet_layers(units, strided, pool_padding):
    layers = [(7, 2, 3), (3, 2, pool_padding)]
    for stage, n in enumerate(units):
        layers += [(3, 2 if i == strided(stage, n) else 1, 1) for i in range(n)]
    return layers


def test_rows_and_counterparts_follow_from_their_layers(rows):
    alexnet = [(3, 2, 0), (5, 1, 2), (3, 2, 0), *[(3, 1, 1)] * 3, (3, 2, 0)]
    vgg = [layer for n in (2, 2, 3, 3, 3) for layer in [(3, 1, 1)] * n + [(2, 2, 0)]]
    last = resnet_layers((3, 4, 6, 3), lambda stage, n: n - 1 if stage < 3 else None, 0)
    first = resnet_layers((3, 4, 6, 3), lambda stage, n: 0 if stage else None, 1)
    expected = {
        "alexnet_v2": (chain((11, 4, 0), *alexnet), chain((11, 4, 2), *alexnet)),
        "vgg_16": (chain(*vgg), chain(*vgg)),
        "resnet_v1_50": (chain(*last), chain(*first)),
    }
    for name, (ours, theirs) in expected.items():
        assert rows[name].ours.triple == ours
        assert rows[name].torchvision.triple == theirs
        assert rows[name].matches
    assert expected["resnet_v1_50"][0] != expected["resnet_v1_50"][1]
    assert rows["mobilenet_v1"].torchvision is None and not rows["mobilenet_v1"].twin


def test_partings_are_the_first_layers_that_differ(rows):
    assert rows["vgg_16"].partings == ()
    (parting,) = rows["alexnet_v2"].partings
    assert (parting.quantity, parting.layer, parting.twin_layer) == (
        "padding",
        "conv1",
        "features.0",
    )
    found = {p.quantity: (p.layer, p.value, p.twin_value) for p in rows["resnet_v1_50"].partings}
    # TF-Slim's first pool does not pad an even plane before its first value: 3 against 3 + 2.
    assert found["padding"] == ("pool1", 3, 5)
    assert found["stride"] == ("block1.unit_3", 8, 4)
    # Both have 35 px after three units; the next 3 x 3 layer then reads at stride 8, or 4.
    assert found["size"] == ("block2.unit_1", 35 + 2 * 8, 35 + 2 * 4)


def test_offset_is_the_mean_of_all_centres_from_the_images_middle(rows):
    # MobileNet at 224 px: unit u is centred on 31 + 32 u, for u from 0 to 6; the middle is 111.5.
    assert rows["mobilenet_v1"].ours.offset == np.mean([31 + 32 * u for u in range(7)]) - 111.5
    assert rows["vgg_16"].ours.offset == 0


def test_a_row_that_differs_does_not_match(rows):
    at_225 = published.recompute_table(["mobilenet_v1"], side=225, width=THIN)[0]
    assert not at_225.matches and at_225.ours.size == 315
    assert rows["mobilenet_v1"].matches


def slow_padding(strides_at, side):
    """Add up the values that SAME puts before each plane, plane by plane."""
    n, stride, total = side, 1, 0
    for kernel, step in strides_at:
        n_out = -(-n // step)
        total += stride * (max((n_out - 1) * step + kernel - n, 0) // 2)
        n, stride = n_out, stride * step
    return total


def test_the_rule_of_digits_is_the_sum_over_planes():
    mobilenet = [
        (3, 2),
        (3, 1),
        (3, 2),
        (3, 1),
        (3, 2),
        (3, 1),
        (3, 2),
        *[(3, 1)] * 5,
        (3, 2),
        (3, 1),
    ]
    for side in range(1, 400):
        expected = slow_padding(mobilenet, side)
        assert same_padding.predict_padding("mobilenet_v1", side) == expected
    assert same_padding.predict_padding("vgg_16", 225) == 90
    wrong = {side: 126 + side % 32 for side in (225, 226)}  # the digits of n, not of -n
    assert all(same_padding.predict_padding("mobilenet_v1", n) != p for n, p in wrong.items())


def test_the_rule_of_digits_holds_where_networks_are_analysed():
    found = same_padding.check_padding([193, 224, 230], ["mobilenet_v1", "resnet_v1_50"])
    assert found == same_padding.PaddingCheck(6, 6, 2, 6)
    # Published for 224: both networks. ResNet's pool reads at stride 2, where -193 and -230 have
    # digits 1 and 1 (-193 = ...11111 and -230 = ...11010 in binary).


def test_a_resnet_with_same_padding_is_misaligned_and_says_where():
    variants = same_padding.vary_resnet(96)
    assert variants["published"].numbers.aligned and not variants["published"].why
    assert variants["stride_first"].numbers.size == 427
    assert not variants["same"].numbers.aligned
    assert "block1.unit_3" in variants["same"].why


def test_the_line_is_the_normal_equations():
    rated = [
        Rated(str(i), s, t) for i, (s, t) in enumerate([(8, 50.0), (16, 55), (64, 58), (90, 67)])
    ]
    fit = accuracy.fit_accuracy(rated)
    x = np.stack([np.ones(4), np.log2([n.size for n in rated])], 1)
    y = np.array([n.top1 for n in rated])
    beta = np.linalg.solve(x.T @ x, x.T @ y)
    rest = y - x @ beta
    covariance = np.linalg.inv(x.T @ x) * (rest @ rest) / 2
    # Student's t of 2 degrees has the closed quantile t = (2p - 1) sqrt(2 / (4 p (1 - p))), here
    # for p = 0.975.
    t = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))
    assert (fit.intercept, fit.slope.value) == pytest.approx(tuple(beta), rel=1e-10)
    half = t * math.sqrt(covariance[1, 1])
    assert (fit.slope.low, fit.slope.high) == pytest.approx((beta[1] - half, beta[1] + half))
    line, low, high = fit.predict(np.array([32.0]))
    at = np.array([1, 5])
    spread = t * math.sqrt(at @ covariance @ at)
    assert (line[0], low[0], high[0]) == pytest.approx(
        (at @ beta, at @ beta - spread, at @ beta + spread)
    )
    for i, name in enumerate("0123"):
        kept = np.arange(4) != i
        without = np.linalg.lstsq(x[kept], y[kept], rcond=None)[0]
        assert fit.leave_one_out[name] == pytest.approx(without[1])


def test_intervals_of_the_slope_cover_the_truth_in_19_of_20_draws():
    rng, hits = np.random.default_rng(0), 0
    sizes = [row.size for row in published.published_table()]
    for _ in range(400):
        noisy = [Rated(str(s), s, 40 + 3 * math.log2(s) + rng.normal()) for s in sizes]
        slope = accuracy.fit_accuracy(noisy).slope
        hits += slope.low < 3 < slope.high
    # 400 draws at 95 %: standard deviation sqrt(400 * .95 * .05) = 4.4; four of them.
    assert abs(hits - 380) < 17.4


def test_families_leave_out_what_they_name():
    fits = accuracy.fit_families()
    names = {key: {n.name for n in fit.networks} for key, fit in fits.items()}
    assert len(names["all"]) == 10
    assert names["all"] - names["no_resnet"] == {f"resnet_v1_{n}" for n in (50, 101, 152)}
    assert names["all"] - names["no_mobilenet"] == {"mobilenet_v1"}
    assert fits["no_mobilenet"].slope.value == pytest.approx(
        fits["all"].leave_one_out["mobilenet_v1"]
    )
    assert fits["all"].decides and not fits["no_inception"].decides


def test_order_counts_pairs_one_by_one():
    rated = [Rated("a", 10, 50), Rated("b", 20, 40), Rated("c", 20, 60), Rated("d", 30, 60)]
    order = accuracy.compare_order(rated)
    # a-b is the wrong way round; b-c have one size; c-d one accuracy; a-c, a-d, b-d are in order.
    assert order.n_pairs == 4
    assert order.discordant == (("b", "a"),)
    rows = published.published_table()
    wrong = [(a.name, b.name) for a in rows for b in rows if a.size > b.size and a.top1 < b.top1]
    assert sorted(accuracy.compare_order().discordant) == sorted(wrong)


def test_the_smallest_field_is_of_those_accurate_enough():
    assert accuracy.find_smallest_field(75).name == "resnet_v1_50"
    assert accuracy.find_smallest_field(99) is None


def test_the_survey_is_torchvisions_and_holds_no_unknown_accuracy():
    rated = accuracy.survey_torchvision(["vgg16", "resnet50"])
    assert {(n.name, n.kind) for n in rated} == {
        ("vgg16", "IMAGENET1K_V1"),
        ("resnet50", "IMAGENET1K_V1"),
        ("resnet50", "IMAGENET1K_V2"),
    }
    assert {n.name: n.size for n in rated} == {"vgg16": 212, "resnet50": 427}
    assert accuracy.compare_training(rated).keys() == {"resnet50"}
    weights = torchvision.models.ResNet50_Weights
    gain = accuracy.compare_training(rated)["resnet50"]
    top1 = [
        w.meta["_metrics"]["ImageNet-1K"]["acc@1"] for w in (weights.IMAGENET1K_V1, weights.DEFAULT)
    ]
    assert gain == pytest.approx(top1[1] - top1[0])


def test_surveyed_planes_are_what_the_heads_pool():
    """The surveyed plane is the last one of more than one unit whose fields are local."""
    for name in ("squeezenet1_1", "shufflenet_v2_x1_0", "mnasnet1_0"):
        with torch.device("meta"):
            network = torchvision.models.get_model(name, weights=None).eval()
        report = rf.analyze(network, (3, 224, 224))
        local = [f for f in report.fields if not f.is_global and math.prod(f.grid) > 1]
        assert report[accuracy.SURVEYED[name]].size[0] == max(f.size[0] for f in local)


def test_results_have_the_names_the_ledger_asks_for(rows):
    named = published_names.name_table(list(rows.values()))
    assert named["table_matches"]["value"] == named["table_rows"]["value"] == 4
    assert named["table_resnet_v1_50_torchvision_size"]["value"] == 427
    assert named["table_alexnet_v2_padding_parts_at"]["value"] == "conv1"
    fits = published_names.name_accuracy(accuracy.fit_families())
    assert fits["accuracy_most_influential"]["value"] == "alexnet_v2"
    assert fits["accuracy_slope"]["n"] == 10
    table = published_names.tabulate(list(rows.values()))
    assert table.loc["vgg_16", "size parts at"] == "never"
    assert table.loc["mobilenet_v1", "torchvision"] == "–"


@pytest.mark.parametrize("rated", [[], [Rated("a", 9, 50)] * 2, [Rated("a", 9, 50)] * 3])
def test_a_line_needs_three_networks_of_different_sizes(rated):
    with pytest.raises(ValueError, match="networks must be 3 or more of different sizes"):
        accuracy.fit_accuracy(rated)
