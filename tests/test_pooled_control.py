"""The comparison of field, detail and plane: what is counted, added up, and allowed to decide."""

import copy
import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from theory_oracles import rejects
from torch import nn

from erfbook import plots, pruning
from erfbook.errors import UserError
from erfbook.experiments.pooled import (
    control,
    control_dead,
    control_design,
    control_study,
    control_tables,
)
from erfbook.experiments.pooled.networks import VGG_STAGES, pool_training
from erfbook.experiments.registry import Workspace, make
from erfbook.records import Record, Store

TINY = dataclasses.replace(
    control.SMOKE, name="tiny", n_train=64, n_test=35, width=1 / 64, stages=(1, 1, 1)
)
EFFECTS = {"field": -2.0, "detail": 1.5, "plane": -4.0}  # points, put into made-up records
KIND_HAS = {
    "base": (),
    "dilated": ("field",),
    "coarse": ("detail",),
    "coarse dilated": ("field", "detail"),
    "strided": ("field", "detail", "plane"),
    "deep": ("field",),
}


def make_records(scale, kind, n_seeds, *, interaction=3.0, spread=5.0):
    """Return runs of one kind in which every part has a known effect, on a luck of each seed."""
    config = control.configure(scale, kind)
    luck = np.random.default_rng(1).normal(0, spread, n_seeds)
    both = interaction if {"field", "detail"} <= set(KIND_HAS[kind]) else 0.0
    dense = 80 + luck + both + sum(EFFECTS[part] for part in KIND_HAS[kind])
    return [
        Record(
            control.POOL_CONTROL.spec(config, seed),
            {
                "accuracy": value / 100,
                "pruned_0.8": 0.3,
                "pruned_0.9": 0.5,
                "note": "made up",
                "live_kept_0.9": 0.1,
                "dead_kept_0.9": 0.0,
            },
            {},
            {},
        )
        for seed, value in enumerate(dense)
    ]


def make_study(**options):
    return control_study.gather(
        "made up", {kind: make_records(control.SMOKE, kind, 5, **options) for kind in control.KINDS}
    )


def test_effects_of_made_up_runs_are_those_put_in_whatever_the_seeds_luck():
    def check(study):
        for part in ("detail", "field"):  # main effects hold half of the interaction each
            e = study.effect(part, "accuracy")
            assert math.isclose(e.value, EFFECTS[part] + 1.5, abs_tol=1e-9)
            assert e.high - e.low < 1e-9  # luck of the seed is in all kinds alike
        assert math.isclose(study.effect("plane", "accuracy").value, EFFECTS["plane"], abs_tol=1e-9)
        assert math.isclose(study.effect("interaction", "accuracy").value, 3.0, abs_tol=1e-9)
        assert math.isclose(study.effect("deep", "gap").value, EFFECTS["field"], abs_tol=1e-9)

    study = make_study()
    check(study)
    turned = {k: (runs[::-1] if k == "dilated" else runs) for k, runs in study.records.items()}
    unpaired = copy.copy(study)
    object.__setattr__(unpaired, "records", turned)
    rejects(check, unpaired)


def test_the_pools_whole_effect_is_the_sum_of_three():
    parts = ("field", "detail", "plane")
    for kind in control.KINDS:
        total = sum(control_study.EFFECTS[part].get(kind, 0) for part in parts)
        assert total == control_study.EFFECTS["total"].get(kind, 0)
    for weights in control_study.EFFECTS.values():
        assert sum(weights.values()) == 0


def test_a_study_needs_every_kind_with_the_same_seeds():
    records = dict(make_study().records)
    with pytest.raises(ValueError, match="every kind must have the same seeds"):
        control_study.Study("x", records | {"deep": records["deep"][:2]})
    del records["coarse"]
    with pytest.raises(ValueError, match="missing: coarse"):
        control_study.Study("x", records)


def test_words_follow_the_intervals():
    words = control_study.summarise(make_study())
    assert words == (
        "the larger field lowers it; the lost detail raises it; the smaller plane lowers it"
    )
    alone = control_study.gather(
        "x", {kind: make_records(control.SMOKE, kind, 1) for kind in control.KINDS}
    )
    assert control_study.summarise(alone) == "no part has a sure effect"
    mixed = make_study()
    for record in mixed.records["strided"]:  # seeds that disagree about the plane
        record.metrics["accuracy"] += 0.2 * (-1) ** record.spec.seed
    assert control_study.summarise(mixed) == (
        "the larger field lowers it; the lost detail raises it; no sure effect of the smaller plane"
    )


def store_with(folder, scale, kinds=control.KINDS, n_seeds=2):
    store = Store(folder)
    for kind in kinds:
        for record in make_records(scale, kind, n_seeds):
            store.save(record)
    return store


@pytest.mark.parametrize(
    ("changes", "options", "decides"),
    [
        ({}, {}, True),
        ({"n_train": 1000}, {}, False),
        ({"dataset": "patches32"}, {}, False),
        ({"name": "of my own"}, {}, False),
        ({}, {"n_seeds": 1}, False),
        ({}, {"kinds": control.KINDS[:-1]}, False),
    ],
)
def test_only_several_whole_runs_on_cifar_decide(tmp_path, monkeypatch, changes, options, decides):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    scale = dataclasses.replace(control.QUARTER, **changes)
    published = control_study.read_published([store_with(tmp_path, scale, **options)])
    deciding = control_study.choose_deciding(published)
    assert (deciding is not None) == decides
    if deciding:
        named = control_study.name_verdicts(deciding)
        # the field's main effect is -2 + 1.5 points, the same in every seed
        assert named["cifar_field_lowers_accuracy"] == {"value": True}
        assert named["cifar_detail_lowers_accuracy"] == {"value": False}


@pytest.mark.parametrize("kind", ["strided", "deep"])
def test_dead_weights_are_those_that_change_nothing(kind):
    config = control.configure(dataclasses.replace(TINY, stages=VGG_STAGES, width=1 / 8), kind)
    network = control.build_control(config, 0, 7).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    before = network(images)
    dead = pruning.find_unused(network, (3, 32, 32))

    def check(masks):
        spoilt = copy.deepcopy(network)
        with torch.no_grad():
            for name, mask in masks.items():
                spoilt.get_parameter(name)[mask] = 1e6
        assert torch.equal(spoilt(images), before)

    check(dead)
    n_dead = sum(int(mask.sum()) for mask in dead.values())
    n_all = sum(mask.numel() for mask in dead.values())
    assert control_design.share_live(network, 32) == 1 - n_dead / n_all < 0.6
    rejects(check, {name: mask.roll(1, dims=3) for name, mask in dead.items()})


def read_early(stride, side):
    """Walk back from the last plane, index by index: which early positions have a path to it."""
    sides = [side]
    for _ in range(4):
        sides.append(math.ceil(sides[-1] / 2))
    found = set(range(sides[-1]))
    for stage in (4, 3, 2, 1, 0):
        for _ in range(VGG_STAGES[stage] - (stage == 0)):
            found = {i + t * stride for i in found for t in (-1, 0, 1)}
            found = {i for i in found if 0 <= i < sides[stage]}
        if stage:
            found = {2 * i + t * stride for i in found for t in (0, 1)}
            found = {i for i in found if i < sides[stage - 1]}
    return len(found)


@pytest.mark.parametrize(("stride", "plane"), [(2, 33), (3, 31), (4, 33)])
def test_values_read_by_dilated_networks_are_those_with_a_path(stride, plane):
    config = control.configure(dataclasses.replace(TINY, stages=VGG_STAGES), "dilated", stride)
    network = control.build_control(config, 0, 7)
    assert control_design.count_read(network) == read_early(stride, plane)


def test_strided_networks_are_those_of_pool_training_and_dead_weights_go_first(tmp_path):
    store, space = Store(tmp_path), Workspace()
    config = control.configure(TINY, "strided")
    record = make(control.POOL_CONTROL, config, 0, store, space)
    trained = store.find(pool_training().spec(config.network, 0))
    assert trained is not None
    assert record.metrics["accuracy"] == trained.metrics["accuracy"]
    assert record.metrics["n_parameters"] == trained.metrics["n_parameters"]
    assert {"pruned_0.8", "pruned_0.9", "swapped", "live_share"} <= set(record.metrics)
    again = make(control.POOL_CONTROL, config, 0, Store(tmp_path / "other"), space)
    assert dict(again.metrics) == dict(record.metrics)


def test_shares_kept_are_counted_weight_by_weight():
    layer = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    with torch.no_grad():
        layer[0].weight.copy_(torch.arange(1.0, 10.0).reshape(1, 1, 3, 3))
    pruned = pruning.prune_global(
        layer, 4 / 9
    )  # 5 to 9 stay; on one pixel only the middle, 5, reads

    class Pixel(nn.Module):  # find_unused passes images of three channels
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x[:, :1])

    model = Pixel(pruned.model)
    masks = {f"layer.{name}": mask for name, mask in pruned.mask.items()}
    shifted = dataclasses.replace(pruned, model=model, mask=masks)
    assert control_design.share_kept(shifted, 1) == {"live_kept": 1.0, "dead_kept": 4 / 8}


def test_configurations_name_what_they_are_and_refuse_what_is_not():
    for kind in control.KINDS:
        assert control.configure(control.SMOKE, kind).kind == kind
    with pytest.raises(UserError, match=r"kind must be one of base, .* not 'wide'"):
        control.configure(control.SMOKE, "wide")
    with pytest.raises(UserError, match="stride must be one of 1, 2, 3, 4, not 9"):
        control.configure(control.SMOKE, "dilated", 9)
    with pytest.raises(UserError, match="power of 2, not 3"):
        control.configure(control.SMOKE, "moved", 3)
    wrong = dataclasses.replace(control.configure(control.SMOKE, "dilated"), variant="wide")
    with pytest.raises(UserError, match=r"variant must be one of .* not 'wide'"):
        control.build_control(wrong, 0, 7)


def test_plans_name_each_configuration_once():
    for plan in control.POOL_CONTROL.plans.values():
        names = [(config.name, config.dataset) for config, _ in plan]
        assert len(set(names)) == len(names)


def test_what_deep_gains_is_said_of_the_seeds_that_it_shares_with_base(tmp_path, monkeypatch):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    store = Store(tmp_path)
    assert control_dead.choose_kinds([store]) is None
    assert control_dead.say_deep(None) == "no published record decides it yet"
    for kind, n_seeds, gain in (("base", 3, 0.0), ("deep", 2, 0.4)):
        for record in make_records(control.QUARTER, kind, n_seeds):
            own = {"live_share": 0.5, "live_kept_0.8": 0.4, "pruned_0.8": 0.3 + gain,
                   "pruned_0.9": 0.2 + gain * (1 + record.spec.seed) / 4}  # fmt: skip
            store.save(dataclasses.replace(record, metrics=record.metrics | own))
    kinds = control_dead.choose_kinds([store, store])
    assert kinds.less_base(0.8).value == pytest.approx(40) and kinds.less_base(0.8).n == 2
    assert kinds.less_base(0.9).value == pytest.approx(15)  # 10 and 20
    said = control_dead.say_deep(kinds)
    assert said.startswith("+40.0 [+40.0, +40.0] points at 80 % and +15.0 [")
    assert said.endswith("points at 90 % (quarter width, 2 seeds, made up, 20 epochs)")
    table = control_dead.tabulate_kinds(kinds)
    assert list(table.index) == ["base", "deep"] and list(table["seeds"]) == ["3", "2"]
    assert table.loc["deep", "accuracy at 80 %, %"] == "70.0 ± 0.0"
    assert table.loc["deep", "kept of them at 80 %"] == "40 %"


def test_gaps_are_compared_where_as_many_weights_that_read_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    store = Store(tmp_path)
    # base keeps a fifth at 80 %, deep at 90 %; accuracy hangs on that share alone
    law = {0.4: 0.8, 0.2: 0.5, 0.1: 0.1}
    for kind, n_seeds, kept in (("base", 3, (0.2, 0.1)), ("deep", 2, (0.4, 0.2))):
        for record in make_records(control.QUARTER, kind, n_seeds):
            own = {"accuracy": 0.9, "live_share": 0.2 / kept[1]}
            for rate, share in zip((0.8, 0.9), kept, strict=True):
                own |= {f"live_kept_{rate:g}": share, f"pruned_{rate:g}": law[share]}
            store.save(dataclasses.replace(record, metrics=record.metrics | own))
    kinds = control_dead.choose_kinds([store])
    assert kinds.rate_like_base("base") == 0.8 and kinds.rate_like_base("deep") == 0.9
    less = kinds.gap_less_base("deep")
    assert less.value == pytest.approx(0) and less.n == 2
    assert control_dead.say_equal(kinds) == "deep +0.0 [+0.0, +0.0] (2 seeds)"
    assert kinds.less_base(0.8).value == pytest.approx(30)  # at one rate they differ
    table = control_dead.tabulate_equal(kinds)
    assert list(table.loc["deep"]) == ["90 %", "20.0 %", "40.0 ± 0.0", "+0.0 [+0.0, +0.0]", "2"]
    assert table.loc["base", "less base's"] == "–"


def test_each_rate_has_its_own_gap_in_tables_words_and_figure():
    study = make_study()
    panels = study.panels()
    assert [(one.rate, measure) for one, measure in panels] == [
        (0.9, "accuracy"), (0.8, "gap"), (0.9, "gap"),
    ]  # fmt: skip
    assert math.isclose(
        panels[1][0].mean("base", "gap").value, study.mean("base", "gap").value + 20
    )
    named = control_study.name_verdicts(study)
    assert named["cifar_deep_gap_80"]["value"] == pytest.approx(EFFECTS["field"])
    table = control_tables.tabulate_two_way(study)
    assert len(table) == len(control.KINDS)
    assert list(table) == ["dense accuracy, %", "gap at 80 %, points", "gap at 90 %, points"]
    table = control_tables.tabulate_effects(study)
    assert table.loc["plane", ("dense accuracy, %", "mean, Student")] == "-4.0 [-4.0, -4.0]"
    assert len(table) == len(control_study.EFFECTS)
    assert control_tables.tabulate_scales({"made up": study}) is None
    scales = control_tables.tabulate_scales({"one": study, "other": study})
    assert scales.loc[("other, 5 seeds", "plane"), "dense accuracy, %"] == "-4.0 [-4.0, -4.0]"
    assert len(scales) == 2 * len(control_study.SHOWN)
    said = control_study.say_deciding(study)
    assert said.startswith("dense accuracy (the larger field lowers it; ")
    assert "gap at 80 % (" in said and said.endswith("; made up, 5 seeds, made up, 1 epoch")

    def check(shown):
        fig, axes = plots.figure(1, 3)
        plots.plot_control_effects(axes, shown)
        fig.canvas.draw()
        plt.close(fig)
        titles = [ax.get_title() for ax in axes]
        assert titles == ["dense accuracy", "gap, 80 % pruned", "gap, 90 % pruned"]
        dots = axes[2].get_lines()[0].get_xdata()
        assert np.allclose(dots, study.differences("total", "gap"))

    check(panels)
    rejects(check, panels[::-1])
