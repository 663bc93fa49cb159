"""Pairs of seeds: which layers count, what one network contributes, and which pairs decide."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from theory_oracles import rejects

from erfbook.errors import UserError
from erfbook.experiments.pooled import likeness, likeness_bias, likeness_study, likeness_tables
from erfbook.experiments.pooled.likeness import LAYERS, configure_likeness, pool_likeness
from erfbook.experiments.pooled.networks import (
    build_network,
    load_data,
    trained_network,
    with_pool,
)
from erfbook.experiments.pooled.plans import SMOKE, SMOKE_RESNET
from erfbook.experiments.registry import Workspace, obtain
from erfbook.models.pooled import pooled_resnet50, pooled_vgg
from erfbook.records import Record, Spec, Store
from erfbook.similarity import linear_cka, represent
from erfbook.similarity.layers import choose_modules

TINY = dataclasses.replace(SMOKE, n_train=64, n_test=40, width=1 / 32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def pair(store):
    """One pair of tiny networks behind the widest pool."""
    config = configure_likeness(with_pool(TINY, 4), n_images=32)
    return obtain(pool_likeness(), config, [0], store)[0]


def listed(architecture, network):
    return list(choose_modules(network, LAYERS[architecture]))


def test_resnet_50_has_fifty_layers_with_weights_and_the_25th_is_the_middle():
    paths = listed("resnet50", pooled_resnet50(2, 1, width=1 / 64))
    rows = likeness_study.weighted_rows(paths)
    assert len(rows) == 50 and likeness_study.split_depth(50)["early"].stop == 25
    names = [paths[i] for i in rows]
    assert names[0] == "features.stem" and names[-1] == "head"
    sums = [n for n in names if n.count(".") == 2]
    assert len(sums) == 16 and not any(n.endswith("convs.conv3") for n in names)
    branch = [paths[i] for i in likeness_study.weighted_rows(paths, branch=True)]
    assert len(branch) == 50 and sum(n.endswith("convs.conv3") for n in branch) == 16
    assert len(set(names) & set(branch)) == 50 - 16


def test_the_vgg_like_network_has_thirteen():
    paths = listed("vgg", pooled_vgg(2, 1, stages=(2, 2, 3, 2, 3), width=1 / 64))
    assert len(likeness_study.weighted_rows(paths)) == 13  # 12 convolutions and the head


def test_a_record_holds_the_index_of_the_trained_networks_on_the_first_test_images(pair, store):
    network = with_pool(TINY, 4)
    data = load_data(network)
    images = data.standardise(data.test.images[:32])
    models = [trained_network(network, seed, Workspace(store=store)) for seed in (0, 1)]
    with torch.no_grad():
        logits = [model(images) for model in models]
    # batches of another size move float32 by 1e-7 of a feature; the record keeps float32
    assert math.isclose(pair.arrays["trained_curve"][-1], linear_cka(*logits), abs_tol=1e-4)
    biased = linear_cka(*logits, debiased=False)
    assert math.isclose(pair.arrays["trained_curve_biased"][-1], biased, abs_tol=1e-4)
    few = linear_cka(*(x[:16] for x in logits))
    assert math.isclose(pair.arrays["trained_curve_16"][-1], few, abs_tol=1e-4)
    within = pair.arrays["trained_within_other"].astype(float)
    assert np.allclose(within, within.T, atol=1e-3) and np.allclose(np.diag(within), 1, atol=1e-3)
    assert pair.metrics["seeds"] == [0, 1] and pair.metrics["field_px"] == 715


def test_before_training_the_networks_are_those_that_training_starts_from(pair):
    network = with_pool(TINY, 4)
    data = load_data(network)
    x = data.standardise(data.test.images[:32])

    def check(seeds):
        stems = []
        for seed in seeds:
            model = build_network(network, seed, len(data.classes))
            conv = model.features.conv1_1.conv(x)
            train = data.standardise(data.train.images)
            seen = model.features.conv1_1.conv(train)  # one batch of calibration: 64 images
            mean, var = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
            norm = (conv - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
            stems.append(norm.relu().flatten(1).detach())
        found = pair.arrays["untrained_curve"][0]
        assert math.isclose(found, linear_cka(*stems), abs_tol=1e-3)

    check((0, 1))
    rejects(check, (0, 2))


def test_too_few_test_images_are_named(store):
    config = configure_likeness(with_pool(TINY, 4), n_images=1000)
    with pytest.raises(UserError, match=r"n_images is 1000 and .* has 40 test images here"):
        likeness.run_likeness(config, 0, Workspace(store=store))


def test_every_pair_is_planned_once():
    for profile, plan in pool_likeness().plans.items():
        seen = {}
        for config, n in plan:
            for seed in range(n):
                seen.setdefault(config.network, []).append((seed, seed + config.gap))
        for pairs in seen.values():
            most = max(b for _, b in pairs) + 1
            assert sorted(pairs) == list(itertools.combinations(range(most), 2)), profile
    assert len(likeness.list_pairs(5)) == 10


def additive(n, seed, pairs):
    """Pairs whose values are sums of what either network brings."""
    effects = np.random.default_rng(seed).normal(size=n)
    return np.array([effects[a] + effects[b] for a, b in pairs])


def test_intervals_of_pairs_cover_the_truth_only_if_networks_are_left_out():
    """Five networks a draw, 400 draws of mean zero: 95 % of intervals should hold it.

    The jackknife's coverage lies within 4 standard errors (1.1 % each) of 95 % or above; treating
    the ten pairs as independent covers far less.
    """
    pairs = list(itertools.combinations(range(5), 2))

    def check(interval):
        held = [interval(additive(5, i, pairs)) for i in range(400)]
        assert np.mean([e.low <= 0 <= e.high for e in held]) > 0.95 - 4 * 0.011

    check(lambda values: likeness_study.jackknife(values, pairs))
    rejects(check, lambda values: likeness_study.mean_interval(values))


def test_one_pair_has_no_interval_and_no_p_value():
    e = likeness_study.jackknife(np.array([0.3]), [(0, 1)])
    assert (e.value, e.low, e.high, e.n) == (0.3, 0.3, 0.3, 1)
    assert math.isnan(likeness_study.p_value(e))


def toy(field, seeds, deep, *, images=1000, whole=True, name="usual recipe", held=0.5, version=2):
    """A record whose early layers have CKA 0.8 and whose deep ones ``deep``."""
    network = dataclasses.asdict(
        dataclasses.replace(
            SMOKE_RESNET, name=f"{name}: pool", dataset="cifar10" if whole else "patches32",
            n_train=0, n_test=0,
        )
    )  # fmt: skip
    layers = ["features.stem", "features.conv2_1", "features.conv3_1", "head"]
    curve = np.array([0.8, 0.8, deep, deep], dtype=np.float32)
    matrix = np.full((4, 4), deep, dtype=np.float16)
    metrics = {
        "layers": layers, "seeds": list(seeds), "field_px": field, "n_images": images,
        "n_parts": [500, 250, 125], "accuracies": [0.9, 0.9], "note": "toy", "n_features": [9] * 4,
    }  # fmt: skip
    arrays = {"trained_means": curve, "farthest_share": np.full((2, 4), held)}
    arrays |= {"farthest_both": np.array([1, 1, 0.2, 0.4]), "trained_curve_equal": curve + 0.1}
    for state in ("trained", "untrained"):
        arrays |= {f"{state}_{m}": matrix for m in ("between", "within", "within_other")}
        for suffix in ("", "_500", "_250", "_125"):
            level = curve if state == "trained" else np.full(4, 0.5, dtype=np.float32)
            arrays |= {f"{state}_curve{suffix}": level, f"{state}_curve_biased{suffix}": level}
    config = {"network": network, "dataset": network["dataset"]}
    return Record(
        Spec("pool-likeness", version, config, seeds[0] * 10 + seeds[1], "toy"), metrics, arrays
    )


def save(folder, fields, n_networks, **options):
    store = Store(folder)
    noise = np.random.default_rng(0)
    for i, field in enumerate(fields):
        for two in itertools.combinations(range(n_networks), 2):
            changed = toy(field, two, 0.7 - 0.1 * i + 0.01 * noise.normal(), **options)
            spec = dataclasses.replace(changed.spec, config={**changed.spec.config, "gap": field})
            store.save(dataclasses.replace(changed, spec=spec))
    return store


def test_known_losses_come_out(tmp_path):
    store = save(tmp_path, (108, 213, 318, 423), 4)
    families = likeness_tables.read_families([store, store])
    family = likeness_tables.choose_deciding(families)
    assert family.fields == [108, 213, 318, 423] and family.n_networks == 4
    # six pairs, noise 0.01: a standard error of 0.006 for a difference of means
    assert math.isclose(family.drop("deep").value, 0.3, abs_tol=0.03)
    assert abs(family.drop("early").value) < 1e-6 and family.excess().low > 0
    assert math.isclose(family.slope().value, -0.1 / 1.05, abs_tol=0.02)
    assert likeness_study.p_value(family.slope()) < 0.01
    assert likeness_tables.answer(family).startswith("deep layers of two seeds are less alike")
    verdicts = likeness_tables.name_verdicts(family)
    assert verdicts["cifar_deep_drop_least"]["value"] > 0.2
    assert verdicts["cifar_slope_most"]["value"] < 0
    assert verdicts["cifar_deep_drop"] == family.drop("deep").as_result()
    assert verdicts["cifar_data"] == {"value": f"{family.title}, toy, 1 epoch"}
    table = likeness_tables.tabulate_likeness(families, [family])
    assert list(table.columns[:1]) == ["the paper"] and (table.iloc[:, 1] == table.iloc[:, 2]).all()
    assert len(dict(likeness_tables.name_family(family, "x"))) > 20
    line = likeness_tables.say_deciding(families)
    assert line.startswith(f"{family.title}, 4 seeds: deep layers of two seeds are less alike")
    assert "beside" not in line
    farthest = likeness_tables.tabulate_farthest([family])
    assert list(farthest.index) == [f"{family.title}, toy, 1 epoch: {px} px" for px in (108, 423)]
    assert farthest.iloc[0, :2].to_list() == ["50 %", "30 %"] and farthest["pairs"].iloc[1] == "6"
    deep = family.level("deep")[-1].value
    assert farthest["deep CKA"].iloc[1].startswith(f"{deep:.2f}")
    assert farthest["deep CKA, equal length"].iloc[1].startswith(f"{deep + 0.1:.2f}")
    assert math.isclose(family.members[0].farthest_both, 0.3)
    named = likeness_tables.name_farthest(family, "x")
    assert named["x_held"] == {"value": 0.5} and named["x_field"] == {"value": 423}
    more = named["x_equal_deep"]["value"] - named["x_deep"]["value"]
    assert math.isclose(more, 0.1, abs_tol=1e-6)


def test_the_farthest_images_are_found_and_those_of_both_networks_counted():
    def rows(far):
        found = torch.randn(100, 5, generator=torch.Generator().manual_seed(0)) / 100
        found[far, 0] += torch.tensor([30.0, 40.0])
        table = torch.nn.Sequential(torch.nn.Embedding.from_pretrained(found))
        return represent(table, [torch.arange(100)], layers=["0"])

    found = likeness.find_farthest([rows([3, 4]), rows([4, 5])])
    assert found["farthest_share"].shape == (2, 1) and (found["farthest_share"] > 0.9).all()
    assert found["farthest_both"].tolist() == [0.5]


def test_published_vgg_stands_beside_the_claim_and_takes_the_place_of_this_run(tmp_path):
    store = save(tmp_path, (108, 213, 318, 423), 4)
    (family,) = likeness_tables.read_families([store]).values()
    published = {("quarter width", "vgg"): family}
    line = likeness_tables.say_deciding(published)
    assert line.startswith(f"no published record decides it yet; beside the paper, {family.title}")
    ours = dataclasses.replace(family), dataclasses.replace(family)
    shown = likeness_tables.choose_shown(published, ours)
    assert shown[0] is family and shown[1] is ours[1]


def test_what_is_published_is_shown_before_it_decides(tmp_path):
    store = save(tmp_path, (213, 318, 423), 2)
    published = likeness_tables.read_families([store])
    ((key, family),) = published.items()
    assert key[1] == "resnet50" and likeness_tables.choose_deciding(published) is None
    ours = dataclasses.replace(family), dataclasses.replace(family)
    shown = likeness_tables.choose_shown(published, ours)
    assert shown[0] is ours[0] and shown[1] is family
    line = likeness_tables.say_deciding(published)
    assert line.startswith("no published record decides it yet; so far ")
    assert "ResNet-50" in line and "behind 3 pools" in line and "one pair" in line


@pytest.mark.parametrize(
    "fields, n, options",
    [
        ((108, 213, 318, 423), 2, {}),  # one pair
        ((108, 423), 4, {}),  # two pools
        ((108, 213, 318, 423), 4, {"images": 250}),
        ((108, 213, 318, 423), 4, {"whole": False}),
        ((108, 213, 318, 423), 4, {"name": "laptop"}),
        ((108, 213, 318, 423), 4, {"version": 1}),
    ],
)
def test_anything_less_than_the_papers_protocol_decides_nothing(tmp_path, fields, n, options):
    families = likeness_tables.read_families([save(tmp_path, fields, n, **options)])
    assert likeness_tables.choose_deciding(families) is None


def test_the_bias_of_unrelated_features_is_the_predicted_one():
    bias = likeness_bias.measure_bias(32, 20, largest=64)
    assert list(bias.n_features) == [2, 4, 8, 16, 32, 64]
    # single draws scatter by about 2 / n; the mean of 20 by 0.014, four of which are 0.06
    assert np.abs(bias.biased - bias.predicted).max() < 0.06
    assert np.abs(bias.debiased).max() < 0.06 and bias.biased[-1] > 0.6


def test_means_over_the_plane_leave_logits_alone():
    x = torch.randn(3, 2, 4, 5)
    assert torch.equal(likeness.mean_plane(x), x.mean((2, 3)))
    assert (
        likeness.mean_plane(x[:, :, 0, 0]) is not None
        and likeness.mean_plane(x[:, :, 0, 0]).ndim == 2
    )
