"""The pooled networks as experiments: fields, parameters, records, refusals, pruning's runs."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from erfbook import training
from erfbook.errors import UserError
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pool_rules import confirm_pooled
from erfbook.experiments.pooled import (
    networks,
    plans,
    prunings,
    prunings_redo,
    prunings_study,
    prunings_tables,
    prunings_trends,
)
from erfbook.experiments.registry import Workspace, make, obtain
from erfbook.experiments.weights import weights_to_arrays
from erfbook.records import Record, Spec, Store
from erfbook.sweep import plan as sweep_plan
from erfbook.training.batches import Batches

TINY = replace(
    plans.SMOKE, n_train=64, n_test=35, width=1 / 32, epochs=1, batch_size=32, name="tiny"
)


@pytest.mark.parametrize("architecture", list(networks.FIELDS))
@pytest.mark.parametrize("stride", networks.STRIDES)
def test_fields_of_the_graph_are_those_of_the_arithmetic(architecture, stride):
    thin = replace(TINY, architecture=architecture, width=1 / 64)
    config = networks.with_pool(thin, stride)
    field = networks.FIELDS[architecture][stride - 1]
    assert config.theoretical_field == field
    assert confirm_pooled(networks.build_network(config, 0, 10)) == field


@pytest.mark.parametrize("architecture", list(networks.FIELDS))
@pytest.mark.parametrize("width", [1 / 16, 0.25, 1.0])
def test_no_parameter_depends_on_the_pool(architecture, width):
    base = replace(TINY, architecture=architecture, width=width)
    with torch.device("meta"):
        nets = [config.build(10) for config in plans.configure_pools(base)]
    shapes = [[(n, tuple(p.shape)) for n, p in net.named_parameters()] for net in nets]
    assert all(one == shapes[0] for one in shapes)


def test_a_seed_gives_the_same_first_weights_behind_every_pool():
    one, other = (
        networks.build_network(networks.with_pool(TINY, k), 5, 7).state_dict() for k in (1, 4)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_go_through_the_record_and_training_happens_once(tmp_path):
    config, store = networks.with_pool(TINY, 4), Store(tmp_path)
    space = Workspace(store=store)
    model = networks.trained_network(config, 3, space)
    again = networks.trained_network(config, 3, space)
    assert len(list(store.select("pool-training"))) == 1
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    record = next(store.select("pool-training"))
    data = networks.load_data(config)
    assert record.metrics["accuracy"] == training.accuracy(model, data, data.test)


def test_weights_are_kept_in_half_precision_and_accuracy_is_that_of_what_is_kept(tmp_path):
    config, store = networks.with_pool(TINY, 4), Store(tmp_path)
    record = make(networks.pool_training(), config, 0, store, Workspace(store=store))
    kinds = {name: values.dtype for name, values in record.arrays.items()}
    assert kinds["weights.head.weight"] == np.float16
    assert kinds["weights.head.bias"] == np.float32  # vectors are as they were
    network = networks.network_of(record)
    for name, values in network.state_dict().items():
        assert values.dtype != torch.float16
        assert torch.equal(values, torch.from_numpy(record.arrays[f"weights.{name}"]).to(values))
    data = networks.load_data(config)
    assert record.metrics["accuracy"] == training.accuracy(network, data, data.test)
    other = torch.nn.Linear(3, 2)  # weights that were not rounded lose nothing either
    kept = weights_to_arrays(other)["weights.weight"]
    assert kept.dtype == np.float32 and np.array_equal(kept, other.weight.detach().numpy())


def test_a_published_network_is_pruned_anew_as_its_records_say(tmp_path):
    store, config = Store(tmp_path), ask()
    record = obtain(prunings.POOL_PRUNING, config, [0], store)[0]
    (redone,) = prunings_redo.redo_all([store, store])
    assert redone.recorded == redone.here == (record.metrics["dense"], record.metrics["global"][1])
    assert redone.share_error < 1e-7 and 0 <= redone.agreement <= 1
    trained = next(store.select("pool-training"))
    first = next(name for name, values in trained.arrays.items() if values.ndim == 4)
    moved = {**trained.arrays, first: 100 * trained.arrays[first]}  # none of it is pruned
    wrong = prunings_redo.redo(dataclasses.replace(trained, arrays=moved), record)
    assert wrong.share_error > 0.01
    table = prunings_redo.tabulate_redone([redone, wrong])
    assert "–" not in table.iloc[0].to_list()
    elsewhere = dataclasses.replace(trained.spec, data="other images")
    other = prunings_redo.redo(dataclasses.replace(trained, spec=elsewhere), None)
    assert other.here is other.recorded is other.share_error is None
    assert prunings_redo.tabulate_redone([]) is None
    large = {**trained.metrics, "n_parameters": 1 + prunings_redo.MOST_PARAMETERS}
    spared = prunings_redo.redo(dataclasses.replace(trained, metrics=large), record)
    assert spared.here is None and spared.recorded == redone.recorded
    assert spared.share_error == redone.share_error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "resnet18"}, "architecture must be vgg or resnet50, not 'resnet18'"),
        ({"width": 0.001}, "width must leave a channel of the first 64, so be above .*not 0.001"),
        ({"width": float("nan")}, "width must leave a channel"),
        ({"pool_stride": 0}, "pool_stride must be at least 1 px, not 0"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        replace(TINY, **changes)


def test_a_pool_larger_than_the_plane_is_refused_with_the_field_that_can_be_had(tmp_path):
    config = networks.with_pool(TINY, 40)
    with pytest.raises(UserError, match=r"pool_kernel 41 is larger than the 32 px plane.*strides "
                       r"up to 31, a receptive field of 5521 px and not 7123 px"):  # fmt: skip
        networks.run_training(config, 0, Workspace(store=Store(tmp_path)))
    data = networks.load_data(TINY)
    networks.check_fits(networks.with_pool(TINY, 31), data)  # the largest one fits
    assert networks.with_pool(TINY, 31).theoretical_field == 3 + 178 * 31
    with pytest.raises(UserError, match="batch_size 63 leaves a last batch of one of 64 images"):
        networks.check_fits(replace(TINY, batch_size=63), data)


def test_a_data_set_that_is_absent_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ERFBOOK_DATA", str(tmp_path))
    with pytest.raises(UserError, match="tiny-imagenet"):
        networks.load_data(plans.TINY)


def ask(**changes):
    config = prunings.configure_pruning(networks.with_pool(TINY, 4))
    small = {"rates": (0.5, 0.9), "compared": (0.9,), "n_calibration": 32}
    small |= {"tuned": (0.9,), "tuned_epochs": 1}
    return replace(config, **(small | changes))


def test_a_pruning_run_that_is_stopped_at_every_turn_gives_the_same_numbers(tmp_path):
    whole = obtain(prunings.POOL_PRUNING, ask(), [0], Store(tmp_path / "a"))[0]
    store, n_pauses = Store(tmp_path / "b"), 0
    while True:
        try:
            space = Workspace(deadline=0.0)
            record = make(prunings.POOL_PRUNING, ask(), 0, store, space)
            break
        except training.Paused:
            n_pauses += 1
    assert n_pauses > 5
    assert record.metrics == whole.metrics
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(record.arrays[name], values)
    assert len(whole.metrics["global"]) == 2 and len(whole.metrics["tuned_usual"]) == 1
    weights = whole.arrays["layer_weights"]
    pruned = whole.arrays["shares"][-1] @ weights
    assert pruned == pytest.approx(round(0.9 * weights.sum()), rel=1e-6)  # shares are float32


def test_a_nested_setting_picks_a_configuration(tmp_path):
    wish = ["network.pool_stride=4"]
    runs = sweep_plan.lay_out(prunings.POOL_PRUNING, "smoke", Store(tmp_path), "none", only=wish)
    assert {run.config.network.pool_stride for run in runs} == {4}


KEY = ("quarter width", "vgg")


def study(dense, pruned, *, name="quarter width", seeds=None, dataset="cifar10"):
    """Records of made-up accuracies: rows are strides, columns seeds."""
    found = []
    for k, (whole, less) in enumerate(zip(dense, pruned, strict=True), 1):
        base = replace(plans.QUARTER, name=name, dataset=dataset)
        config = prunings.configure_pruning(networks.with_pool(base, k))
        for seed, (a, b) in enumerate(zip(whole, less, strict=True)):
            if seeds is not None and seed >= seeds[k - 1]:
                continue
            n = len(config.rates)
            metrics = {"dense": a, "note": "made up", "rates": list(config.rates),
                       "compared": list(config.rates),
                       "tuned_rates": {"tuned_printed": [0.9]}, "tuned_printed": [b],
                       "global": [a] * (n - 1) + [b], "calibrated": [a] * n, "n_classes": 10,
                       "field_px": config.network.theoretical_field}  # fmt: skip
            spec = Spec("pool-pruning", 1, dataclasses.asdict(config), seed, "data")
            found.append(Record(spec, metrics, {}, {}))
    return found


def test_slopes_of_an_exact_line_are_found_seed_by_seed():
    dense = [[0.9, 0.8], [0.8, 0.75], [0.7, 0.7], [0.6, 0.65]]
    pruned = [[0.1, 0.1], [0.3, 0.2], [0.5, 0.3], [0.6, 0.4]]
    found = prunings_study.gather(study(dense, pruned))["quarter width", "vgg"]
    slope = found.slope("dense")
    assert slope.value == pytest.approx(-7.5) and slope.n == 2
    # Seeds fall by 10 and by 5 points a step: mean -7.5, Student's half-width 12.706 x 2.5.
    assert slope.high == pytest.approx(-7.5 + 12.7062 * 2.5, abs=1e-3)
    np.testing.assert_allclose(found.gap(1, 0.9), [80, 70])
    by_polyfit = np.polyfit([1, 2, 3, 4], 100 * np.array(dense) - 100 * np.array(pruned), 1)[0]
    assert found.slope("gap", 0.9).value == pytest.approx(by_polyfit.mean())


def test_recipes_and_lengths_of_tuning_stand_apart(tmp_path):
    rows = [[0.9, 0.8], [0.8, 0.75], [0.7, 0.7], [0.6, 0.65]]
    plain, other = study(rows, rows), study(rows[::-1], rows, name="quarter width, printed recipe")
    longer = []
    for record in plain:
        name = f"quarter width, ten epochs of tuning: {record.spec.config['name'].split(': ')[1]}"
        spec = dataclasses.replace(record.spec, config={**record.spec.config, "name": name})
        longer.append(dataclasses.replace(record, spec=spec))
    found = prunings_study.gather([*plain, *other, *longer])
    assert len(found) == 3
    assert prunings_study.choose_deciding(found, "vgg").scale == "quarter width"
    table = prunings_tables.tabulate_recipes(found.values())
    assert table.loc["VGG, quarter width, made up, 20 epochs", "dense, points a step"].startswith(
        "-7.5"
    )
    printed = "VGG, quarter width, printed recipe, made up, 20 epochs"
    assert table.loc[printed, "dense, %"] == "62.5 to 85.0"
    trends = prunings_tables.tabulate_trends([found["quarter width", "vgg"]])
    assert trends.loc["VGG: dense accuracy", "Page's test"] == "of falling: p = 0.0017"  # 1 / 24^2
    assert prunings_tables.tabulate_recipes([]) is None


def test_what_decides_is_said_with_its_scale_and_seeds_or_that_nothing_does():
    say = prunings_trends.say_deciding
    assert say([]) == "no published record decides it yet"
    dense = [[0.9, 0.8], [0.8, 0.75], [0.7, 0.7], [0.6, 0.65]]
    chosen = prunings_study.choose_deciding(prunings_study.gather(study(dense, dense)), "vgg")
    line = say([chosen])
    scale = "quarter width, 2 seeds, made up, 20 epochs"
    assert line.startswith(f"VGG ({scale}): dense accuracy shows no sure trend (-7.5")
    gap = "the gap at 90 % shows no sure trend (+0.0 [+0.0, +0.0] points a step)"
    assert line.endswith(f"pruned accuracy rises at no rate, {gap}")
    alone = prunings_trends.say_statistics([chosen])
    assert alone == f"85 % become 85 % in VGG at a field of 181 px ({scale})"
    assert prunings_trends.say_statistics([]) == say([])
    rising = [[0.1, 0.2], [0.2, 0.31], [0.3, 0.39], [0.4, 0.5]]
    chosen = prunings_study.choose_deciding(prunings_study.gather(study(dense, rising)), "vgg")
    assert "rises at 90 % (+9.9 [+8.6, +11.2]), the gap" in say([chosen])


def test_every_network_is_tuned_at_five_rates_together_and_layer_by_layer():
    for config, _ in prunings.POOL_PRUNING.plans["paper"]:
        if "tuning" not in config.name:
            assert config.tuned == config.rates == config.compared == prunings.RATES
            assert config.tuned_epochs == pytest.approx(config.network.epochs / 20)


def test_tuned_networks_stand_under_the_one_shot_ones_with_their_epochs_and_own_rates():
    rows = [[0.9, 0.8], [0.7, 0.6]]
    records = study(rows, rows)
    for record in records:
        k = record.spec.config["network"]["pool_stride"]
        record.metrics.update(
            tuned_epochs=1.5, layer=[0.5 / k] * 5, tuned_layer=[0.25, 0.75 / k],
            tuned_rates={"tuned_printed": [0.9], "tuned_layer": [0.5, 0.9]},
        )  # fmt: skip
    table = prunings_tables.tabulate_tuned_rates(prunings_study.gather(records)[KEY])
    first, second = (f"VGG {px} px" for px in prunings_study.gather(records)[KEY].fields)
    alone, together = "each layer", "all together"
    assert table.index.names[-1] == "tuned: 1.5 epochs"
    tuned = "tuned"
    assert list(table.index) == [
        (field, ranked, then)
        for field in (first, second) for ranked in (together, alone) for then in ("one-shot", tuned)
    ]  # fmt: skip
    assert set(table.columns) == {"dense", "50%", "90%"}
    assert table.loc[(first, together, "one-shot"), "90%"].startswith("85.0")
    assert table.loc[(first, together, tuned)].isna()["50%"]  # not tuned there
    assert table.loc[(first, alone, tuned), "50%"].startswith("25.0")
    assert table.loc[(second, alone, tuned), "90%"].startswith("37.5")
    assert table.loc[(second, alone, "one-shot"), "90%"].startswith("25.0")


def test_only_all_of_cifar_with_two_seeds_of_three_pools_decides():
    rows = [[0.9, 0.8]] * 4
    choose = prunings_study.choose_deciding
    good = study(rows, rows)
    assert choose(prunings_study.gather(good), "vgg").scale == "quarter width"
    few = prunings_study.gather(study(rows, rows, seeds=(1, 1, 2, 2)))
    assert choose(few, "vgg") is None
    one = prunings_study.gather(study(rows, rows, seeds=(1, 2, 2, 2)))
    assert choose(one, "vgg").strides == (2, 3, 4)
    better = prunings_study.gather(good + study(rows, rows, name="usual recipe"))
    assert choose(better, "vgg").scale == "usual recipe"
    assert choose(better, "resnet50") is None
    assert not prunings_study._is_whole(study(rows, rows, dataset="patches32")[0], "cifar10")


def test_what_decides_nothing_yet_is_shown_all_the_same():
    rows = [[0.9, 0.8]] * 4
    show = prunings_study.choose_shown
    assert show({}) == []
    assert [
        s.scale for s in show(prunings_study.gather(study(rows, rows, seeds=(1, 0, 0, 1))))
    ] == ["quarter width"]
    half = study(rows, rows, name="half width", seeds=(1, 1, 1, 1))
    both = prunings_study.gather(half + study(rows, rows, seeds=(1, 2, 2, 2)))
    (shown,) = show(both)  # the scale that decides before the better one that does not
    assert shown.scale == "quarter width" and shown.strides == (1, 2, 3, 4)
    assert [s.scale for s in show(prunings_study.gather(half))] == ["half width"]
    changed = study(rows, rows, name="quarter width, printed recipe")
    assert show(prunings_study.gather(changed)) == []


def test_the_paper_s_differences_are_those_of_its_columns():
    """Within rounding of the three printed numbers: half a unit of the last digit each."""
    for table in prunings_tables.PAPER_TABLES.values():
        for row in table.values():
            dense, pruned, gap = (float(getattr(row, n)[0]) for n in ("dense", "pruned", "gap"))
            assert dense - pruned == pytest.approx(gap, abs=0.25), row


def test_a_trend_is_said_as_its_interval_allows():
    assert prunings_trends.say_trend(Estimate(-1, -2, 1, 3)) == "no sure trend"
    assert prunings_trends.say_trend(Estimate(-1, -2, -0.5, 3)) == "falls"
    assert prunings_trends.say_trend(Estimate(-1, -1, -1, 1)) == "no interval from one seed"


@pytest.mark.parametrize("augmented", [False, True])
def test_batch_norm_is_calibrated_on_images_as_training_shows_them(augmented):
    data = networks.load_data(TINY)
    how = {"crop_padding": 4 * augmented, "flip": augmented}
    recipe = training.Recipe(epochs=1, lr=0.1, batch_size=24, **how)
    shown = prunings.draw_training_images(recipe, data, 40)
    assert len(shown) == 40
    batches = Batches(data, recipe, seed=0, device=torch.device("cpu"))
    assert torch.equal(shown, torch.cat([batches[0][0], batches[1][0]])[:40])
    whole = {image.numpy().tobytes() for image in data.standardise(data.train.images)}
    n_whole = sum(image.numpy().tobytes() in whole for image in shown)
    assert n_whole < 10 if augmented else n_whole == 40  # one crop of 81 is the image, one in two
    assert len(prunings.draw_training_images(recipe, data, 10**6)) == len(data.train)
