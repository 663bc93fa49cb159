"""Pruning counted by the weights that read the image: shares by direct count, gaps by a law."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_pooled_networks import KEY, study
from theory_oracles import rejects
from training_cases import small_set

from erfbook import plots, pruning
from erfbook.datasets.sets import Split
from erfbook.experiments.pooled import networks, plans, prunings, prunings_live, prunings_study

UNUSED = (0.0, 0.0, 0.5, 0.5)


def lawful(law, *, unused=UNUSED):
    """Made-up networks: half of the weights behind the two larger pools unused and pruned first;
    ``law`` gives accuracy of the share that is kept of the others."""
    rows = [[0.9, 0.8], [0.8, 0.7], [0.7, 0.6], [0.6, 0.5]]
    records = study(rows, rows)
    for record in records:
        share = unused[record.spec.config["network"]["pool_stride"] - 1]
        metrics = record.metrics
        rates = np.array(metrics["rates"])
        kept = np.minimum(1, (1 - rates) / (1 - share))
        metrics["unused"] = share
        metrics["pruned_unused"] = list(np.minimum(share, rates) / rates)
        metrics["global"] = list(metrics["dense"] - law(kept))
    return prunings_study.gather(records)[KEY]


def steep(kept):
    """A loss of accuracy that grows in a straight line as weights go."""
    return 0.5 * (1 - kept)


@pytest.mark.parametrize("stride", [1, 3])
def test_the_share_that_is_kept_is_that_of_a_direct_count(stride):
    config = networks.with_pool(replace(plans.SMOKE, width=1 / 32), stride)
    model = networks.build_network(config, 0, 10)
    unused = pruning.find_unused(model, (3, 32, 32))
    weights = dict(model.named_parameters())
    with torch.no_grad():  # as decay would, but not so far that all of them go first
        for name, mask in unused.items():
            weights[name][mask] *= 0.5
    rates = (0.3, 0.6, 0.9)
    images = Split(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, dtype=torch.uint8))
    data = replace(small_set(1), train=images)
    counts, _ = prunings._count(model, data, rates)
    (record,) = study([[0.9]], [[0.9]])
    record.metrics.update(counts, rates=list(rates), **{"global": [0.9] * 3})
    found = prunings_study.gather([record])[KEY]
    assert (counts["unused"] > 0.3) == (stride == 3)
    for rate in rates:
        mask = pruning.choose_mask(model, rate)
        read = {name: ~unused[name] if name in unused else torch.ones_like(m)
                for name, m in mask.items()}  # fmt: skip
        kept = sum(int(mask[name][read[name]].sum()) for name in mask)
        n_read = sum(int(r.sum()) for r in read.values())
        (share,) = prunings_live.share_kept(found, 1, rate)
        assert share == pytest.approx(kept / n_read, abs=1 / n_read)  # pruned in whole weights
        assert stride == 1 or share > 1 - rate + 0.01  # the naive share is another


def test_a_gap_that_hangs_on_live_weights_alone_has_no_trend_at_equal_shares():
    found = lawful(steep)
    shares = prunings_live.list_shares(found)
    assert shares == pytest.approx({0.8: 0.4, 0.9: 0.2})
    for rate, share in shares.items():
        slope = prunings_live.slope_at(found, share)
        assert slope.value == pytest.approx(0, abs=1e-9) and slope.n == 2
        assert found.slope("gap", rate).high < -1  # at the same rate it falls
        for stride in found.strides:
            assert prunings_live.gap_at(found, stride, share) == pytest.approx(50 * (1 - share))
    assert prunings_live.gap_at(found, 4, 1.0) == pytest.approx(0)
    hidden = lawful(steep, unused=(0, 0, 0, 0))  # the gaps of one, the counts of the other
    wrong = {s: [replace(a, metrics=a.metrics | {"global": b.metrics["global"]})
                 for a, b in zip(hidden.runs(s), found.runs(s), strict=True)]
             for s in found.strides}  # fmt: skip
    blind = prunings_study.Study(found.scale, "vgg", found.dataset, wrong)
    assert prunings_live.slope_at(blind, 0.2).high < -1


def test_networks_whose_unused_weights_are_not_all_gone_can_be_compared():
    found = lawful(steep)
    for stride in (3, 4):  # little decay: what is pruned falls on unused ones less, seed by seed
        for record in found.records[stride]:
            less = 0.6 + 0.1 * record.spec.seed
            record.metrics["pruned_unused"] = [less * f for f in record.metrics["pruned_unused"]]
    shares = prunings_live.list_shares(found)
    for rate, share in shares.items():
        kept = [prunings_live.share_kept(found, k, rate, paired=True) for k in found.strides]
        assert share == np.max(kept) and np.ptp(kept[-1]) > 0.01
        assert np.isfinite(prunings_live.slope_at(found, share).value)
    assert prunings_live.list_kept(found)[1] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])


def test_a_share_below_all_that_was_run_is_refused():
    with pytest.raises(ValueError, match=r"share must lie in 0\.200 to 1, not 0\.15"):
        prunings_live.gap_at(lawful(steep), 4, 0.15)


def test_results_and_table_hold_both_ways_of_counting():
    found = lawful(steep)
    named = dict(prunings_live.name_live(found))
    assert named["live_rate_below"] == {"value": 0.8} and named["live_rate_top"] == {"value": 0.9}
    assert named["live_kept_below"]["value"] == pytest.approx(0.4)
    assert named["live_kept_first_below"]["value"] == pytest.approx(0.2)
    assert named["live_all_below_words"] == {"value": "falls"}
    assert named["live_same_below"]["value"] == pytest.approx(0, abs=1e-9)
    assert named["live_unused"] == {"value": 0.5}
    assert named["live_share_below"]["value"] == pytest.approx(0.4)
    assert named["live_least_below"]["value"] == pytest.approx(30)
    table = prunings_live.tabulate_live(found)
    assert list(table.index) == ["80 % of all", "60 % of those that read", "90 % of all",
                                 "80 % of those that read"]  # fmt: skip
    assert list(table.loc["60 % of those that read"].iloc[:4]) == ["30.0"] * 4
    assert list(table.loc["80 % of all"].iloc[:4]) == ["40.0", "40.0", "30.0", "30.0"]


def test_the_figure_draws_gaps_over_both_ways_of_counting():
    found = lawful(steep)

    def check(kept):
        fig, axes = plots.figure(1, 2)
        plots.plot_pruning_live(axes, found, kept)
        fig.canvas.draw()
        plt.close(fig)
        n = len(found.rates)
        lines = [[x for x in ax.get_lines() if len(x.get_xdata()) == n] for ax in axes]
        assert [len(own) for own in lines] == [4, 4]
        for line in lines[1]:  # of the weights that read, all networks follow one law
            shares, gaps = (np.asarray(x, float) for x in line.get_data())
            assert np.allclose(gaps, 50 * (1 - shares / 100))

    check(prunings_live.list_kept(found))
    rejects(check, {k: [1 - rate for rate in found.rates] for k in found.strides})
