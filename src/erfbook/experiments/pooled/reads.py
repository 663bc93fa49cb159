"""Weights that read the image at few of their layer's positions, and what becomes of them.

A tap of a kernel with step ``d`` and offset ``t`` reads one of ``m`` positions along an axis at a
share ``(m - |t| d) / m`` of them, and padding at the others; in the plane the shares of the rows
and of the columns multiply. Weights that never read are one end of this scale. Its mean over all
weights says how many weights, reading everywhere, would read as often as all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch

from erfbook.experiments.estimates import mean_text
from erfbook.experiments.pooled.control import KINDS, build_control, configure
from erfbook.experiments.pooled.control_dead import Kinds
from erfbook.experiments.pooled.control_design import share_read
from erfbook.experiments.pooled.control_study import take_percent
from erfbook.experiments.pooled.networks import build_network, with_pool
from erfbook.experiments.pooled.plans import QUARTER
from erfbook.experiments.pooled.prunings_study import Study, read_whole
from erfbook.experiments.pooled.reads_taps import SIDE, Taps, read_taps
from erfbook.experiments.side_by_side import NONE_DECIDES
from erfbook.notation import percent
from erfbook.records import Store


def count_shares() -> dict[str, float]:
    """Return the mean share at which weights read, for each kind of network that is compared."""
    with torch.device("meta"):  # no weight needs a value to be counted
        networks = {kind: build_control(configure(QUARTER, kind), 0, 10) for kind in KINDS}
    return {kind: share_read(network, SIDE) for kind, network in networks.items()}


def kept_per_read(kinds: Kinds, means: Mapping[str, float]) -> pd.DataFrame:
    """Return what each network keeps at each rate, and what that costs it.

    ``per_read`` counts the kept weights over those that would, reading everywhere, read as often as
    all of them; ``per_live`` over those that ever read. Gaps are means, least and most of seeds.

    Args:
        kinds: trained and pruned networks.
        means: by kind, what :func:`count_shares` counts.
    """
    rows = []
    for kind, records in kinds.records.items():
        dense = take_percent(records, "accuracy")
        live = float(records[0].metrics["live_share"])
        for rate in kinds.rates:
            gaps = dense - take_percent(records, f"pruned_{rate:g}")
            rows.append(
                {
                    "kind": kind,
                    "rate": rate,
                    "per_read": (1 - rate) / means[kind],
                    "per_live": (1 - rate) / live,
                    "gap": float(gaps.mean()),
                    "low": float(gaps.min()),
                    "high": float(gaps.max()),
                }
            )
    return pd.DataFrame(rows)


def kept_of_pools(study: Study, strides: Iterable[int]) -> pd.DataFrame:
    """Return the same of networks behind pools that are not among the six, at all of their rates.

    Args:
        study: of ``pool-pruning``.
        strides: of the pools; 1 and :data:`STRIDE` are *base* and *strided* of VGG.
    """
    rows = []
    for stride in strides:
        network = with_pool(replace(QUARTER, architecture=study.architecture), stride)
        with torch.device("meta"):
            untrained = build_network(network, 0, 10)
        mean = share_read(untrained, SIDE)
        for rate in study.rates:
            gaps = study.gap(stride, rate)
            rows.append(
                {
                    "kind": f"pool {stride}",
                    "rate": rate,
                    "per_read": (1 - rate) / mean,
                    "gap": float(gaps.mean()),
                    "low": float(gaps.min()),
                    "high": float(gaps.max()),
                }
            )
    return pd.DataFrame(rows)


def check_pools(kept: pd.DataFrame, pools: pd.DataFrame) -> tuple[int, int]:
    """Count the pools' networks on which the parting of the six decides, and those it gets right.

    Args:
        kept: of the six, from :func:`kept_per_read`.
        pools: of other networks, from :func:`kept_of_pools`.
    """
    middle, most, least = part_at(kept, "per_read")
    decided = pools[(pools["per_read"] <= most) | (pools["per_read"] >= least)]
    right = (decided["gap"] > middle) == (decided["per_read"] <= most)
    return len(decided), int(right.sum())


def part_at(table: pd.DataFrame, by: str) -> tuple[float, float, float]:
    """Return where networks that lose much and those that lose little part, by what they keep.

    Args:
        table: of :func:`kept_per_read`.
        by: the column that counts what is kept.

    Returns:
        the loss midway between the largest and the smallest, points; the most that is kept by any
        that loses more, and the least by any that loses less.
    """
    middle = float(table["gap"].max() + table["gap"].min()) / 2
    much = table["gap"] > middle
    return middle, float(table.loc[much, by].max()), float(table.loc[~much, by].min())


def say_kept(seen: Reads) -> str:
    """Say in words how the gap goes with what is kept, by either count, and elsewhere."""
    kept, pools = seen.kept, seen.pools
    if kept is None or seen.kinds is None:
        return NONE_DECIDES
    middle, most, least = part_at(kept, "per_read")
    _, most_live, least_live = part_at(kept, "per_live")
    alike = ", which does not part them" if most_live >= least_live else ""
    told = (
        f"of {len(kept)} networks and rates ({seen.kinds.scale}, {seen.kinds.note}), those that "
        f"lose more than {middle:.0f} points keep {percent(most)} of the reading or less, the "
        f"others {percent(least)} or more; of the weights that ever read, the former keep up to "
        f"{percent(most_live)} and the latter from {percent(least_live)} on{alike}"
    )
    if pools is None:
        return told
    n_decided, n_right = check_pools(kept, pools)
    return (
        f"{told}. Behind the two other pools the first pair of bounds decides {n_decided} of "
        f"{len(pools)} networks and rates, {n_right} of them rightly"
    )


def say_other(seen: Reads) -> str:
    """Say in words what those bounds are worth for ResNet-50, and where its own lie."""
    if seen.kept is None or seen.other is None or seen.kinds is None:
        return NONE_DECIDES
    pools = ", ".join(sorted(set(seen.other["kind"])))
    n_decided, n_right = check_pools(seen.kept, seen.other)
    middle, most, least = part_at(seen.other, "per_read")
    alike = ", which does not part them" if most >= least else ""
    return (
        f"behind {pools} ({seen.kinds.scale}, {seen.kinds.note}) these bounds decide {n_decided} "
        f"of {len(seen.other)} networks and rates, {n_right} of them rightly; those that lose more "
        f"than {middle:.0f} points keep {percent(most)} of the reading or less, the others "
        f"{percent(least)} or more{alike}"
    )


def tabulate_reads(kinds: Kinds, means: Mapping[str, float]) -> pd.DataFrame:
    """Return a row a network: weights that ever read, how often they read on average, and gaps."""
    rows = {}
    for kind, records in kinds.records.items():
        dense = take_percent(records, "accuracy")
        rows[kind] = {
            "weights that read": percent(float(records[0].metrics["live_share"])),
            "mean share of positions": percent(means[kind], 1),
            **{
                f"gap at {percent(rate)}, points": mean_text(
                    dense - take_percent(records, f"pruned_{rate:g}")
                )
                for rate in kinds.rates
            },
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.loc[sorted(rows, key=lambda kind: -means[kind])]


@dataclass(frozen=True)
class Reads:
    """What stores say of weights that seldom read.

    Args:
        taps: of trained networks.
        means: share of positions at which a weight reads, by kind.
        kinds: the six networks; None where none are published, and so are those below.
        kept: what they keep and lose.
        pools: the same of networks behind other pools.
        other: the same of ResNet-50 behind pools of any stride.
    """

    taps: Sequence[Taps]
    means: Mapping[str, float]
    kinds: Kinds | None
    kept: pd.DataFrame | None
    pools: pd.DataFrame | None
    other: pd.DataFrame | None

    def table(self) -> pd.DataFrame | None:
        """Return a row a network, or None."""
        return None if self.kinds is None else tabulate_reads(self.kinds, self.means)


def gather_reads(stores: Sequence[Store], kinds: Kinds | None) -> Reads:
    """Return what stores say of weights that seldom read.

    Args:
        stores: of published records, and of this machine's.
        kinds: the six networks, from :func:`erfbook.experiments.pooled.control_dead.choose_kinds`.
    """
    means = count_shares()
    kept = pools = other = None
    if kinds is not None:
        kept = kept_per_read(kinds, means)
        studies = read_whole(stores)
        study = studies.get((kinds.scale, "vgg"))
        if study is not None and {2, 4} <= set(study.strides):
            pools = kept_of_pools(study, (2, 4))
        study = studies.get((kinds.scale, "resnet50"))
        if study is not None:
            other = kept_of_pools(study, study.strides)
    return Reads(read_taps(stores), means, kinds, kept, pools, other)
