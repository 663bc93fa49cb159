"""What spectra say together: factors put in come out, and only whole runs on CIFAR-10 decide."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from theory_oracles import rejects

from erfbook.experiments.pooled import (
    spectra,
    spectra_plans,
    spectra_runs,
    spectra_study,
    spectra_tables,
)
from erfbook.experiments.pooled.networks import STRIDES, with_pool
from erfbook.experiments.pooled.plans import QUARTER, SMOKE
from erfbook.records import Record, Store


def made_up(config, seed, largest, k=3):
    """Return a record whose eigenvalues fall from ``largest`` in halves."""
    metrics = {
        "field_px": config.network.theoretical_field, "plane": [9, 1], "note": "made up",
        "loss": 2.3, "n_products": 7, "frobenius": 2 * largest, "descent": largest / 4,
        "trace": 1.0, "trace_error": 0.1, "negative": 0.4, "n_converged": k,
    }  # fmt: skip
    values = largest * 0.5 ** np.arange(k)
    arrays = {"values": values, "residuals": values * 1e-3}
    arrays |= {"grid": np.linspace(-1, 1, 5), "density": np.ones(5)}
    return Record(spectra_plans.pool_spectra().spec(config, seed), metrics, arrays, {})


def make_pools(base=SMOKE, moment="before", seeds=(0, 1, 2), growth=4.0, **changes):
    """Return pools whose largest eigenvalue grows by a factor, times each seed's luck."""
    fields = np.array([with_pool(base, stride).theoretical_field for stride in STRIDES])
    share = (fields - fields[0]) / (fields[-1] - fields[0])
    luck = np.exp(np.random.default_rng(0).normal(0, 1.0, 10))
    return spectra_study.gather(
        {
            stride: [
                made_up(
                    spectra_plans.ask(with_pool(base, stride), moment, **changes),
                    seed,
                    luck[seed] * growth**part,
                )
                for seed in seeds
            ]
            for stride, part in zip(STRIDES, share, strict=True)
        }
    )


@pytest.mark.parametrize("name", spectra_study.MEASURES)
def test_growth_is_that_put_in_whatever_the_seeds_luck(name):
    def check(pools):
        factor = spectra_study.measure_growth(pools, name)
        assert math.isclose(factor.value, 4.0, rel_tol=1e-9) and factor.n == 3
        assert factor.high / factor.low < 1 + 1e-9  # luck of a seed is in all pools alike
        assert spectra_study.count_rising(pools, name) == 3
        assert spectra_study.say(factor) == "grows"

    pools = make_pools()
    check(pools)
    turned = {s: own[::-1] if s == 4 else own for s, own in pools.records.items()}
    rejects(check, spectra_study.Pools(turned))
    rejects(check, make_pools(growth=3.0))


def test_growth_of_what_has_no_logarithm_is_no_number():
    pools = make_pools()
    first = pools.records[1][0]
    upwards = dataclasses.replace(first, metrics={**first.metrics, "descent": 0.0})
    mixed = spectra_study.Pools({**pools.records, 1: [upwards, *pools.records[1][1:]]})
    factor = spectra_study.measure_growth(mixed, "descent")
    assert math.isnan(factor.value) and spectra_study.say(factor) == "is not positive everywhere"


def test_pools_need_the_same_seeds():
    records = dict(make_pools().records)
    with pytest.raises(ValueError, match="every pool must have the same seeds"):
        spectra_study.gather({**records, 4: records[4][:2]})


def test_effects_of_field_and_plane_are_those_put_in():
    asked, luck = spectra_plans.ask(with_pool(SMOKE, 1), "before"), (1.0, 5.0, 0.3)
    cells = {
        f"{field} field, {plane} plane": [
            made_up(asked, seed, own * (1 + 2 * (field == "large")) * (1 + (plane == "small")))
            for seed, own in enumerate(luck)
        ]
        for field in ("small", "large")
        for plane in ("small", "large")
    }  # fmt: skip

    def check(separation):
        assert math.isclose(separation.effect("field").value, 3, rel_tol=1e-9)
        assert math.isclose(separation.effect("plane").value, 2, rel_tol=1e-9)

    check(spectra_study.Separation(cells))
    swapped = {w.replace("small", "x").replace("large", "small").replace("x", "large"): runs
               for w, runs in cells.items()}  # fmt: skip
    rejects(check, spectra_study.Separation(swapped))
    named = spectra_study.name_separation(spectra_study.Separation(cells))
    assert named["effect_field_grows"] == {"value": True}
    assert named["effect_field_stronger"] == {"value": True}


@pytest.mark.parametrize(
    ("changes", "asked", "seeds", "decides"),
    [
        ({}, {}, (0, 1), True),
        ({"n_train": 1000}, {}, (0, 1), False),
        ({"dataset": "patches32"}, {}, (0, 1), False),
        ({"width": 1 / 8}, {}, (0, 1), False),
        ({"name": "laptop"}, {"k": 90}, (0, 1), False),
        ({}, {"k": 10}, (0, 1), False),
        ({}, {"batch_norm": "train"}, (0, 1), False),
        ({}, {"init": "he"}, (0, 1), False),
        ({}, {}, (0,), False),
    ],
)
def test_only_several_whole_runs_on_cifar_decide(
    tmp_path, monkeypatch, changes, asked, seeds, decides
):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    pools = make_pools(dataclasses.replace(QUARTER, **changes), seeds=seeds, **asked)
    store = Store(tmp_path)
    for record in itertools.chain(*pools.records.values()):
        store.save(record)
    published = spectra_runs.read_published([store])
    assert set(published) == ({("vgg", "before")} if decides else set())
    named = spectra_runs.name_published(published, [store])
    assert ("cifar_vgg_before_largest_grows" in named) == decides
    assert ("cifar_vgg_before_train_largest_grows" in named) == ("batch_norm" in asked)
    if decides:
        assert math.isclose(named["cifar_vgg_before_spread"]["value"], 4, rel_tol=1e-6)
        assert named["cifar_vgg_before_largest_grows"] == {"value": True}
        assert named["cifar_vgg_before_data"]["value"].startswith("quarter width, ")
        ours = {("vgg", moment): make_pools(moment=moment) for moment in spectra.MOMENTS}
        shown = spectra_tables.choose_shown(published, ours)
        assert list(shown.values()) == [published["vgg", "before"][1]]
        assert spectra_tables.choose_shown({}, ours) == ours
        table = spectra_tables.tabulate_figures(published, ours)
        row = table.loc["VGG-like, before training: growth of λ₁"]
        assert "“larger”" in row.iloc[0] and row.iloc[-1] == "4.00 [4.00, 4.00]"
        assert any("4.00 [4.00, 4.00] (2), p" in str(cell) for cell in row)


def test_three_pools_decide_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    store = Store(tmp_path)
    for stride, runs in make_pools(QUARTER).records.items():
        for record in runs if stride != 3 else ():
            store.save(record)
    assert spectra_runs.read_published([store]) == {}


def test_tables_have_a_row_a_pool_and_a_variant():
    spectra_of = {("vgg", moment): make_pools(moment=moment) for moment in spectra.MOMENTS}
    for table in (
        spectra_tables.tabulate_largest(spectra_of),
        spectra_tables.tabulate_whole(spectra_of),
    ):
        assert len(table) == 8 and table.columns.is_unique
        assert list(table.index.get_level_values(0).unique()) == [
            "VGG-like, before training",
            "VGG-like, after training",
        ]
    listed = spectra_tables.tabulate_largest(spectra_of)[["λ₁", "λₖ", "λ₁ − λₖ"]].astype(float)
    assert np.allclose(listed["λ₁"] - listed["λₖ"], listed["λ₁ − λₖ"], rtol=0.02)
    pools = make_pools()
    ends = {"as above": pools.records[1]}, {"as above": pools.records[4]}
    assert spectra_tables.tabulate_variants(*ends)["ratio"].iloc[0] == "4.00 [4.00, 4.00]"
    named = spectra_study.name_variants(*ends)
    assert named["variants_growing"] == {"value": 1} and named["n_variants"] == {"value": 1}
