"""The verification's results under the names that prose, tables and the claims ledger use.

Each ``name_*`` function returns ``{name: keyword arguments of a page's report}``.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.growth import PAPER_SLOPES, GrowthCurve, RepeatedSlopes
from erfbook.experiments.panels import Panel
from erfbook.experiments.verification import PlacementSizes, Squareness, ratio_of

Results = dict[str, dict]


def name_panel(name: str, panel: Panel) -> Results:
    """Name how Gaussian and how large one panel is.

    ``_unexplained`` is what the best Gaussian leaves unexplained, in units of what noise and finite
    depth must leave; ``_kurtosis_z`` is in standard errors off the prediction.
    """
    n = panel.n_kept
    results: Results = {
        f"{name}_r2": {"value": panel.r_squared, "n": n},
        f"{name}_r2_expected": {"value": panel.r_squared_expected, "n": n},
        f"{name}_unexplained": {"value": panel.unexplained, "n": n},
        f"{name}_kurtosis": panel.kurtosis.as_result(),
        f"{name}_kurtosis_expected": {"value": panel.predicted_kurtosis},
        f"{name}_size": {**panel.size.as_result(), "unit": "px"},
        f"{name}_size_expected": {"value": panel.predicted_size, "unit": "px"},
        f"{name}_kept": {"value": panel.n_kept},
        f"{name}_dropped": {"value": panel.n_dropped},
        f"{name}_effective": {"value": panel.n_effective, "unit": "runs"},
    }
    if panel.kurtosis.low < panel.kurtosis.high:
        z = panel.kurtosis.z_score(panel.predicted_kurtosis)
        results[f"{name}_kurtosis_z"] = {"value": z, "n": n}
    return results


def name_shapes(panels_by_kind: dict[str, list[Panel]]) -> Results:
    """Name figure 1: every panel by kind and depth, and each kind's worst and deepest values."""
    results: Results = {}
    for kind, panels in panels_by_kind.items():
        for panel in panels:
            name = f"{kind}_{len(panel.layers)}"
            named = name_panel(name, panel)
            kept = (f"{name}_{key}" for key in ("r2", "unexplained", "kurtosis_z", "dropped"))
            results |= {key: named[key] for key in kept if key in named}
        results[f"{kind}_r2_lowest"] = {"value": min(p.r_squared for p in panels)}
        results[f"{kind}_unexplained_largest"] = {"value": max(p.unexplained for p in panels)}
        results[f"{kind}_effective_lowest"] = {"value": min(p.n_effective for p in panels)}
        results[f"{kind}_displaced_deepest"] = {"value": panels[-1].displaced}
        results[f"{kind}_dropped_total"] = {"value": sum(p.n_dropped for p in panels)}
        results[f"{kind}_runs_total"] = {"value": sum(p.n_dropped + p.n_kept for p in panels)}
        results[f"{kind}_kurtosis_shallowest"] = panels[0].kurtosis.as_result()
        results[f"{kind}_kurtosis_deepest"] = panels[-1].kurtosis.as_result()
    pairs = list(zip(panels_by_kind["random_wide"], panels_by_kind["relu_wide"], strict=True))
    loss = sum(linear.r_squared - relu.r_squared for linear, relu in pairs) / len(pairs)
    results["relu_wide_r2_loss"] = {"value": loss, "n": len(pairs)}
    return results


def name_nonlinearities(panels: dict[str, Panel], shapes: dict[str, list[Panel]]) -> Results:
    """Name the nonlinearity figure, and what its runs gain over the best ReLU panel of figure 1."""
    best = max(panel.r_squared for panel in shapes["relu_wide"])
    results: Results = {}
    for kind, panel in panels.items():
        results |= name_panel(f"nonlinear_{kind}", panel)
        results[f"nonlinear_{kind}_gain"] = {"value": panel.r_squared - best, "n": panel.n_kept}
    return results


def name_growth(
    curves: dict[str, GrowthCurve], repeats: dict[str, dict[str, RepeatedSlopes]]
) -> Results:
    """Name figure 2: both slopes of every curve, and where the published ones lie among repeats.

    ``_z`` is a measured slope minus its exact value in standard errors. ``_paper_z`` is
    how far the published slope lies from what a further repeat would give, as a normal deviate.
    ``_offset`` is the repeats' mean minus the plain mean's exact value, ``_error`` its standard
    error.
    """
    results: Results = {}
    for kind, repeated in repeats.items():
        for key, slopes in repeated.items():
            for which, published in PAPER_SLOPES.items():
                name, spread = f"{kind}_{key}_repeat_{which}_slope", slopes.spread(which)
                results[name] = spread.as_result()
                z = slopes.z_score(which, published)
                results[f"{kind}_{key}_{which}_slope_paper_z"] = {"value": z, "n": spread.n}
                sd = float(getattr(slopes, which).std(ddof=1))
                exact = getattr(curves[f"{kind}_{key}"].predicted, f"{which}_slope")
                results[f"{name}_offset"] = {"value": spread.value - exact, "n": spread.n}
                results[f"{name}_error"] = {"value": sd / spread.n**0.5, "n": spread.n}
                results[f"{kind}_{key}_{which}_slope_sd"] = {"value": sd, "n": spread.n}
    for name, curve in curves.items():
        for which in PAPER_SLOPES:
            slope: Estimate = getattr(curve, f"{which}_slope")
            expected = getattr(curve.predicted, f"{which}_slope")
            results[f"{name}_{which}_slope"] = slope.as_result()
            results[f"{name}_{which}_slope_expected"] = {"value": expected}
            if slope.low < slope.high:
                z = slope.z_score(expected)
                results[f"{name}_{which}_slope_z"] = {"value": z, "n": slope.n}
        results[f"{name}_dropped"] = {"value": int(curve.n_dropped.sum())}
        results[f"{name}_effective_median"] = {
            "value": float(pd.Series(curve.n_effective).median())
        }
    return results


def name_dead(fractions: dict[tuple[int, int], Estimate]) -> Results:
    """Name the all-zero gradients by width and depth, and at the ends of both."""
    named = {f"dead_{w}_{d}": e.as_result() for (w, d), e in fractions.items()}
    widths, depths = zip(*fractions, strict=True)
    for label, width in (("narrow", min(widths)), ("wide", max(widths))):
        named[f"dead_{label}_shallowest"] = fractions[width, min(depths)].as_result()
        named[f"dead_{label}_deepest"] = fractions[width, max(depths)].as_result()
    named["dead_lowest_high"] = {"value": min(e.high for e in fractions.values())}
    return named


def name_structures(
    panels: dict[str, Panel],
    power_panels: dict[str, Panel],
    placements: PlacementSizes,
    squareness: Squareness,
) -> Results:
    """Name what structures do: sizes against the baseline, all placements, shape as numbers.

    Args:
        panels: means of |g|.
        power_panels: means of g^2, for the variances, which theory knows exactly.
    """
    results: Results = {}
    baseline, power_baseline = panels["baseline"], power_panels["baseline"]
    for name, panel in panels.items():
        results |= name_panel(name, panel)
        results[f"{name}_squareness"] = {"value": squareness.values[name]}
        power = power_panels[name]
        z = power.variance.z_score(power.predicted_variance)
        results[f"{name}_power_variance_z"] = {"value": z, "n": power.n_kept}
        if panel is baseline:
            continue
        sizes = ratio_of(panel, baseline, "size")
        results[f"{name}_size_ratio"] = sizes.as_result()
        exact = panel.predicted_size / baseline.predicted_size
        results[f"{name}_size_ratio_expected"] = {"value": exact}
        variances = ratio_of(power, power_baseline, "variance")
        results[f"{name}_variance_ratio"] = variances.as_result()
        exact = power.predicted_variance / power_baseline.predicted_variance
        results[f"{name}_variance_ratio_expected"] = {"value": exact}
    lowest, highest = placements.sizes.min(), placements.sizes.max()
    results["placements_n"] = {"value": len(placements.sizes)}
    results["placements_smallest"] = {"value": lowest / placements.baseline}
    results["placements_largest"] = {"value": highest / placements.baseline}
    return results


def tabulate_panels(panels: Iterable[Panel]) -> pd.DataFrame:
    """Return one row a panel: runs, how Gaussian, how large, in brackets what is expected."""
    rows = [
        {
            "network": p.network.label.replace(" channels", " ch.").replace(" channel", " ch."),
            "layers": len(p.layers),
            "runs + zero": f"{p.n_kept} + {p.n_dropped}",
            "worth": f"{p.n_effective:.1f}",
            "R² (expected)": f"{p.r_squared:.3f} ({p.r_squared_expected:.3f})",
            "kurtosis (exact)": f"{p.kurtosis.value:.2f} ({p.predicted_kurtosis:.2f})",
            "size, px (exact)": f"{p.size.value:.1f} ({p.predicted_size:.1f})",
        }
        for p in panels
    ]
    return pd.DataFrame(rows).set_index(["network", "layers"])
