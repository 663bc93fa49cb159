"""The sheet of one channel: positions, what is refused in a line, and what its pictures hold."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_position import SIDE, make_small
from torch import nn

from erfbook import plots, rf
from erfbook.errors import UserError
from erfbook.experiments.registry import obtain
from erfbook.experiments.seen import position_network as networks
from erfbook.experiments.seen import sheet, sheet_tables
from erfbook.records import Store

BASE = {"side_px": SIDE, "n_restarts": 2, "steps": 5, "layer": "7", "channel": 2}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(networks, "load_network", lambda network, weights="": make_small())
    networks.weights_fingerprint.cache_clear()
    yield
    networks.weights_fingerprint.cache_clear()


def make(tmp_path, **changes) -> sheet.Sheet:
    config = sheet.configure("smoke", **(BASE | changes))
    (record,) = obtain(sheet.UNIT_SHEET, config, [0], Store(tmp_path))
    return sheet.open_sheet(record)


def test_a_sheet_has_a_row_a_position_and_one_for_all(small, tmp_path):
    found = make(tmp_path, positions=("centre", "border", "3:5"))
    assert found.names == ("centre", "border", "3:5", "everywhere")
    assert found.pictures.shape == (4, 2, SIDE, SIDE, 3) and found.pictures.dtype == np.uint8
    assert found.unit("3:5") == (3, 5) and found.unit("everywhere") is None
    assert np.all(found.responses[..., -1] > found.responses[..., 0])
    assert found.cut("centre") < found.cut("border") < 1 and np.isnan(found.cut("everywhere"))


def test_pixels_outside_the_exact_field_are_the_starts(small, tmp_path):
    assert sheet_tables.count_moved_outside(make(tmp_path, layer="3")) == 0


def test_pictures_keep_their_places_when_the_record_is_read_again(small, tmp_path):
    places = ("centre", "edge", "corner")  # not in the order of the alphabet
    made = make(tmp_path, layer="3", positions=places)
    read = make(tmp_path, layer="3", positions=places)
    assert made.names == read.names == (*places, "everywhere")
    assert [made.unit(name) for name in places] == [read.unit(name) for name in places]
    assert sheet_tables.count_moved_outside(made) == sheet_tables.count_moved_outside(read) == 0


def test_a_pixel_that_moved_outside_the_field_is_counted(small, tmp_path):
    found = make(tmp_path, layer="3", positions=("border",))
    found.pictures[0, 1, -1, -1, 0] += 1
    assert sheet_tables.count_moved_outside(found) == 1


def test_the_same_sheet_is_read_and_not_made_again(small, tmp_path, monkeypatch):
    first = make(tmp_path)
    monkeypatch.setattr(sheet.featurevis, "optimize", lambda *a, **k: pytest.fail("made again"))
    np.testing.assert_array_equal(make(tmp_path).pictures, first.pictures)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": "77"}, "the model has no layer '77'; nearest: '7'"),
        ({"layer": "unused"}, "up to 'unused': .*the layer 'unused' was not called"),
        ({"layer": "10"}, "the layer '10' has no spatial extent"),
        ({"channel": 6}, "channel must lie in 0 to 5 at '7', not 6"),
        (
            {"positions": ("middle",)},
            "positions must be centre, edge, corner, border or row:column",
        ),
        (
            {"positions": ("16:0",)},
            "position 16:0 is outside the layer's grid, which ends at 15:15",
        ),
        ({"positions": ("centre", "8:8")}, "positions must be different units"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(small, tmp_path, monkeypatch, changes, words):
    model = make_small().extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    model.unused = nn.Sequential()
    model.forward = lambda x: nn.Sequential(*list(model)[:11])(x)
    monkeypatch.setattr(networks, "load_network", lambda network, weights="": model)
    with pytest.raises(UserError, match=words) as caught:
        make(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_positions_by_name_are_where_the_border_cuts_least_to_most():
    field = rf.analyze(make_small(), (3, SIDE, SIDE))["7"]
    units = sheet.choose_positions(field, ("centre", "edge", "corner", "border"))
    assert units["border"] == (0, 0)
    assert units["edge"][1] == units["centre"][1] and units["corner"][0] == units["edge"][0]


def test_a_sheets_figures_and_numbers_are_made(small, tmp_path):
    asked = SimpleNamespace(
        **BASE, network="efficientnet_lite0", weights="DEFAULT", method="fourier",
        positions=("centre",), tiled=False,
    )  # fmt: skip
    config = sheet_tables.configure_sheet("smoke", asked)
    assert config.weights == "" and config.name == "smoke: 7, channel 2"
    found = make(tmp_path, method="fourier", positions=("centre",), tiled=False)
    named = sheet_tables.name_sheet(found)
    assert named["outside_moved"]["value"] == -1 and named["field_px"]["value"] == 21
    assert list(sheet_tables.tabulate_sheet(found).index) == ["centre"]
    fig, axes = plots.figure(1, 2, squeeze=False)
    assert plots.plot_sheet_pictures(axes, found) is axes
    ax = fig.add_subplot()
    assert plots.plot_sheet_responses(ax, found) is ax
    plt.close(fig)
