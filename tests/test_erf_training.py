"""The field while a network learns: what is measured, what is forgotten, how seeds are joined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from erfbook import datasets, erf, rf
from erfbook.datasets import ImageSet, Split
from erfbook.errors import UserError
from erfbook.experiments import training_fields as fields
from erfbook.experiments import training_growth as growth
from erfbook.experiments import training_initial as initial
from erfbook.experiments import training_tables as tables
from erfbook.experiments.catalogue import EXPERIMENTS
from erfbook.experiments.registry import Workspace
from erfbook.experiments.training_classes import (
    ERF_TRAINING,
    SMOKE,
    ChangedConfig,
    run_classes,
)
from erfbook.experiments.training_redo import redo, redo_all, tabulate_redone
from erfbook.experiments.training_scenes import ERF_CAMVID, run_scenes, score_scenes
from erfbook.experiments.training_scenes import SMOKE as SMOKE_SCENES
from erfbook.experiments.weights import has_weights
from erfbook.models.cifar_resnet import CifarResNet
from erfbook.models.residual import ResidualUnit
from erfbook.records import Record, Spec, Store

TINY = replace(
    SMOKE, n_train=48, n_test=20, n_blocks=1, epochs=1, batch_size=16, moments=(0, 0.5, 1),
    n_images=3, n_calibration=16, name="tiny",
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> CifarResNet:
    torch.manual_seed(0)
    return CifarResNet(4, n_blocks=2)


@pytest.fixture(scope="module")
def probe() -> fields.Probe:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(40, 3, 16, 16, generator=generator)
    return fields.Probe(images[:3], images[3:])


@pytest.fixture(scope="module")
def tiny() -> list[Record]:
    outcomes = [run_classes(TINY, seed, Workspace()) for seed in (0, 1)]
    return [
        Record(ERF_TRAINING.spec(TINY, seed), o.metrics, o.arrays)
        for seed, o in enumerate(outcomes)
    ]


def gradient_by_hand(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    x = images.clone().requires_grad_()
    model.eval()
    plane = model.features(x)
    plane[:, :, plane.shape[2] // 2, plane.shape[3] // 2].sum().backward()
    return x.grad.abs().double().sum(1).mean(0).numpy()


# --- what is measured ---------------------------------------------------------------------------


def test_the_running_reading_is_the_gradient_of_the_network_as_it_is(network, probe):
    seen = fields.look(network, probe)
    by_hand = gradient_by_hand(network, probe.images)
    # half precision keeps 11 bits: maps are compared to 2^-11 of the peak
    np.testing.assert_allclose(seen["maps"][0], by_hand / by_hand.max(), atol=2**-11)
    by_hand_map = erf.Map(by_hand, centre=(8.0, 8.0))
    assert seen["running_pixels"] == erf.size(by_hand_map)


def test_the_calibrated_reading_is_the_network_of_its_first_training_step(network, probe):
    """In training mode at momentum 1 the running statistics become the batch's own."""
    twin = CifarResNet(4, n_blocks=2)
    twin.load_state_dict(network.state_dict())
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    twin.train()
    with torch.no_grad():
        twin(probe.calibration)
    by_hand = gradient_by_hand(twin, probe.images)
    seen = fields.look(network, probe)
    np.testing.assert_allclose(seen["maps"][1], by_hand / by_hand.max(), atol=2**-10)
    assert not np.allclose(seen["maps"][1], seen["maps"][0], atol=0.01)  # the readings differ


def test_looking_changes_nothing(network, probe):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    fields.look(network, probe)
    fields.control_fields(network, probe, 1)
    assert network.training
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_an_even_map_fills_the_image_and_a_spot_does_not():
    flat = fields.describe(erf.Map(np.ones((20, 20)), centre=(10.0, 10.0)))
    # the fewest pixels that hold 95.45 % of 400 equal ones are 382
    assert flat["filled"] == 382 / 400
    assert flat["edge"] == 1.0
    assert flat["mass"] == pytest.approx(math.sqrt(382))
    values = np.zeros((20, 20))
    values[10, 10] = 1.0
    spot = fields.describe(erf.Map(values, centre=(10.0, 10.0)))
    assert (spot["filled"], spot["edge"], spot["pixels"]) == (1 / 400, 0.0, 1.0)


def test_a_dead_unit_has_no_field_and_says_so():
    found = fields.describe(erf.Map(np.zeros((8, 8)), centre=(4.0, 4.0), n_zero=5))
    assert found["zero"] == 5
    assert all(math.isnan(found[name]) for name in fields.NUMBERS)


def test_a_large_map_is_kept_as_means_over_blocks():
    values = np.random.default_rng(0).random((360, 480))
    small = fields.compact(values)
    assert small.shape == (120, 160)
    means = np.array([[values[3 * i : 3 * i + 3, :3].mean() for i in range(120)]])[0]
    blocks = values.reshape(120, 3, 160, 3).mean((1, 3))
    np.testing.assert_allclose(small[:, 0] * blocks.max(), means, rtol=2**-10)
    assert small.max() == 1.0


# --- how it is initialised, and what controls forget --------------------------------------------


def test_he_s_weights_have_the_variance_he_states():
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 64, 3, bias=False)
    fields.initialise(conv, "he")
    n = conv.weight.numel()
    # the variance of n normal numbers has the relative standard error sqrt(2 / n)
    assert float(conv.weight.detach().var()) == pytest.approx(
        2 / (32 * 9), rel=4 * math.sqrt(2 / n)
    )


def test_branches_that_start_at_zero_leave_the_first_layer_s_field(probe):
    torch.manual_seed(0)
    quiet = fields.initialise(CifarResNet(4, n_blocks=2, stem_kernel=5), "quiet")
    values = erf.measure(quiet, probe.images, "features").values
    rows, columns = np.nonzero(values)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 6, 10)
    usual = fields.initialise(CifarResNet(4, n_blocks=2, stem_kernel=5), "he")
    assert np.count_nonzero(erf.measure(usual, probe.images, "features").values) > 25


@pytest.mark.parametrize("control", fields.CONTROLS)
def test_a_control_keeps_what_it_says(network, control):
    copy = fields.make_control(control, network, seed=3)
    pairs = list(zip(network.named_parameters(), copy.named_parameters(), strict=True))
    for (name, old), (_, new) in pairs:
        old, new = old.detach(), new.detach()
        if control == "redrawn" and old.ndim == 4:
            # n draws of standard deviation s: the mean has s / sqrt n, the deviation s / sqrt(2 n)
            error = float(old.std()) / math.sqrt(old.numel())
            assert float(new.mean()) == pytest.approx(float(old.mean()), abs=4 * error)
            assert float(new.std()) == pytest.approx(float(old.std()), abs=4 * error)
        elif control == "taps" and old.ndim == 4:
            assert torch.equal(old.flatten(2).sort(2).values, new.flatten(2).sort(2).values)
        elif control == "shuffled":
            assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
        else:
            assert torch.equal(old, new), name
        if old.ndim == 4 and old[0].numel() > 1:
            assert not torch.equal(old, new), name


def test_a_full_shuffle_would_fail_the_law_of_taps(network):
    """The check above tells the two shuffles apart."""
    old = network.features.stem.conv.weight.detach()
    new = fields.make_control("shuffled", network, seed=3).features.stem.conv.weight.detach()
    assert not torch.equal(old.flatten(2).sort(2).values, new.flatten(2).sort(2).values)


def test_names_that_do_not_exist_are_refused(network):
    with pytest.raises(ValueError, match="control must be one of shuffled, taps, redrawn"):
        fields.make_control("pruned", network, 0)
    with pytest.raises(ValueError, match="init must be one of default, he, quiet"):
        fields.initialise(network, "xavier")
    with pytest.raises(UserError, match="dataset must be auto, cifar10 or patches32"):
        fields.choose_dataset("mnist", real="cifar10", embedded="patches32")


# --- networks before training -------------------------------------------------------------------


@pytest.mark.parametrize("name", list(initial.NETWORKS))
def test_the_papers_networks_have_the_fields_that_are_stated(name):
    assert initial.confirm_field(initial.NETWORKS[name]) == initial.FIELDS[name]


def test_without_skips_the_field_is_the_same_and_no_path_is_shorter():
    plain = initial.without_skips(CifarResNet(2, n_blocks=3)).eval()
    assert not any(isinstance(m, ResidualUnit) for m in plain.modules())
    with_skips = rf.analyze(CifarResNet(2, n_blocks=3).eval(), (3, 32, 32))["features"]
    assert rf.analyze(plain, (3, 32, 32))["features"].size == with_skips.size


def test_skips_make_the_initial_field_smaller(monkeypatch):
    shallow = replace(initial.NETWORKS["cifar"], n_blocks=3)
    monkeypatch.setitem(initial.NETWORKS, "cifar", shallow)
    found = initial.measure_initial("cifar", n_seeds=2, n_crops=2, channels=4, inits=["he"])
    named = initial.name_initial(found)
    assert named["initial_noskip_ratio_cifar_he_calibrated"]["value"] > 1
    assert len(initial.tabulate_initial(found)) == 2


# --- scores -------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """Scores that depend on the first pixel alone, on a plane of half the side."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.avg_pool2d(x, 2)
        return torch.stack([pooled[:, 0], pooled[:, 1], -pooled[:, 2]], 1) * self.scale


def test_scores_of_scenes_equal_a_count_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 8, 12), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 4, (5, 8, 12), generator=generator, dtype=torch.uint8)
    split = Split(images, labels)
    data = ImageSet("x", "x", ("a", "b", "c"), split, split, "x", ignore=3)
    found = score_scenes(Fixed(), data, split)
    scores = Fixed()(data.standardise(images))
    scores = nn.functional.interpolate(scores, (8, 12), mode="bilinear", align_corners=False)
    guess = scores.argmax(1)
    hits, unions, right, total = [0] * 3, [0] * 3, 0, 0
    for i, r, c in np.ndindex(5, 8, 12):
        label, predicted = int(labels[i, r, c]), int(guess[i, r, c])
        if label == 3:
            continue
        total, right = total + 1, right + (label == predicted)
        for k in range(3):
            hits[k] += label == k and predicted == k
            unions[k] += label == k or predicted == k
    assert found["accuracy"] == pytest.approx(right / total, abs=1e-12)
    assert found["mean_iou"] == pytest.approx(np.mean(np.array(hits) / unions), abs=1e-12)
    counted = replace(data, ignore=None)
    every = score_scenes(Fixed(), counted, Split(images, labels.clamp_max(2)))
    assert every["mean_iou"] != pytest.approx(found["mean_iou"], abs=1e-3)  # ignoring matters


# --- runs ---------------------------------------------------------------------------------------


def test_a_run_holds_the_field_at_every_moment_and_repeats_itself(tiny):
    first, second = tiny
    again = run_classes(TINY, 0, Workspace())
    assert again.metrics == first.metrics
    assert np.array_equal(again.arrays["maps"], first.arrays["maps"])
    assert first.metrics["epochs"] == [0, pytest.approx(2 / 3), 1]  # 3 steps an epoch, step 2
    assert first.arrays["maps"].shape == (3, 2, 32, 32)
    assert first.metrics["running_mass"] != second.metrics["running_mass"]
    assert len(first.metrics["running_mass_square"]) == 2
    assert first.metrics["depth_field"] == [5.0, 9.0]


def test_the_field_before_training_is_that_of_the_untrained_network(tiny):
    torch.manual_seed(1)
    model = TINY.build(7)
    data = datasets.load("patches32")
    images = data.limited(48, 20).standardise(data.test.images[:3])
    expected = fields.describe(erf.measure(model, images, "features"))
    assert tiny[1].metrics["running_mass"][0] == expected["mass"]


def test_a_run_on_a_whole_set_keeps_its_network_to_be_measured_again(tiny, tmp_path):
    assert not has_weights(tiny[0])
    config = replace(TINY, n_train=0, epochs=0.02, moments=(0, 0.02))
    outcome = run_classes(config, 0, Workspace())
    record = Record(ERF_TRAINING.spec(config, 0), outcome.metrics, outcome.arrays)
    redone = redo(record)
    assert redone.same_images and redone.here == redone.recorded
    name = "weights.features.stem.conv.weight"
    other = replace(record, arrays={**record.arrays, name: record.arrays[name] * [[[[-1]]]]})
    assert redo(other).here != redone.recorded
    store = Store(tmp_path)
    assert tabulate_redone(redo_all([store])) is None
    store.save(record)
    store.save(tiny[0])
    table = tabulate_redone(redo_all([store, store]))
    assert list(table.index) == [f"tiny, seed 0, here on {outcome.metrics['note']}"]
    assert redo_all([store], ["another"]) == []


def test_group_norm_has_one_reading_and_a_ring_no_border():
    def built(**changes):
        torch.manual_seed(3)
        return ChangedConfig(**{**vars(TINY), "n_blocks": 2, **changes}).build(7).eval()

    plain, group, ring = built(), built(norm="group"), built(padding_mode="circular")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    probe = fields.Probe(images, images + 1)
    for model, same in ((plain, False), (group, True)):
        seen = fields.look(model, probe)
        assert (seen["running_mass"] == seen["calibrated_mass"]) is same
    assert not any(isinstance(m, nn.BatchNorm2d) for m in group.modules())
    with pytest.raises(ValueError, match="norm must be batch or group, not 'layer'"):
        built(norm="layer")
    shifted = torch.roll(images, (5, 9), (2, 3))
    for model, same in ((plain, False), (ring, True)):
        moved = torch.roll(model.features(images), (5, 9), (2, 3))
        assert torch.allclose(model.features(shifted), moved, atol=1e-5) is same


def test_scenes_run_and_name_their_results():
    config = replace(
        SMOKE_SCENES, n_train=8, n_test=2, batch_size=4, n_calibration=2, moments=(0, 1)
    )
    outcomes = [run_scenes(config, seed, Workspace()) for seed in (0, 1)]
    records = [
        Record(ERF_CAMVID.spec(config, seed), o.metrics, o.arrays)
        for seed, o in enumerate(outcomes)
    ]
    found = growth.gather(records)
    assert found.image_px == (120, 160)
    named = growth.name_growth(found, "scenes")
    assert 0 <= named["scenes_mean_iou"]["value"] <= 1
    assert named["scenes_diameter_after"]["value"] == pytest.approx(
        stats.gmean(found.after("pixels")) * 2 / math.sqrt(math.pi)
    )


def test_both_experiments_can_be_swept():
    for experiment in (ERF_TRAINING, ERF_CAMVID):
        assert EXPERIMENTS[experiment.name] is experiment
        for profile in ("smoke", "laptop", "paper"):
            configs = [c for c, _ in experiment.plans[profile]]
            assert len({(c.name, c.dataset) for c in configs}) == len(configs)
            for config in configs:  # before, after, and in between
                assert config.moments[0] == 0 and config.moments[-1] == config.epochs
        assert all(len(c.moments) >= 10 for c, _ in experiment.plans["paper"])


# --- what seeds say together --------------------------------------------------------------------


def record(seed: int, sizes: np.ndarray, **config) -> Record:
    """A record whose numbers are all ``sizes``."""
    n = len(sizes)
    metrics: dict = {"epochs": list(np.arange(n, dtype=float)), "note": "made up"}
    for reading in fields.READINGS:
        for name in (*fields.NUMBERS, "zero"):
            metrics[f"{reading}_{name}"] = list(sizes)
        metrics[f"{reading}_mass_square"] = [sizes[0], sizes[-1]]
    metrics["accuracy"] = list(np.linspace(0.1, 0.9, n))
    metrics |= {f"{c}_{m}": [1.0, 3.0] for c in fields.CONTROLS for m in fields.NUMBERS}
    arrays = {"maps": np.ones((n, 2, 4, 4), np.float16), "control_maps": np.ones((3, 4, 4))}
    settings = {"name": "made up", "dataset": "none", **config}
    return Record(Spec("erf-training", 1, settings, seed, "d"), metrics, arrays)


def test_student_s_interval_agrees_with_scipy():
    values = np.random.default_rng(0).normal(3, 1, 6)
    found = growth.mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    logs = growth.mean_interval(values, log=True)
    assert logs.value == pytest.approx(stats.gmean(values), rel=1e-12)
    alone = growth.mean_interval(values[:1])
    assert alone.low == alone.value == alone.high


def test_a_run_without_a_field_after_training_is_refused_by_name():
    """Its only moment lies before the first step, so there is no smallest one on the way."""
    with pytest.raises(UserError, match=r"of erf-training was measured before .*; give more"):
        growth.gather([record(0, np.array([3.0]), epochs=0.01)])


def test_growth_is_the_ratio_within_a_seed():
    records = [record(0, np.array([2.0, 9.0, 3.0])), record(1, np.array([20.0, 9.0, 30.0]))]
    found = growth.gather(records)
    ratio = found.ratio("running")
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.5, 1.5, 1.5))  # no spread
    assert growth.answer(ratio) == "grew"
    assert growth.answer(growth.gather(records[:1]).ratio("running")).startswith("showed no")
    assert found.ratio_to_control("taps").value == pytest.approx(math.sqrt(3 / 2 * 30 / 2))


def test_a_field_that_rises_with_accuracy_has_rank_correlation_one():
    rising = [record(seed, np.array([9.0, 1.0, 2.0, 4.0, 5.0])) for seed in (0, 1)]
    assert growth.gather(rising).rank_correlation().value == pytest.approx(1.0)
    falling = [record(seed, np.array([0.0, 5.0, 4.0, 2.0, 1.0]) + 1) for seed in (0, 1)]
    assert growth.gather(falling).rank_correlation().value == pytest.approx(-1.0)


def test_chance_lows_are_not_taken_for_growth():
    """Noise around a constant has no recovery; choosing each run's own low would find one."""
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(0, 0.1, (200, 12)))
    found = growth.gather([record(seed, row) for seed, row in enumerate(sizes)])
    honest, _ = found.recovery()
    # the difference of two logs of deviation 0.1 has the standard error 0.1 sqrt(2 / 200) = 0.01
    assert math.log(honest.value) == pytest.approx(0, abs=0.04)
    own = np.log(sizes[:, -1] / sizes[:, 1:].min(1)).mean()
    assert own > 0.1  # what the wrong version finds


def test_runs_of_two_configurations_are_not_joined():
    pair = [record(0, np.ones(3), lr=0.1), record(1, np.ones(3), lr=0.2)]
    with pytest.raises(ValueError, match="one configuration and one data set"):
        growth.gather(pair)
    with pytest.raises(ValueError, match="at least one run"):
        growth.gather([])


def test_results_have_the_names_the_ledger_asks_for(tiny):
    named = growth.name_growth(growth.gather(tiny), "cifar")
    for name in ("accuracy", "growth_running_least", "growth_calibrated_least", "filled_running",
                 "filled_calibrated", "filled_after", "edge_after", "depth_slope"):  # fmt: skip
        assert f"cifar_{name}" in named
    ends = [named[f"cifar_growth_running_{m}"]["low"] for m in ("pixels", "mass", "moments")]
    assert named["cifar_growth_running_least"]["value"] == min(ends)


# --- which runs decide --------------------------------------------------------------------------

WHOLE = {"dataset": "cifar10", "n_train": 0, "n_test": 0, "n_blocks": 17}


def test_only_the_whole_set_and_the_whole_network_are_whole():
    assert tables.is_whole(WHOLE)
    for change in ({"dataset": "patches32"}, {"n_train": 2000}, {"n_test": 400}, {"n_blocks": 8}):
        assert not tables.is_whole({**WHOLE, **change})
    scenes = {"dataset": "camvid", "n_train": 0, "n_test": 0, "stages": [3, 4, 6, 3]}
    assert tables.is_whole(scenes)
    assert not tables.is_whole({**scenes, "stages": [1, 1, 2, 1]})
    assert not tables.is_whole({**scenes, "dataset": "streets"})


def test_the_papers_configuration_decides_before_the_smaller_one():
    def group(n: int, **settings):
        runs = [record(seed, np.array([1.0, 2.0, 3.0]), **settings) for seed in range(n)]
        return growth.gather(runs)

    paper, cpu = group(2, name="paper"), group(3, name="cpu")
    assert tables.choose_deciding({"cpu": cpu, "paper": paper}) is paper
    assert tables.choose_deciding({"cpu": cpu, "paper": group(1, name="paper")}) is cpu
    assert tables.choose_deciding({"cpu, He's weights": cpu}) is None


def test_published_runs_count_once_and_small_ones_not_at_all(tmp_path):
    from erfbook.records import Store

    first, second = Store(tmp_path / "a"), Store(tmp_path / "b")
    whole = record(0, np.array([1.0, 2.0, 3.0]), **{**WHOLE, "name": "cpu"})
    small = record(0, np.array([1.0, 2.0, 3.0]), **{**WHOLE, "n_train": 9, "name": "cpu"})
    for store in (first, second):
        store.save(whole)
    first.save(small)
    found = tables.read_published([first, second], "erf-training")
    assert list(found) == list(tables.choose_whole(found)) == ["cpu"]
    assert found["cpu"].seeds == (0,)
    names = ("mine", "cpu, He's weights", "paper", "cpu, 60 epochs", "cpu, 32 channels")
    for name in names:
        first.save(record(0, np.array([1.0, 2.0, 3.0]), **{**WHOLE, "name": name}))
    found = tables.read_published([first, second], "erf-training")
    assert list(found) == [
        "cpu, 32 channels", "cpu, 60 epochs", "cpu", "paper", "cpu, He's weights", "mine",
    ]  # fmt: skip
    whole = ["paper", "cpu, 32 channels", "cpu, 60 epochs", "cpu"]
    assert list(tables.choose_whole(found)) == whole


def test_what_decides_is_said_with_its_accuracy_or_that_nothing_does(tiny):
    assert tables.say_deciding(None) == "no published record decides it yet"
    line = tables.say_deciding(growth.gather(tiny))
    assert "from running statistics the field" in line and "2 runs of “tiny”, which reach" in line


def test_a_table_says_that_nothing_is_published_yet(tiny):
    ours = growth.gather(tiny)
    table = tables.tabulate_classes({}, [ours])
    assert list(table.columns)[:2] == ["the paper", "our records"]
    assert set(table["our records"]) == {"none yet"}
    beside = tables.tabulate_classes({"tiny": ours}, [ours])
    assert "our records" not in beside
    assert (beside.iloc[:, 1] == beside.iloc[:, 2]).all()
    assert len(tables.tabulate_growths([ours])) == 1


def test_changed_settings_are_named_and_end_at_the_last_epoch():
    plain = tables.configure_classes("laptop", dataset="patches32")
    assert plain == ERF_TRAINING.plans["laptop"][0][0]
    changed = tables.configure_classes("laptop", dataset="patches32", epochs=1.2)
    assert changed.name == "laptop, changed"
    assert changed.moments[-1] == 1.2 and max(changed.moments) == 1.2
    assert tables.configure_scenes("paper", dataset="camvid").name == "paper"
    assert tables.change_rate(plain, 0.1).lr == 0.1


# --- figures ------------------------------------------------------------------------------------


def test_figures_draw_what_they_are_given(tiny):
    import matplotlib.pyplot as plt

    from erfbook import plots

    found = growth.gather(tiny)
    moments = found.pick_moments(7)
    assert moments == [0, 1, 2]
    _, axes = plots.figure(2, len(moments))
    film = plots.plot_training_film(axes, found, moments)
    assert film[0, 0].get_title() == "before"
    assert len(film[1, 2].images) == 1
    _, axes = plots.figure(1, 3)
    sizes = plots.plot_training_sizes(axes, found)
    drawn = [sizes[i].lines[-2 if i < 2 else -1].get_ydata() for i in range(3)]
    for line, name in zip(drawn, ("running_pixels", "running_mass", "accuracy"), strict=True):
        np.testing.assert_allclose(line, found.numbers[name].mean(0))
    _, ax = plots.figure()
    assert len(plots.plot_training_ratios(ax, found).containers) == 15
    _, ax = plots.figure()
    assert len(plots.plot_training_accuracy(ax, [found]).lines) == 2
    _, ax = plots.figure()
    plots.plot_training_depth(ax, found)
    _, axes = plots.figure(1, 3)
    scene = plots.plot_scene_fields(axes, found, (100.0, None, 150.0))
    assert [len(ax.patches) for ax in scene] == [2, 1, 2]
    plt.close("all")
