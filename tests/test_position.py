"""Pictures at several positions: alignment, the test, transfer and choices, each against a law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from featurevis_networks import seeded
from torch import nn

from erfbook import rf
from erfbook.errors import UserError
from erfbook.experiments.registry import Workspace
from erfbook.experiments.seen import position_measures as measures
from erfbook.experiments.seen import position_network as networks
from erfbook.experiments.seen import position_runs as runs
from erfbook.experiments.seen import position_study as study
from erfbook.experiments.seen import position_tables as tables
from erfbook.records import Record

SIDE = 32


def make_small() -> nn.Sequential:
    """Fields of 1, 3, 5, 9, 21 and 49 px: on 32 px from a few per cent to twice the area."""
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(5, 6, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(6, 6, 15, padding=7),
        )
    ).float()


@pytest.fixture
def small(monkeypatch):
    """The small network under a name, as a reader's own would be."""
    monkeypatch.setattr(networks, "load_network", lambda network, weights="": make_small())
    sizes = {"side_px": SIDE, "n_channels": 3, "n_restarts": 2, "steps": 6, "n_photographs": 1}
    photograph = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(runs, "_load_photographs", lambda n, side: photograph)
    return lambda **changes: runs.PositionConfig(name="small", **(sizes | changes))


def run_small(config) -> study.Layer:
    spec = replace(runs.UNIT_POSITIONS, fingerprint=lambda c: "small").spec(config, 0)
    outcome = runs.run_positions(config, 0, Workspace())
    return study.Layer(study.key_of(spec.config), Record(spec, outcome.metrics, outcome.arrays, {}))


# --- the part of the field that all positions show -------------------------------------------


@pytest.mark.parametrize("shift", [0, 3], ids=["right", "wrong"])
def test_aligned_crops_of_a_pattern_that_moves_with_its_unit_are_equal(shift):
    """The pattern is a function of the offset from the field; a shifted alignment must fail."""
    field = rf.analyze(nn.Conv2d(3, 1, 9, stride=4, padding=4), (3, SIDE, SIDE))[""]
    units = [(4, 4), (0, 4), (0, 0)]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    aligned = measures.align(field, units)
    crops = []
    for i, unit in enumerate(units):
        (top, _), (left, _) = field.region(unit)
        image = np.sin(0.9 * (rows - top) + 0.3 * (columns - left) ** 2)[None]
        moved = np.roll(image, shift * i, axis=-1)
        crops.append(aligned.crop(moved, i))
    same = all(np.allclose(crops[0], crop) for crop in crops)
    assert same == (shift == 0)
    # 9 px from -4 at the first unit: 4 of 9 rows are outside.
    assert aligned.cut == pytest.approx((0, 4 / 9, 1 - (5 / 9) ** 2))
    assert aligned.shape == (5, 5)


def test_fields_without_a_common_part_are_refused():
    field = rf.analyze(nn.Conv2d(3, 1, 1, padding=1), (3, 8, 8))[""]
    with pytest.raises(ValueError, match="show no common part"):
        measures.align(field, [(0, 0), (5, 5)])


def test_moving_a_picture_fills_with_grey_and_on_a_ring_with_what_left():
    image = np.arange(9.0).reshape(1, 3, 3)
    assert measures.move(image, (1, 0), circular=True)[0, 0].tolist() == [6, 7, 8]
    moved = measures.move(image, (-1, 1), circular=False)[0]
    assert moved.tolist() == [[0.5, 3, 4], [0.5, 6, 7], [0.5, 0.5, 0.5]]


def test_correlations_are_numpys_and_a_flat_picture_correlates_with_nothing():
    vectors = np.random.default_rng(0).normal(size=(2, 4, 30))
    vectors[1, 2] = 0.3
    found = measures.correlate(vectors)
    np.testing.assert_allclose(found[0], np.corrcoef(vectors[0]), atol=1e-12)
    assert np.all(found[1, 2] == 0)


# --- the test --------------------------------------------------------------------------------


def draw_alike(effect: float, seed: int, n_channels: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of pictures that share one part with all, one with those of their place."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 2)
    common = random.normal(size=(n_channels, 1, 40))
    own = random.normal(size=(n_channels, 3, 40))[:, labels]
    noise = random.normal(size=(n_channels, 6, 40))
    return measures.correlate(common + effect * own + noise), labels


def test_p_values_are_uniform_where_places_do_not_matter():
    ps = [
        study.permutation_test(*draw_alike(0.0, seed), n_draws=99, seed=seed) for seed in range(80)
    ]
    # Uniform: mean 0.5 with deviation sqrt(1/12/80) = 0.032; 4 of these. Below 0.1: 8 of 80 with
    # deviation 2.7; 4 of these.
    assert abs(np.mean(ps) - 0.5) < 0.13
    assert sum(p <= 0.1 for p in ps) < 19


def test_p_values_are_small_where_places_matter():
    assert study.permutation_test(*draw_alike(0.7, 0), n_draws=199, seed=0) == 1 / 200


def test_a_test_that_permutes_pictures_across_channels_would_be_wrong():
    """Channels differ more than places; without regard to them a null effect looks like one."""
    alike, labels = draw_alike(0.0, 3)
    within, between = study.split(alike, labels)
    assert abs((within - between).mean()) < 0.1 < within.mean()


def test_similarity_within_and_between_is_taken_over_the_right_pairs():
    labels = np.array([0, 0, 1, 1])
    alike = np.full((1, 4, 4), 0.2)
    alike[0, 0, 1] = alike[0, 1, 0] = 0.8
    alike[0, 2, 3] = alike[0, 3, 2] = 0.6
    np.fill_diagonal(alike[0], 1.0)
    within, between = study.split(alike, labels)
    assert (within[0], between[0]) == pytest.approx((0.7, 0.2))


# --- choices ---------------------------------------------------------------------------------


def test_layers_are_chosen_by_the_area_of_their_fields():
    found = networks.choose_layers(make_small(), SIDE)
    # Areas over that of 32x32 px: 5 px 2.4 %, a factor of 1.6 below 4 %; 9 px 7.9 %, 2.0 above.
    # 21 px 43 %, 49 px 234 %. The last module of each size is taken: what rectifies it.
    assert {role: (f.path, f.size[0]) for role, f in found.items()} == {
        "low": ("3", 5),
        "middle": ("7", 21),
        "high": ("8", 49),
    }


def test_a_network_of_small_fields_has_no_high_layer():
    with pytest.raises(UserError, match="twice the area of an image of 64 px; its fields are"):
        networks.choose_layers(make_small(), 64)


def test_units_are_those_whose_fields_centres_are_nearest():
    field = rf.analyze(nn.Conv2d(3, 1, 9, stride=4, padding=4), (3, SIDE, SIDE))[""]
    units = networks.choose_units(field, 0.0)
    assert units["corner"] == (0, 0) and units["edge"][0] == 0
    # Centres lie at 4u; the image's at 15.5.
    assert units["centre"] == (4, 4)


def test_channels_are_different_known_and_the_same_for_a_seed():
    drawn = networks.draw_channels(30, 20, 1)
    assert drawn == networks.draw_channels(30, 20, 1) != networks.draw_channels(30, 20, 2)
    assert len(set(drawn)) == 20 and set(drawn) <= set(range(30))
    assert networks.draw_channels(5, 20, 0) == (0, 1, 2, 3, 4)


def test_a_layer_or_padding_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no layer '9'"):
        networks.cut_behind(make_small(), "9", SIDE)
    with pytest.raises(UserError, match="padding must be one of zeros, circular, not 'mirror'"):
        networks.pad(make_small(), "mirror")


def test_a_trunk_gives_its_layers_output_and_field():
    model, images = make_small(), torch.rand(2, 3, SIDE, SIDE)
    trunk = networks.cut_behind(model, "3", SIDE)
    assert torch.equal(trunk(images), model[:4](images))
    assert networks.field_of(trunk, SIDE).size == rf.analyze(model, (3, SIDE, SIDE))["3"].size


# --- measures --------------------------------------------------------------------------------


def test_a_units_gain_is_the_norm_of_its_gradient():
    """A linear layer's gradients are its kernels, whatever signs the channels are added with."""
    conv = nn.Conv2d(3, 1, 3, padding=1, bias=False)
    trunk = networks.Trunk(nn.Sequential(conv), "0")
    responses = measures.Responses(trunk, 8, [0])
    gains, squares = measures.measure_gains(
        responses, torch.rand(2, 3, 8, 8), [(4, 4), (0, 0)], 1, 0
    )
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    kernel = (conv.weight.detach() / std).double()
    # float32 kernels of 27 values: relative error about 1e-7.
    assert gains[0] == pytest.approx(float(kernel.norm()), rel=1e-5)
    assert gains[1] == pytest.approx(float(kernel[..., 1:, 1:].norm()), rel=1e-5)
    np.testing.assert_allclose(squares[3:6, 3:6], kernel[0].square().sum(0), rtol=1e-4)
    assert squares.sum() == pytest.approx(squares[3:6, 3:6].sum())


def test_rings_are_read_by_distance_from_the_fields_centre():
    field = rf.analyze(nn.Conv2d(3, 1, 9, padding=4), (3, 20, 20))[""]
    rows, columns = np.mgrid[:20, :20]
    distance = np.maximum(abs(rows - 10), abs(columns - 10))
    rings = measures.ring_profile((1.0 + distance) ** 2 * (distance <= 4), field, (10, 10))
    # Four rings of 4.5/4 px: offsets 0 and 1, then 2, 3 and 4; root mean squares of 1 + distance.
    first = np.sqrt((1 + 8 * 4) / 9)
    np.testing.assert_allclose(rings, [first, 3, 4, 5])


def test_a_busier_picture_is_more_complex():
    random = np.random.default_rng(0)
    flat, busy = np.full((3, 24, 24), 0.5), random.random((3, 24, 24))
    found = measures.complexity(np.stack([flat, busy]))
    assert found[0] == 0 < found[1]


# --- a whole run -----------------------------------------------------------------------------


def test_on_a_ring_a_picture_moves_without_loss(small):
    """Of every role, since fields larger than the image go round the ring more than once."""
    for role in ("middle", "high"):
        layer = run_small(small(role=role, padding="circular"))
        assert layer.move_error() < 1e-4  # float32 through five layers
        assert layer.survives(0, 2).value == pytest.approx(
            float(layer.attains(2).value) ** -1, rel=1e-3
        )


def test_with_a_border_a_picture_that_is_moved_over_it_loses(small):
    layer = run_small(small(role="middle", inset=0.0))
    assert layer.move_error() > 0.05
    assert layer["cut"]["corner"] > layer["cut"]["edge"] > layer["cut"]["centre"]


def test_a_low_layers_pictures_away_from_the_border_are_those_of_the_ring(small):
    """Why the chapter needs no control there."""
    own, ring = (
        run_small(small(role="low", padding=padding)).record.arrays["attained"]
        for padding in networks.PADDINGS
    )
    np.testing.assert_allclose(own, ring, rtol=1e-3)


def test_results_have_the_names_that_the_notebook_reads(small):
    layers = {}
    for config in runs.plan("smoke"):
        own = small(role=config.role, padding=config.padding, inset=config.inset)
        layer = run_small(own)
        layers[layer.key] = layer
    assert list(layers) == list(tables.NAMES)
    named = study.name_all(layers)
    assert named["busier_from"]["value"] <= named["busier"]["value"]
    assert named["ring_error"]["value"] < 1e-4
    assert 0 < named["p_features_high"]["value"] <= 1
    assert tables.answer(layers).startswith("With 5 % shared out over 12 tests, places differ for")
    assert len(tables.tabulate_fields(layers)) == 4
    assert len(tables.tabulate_likeness(layers, "pixels")) == 6
    assert len(tables.tabulate_transfer(layers)) == 6
    with pytest.raises(UserError, match="space must be one of pixels, features"):
        tables.tabulate_likeness(layers, "words")
    ranks = [
        tables.shown_channel(layers["high"], which)[1] for which in ("first", "median", "last")
    ]
    assert ranks == [1, 2, 3]
