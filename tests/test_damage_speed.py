"""Races: thresholds, arrivals, the exact test, and what the runs of all kinds say together."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats
from theory_oracles import rejects

from erfbook import training
from erfbook.experiments import (
    damage_limits,
    damage_plans,
    damage_speed,
    damage_study,
    damage_tables,
)
from erfbook.experiments.registry import Outcome, Workspace, obtain
from erfbook.records import Record, Spec, Store


def record(losses, accuracies=(0.1, 0.5), seed=0, diverged="", config=None):
    losses = np.asarray(losses, dtype=np.float32)
    steps = np.linspace(0, len(losses), len(accuracies)).round().astype(int)
    metrics = {"diverged": diverged, "n_classes": 10, "note": "toy", "n_weights": 9}
    if diverged:
        return Record(Spec("init-damage", 1, config or {}, seed, "toy"), metrics)
    metrics |= {"accuracy": accuracies[-1], "n_steps": len(losses)}
    metrics |= {"mass_before": 8.0, "mass_after": 10.0}
    arrays = {"losses": losses, "accuracies": np.array(accuracies), "moment_steps": steps}
    return Record(Spec("init-damage", 1, config or {}, seed, "toy"), metrics, arrays)


def line(rate, n=100):
    """A loss that falls from guessing by ``rate`` a step."""
    return math.log(10) - rate * np.arange(n)


def test_smoothing_is_the_mean_of_the_last_steps():
    losses = np.random.default_rng(0).random(40)
    slow = [losses[max(0, i - 9) : i + 1].mean() for i in range(40)]
    assert np.allclose(damage_speed.smooth(losses), slow, atol=1e-12)


def test_a_run_twice_as_steep_is_twice_as_fast():
    he = [record(line(0.010 + 0.001 * i), seed=i) for i in range(3)]
    fast = [record(line(0.020 + 0.002 * i), seed=i) for i in range(3)]
    threshold = damage_speed.loss_threshold(he, 10)
    # the median run at half time: step 49, mean of steps 40 to 49, nine tenths of the way
    assert math.isclose(threshold, math.log(10) - 0.9 * 0.011 * 44.5, rel_tol=1e-5)
    base, new = (damage_speed.loss_arrivals(runs, threshold) for runs in (he, fast))
    race = damage_speed.run_race("fast", new, "he", base)
    # smoothing delays both by 4.5 steps: (s - 4.5) halves exactly
    assert np.allclose((base.steps - 5.5) / (new.steps - 5.5), 2, rtol=0.06)
    assert race.n_faster == 3 and race.n_slower == 0 and race.n_censored == 0


def test_runs_that_never_arrive_pull_the_ratio_towards_one():
    he = [record(line(0.01), seed=i) for i in range(2)]
    stuck = [record(line(0.0001), seed=0), record([], seed=1, diverged="the loss is nan")]
    threshold = damage_speed.loss_threshold(he, 10)
    base, new = (damage_speed.loss_arrivals(runs, threshold) for runs in (he, stuck))
    assert not new.arrived.any() and (new.steps == 100).all() and np.isnan(new.curves[1]).all()
    race = damage_speed.run_race("stuck", new, "he", base)
    assert (race.ratios < 1).all() and (race.ratios >= base.steps.min() / 100).all()
    assert race.n_censored == 2
    both = damage_speed.run_race("stuck", new, "stuck", new)
    assert both.mean.value == 1 and both.p_value == 1


def test_accuracy_arrives_between_its_moments():
    runs = [record(line(0.01), accuracies=(0.1, 0.3, 0.5))]
    assert math.isclose(damage_speed.accuracy_threshold(runs), 0.9 * 0.3)
    found = damage_speed.accuracy_arrivals(runs, 0.4)
    assert found.steps[0] == 75 and found.arrived.all()
    assert not damage_speed.accuracy_arrivals(runs, 0.6).arrived.any()


@pytest.mark.parametrize("n", [2, 5, 9])
def test_sign_flip_test_is_scipys_exact_permutation_test(n):
    differences = np.random.default_rng(n).normal(0.5, 1, n)

    def check(test):
        exact = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert math.isclose(test(differences), exact.pvalue, abs_tol=1e-12)

    check(damage_speed.sign_flip_test)
    rejects(check, lambda d: damage_speed.sign_flip_test(d) / 2)


def test_no_five_pairs_can_be_significant():
    assert damage_speed.sign_flip_test(np.arange(1.0, 6.0)) == 2 / 2**5 > 0.05
    assert damage_speed.sign_flip_test(np.zeros(5)) == 1.0


def test_holm_is_its_step_down_definition():
    p_values = [0.01, 0.04, 0.03, 0.005]
    # with m - i + 1 hypotheses left at the i-th smallest: 4 * .005, 3 * .01, 2 * .03, then 0.06
    assert np.allclose(damage_speed.adjust_holm(p_values), [0.03, 0.06, 0.06, 0.02])


def test_luck_counts_ordered_pairs_of_different_seeds():
    arrivals = damage_speed.Arrivals(
        np.array([10.0, 12.0, 20.0]), np.ones(3, dtype=bool), np.zeros((3, 1)), np.ones(1)
    )
    pairs = itertools.permutations([10, 12, 20], 2)
    assert damage_speed.chance_of_faster(arrivals) == np.mean([a / b >= 1.3 for a, b in pairs])


def toy_starts(speed=1.0, n=8):
    rates = 0.01 + 0.001 * np.random.default_rng(0).random(n)
    factors = {"he": 1.0, "soft": speed, "corners": 0.7, "xavier": 1.0}
    return {
        kind: [record(line(r * factor), (0.1, 0.3, 0.5), seed=i) for i, r in enumerate(rates)]
        for kind, factor in factors.items()
    }


def test_a_fast_start_wins_its_races_and_the_slow_one_loses():
    starts = damage_study.compare_starts(toy_starts(1.5))
    named = damage_study.name_starts(starts)
    assert named["speed_soft_he"]["low"] > 1 and named["holm_soft_he"]["value"] <= 0.05
    assert named["n_faster"]["value"] == 8 == named["n_pairs"]["value"]
    assert named["n_faster_net"]["value"] == 8
    verdicts = damage_study.name_verdicts(starts)
    assert verdicts["cifar_corners_slower"]["value"] and verdicts["cifar_soft_better"]["value"]
    said = damage_tables.say_deciding(starts)
    soft, corners = (f"{named[f'speed_{kind}_he']['value']:.2f}" for kind in ("soft", "corners"))
    assert f"soft is {soft} [" in said and "He is" not in said and float(soft) > 1.3
    words = "; no other of 5 comparisons is significant after Holm's correction in 8 paired runs"
    assert f"{words}, on " in said
    corrected = damage_tables.say_corrected(starts)
    assert corrected.startswith("of 5 comparisons on ") and "leaves soft over He, " in corrected
    assert "also differ: none" in corrected and "no published" in damage_tables.say_corrected(None)
    assert f"(speeds: soft over He {soft} [" in said and f"corners over He {corners} [" in said
    assert damage_tables.tabulate_races(starts).index[0] == "soft against He"
    assert "our records" in damage_tables.tabulate_starts(None, starts)


def test_equal_starts_are_told_apart_by_nothing():
    starts = damage_study.compare_starts(toy_starts(1.0))
    named = damage_study.name_starts(starts)
    assert named["speed_soft_he"]["value"] == 1 and named["p_soft_he"]["value"] == 1
    assert named["n_faster_net"]["value"] == 0
    assert named["width_after_soft"]["value"] == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.pop("he"), "must hold the kind 'he'"),
        (lambda r: r["soft"].pop(), "the same seeds"),
    ],
)
def test_unpaired_runs_are_refused(spoil, message):
    records = toy_starts()
    spoil(records)
    with pytest.raises(ValueError, match=message):
        damage_study.compare_starts(records)


def test_only_runs_on_all_of_cifar_decide(tmp_path):
    store = Store(tmp_path)

    def save(scale, kind, seeds, **changes):
        config = damage_plans.configure(dataclasses.replace(scale, **changes), kind)
        for seed in seeds:
            store.save(record(line(0.01), seed=seed, config=dataclasses.asdict(config)))

    kinds = ("he", "soft", "corners", "xavier")
    for kind in kinds:
        save(damage_plans.LAPTOP, kind, range(8), dataset="cifar10")
        save(damage_plans.CPU, kind, range(8), n_train=1000)
    assert damage_plans.read_deciding([store], "init-damage") == {}
    for n, kind in enumerate(kinds):
        save(damage_plans.CPU, kind, range(4 - (n == 3)))
    found = damage_plans.read_deciding([store, store], "init-damage")
    assert set(found) == set(kinds)
    assert [r.spec.seed for r in found["he"]] == [0, 1, 2]  # the seeds that all have
    assert damage_study.decide(found).n_seeds == 3
    assert damage_study.decide({"he": found["he"]}) is None


def test_connections_are_compared_on_the_seeds_they_share():
    dense = [record(line(0.01), (0.1, 0.5), seed=i) for i in range(6)]
    sparse = [record(line(0.01), (0.1, 0.6), seed=i) for i in range(5)]
    named = damage_study.compare_links({"he": dense, "sparse5": sparse})
    assert named["links_n_runs"]["value"] == 5 and named["links_same_weights"]["value"]
    assert math.isclose(named["links_gain_sparse5"]["value"], 10.0, rel_tol=1e-6)
    assert named["links_p_sparse5"]["value"] == 2 / 2**5


@pytest.mark.parametrize("kind", ["corners", "sparse5"])
def test_a_tiny_run_gives_a_record_and_the_same_again(kind, tmp_path):
    experiment = damage_plans.SPARSE_DAMAGE if kind == "sparse5" else damage_plans.INIT_DAMAGE
    config = damage_plans.configure(damage_plans.choose_scale("smoke", n_train=96), kind)
    (first,) = obtain(experiment, config, [0], Store(tmp_path))
    again = experiment.run(config, 0, Workspace())
    assert isinstance(again, Outcome) and first.metrics["n_steps"] == 3
    assert (first.arrays["losses"] == again.arrays["losses"]).all()
    assert first.arrays["map_before"].shape == (32, 32)
    assert first.metrics["mass_before"] > 0
    assert obtain(experiment, config, [0], Store(tmp_path))[0].spec == first.spec


def test_a_run_that_is_paused_ends_as_if_it_had_not_been(tmp_path):
    config = damage_plans.configure(damage_plans.choose_scale("smoke", n_train=96), "sparse5")
    whole = damage_plans.SPARSE_DAMAGE.run(config, 0, Workspace())
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(training.Paused):
        damage_plans.SPARSE_DAMAGE.run(config, 0, Workspace(checkpoint=checkpoint, deadline=0.0))
    resumed = damage_plans.SPARSE_DAMAGE.run(config, 0, Workspace(checkpoint=checkpoint))
    assert resumed.metrics == whole.metrics
    assert all((resumed.arrays[name] == found).all() for name, found in whole.arrays.items())


def test_a_run_that_diverges_is_an_outcome():
    config = damage_plans.choose_scale("smoke", n_train=96, lr=1e30, norm=False)
    config = dataclasses.replace(config, clip=0.0, depth=8)
    outcome = damage_plans.INIT_DAMAGE.run(config, 0, Workspace())
    assert "step" in outcome.metrics["diverged"] and not outcome.arrays


def test_every_planned_configuration_makes_a_network():
    for experiment in (damage_plans.INIT_DAMAGE, damage_plans.SPARSE_DAMAGE):
        for plan in experiment.plans.values():
            names = [(config.name, config.dataset) for config, _ in plan]
            assert len(set(names)) == len(names)
            assert all(config.depth % 2 == 0 for config, _ in plan)  # corners need a middle


def test_the_exact_part_agrees_with_itself():
    optimum = damage_limits.study_optimum(3, n_starts=3)
    limits = damage_limits.study_limits([1, 2, 4, 8, 16, 32], n_random=5)
    named = damage_limits.name_limits({3: optimum}, limits)
    assert named["optimum_agrees"]["value"] and named["optimum_corners_only"]["value"]
    assert not dataclasses.replace(optimum, best={**optimum.best, "area": 2.0}).agrees
    # Berry and Esseen: the slope tends to -1/2, and every distance lies below their bound
    assert -0.55 < named["limit_slope_steepest"]["value"] < named["limit_slope_flattest"]["value"]
    assert named["limit_slope_flattest"]["value"] < -0.45
    # sum of 16^i over the square of the sum of 4^i tends to 9 / 15, times -1.5
    assert math.isclose(named["limit_growing"]["value"], -0.9, abs_tol=1e-6)
