"""Names of the published table's and the odd numbers' results, for prose and the claims ledger.

Each ``name_*`` function returns ``{name: keyword arguments of a page's report}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from erfbook.experiments import layouts, pool_rules
from erfbook.experiments.accuracy import (
    AccuracyFit,
    Rated,
    compare_order,
    compare_training,
    find_smallest_field,
    fit_accuracy,
)
from erfbook.experiments.published import RecomputedRow
from erfbook.experiments.same_padding import PaddingCheck, ResnetVariant

Results = dict[str, dict]


def tabulate(rows: Sequence[RecomputedRow]) -> pd.DataFrame:
    """Return the recomputed table with one row a network, for display."""
    table = []
    for row in rows:
        paper, ours, theirs = row.published, row.ours, row.torchvision
        table.append(
            {
                "network": paper.name,
                "end point": row.end_point,
                "published": f"{paper.size} / {paper.stride} / {paper.padding}",
                "ours": " / ".join(map(str, ours.triple)),
                "torchvision": " / ".join(map(str, theirs.triple)) if theirs else "–",
                "size parts at": _parting(row, "size"),
                "padding parts at": _parting(row, "padding"),
                "top-1 (%)": paper.top1,
            }
        )
    return pd.DataFrame(table).set_index("network").rename_axis(index=None, columns="network")


def name_table(rows: Sequence[RecomputedRow]) -> Results:
    """Name every number of the recomputed table."""
    results: Results = {
        "table_rows": {"value": len(rows)},
        "table_matches": {"value": sum(row.matches for row in rows)},
        "table_misaligned": {"value": sum(not row.ours.aligned for row in rows)},
    }
    for row in rows:
        name = f"table_{row.published.name}"
        for quantity in ("size", "stride", "padding", "offset"):
            value = getattr(row.ours, quantity)
            results[f"{name}_{quantity}"] = {"value": value, "unit": "px"}
        results[f"{name}_aligned"] = {"value": row.ours.aligned}
        if row.torchvision:
            for quantity in ("size", "padding", "offset"):
                value = getattr(row.torchvision, quantity)
                results[f"{name}_torchvision_{quantity}"] = {"value": value, "unit": "px"}
        for parting in row.partings:
            results[f"{name}_{parting.quantity}_parts_at"] = {"value": parting.layer}
    return results


def name_padding(check: PaddingCheck, variants: dict[str, ResnetVariant]) -> Results:
    """Name how often the rule of digits holds, and what a ResNet-50 with other habits has."""
    results: Results = {
        "padding_checked": {"value": check.n_checked},
        "padding_rule_holds": {"value": check.n_equal == check.n_checked},
        "padding_published_holds": {"value": check.n_published},
        "padding_varies": {"value": check.n_published < check.n_checked},
        "padding_aligned": {"value": check.n_aligned},
    }
    for name, variant in variants.items():
        for quantity in ("size", "padding"):
            value = getattr(variant.numbers, quantity)
            results[f"variant_{name}_{quantity}"] = {"value": value, "unit": "px"}
        results[f"variant_{name}_aligned"] = {"value": variant.numbers.aligned}
    return results


def name_accuracy(fits: dict[str, AccuracyFit]) -> Results:
    """Name the lines of accuracy on the logarithm of the field's size."""
    whole = fits["all"]
    order = compare_order(whole.networks)
    slopes = whole.leave_one_out
    results: Results = {
        "accuracy_correlation": whole.correlation.as_result(),
        "accuracy_log_r2": {"value": whole.r2},
        "accuracy_linear_r2": {"value": whole.linear_r2},
        "accuracy_log_r2_no_oldest": {"value": fits["no_oldest"].r2},
        "accuracy_residual": {"value": whole.residual, "unit": "points"},
        "accuracy_leave_one_out_low": {"value": min(slopes.values()), "unit": "points"},
        "accuracy_leave_one_out_high": {"value": max(slopes.values()), "unit": "points"},
        "accuracy_most_influential": {
            "value": max(slopes, key=lambda name: abs(slopes[name] - whole.slope.value))
        },
        "accuracy_pairs": {"value": order.n_pairs},
        "accuracy_discordant": {"value": len(order.discordant)},
        "accuracy_tau": {"value": order.tau},
        "accuracy_tau_p": {"value": order.p_value},
    }
    for name, fit in fits.items():
        key = "accuracy_slope" if name == "all" else f"accuracy_slope_{name}"
        results[key] = {**fit.slope.as_result(), "unit": "points"}
    for top1 in (75, 80):
        found = find_smallest_field(top1, whole.networks)
        if found:
            results[f"accuracy_smallest_field_{top1}"] = {"value": found.size, "unit": "px"}
    return results


def name_survey(surveyed: Sequence[Rated]) -> Results:
    """Name what torchvision's networks say of field and accuracy."""
    v1 = [rated for rated in surveyed if rated.kind == "IMAGENET1K_V1"]
    fit, order, gains = fit_accuracy(v1), compare_order(v1), compare_training(surveyed)
    results: Results = {
        "survey_slope": {**fit.slope.as_result(), "unit": "points"},
        "survey_correlation": fit.correlation.as_result(),
        "survey_residual": {"value": fit.residual, "unit": "points"},
        "survey_discordant": {"value": len(order.discordant)},
        "survey_pairs": {"value": order.n_pairs},
        "survey_tau": {"value": order.tau},
        "survey_training_gain_low": {"value": min(gains.values()), "unit": "points"},
        "survey_training_gain_high": {"value": max(gains.values()), "unit": "points"},
        "survey_training_n": {"value": len(gains)},
    }
    for top1 in (75, 80):
        found = find_smallest_field(top1, surveyed)
        if found:
            results[f"survey_smallest_field_{top1}"] = {"value": found.size, "unit": "px"}
    return results


@dataclass(frozen=True)
class OddNumbers:
    """Every search behind the stated sizes, and what the networks found have when built.

    Args:
        cifar, cifar_odd: ResNets of stride 1 against 74 px; of all kernels, and of odd ones.
        camvid: front-ends against 505 px.
        uniform: of these, with 3 x 3 pools throughout and a 3 x 3 stem.
        n_uniform: how many such front-ends there are, whatever their field.
        confirmed: whether every network built from a sample of the finds has its size.
        vgg: VGG-like networks that give all four sizes with kernel k + 1 at stride k.
        vgg_sizes, resnet_sizes: of networks built with that pool, by stated size, px.
        pools_110: (stem kernel, pool kernel, pool stride) that give ResNet-50 110 px.
        gradient_sizes: read off VGG-16's gradient on a constant image, by stated size, px.
    """

    cifar: layouts.Search[layouts.CifarLayout]
    cifar_odd: layouts.Search[layouts.CifarLayout]
    camvid: layouts.Search[layouts.CamvidLayout]
    uniform: tuple[layouts.CamvidLayout, ...]
    n_uniform: int
    confirmed: bool
    vgg: tuple[pool_rules.VggLayout, ...]
    vgg_sizes: dict[int, int]
    resnet_sizes: dict[int, int]
    pools_110: tuple[tuple[int, int, int], ...]
    gradient_sizes: dict[int, int]


def explain_odd_numbers(n_confirmed: int = 8) -> OddNumbers:
    """Search for the layouts of all stated sizes and build what is found.

    Args:
        n_confirmed: how many of each kind of ResNet found are built.
    """
    cifar, camvid = layouts.search_cifar(), layouts.search_camvid()
    uniform = tuple(filter(layouts.is_uniform, camvid.exact))
    rule = pool_rules.find_pool_rules(pool_rules.VGG_SIZES)[1]
    vgg = pool_rules.search_vgg(rule.rest)
    strides = pool_rules.STRIDES
    built = [layouts.confirm_cifar(x) == cifar.target for x in cifar.exact[:n_confirmed]]
    sample = {*camvid.exact[:n_confirmed], *uniform[:n_confirmed]}
    built += [layouts.confirm_camvid(x) == (camvid.target, 16) for x in sample]
    return OddNumbers(
        cifar=cifar,
        cifar_odd=layouts.search_cifar(odd=True),
        camvid=camvid,
        uniform=uniform,
        n_uniform=sum(map(layouts.is_uniform, layouts.enumerate_camvid((3,), (1,)))),
        confirmed=all(built),
        vgg=vgg,
        vgg_sizes={
            size: pool_rules.confirm_vgg(vgg[0], rule.kernel(k), k)
            for size, k in zip(pool_rules.VGG_SIZES, strides, strict=True)
        },
        resnet_sizes={
            size: pool_rules.confirm_resnet(rule.kernel(k), k)
            for size, k in zip(pool_rules.RESNET_SIZES, strides, strict=True)
        },
        pools_110=pool_rules.search_pools(110, pool_rules.resnet_rest()),
        gradient_sizes={
            size: pool_rules.measure_gradient_extent(k, k)
            for size, k in zip(pool_rules.VGG_SIZES, strides, strict=True)
        },
    )


def name_odd_numbers(odd: OddNumbers) -> Results:
    """Name the searches' counts and the built networks' sizes."""
    results: Results = {
        "cifar_layouts": {"value": odd.cifar.n_tried},
        "cifar_even_layouts_74": {"value": sum(not x.is_odd for x in odd.cifar.exact)},
        "cifar_odd_layouts": {"value": odd.cifar_odd.n_tried},
        "cifar_odd_layouts_74": {"value": len(odd.cifar_odd.exact)},
        "cifar_nearest_below": {"value": odd.cifar_odd.below, "unit": "px"},
        "cifar_nearest_above": {"value": odd.cifar_odd.above, "unit": "px"},
        "camvid_layouts": {"value": odd.camvid.n_tried},
        "camvid_layouts_505": {"value": len(odd.camvid.exact)},
        "camvid_below": {"value": odd.camvid.below, "unit": "px"},
        "camvid_above": {"value": odd.camvid.above, "unit": "px"},
        "camvid_within_8": {"value": sum(odd.camvid.near.values())},
        "camvid_uniform": {"value": len(odd.uniform)},
        "camvid_uniform_tried": {"value": odd.n_uniform},
        "camvid_uniform_resnet34": {"value": any(x.stages == (3, 4, 6, 3) for x in odd.uniform)},
        "layouts_confirmed": {"value": odd.confirmed},
        "pooled_vgg_layouts": {"value": len(odd.vgg)},
        "pooled_vgg_distance": {"value": odd.vgg[0].distance},
        "pooled_vgg_nearest": {"value": "-".join(map(str, odd.vgg[0].stages))},
        "pooled_resnet50_110_pools": {"value": len(odd.pools_110)},
        "pooled_vgg_gradient_matches": {
            "value": sum(size == found for size, found in odd.gradient_sizes.items())
        },
    }
    for network, sizes in (("vgg", odd.vgg_sizes), ("resnet50", odd.resnet_sizes)):
        for size, found in sizes.items():
            results[f"pooled_{network}_{size}"] = {"value": found, "unit": "px"}
    for size, found in odd.gradient_sizes.items():
        results[f"pooled_vgg_gradient_{size}"] = {"value": found, "unit": "px"}
    return results


def _parting(row: RecomputedRow, quantity: str) -> str:
    found = [p for p in row.partings if p.quantity == quantity]
    if not found:
        return "–" if row.torchvision is None else "never"
    parting = found[0]
    return f"{parting.layer} ({parting.value}, torchvision {parting.twin_value})"
