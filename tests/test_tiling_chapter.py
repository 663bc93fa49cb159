"""The chapter on tiling: its measures against closed forms, its tests against planted answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from erfbook import erf, models, rf
from erfbook.errors import UserError
from erfbook.experiments.registry import obtain
from erfbook.experiments.seen import tiling, tiling_probe, tiling_study, tiling_tables
from erfbook.experiments.seen import tiling_measures as measures
from erfbook.records import Store

SIDE = 64
OWN = '''
import torch
from torch import nn


def make():
    """A network of three convolutions, of whose last layer every unit sees all of 32 px."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 9, padding=4)]
    return nn.Sequential(*parts, nn.Conv2d(6, 5, 55, stride=2, padding=27))
'''


def grey(planes: np.ndarray) -> np.ndarray:
    """Return pictures whose three colours are one plane."""
    return np.repeat(np.atleast_3d(planes)[:, None], 3, axis=1)


def wave(cycles: int, axis: int = 1) -> np.ndarray:
    phase = 2 * np.pi * cycles * np.arange(SIDE) / SIDE
    rows, columns = np.meshgrid(phase, phase, indexing="ij")
    return np.cos(columns if axis else rows)[None]


@pytest.mark.parametrize("cycles, coarse", [(1, True), (4, True), (5, False), (20, False)])
def test_a_wave_belongs_to_the_layout_up_to_four_cycles_a_picture(cycles, coarse):
    parts = measures.split_scales(0.5 + grey(wave(cycles)))
    # A whole number of cycles is one Fourier coefficient: rounding alone, 1e-16 a sum of 4096.
    assert np.abs(parts[int(coarse)]).max() < 1e-12
    assert np.allclose(sum(parts), grey(wave(cycles)), atol=1e-12)


def test_blurred_noise_correlates_over_its_blur_and_stripes_over_half_the_picture():
    random = np.random.default_rng(0)
    noise = random.normal(size=(8, SIDE, SIDE))
    lengths = measures.correlation_lengths(grey(noise))
    # White noise under a Gaussian of 2 px has the correlation exp(-r^2 / 16): 1/e at 4 px.
    assert 3 <= np.median(lengths) <= 5
    assert measures.correlation_lengths(grey(wave(8)))[0] == SIDE / 2
    assert measures.correlation_lengths(grey(wave(8, axis=0)))[0] == SIDE / 2


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_the_slope_of_drawn_power_laws_is_found(exponent):
    random = np.random.default_rng(1)
    n = 128
    frequency = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(random.normal(size=(12, n, n))) * frequency ** (exponent / 2)
    slopes = measures.spectrum_slopes(grey(np.fft.ifft2(noise).real))
    # Eight rings of ten coefficients and more scatter by 0.1; leakage flattens steep ones a little.
    assert abs(slopes.mean() - exponent) < 0.25


def test_kurtosis_is_zero_for_gaussian_steps_and_large_for_few_edges():
    random = np.random.default_rng(2)
    assert abs(measures.edge_kurtoses(grey(random.normal(size=(1, SIDE, SIDE))))[0]) < 0.2
    edge = np.zeros((1, SIDE, SIDE))
    edge[:, :, SIDE // 2 :] = 1
    # One step in 126 is 1, the rest 0: for a share q the kurtosis is (1 - 6 q (1 - q)) / q (1 - q).
    q = 1 / 126
    assert measures.edge_kurtoses(grey(edge))[0] == pytest.approx(
        (1 - 6 * q * (1 - q)) / q / (1 - q)
    )


def test_sparseness_and_top_share_of_maps_that_can_be_counted():
    even, one, half = np.ones((1, 4, 5)), np.zeros((1, 4, 5)), np.zeros((1, 4, 5))
    one[0, 2, 3], half[0, :2] = 7, 3
    for maps, expected in ((even, 0), (one, 1), (half, 0.5 / 0.95)):
        assert measures.sparseness(maps)[0] == pytest.approx(expected)
        assert measures.sparseness(3 * maps)[0] == pytest.approx(expected)
    assert measures.top_shares(even)[0] == pytest.approx(0.1)
    assert measures.top_shares(one)[0] == 1
    assert np.isnan(measures.sparseness(-even)[0])  # silent, not sparse


def test_peaks_are_counted_where_they_were_planted():
    maps = np.zeros((1, 9, 9))
    for place, height in (((1, 1), 1.0), ((1, 6), 0.6), ((7, 4), 0.4)):
        maps[0][place] = height
    assert measures.count_peaks(maps)[0] == 2  # the third is lower than half
    assert measures.count_peaks(maps, 0.3)[0] == 3


def test_rank_correlation_is_spearmans():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 12, 12)), random.normal(size=(3, 12, 12))
    found = measures.rank_correlate(a, b, step=1)
    for i, j in np.ndindex(2, 3):
        expected = spearmanr(a[i].ravel(), b[j].ravel()).statistic
        assert found[i, j] == pytest.approx(expected, abs=1e-12)


def test_half_of_a_field_holds_its_own_share_of_contrast():
    field = np.arange(1.0, 101).reshape(1, 10, 10)
    share, area = measures.held_by_half(np.sqrt(field), field)
    # The largest k values of 1..100 hold k (201 - k) / 2 of 5050: half of it first with k = 30.
    assert area[0] == 0.30
    assert share[0] == pytest.approx(30 * 171 / 2 / 5050)


def slow_means(similarity: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    within, between = [], []
    for c in range(len(similarity) // n):
        own = range(c * n, (c + 1) * n)
        within.append(np.mean([similarity[i, j] for i in own for j in own if i != j]))
        others = [j for j in range(len(similarity)) if j not in own]
        between.append(np.mean([similarity[i, j] for i in own for j in others]))
    return np.array(within), np.array(between)


def planted(likeness: float, n_channels: int = 8, n: int = 3) -> np.ndarray:
    random = np.random.default_rng(4)
    own = np.repeat(random.normal(size=(n_channels, 30)), n, axis=0)
    items = likeness * own + (1 - likeness) * random.normal(size=own.shape)
    return measures.correlate(items)


def test_restarts_of_a_channel_are_found_alike_only_where_they_are():
    similarity = planted(0.5)
    found = tiling_study.compare_restarts(similarity, 8)
    within, between = slow_means(similarity, 3)
    assert found.within.value == pytest.approx(within.mean())
    assert found.between == pytest.approx(between.mean())
    assert found.excess.value == pytest.approx(((within - between) / (1 - between)).mean())
    assert found.p == pytest.approx(0.001)  # 1 of 1000, the smallest that 999 shuffles can give
    assert tiling_study.compare_restarts(planted(1.0), 8).excess.value == pytest.approx(1)
    assert tiling_study.compare_restarts(planted(0.0), 8).p > 0.05
    # The wrong order, restart before channel, is noticed: its groups are strangers.
    order = np.arange(24).reshape(8, 3).T.ravel()
    assert tiling_study.compare_restarts(similarity[order][:, order], 8).p > 0.05


def test_likeness_needs_two_restarts():
    with pytest.raises(ValueError, match="needs two channels and restarts, not 4 and 1"):
        tiling_study.compare_restarts(np.eye(4), 4)


@pytest.fixture(scope="module")
def lite0_report():
    return rf.analyze(models.load_model("efficientnet_lite0"), (3, 128, 128))


def test_layers_are_chosen_by_their_exact_field(lite0_report):
    chosen = {
        level: tiling.choose_layer(lite0_report, "_blocks.*", level) for level in tiling.LEVELS
    }
    assert {level: f.path for level, f in chosen.items()} == {
        "low": "_blocks.3", "middle": "_blocks.5", "high": "_blocks.9",
    }  # fmt: skip
    last = tuple(n - 1 for n in chosen["high"].grid)
    assert chosen["high"].support((0, 0)).all() and chosen["high"].support(last).all()
    assert not lite0_report["_blocks.8"].support((0, 0)).all()  # the one before does not
    with pytest.raises(UserError, match=r"no layer 'none.\*' counts as low at 128 px"):
        tiling.choose_layer(lite0_report, "none.*", "low")


def test_a_field_inside_the_image_is_covered_whole_and_one_beyond_it_in_part(lite0_report):
    shares = [tiling.measure_covered(lite0_report[f"_blocks.{i}"]) for i in (0, 3, 9)]
    assert 1 > shares[0] > shares[1] > shares[2]
    # Every unit of the layer sees all 128 x 128 px of its 275 x 275, and no more.
    assert shares[2] == pytest.approx((128 / 275) ** 2)


def test_effective_fields_are_those_of_the_library():
    model = models.load_model("efficientnet_lite0")
    random = np.random.default_rng(5)
    pictures = random.uniform(size=(3, 3, SIDE, SIDE))
    probe = tiling_probe.Probe(model, "_blocks.3", "_conv_head", torch.device("cpu"))
    found = probe.effective_fields(pictures, [2, 7], (4, 4))
    inputs = probe._as_input(pictures)
    for values, channel in zip(found, (2, 7), strict=True):
        expected = erf.measure(model, inputs, "_blocks.3", (4, 4), channel=channel).values
        # float32 sums of a few thousand products in another order: 1e-4 of the largest is ample.
        assert np.abs(values - expected).max() < 1e-4 * expected.max()
    wrong = erf.measure(model, inputs, "_blocks.3", (4, 4), channel=3).values
    assert np.abs(found[0] - wrong).max() > 1e-2 * wrong.max()


@pytest.fixture(scope="module")
def own_network(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own_tiny.py"
    path.write_text(OWN)
    return path


def small_config(path: Path, level: str, **changes) -> tiling.TilingConfig:
    small = {"side": 32, "n_channels": 3, "n_tiled": 3, "steps": 2, "n_crops": 3, "n_kept": 2}
    own = {"network": f"{path}:make", "weights": "none"}
    return tiling.configure("smoke", level, **own, **small, **changes)


def test_a_layer_is_measured_once_and_named_whole(own_network, tmp_path):
    config = small_config(own_network, "high")
    store = Store(tmp_path)
    (record,) = obtain(tiling.TILING, config, [0], store)
    (again,) = obtain(tiling.TILING, config, [0], store)
    assert record.spec.key == again.spec.key
    assert record.metrics["layer"] == "2"
    assert record.arrays["pictures_tiled"].shape == (2, 3, 3, 32, 32)
    assert record.arrays["pictures_tiled"].dtype == np.uint8
    level = tiling_study.gather({"high": record})["high"]
    named = tiling_study.name_level(level)
    assert all(name.endswith("_high") for name in named)
    assert named["field_high"]["value"] == 65  # 3 + 8 + 54 at stride 1
    assert {f"{name}_high" for name, _, _ in tiling_tables.ROWS} <= set(named)
    assert 0 <= tiling_study.choose_shown(level)[0] < 3


def test_two_restarts_are_asked_for(own_network):
    config = replace(small_config(own_network, "high"), n_single=1)
    with pytest.raises(UserError, match="needs two restarts or more"):
        tiling.run_tiling(config, 0, tiling.Workspace())
