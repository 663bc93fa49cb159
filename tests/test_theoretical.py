"""The chapter on theoretical fields: experiments against closed forms and hand counts, figures."""

from __future__ import annotations

import dataclasses
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from erfbook import models, plots, theory
from erfbook.experiments import (
    accuracy,
    alignment,
    borders,
    effective,
    operations,
    theoretical,
    tiling,
)
from erfbook.theory import Window


def test_probe_finds_the_band_of_a_convolution():
    found = theoretical.probe(theoretical.ones(nn.Conv1d(1, 1, 3, padding=1)), 6)
    distance = abs(np.arange(6)[:, None] - np.arange(6))
    assert np.array_equal(found, distance <= 1)


def test_recurrences_closed_forms_analysis_and_execution_agree():
    check = theoretical.compare_recurrences(60, seed=1)
    assert check.n_stacks == 60 and min(check.n_units, check.n_pairs, check.n_border) > 100
    assert check.wrong == dict.fromkeys(check.wrong, 0)
    named = theoretical.name_path_check(check)
    assert (
        named["path_units"] == {"value": check.n_units} and named["path_wrong_size"]["value"] == 0
    )


@pytest.mark.parametrize(
    "name, wrong, found",
    [
        ("step_size", lambda r, w: w.stride * r + w.kernel, {"size"}),
        ("predict_effective_padding", lambda path: sum(w.padding for w in path), {"padding"}),
        ("predict_effective_stride", lambda path: path[-1].stride, {"stride"}),
        ("predict_region", lambda path, unit: (0, theory.predict_field_size(path) - 1), {"region"}),
        ("predict_units_seeing", lambda path, pixel: range(pixel, pixel + 1), {"inverse"}),
    ],
)
def test_the_comparison_finds_a_wrong_formula(monkeypatch, name, wrong, found):
    monkeypatch.setattr(theoretical.theory, name, wrong)
    check = theoretical.compare_recurrences(15, seed=2)
    assert found <= {quantity for quantity, count in check.wrong.items() if count}


def test_paths_that_meet_have_the_regions_counted_by_hand():
    examples = alignment.show_alignment(12)
    assert all(example.is_confirmed for example in examples.values())
    # Body: 5 px, stride 2, 2 px of padding; the shortcut sees the pixel in their middle.
    assert examples["aligned"].regions == [(2 * u - 2, 2 * u + 2) for u in range(6)]
    # Padding behind only: the same regions one pixel on.
    assert examples["other centre"].regions == [(2 * u - 1, 2 * u + 3) for u in range(6)]
    # The union of 2u - 2 ... 2u + 2 and u ... u + 6.
    union = [(min(2 * u - 2, u), max(2 * u + 2, u + 6)) for u in range(6)]
    assert examples["other stride"].regions == union
    aligned = {name: example.field.aligned for name, example in examples.items()}
    assert aligned == {"aligned": True, "other centre": False, "other stride": False}
    named = alignment.name_alignment(examples)
    assert named["alignment_conditions_agree"] == {"value": True}
    assert named["alignment_stride_size_largest"]["value"] == 9


def test_an_example_with_another_field_is_not_confirmed():
    examples = alignment.show_alignment(12)
    wrong = dataclasses.replace(examples["aligned"], field=examples["other centre"].field)
    assert not wrong.is_confirmed


def test_every_operation_sees_what_its_window_says():
    examples = operations.show_operations()
    assert [name for name, e in examples.items() if not e.is_confirmed] == []
    assert examples["dilated"].sizes == (9,)
    assert set(examples["transposed"].sizes) == {2, 3}
    assert examples["norm_train"].field.is_global and not examples["norm_eval"].field.is_global
    assert operations.name_operations(examples)["op_transposed_mean_size"]["value"] == 2.5
    table = operations.tabulate_operations(examples)
    assert len(table) == len(examples) and set(table["agrees"]) == {"✓"}


@pytest.mark.parametrize("path", [(Window(3, 1, 4),), (Window(9, 1, 3),), (Window(9, 2, 4),)])
def test_an_operation_with_a_wrong_window_is_not_confirmed(path):
    model = theoretical.ones(nn.Conv1d(1, 1, 3, padding=4, dilation=4))
    assert not operations._show("dilated", model, path, 24).is_confirmed


def test_vggs_units_are_cut_as_its_path_says():
    network = borders.measure_borders(224, ["VGG-16"], complete=["VGG-16"])["VGG-16"]
    path, expected = [], []
    for module in models.load_model("vgg16").features:
        if isinstance(module, nn.MaxPool2d):
            path.append(Window(2, 2))
        elif isinstance(module, nn.Conv2d):
            path.append(Window(3, 1, 1))
            inside = theory.predict_units_inside(224, path)
            expected.append((theory.predict_field_size(path), 1 - inside**2))
    found = [(layer.size_px, layer.share_cut) for layer in network.layers]
    assert found == [(size, pytest.approx(cut, abs=1e-12)) for size, cut in expected]
    assert network.first_all_cut is None and network.at_depth(1.0) is network.layers[-1]
    # The last layer of VGG's features is a pool, behind the last convolution.
    path, n = path[:-1], network.smallest_px
    units = [theory.count_units(side, path) // 2 for side in (n - 1, n)]
    ends = [theory.predict_region(path, unit) for unit in units]
    assert ends[1][0] >= 0 and ends[1][1] < n
    assert not (ends[0][0] >= 0 and ends[0][1] < n - 1)
    assert len(borders.tabulate_borders({"VGG-16": network})) == 1
    assert borders.name_borders({"VGG-16": network})["border_vgg16_last_size"]["value"] == 196


def test_share_cut_is_that_of_evenly_spread_squares():
    n, r = 224, 61  # centres at every pixel: those with 30 px on both sides fit
    centres = np.arange(n) + 0.5
    fits = (centres - r / 2 >= 0) & (centres + r / 2 <= n)
    assert borders.predict_share_cut(r, n) == pytest.approx(1 - fits.mean() ** 2)


def test_fields_on_a_photograph_are_those_of_its_size():
    shown = borders.show_fields(side_px=224)
    assert shown.pixels.shape == (224, 224, 3)
    assert [field.size for field in shown.fields] == [(67, 67), (147, 147), (339, 339)]


def test_a_flat_field_has_the_even_ratio():
    model = nn.Sequential(nn.Conv2d(1, 1, 21, bias=False))
    nn.init.ones_(model[0].weight)
    found = effective._measure(model.eval(), torch.zeros(1, 1, 31, 31), "0")
    # 95.45 % of 441 equal pixels are 420.9: 421 must be taken.
    assert found == math.sqrt(421)
    assert found / 21 == pytest.approx(effective.EVEN_RATIO, abs=1 / 21**2)


def test_size_pairs_of_random_stacks_lie_below_the_field():
    make = effective._make_stack(12)
    (pair,) = effective._measure_random("3 × 3 stack", make, ("23",), 29, 2, 1)
    assert pair.theoretical_px == 25 and pair.is_whole and pair.n_networks == 2
    assert pair.spread_px[0] <= pair.effective_px <= pair.spread_px[1] < 25 * effective.EVEN_RATIO
    named = effective.name_size_pairs([pair])
    assert named["effective_stack_25"]["value"] == pair.effective_px
    assert named["effective_largest_ratio"]["value"] == pair.ratio


@pytest.fixture(scope="module")
def tiles():
    return tiling.check_tiling(32, 96, seed=0)


def test_tiles_are_exact_with_the_overlap_of_the_regions_and_not_with_less(tiles):
    assert tiles.largest < 2**53
    assert tiles.wrong_share("exact") == 0
    assert min(tiles.wrong_share(case) for case in ("less before", "none")) > 0
    assert tiling.name_tiling(tiles)["tiling_exact"]["value"] is True


def test_tiles_cover_a_line_once():
    tiles = list(tiling._tiles(96, 32, before=24, after=20))
    put = [i for tile in tiles for i in range(tile.put.start, tile.put.stop)]
    assert put == list(range(96))
    for tile in tiles:
        assert tile.read.start + tile.keep.start == tile.put.start
        assert tile.read.start + tile.keep.stop == tile.put.stop


def test_tiles_out_of_step_are_refused():
    with pytest.raises(ValueError, match="multiples of 4, not 30 and 96"):
        tiling.check_tiling(30, 96)


@pytest.fixture
def axes():
    fig, axes = plots.figure(2, 2, height=3)
    yield axes.ravel()
    fig.canvas.draw()  # a broken label or layout fails here
    plt.close(fig)


def test_single_path_fills_what_a_unit_sees(axes):
    path = [Window(3, 1, 1), Window(3, 2, 1), Window(2, 2)]
    assert plots.plot_single_path(axes[0], path, 16, [2]) is axes[0]
    filled = [patch for patch in axes[0].patches if patch.get_fill() and patch.get_alpha() > 0.2]
    assert len(filled) == 1 + 2 + 5 + 7
    assert "$r_0 = 7$: 6 to 12" in [text.get_text() for text in axes[0].texts]


def test_alignment_draws_each_path_of_each_unit(axes):
    examples = alignment.show_alignment()
    plots.plot_alignment(axes[:3], examples)
    widths = [patch.get_width() for patch in axes[2].patches]
    assert widths == [5] * 6 + [7] * 6
    assert "7 to 9 px" in axes[2].get_title()


def test_accuracy_draws_every_network_and_the_line(axes):
    fit = accuracy.fit_accuracy()
    plots.plot_accuracy(axes[0], fit)
    line, *points = (line.get_xydata() for line in axes[0].get_lines())
    drawn = {tuple(at) for at in np.concatenate(points)}
    assert drawn == {(network.size, network.top1) for network in fit.networks}
    assert np.allclose(line[:, 1], fit.predict(line[:, 0])[0])


def test_border_cut_draws_every_convolution(axes):
    layers = tuple(
        borders.LayerBorder(str(i), i / 3, 40 * i, 1.0, i / 4, 1 - i / 5) for i in (1, 2, 3)
    )
    shown = {"net": borders.NetworkBorder("net", 224, layers, 300)}
    plots.plot_border_cut(axes[:3], shown, (np.array([3.0, 900.0]), np.array([0.0, 1.0])))
    assert list(axes[0].get_lines()[0].get_ydata()) == [0.25, 0.5, 0.75]
    assert list(axes[1].get_lines()[0].get_ydata()) == [0.8, 0.6, 0.4]
    assert list(axes[2].get_lines()[1].get_xdata()) == [40, 80, 120]


def test_field_on_photograph_frames_the_regions(axes):
    shown = borders.show_fields()
    plots.plot_field_on_photograph(axes[:2], shown)
    assert [patch.get_width() for patch in axes[1].patches] == [67, 147, 339]
    first = shown.fields[0].region((0, 0))
    assert axes[1].patches[0].get_xy() == (first[1][0] - 0.5, first[0][0] - 0.5)


def test_size_pairs_leave_cut_fields_open(axes):
    pairs = [
        effective.SizePair("a", True, "1", 67, 40.0, (40.0, 40.0), 1, True),
        effective.SizePair("a", True, "2", 851, 300.0, (300.0, 300.0), 1, False),
    ]
    plots.plot_size_pairs(axes[:2], pairs)
    points = [line for line in axes[0].get_lines() if line.get_marker() == "o"]
    faces = {float(line.get_xdata()[0]): line.get_markerfacecolor() for line in points}
    assert faces[851.0] == "none" != faces[67.0]


def test_unet_tiling_colours_the_wrong_pixels(axes, tiles):
    plots.plot_unet_tiling(axes, tiles)
    wrong = axes[1].images[0].get_array()[..., 3] > 0
    assert np.array_equal(wrong, tiles.errors["none"] > 0)
    assert axes[3].images[0].get_array().max() == 0
