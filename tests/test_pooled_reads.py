"""How often weights read: counted against the convolutions themselves; laws put in, found again."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_pooled_control import TINY
from theory_oracles import rejects
from torch import nn
from torch.nn import functional as F

from erfbook import plots, pruning
from erfbook.experiments.pooled import (
    control,
    control_dead,
    control_design,
    control_tables,
    networks,
    plans,
    prunings,
    reads,
    reads_taps,
)
from erfbook.experiments.registry import Workspace, make
from erfbook.experiments.weights import weights_to_arrays
from erfbook.records import Record, Store

SMALL = dataclasses.replace(plans.QUARTER, width=1 / 32)


def share_by_ones(network, side):
    """Return the mean share from what convolutions of one tap make of planes of ones."""
    total, n = 0.0, 0

    def hook(part, inputs, output):
        nonlocal total, n
        ones = torch.ones(1, 1, *inputs[0].shape[2:])
        for row in range(part.kernel_size[0]):
            for column in range(part.kernel_size[1]):
                tap = torch.zeros(1, 1, *part.kernel_size)
                tap[0, 0, row, column] = 1
                read = F.conv2d(ones, tap, None, part.stride, part.padding, part.dilation)
                total += float(read.mean()) * part.in_channels * part.out_channels
                n += part.in_channels * part.out_channels

    handles = [m.register_forward_hook(hook) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    for handle in handles:
        handle.remove()
    return total / n


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("kind", ["base", "strided", "dilated", "coarse dilated", "deep"])
def test_the_mean_share_is_what_kernels_of_one_tap_find(kind, side):
    network = control.build_control(control.configure(SMALL, kind), 0, 10)
    found = control_design.share_read(network, side)
    assert found == pytest.approx(share_by_ones(network, side), rel=1e-6)
    assert found <= control_design.share_live(network, side)


def test_shares_count_strides_paddings_and_every_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, (3, 2), padding=(1, 0), stride=(2, 1))

        def forward(self, x):
            return self.conv(x), self.conv(x[:, :, :1, :2])

    (share,) = pruning.find_read_shares(Twice(), (1, 4, 4)).values()
    # 4 rows, stride 2: outputs at rows 0 and 2, the upper tap reads at one; then 1 row: the middle.
    # 2 x 3 positions of the first call, 1 x 1 of the second.
    assert share.tolist() == [[3 / 7] * 2, [7 / 7] * 2, [6 / 7] * 2]


def test_the_lattice_s_share_falls_with_the_pool_where_no_weight_is_dead():
    found = control_tables.count_live(width=1 / 16, measure=control_design.share_read)
    live = control_tables.count_live(width=1 / 16)
    for architecture, side in control_tables.GAPS:
        values = [found[architecture, side, stride] for stride in networks.STRIDES]
        assert values == sorted(values, reverse=True) and values[0] > values[-1]
    assert min(live["resnet50", 32, s] for s in networks.STRIDES) == 1
    table = control_tables.tabulate_live(live, found)
    assert len(table) == 16 and table.iloc[0]["positions at which a weight reads, mean"] == "57.4 %"


def save_lawful(store, power, *, strides=(1, 2, 3), seeds=(0, 1)):
    """Save networks whose outer taps are a layer's own factor times a power of their share."""
    for seed in seeds:
        for stride in strides:
            config = networks.with_pool(SMALL, stride)
            network = networks.build_network(config, seed, 10)
            weights = dict(network.named_parameters())
            draw = np.random.default_rng(seed)
            with torch.no_grad():
                for name, share in pruning.find_read_shares(network, (3, 32, 32)).items():
                    own = torch.full((3, 3), float(draw.uniform(0.5, 1.5)))
                    own[1, 1] = 1
                    law = torch.where(share > 0, share**power, 0.1) * own
                    weights[name].copy_(law.expand(weights[name].shape))
            record = Record(
                networks.pool_training().spec(config, seed),
                {"note": "made up"},
                weights_to_arrays(network),
            )
            store.save(record)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("erfbook.datasets.fingerprint", lambda name: "made-up")
    return Store(tmp_path / "records")


@pytest.mark.parametrize("power", [0.0, 0.6])
def test_the_power_put_in_is_found_whatever_each_layer_prefers(store, power):
    save_lawful(store, power)
    taps = reads_taps.read_taps([store, store])
    assert len(taps) == 6 and {t.stride for t in taps} == {1, 2, 3}
    found = reads_taps.estimate_exponents(taps)["vgg"]
    assert found.value == pytest.approx(power, abs=1e-6) and found.n == 2
    assert power == 0 or (
        reads_taps.say_taps(taps)
        == "VGG 0.60 [0.60, 0.60] (2 seeds) (quarter width, made up, 20 epochs)"
    )

    def check(fit):
        assert fit([t for t in taps if t.seed == 0]) == pytest.approx(power, abs=1e-6)

    def without_layers(own):  # the wrong version: one line through all taps
        x = np.log(np.concatenate([t.shares[t.shares > 0] for t in own]))
        y = np.log(np.concatenate([t.ratios[t.shares > 0] for t in own]))
        return float(np.polyfit(x, y, 1)[0])

    check(reads_taps.fit_exponent)
    rejects(check, without_layers)


def test_networks_without_weights_or_another_pool_say_nothing(store):
    assert reads_taps.say_taps([]) == "no published record decides it yet"
    assert np.isnan(reads_taps.corner_ratio([], 0.25))
    save_lawful(store, 0.5, strides=(2,), seeds=(0,))
    taps = reads_taps.read_taps([store])
    assert reads_taps.say_taps(taps) == "no published record decides it yet"
    assert reads_taps.corner_ratio(taps, 0.25) > 0
    with pytest.raises(ValueError, match="read at different shares"):
        reads_taps.fit_exponent([*taps, *taps])
    taken = next(store.select())
    light = dataclasses.replace(taken, arrays={})
    other = Store(store.folder.parent / "light")
    other.save(light)
    quick = dataclasses.replace(light.spec, config={**light.spec.config, "name": "laptop: vgg"})
    other.save(dataclasses.replace(taken, spec=quick))
    assert reads_taps.read_taps([other]) == []


def save_pruned(store, law, other=None):
    """Save the six networks and two more, whose gaps follow from the kept share of the reading.

    ResNet-50 behind two pools follows ``other``, where that is given.
    """
    means = reads.count_shares()
    for kind in control.KINDS:
        config = control.configure(plans.QUARTER, kind)
        for seed in range(2):
            metrics = {"accuracy": 0.9, "live_share": 0.5, "note": "made up"}
            for rate in config.rates:
                metrics[f"pruned_{rate:g}"] = 0.9 - law((1 - rate) / means[kind])
            store.save(Record(control.POOL_CONTROL.spec(config, seed), metrics))
    save_pools(store, "vgg", law)
    if other is not None:
        save_pools(store, "resnet50", other)


def save_pools(store, architecture, law):
    base = dataclasses.replace(plans.QUARTER, architecture=architecture)
    for stride in (2, 4):
        network = networks.with_pool(base, stride)
        mean = control_design.share_read(networks.build_network(network, 0, 10), 32)
        config = prunings.configure_pruning(network)
        accuracies = [0.9 - law((1 - rate) / mean) for rate in config.rates]
        metrics = {"rates": list(config.rates), "dense": 0.9, "global": accuracies}
        metrics |= {"pool_stride": stride, "architecture": architecture, "n_classes": 10}
        metrics |= {"field_px": 1, "note": "made up"}
        for seed in range(2):
            store.save(Record(prunings.POOL_PRUNING.spec(config, seed), metrics))


def test_a_gap_that_hangs_on_the_reading_alone_is_told_elsewhere_too(store):
    save_pruned(store, lambda kept: 0.7 if kept < 0.4 else 0.05)
    kinds = control_dead.choose_kinds([store])
    seen = reads.gather_reads([store], kinds)
    middle, most, least = reads.part_at(seen.kept, "per_read")
    assert middle == pytest.approx(37.5) and most < 0.4 < least
    assert len(seen.kept) == 12 and len(seen.pools) == 2 * len(prunings.RATES)
    n_decided, n_right = reads.check_pools(seen.kept, seen.pools)
    assert n_right == n_decided >= 8
    assert f"decides {n_decided} of 10 networks and rates, {n_right}" in reads.say_kept(seen)
    assert "which does not part them" in reads.say_kept(seen)
    wrong = seen.pools.assign(gap=70 - seen.pools["gap"])
    assert reads.check_pools(seen.kept, wrong) == (n_decided, 0)
    assert seen.table().index[0] in ("base", "coarse")
    fig, axes = plots.figure(1, 2)
    plots.plot_reads(axes, seen)
    fig.canvas.draw()
    labels = axes[1].get_legend_handles_labels()[1]
    plt.close(fig)
    assert set(labels) == {*control.KINDS, "other pools"}


@pytest.mark.parametrize("edge", [0.4, 0.2])
def test_another_architecture_is_held_to_the_same_bounds(store, edge):
    save_pruned(
        store,
        lambda kept: 0.7 if kept < 0.4 else 0.05,
        lambda kept: 0.7 if kept < edge else 0.05,
    )
    seen = reads.gather_reads([store], control_dead.choose_kinds([store]))
    n_decided, found = reads.check_pools(seen.kept, seen.other)
    _, most, _ = reads.part_at(seen.kept, "per_read")
    spared = seen.other["per_read"].between(edge, most)  # said to be lost, and is not
    assert len(seen.other) == 10 and found == n_decided - int(spared.sum())
    assert f"decide {n_decided} of 10 networks and rates, {found} of them" in reads.say_other(seen)
    assert (edge < 0.4) == (found < n_decided)


def test_without_published_networks_the_chapter_says_so(store):
    seen = reads.gather_reads([store], control_dead.choose_kinds([store]))
    assert seen.table() is None and not seen.taps
    assert reads.say_kept(seen) == reads.say_other(seen) == "no published record decides it yet"
    fig, axes = plots.figure(1, 2)
    plots.plot_reads(axes, seen)
    plt.close(fig)


def test_the_trained_networks_of_the_control_are_kept_rounded(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for kind in ("dilated", "base"):
        config = control.configure(TINY, kind)
        space = Workspace(torch.device("cpu"), None, None, "")
        record = make(control.POOL_CONTROL, config, 0, store, space)
        weights = [name for name in record.arrays if name.startswith("weights.")]
        assert bool(weights) == (kind == "dilated")
    halves = {record.arrays[name].dtype for name in weights if record.arrays[name].ndim > 1}
    assert halves <= {np.dtype(np.float16)}
