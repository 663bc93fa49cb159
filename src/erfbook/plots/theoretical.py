"""Figures of the chapter on theoretical receptive fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from erfbook import theory
from erfbook.notation import percent
from erfbook.plots.style import COLORS, INK
from erfbook.theory import Window

# One colour and one marker a network or path, in the order drawn (chosen by us).
_SERIES = tuple(COLORS[name] for name in ("uniform", "random", "relu", "tanh", "sigmoid"))
_MARKERS = ("o", "s", "^", "D", "v")
_PHOTO_SERIES = ("#56b4e9", "#e69f00", "#ff5fb0")  # light enough for a photograph


def plot_single_path(
    ax: plt.Axes, path: Sequence[Window], n_pixels: int, units: Sequence[int]
) -> plt.Axes:
    """Draw a path level by level, and the cone of inputs below each of some output units.

    Args:
        ax: axes.
        path: layers from the input up.
        n_pixels: pixels of the input.
        units: output units; numbers are written beside the first one's cone.
    """
    for level in range(len(path) + 1):
        lower = path[:level]
        grid = theory.count_units(n_pixels, lower)
        pads = (path[level].padding, path[level].after) if level < len(path) else (0, 0)
        for unit in range(-int(pads[0]), grid + int(pads[1])):
            is_padding = not 0 <= unit < grid
            _cell(ax, float(theory.predict_centre(lower, unit)), level, is_padding=is_padding)
    for unit, colour in zip(units, _SERIES, strict=False):
        _cone(ax, path, n_pixels, unit, colour)
    for level, (first, last) in enumerate(_regions(path, units[0])):
        words = f"$r_{level} = {last - first + 1}$: {first} to {last}"
        ax.text(n_pixels + 1.6, level, words, va="center", color=_SERIES[0], fontsize=9)
    names = [
        f"level {i}: $k={w.kernel}$, $s={w.stride}$, $p={w.padding}$" for i, w in enumerate(path, 1)
    ]
    ax.set_yticks(range(len(path) + 1), ["level 0: input", *names])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="input pixel", xlim=(-4.6, n_pixels + 8.5), ylim=(-0.5, len(path) + 0.5))
    ax.set_xticks(range(0, n_pixels, 4))
    ax.spines[:].set_visible(False)
    return ax


def _regions(path: Sequence[Window], unit: int) -> list[tuple[Any, Any]]:
    """Return the region of an output unit on every level, from the input up."""
    regions: list[tuple[Any, Any]] = [(unit, unit)]
    for window in reversed(path):
        regions.append(theory.step_region(regions[-1], window))
    return regions[::-1]


def _cell(ax: plt.Axes, x: float, y: float, *, is_padding: bool) -> None:
    style: dict[str, Any] = {"linestyle": (0, (2, 2)), "alpha": 0.6} if is_padding else {}
    ax.add_patch(
        Rectangle((x - 0.4, y - 0.12), 0.8, 0.24, fill=False, edgecolor=INK, linewidth=0.8, **style)
    )


def _cone(ax: plt.Axes, path: Sequence[Window], n_pixels: int, unit: int, colour: str) -> None:
    """Fill what a unit sees on each level, paler where it is padding, and join the levels."""
    left, right = [], []
    for level, (first, last) in enumerate(_regions(path, unit)):
        lower = path[:level]
        grid = theory.count_units(n_pixels, lower)
        for u in range(first, last + 1):
            x = float(theory.predict_centre(lower, u))
            alpha = 0.8 if 0 <= u < grid else 0.3
            style: dict[str, Any] = {"color": colour, "alpha": alpha, "linewidth": 0}
            ax.add_patch(Rectangle((x - 0.4, level - 0.12), 0.8, 0.24, **style))
        left.append((float(theory.predict_centre(lower, first)) - 0.4, level))
        right.append((float(theory.predict_centre(lower, last)) + 0.4, level))
    ax.add_patch(Polygon([*left, *right[::-1]], color=colour, alpha=0.15, linewidth=0))


def plot_alignment(axes: np.ndarray, examples: Mapping) -> np.ndarray:
    """Draw every unit's region through each of two paths, a panel an example."""
    for ax, example in zip(axes, examples.values(), strict=True):
        units = range(len(example.regions))
        for (name, path), colour, shift in zip(
            example.paths.items(), _SERIES, (-0.18, 0.18), strict=False
        ):
            regions = [theory.predict_region(path, unit) for unit in units]
            widths = [float(last - first + 1) for first, last in regions]
            places = [unit + shift for unit in units]
            starts = [first - 0.5 for first, _ in regions]
            ax.barh(places, widths, 0.3, left=starts, color=colour, alpha=0.75, label=name)
            centres = [float(theory.predict_centre(path, unit)) for unit in units]
            ax.plot(centres, places, "|", color=INK, markersize=8, markeredgewidth=1.6)
        for edge in (-0.5, example.n_pixels - 0.5):
            ax.axvline(edge, color=INK, linewidth=0.8, linestyle=":")
        sizes = sorted(set(example.sizes))
        span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        ax.set_title(f"{example.name}:\n{span} px a unit")
        ax.set(xlabel="input pixel", xlim=(-3, example.n_pixels + 2))
        ax.set_yticks(units)
        ax.invert_yaxis()
    axes[0].set_ylabel("unit")
    handles = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(*handles, loc="outside lower center", ncols=2)
    return axes


def plot_border_cut(axes: np.ndarray, borders: Mapping, prediction) -> np.ndarray:
    """Draw what the border cuts, by depth and by field size.

    Args:
        axes: three.
        borders: by network, its convolutions.
        prediction: (size, px) and the share of regions of that size which a border cuts.
    """
    by_depth, inside, by_size = axes
    by_size.plot(*prediction, color=COLORS["predicted"], linewidth=1.2, label="evenly spread")
    for network, colour, marker in zip(borders.values(), _SERIES, _MARKERS, strict=False):
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 3.5,
            "linewidth": 1,
        }
        depth = [layer.depth for layer in network.layers]
        cut = [layer.share_cut for layer in network.layers]
        by_depth.plot(depth, cut, label=network.label, **style)
        inside.plot(depth, [layer.share_inside for layer in network.layers], **style)
        by_size.plot([layer.size_px for layer in network.layers], cut, **style | {"linewidth": 0})
    titles = ("units cut, by depth", "mean field inside", "units cut, by field")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("depth, share of convolutions")
    by_size.set_xscale("log")
    by_size.set_xticks([3, 10, 30, 100, 300, 900], ["3", "10", "30", "100", "300", "900"])
    by_size.xaxis.set_minor_formatter(NullFormatter())
    by_size.set_xlabel("field, px")
    by_size.legend(loc="lower right", handlelength=1.2, borderaxespad=0)
    handles = by_depth.get_legend_handles_labels()
    axes[0].get_figure().legend(*handles, loc="outside lower center", ncols=3)
    return axes


def plot_accuracy(ax: plt.Axes, fit, *, sizes: tuple[float, float] = (150, 4000)) -> plt.Axes:
    """Draw published accuracy against the field on a logarithmic axis, with the fitted line.

    Args:
        ax: axes.
        fit: the networks, and the line with its 95 % band.
        sizes: field sizes between which the line is drawn, px.
    """
    at = np.geomspace(*sizes, 100)
    line, low, high = fit.predict(at)
    style: dict[str, Any] = {"color": COLORS["predicted"]}
    ax.plot(at, line, linewidth=1.4, label="fitted line", **style)
    ax.fill_between(at, low, high, alpha=0.2, linewidth=0, label="95 % band", **style)
    families = {"resnet_v1": "ResNet v1", "inception": "Inception", "": "others"}
    rest = list(fit.networks)
    for (prefix, label), colour, marker in zip(families.items(), _SERIES, _MARKERS, strict=False):
        own = [network for network in rest if network.name.startswith(prefix)]
        rest = [network for network in rest if network not in own]
        x, y = [network.size for network in own], [network.top1 for network in own]
        ax.plot(x, y, marker, color=colour, markersize=6, label=label)
        for network in own:
            words = network.name.removeprefix("resnet_v1_").removeprefix("inception_")
            words = words.replace("resnet_v2", "ResNet_v2").replace("_", " ")
            above = network.name in ("inception_v3", "inception_v4")
            place: dict[str, Any] = {
                "xytext": (-5, 6) if above else (6, -11),
                "ha": "right" if above else "left",
            }
            ax.annotate(
                words, (network.size, network.top1), textcoords="offset points", fontsize=9, **place
            )
    ax.set_xscale("log")
    ax.set_xticks([200, 500, 1000, 2000, 4000], ["200", "500", "1000", "2000", "4000"])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="theoretical field, px", ylabel="ImageNet top-1, %")
    ax.margins(y=0.12)
    ax.set_xlim(sizes[0], 1.6 * sizes[1])
    ax.legend(loc="lower right")
    return ax


def plot_field_on_photograph(axes: np.ndarray, shown) -> np.ndarray:
    """Draw the fields of several layers over a photograph: of central units, and of corner ones."""
    side = len(shown.pixels)
    for ax, title in zip(axes, ("central units", "corner units"), strict=True):
        ax.imshow(shown.pixels, extent=(-0.5, side - 0.5, side - 0.5, -0.5))
        low, high = 0, side
        for field, colour in zip(shown.fields, _PHOTO_SERIES, strict=True):
            unit = field.central_unit if ax is axes[0] else (0, 0)
            (top, bottom), (left, right) = field.region(unit)
            box = (left - 0.5, top - 0.5), right - left + 1, bottom - top + 1
            label = f"{field.path.removeprefix('_').replace('s.', ' ')}, {field.size[0]} px"
            ax.add_patch(Rectangle(*box, fill=False, edgecolor=colour, linewidth=2.2, label=label))
            y, x = field.centre(unit)
            ax.plot(x, y, "+", color=colour, markersize=9, markeredgewidth=2)
            low, high = min(low, left, top), max(high, right, bottom)
        ax.set_title(title)
        margin = 0.03 * (high - low)
        ax.set(xlim=(low - margin, high + margin), ylim=(high + margin, low - margin))
        ax.set_xlabel("px")
    handles = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(*handles, loc="outside lower center", ncols=3)
    return axes


def plot_size_pairs(axes: np.ndarray, pairs: Sequence) -> np.ndarray:
    """Draw effective against theoretical sizes, and their ratio; open where the image cuts."""
    left, right = axes
    sides = np.array([8.0, 1100.0])
    left.plot(sides, sides, color=COLORS["predicted"], linewidth=1.2, label="all of the field")
    right.axhline(1.0, color=COLORS["predicted"], linewidth=1.2)
    networks = dict.fromkeys(pair.network for pair in pairs)
    for network, colour, marker in zip(networks, _SERIES, _MARKERS, strict=False):
        own = [pair for pair in pairs if pair.network == network]
        kind = "trained" if own[0].is_trained else "untrained"
        x = np.array([pair.theoretical_px for pair in own])
        y = np.array([pair.effective_px for pair in own])
        low, high = np.array([pair.spread_px for pair in own]).T
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1}
        for ax, scale in ((left, 1.0), (right, x)):
            errors = np.maximum(np.stack([y - low, high - y]), 0) / scale
            whole = np.array([pair.is_whole for pair in own])
            ax.errorbar(
                x,
                y / scale,
                errors,
                **style | {"marker": "", "capsize": 0 if own[0].is_trained else 4},
            )
            points = style | {"linewidth": 0, "label": f"{network}, {kind}"}
            ax.plot(x[whole], (y / scale)[whole], **points)
            ax.plot(x[~whole], (y / scale)[~whole], **points | {"mfc": "none", "label": None})
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1000"])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("theoretical side, px")
    left.set_yscale("log")
    left.set_yticks([10, 30, 100, 300], ["10", "30", "100", "300"])
    left.yaxis.set_minor_locator(FixedLocator([]))
    left.set_ylabel("effective side, px")
    right.set(ylabel="effective / theoretical", ylim=(0, 1.08))
    handles = left.get_legend_handles_labels()
    left.get_figure().legend(*handles, loc="outside lower center", ncols=2)
    return axes


def plot_unet_tiling(axes: np.ndarray, check) -> np.ndarray:
    """Draw one tile with the input it needs, and the output pixels that tiling gets wrong."""
    side, tile = len(check.image), check.tile_px
    first, *others = axes
    first.imshow(check.image, cmap="gray")
    before, after = check.overlaps["exact"]
    first.add_patch(_square(tile, tile, color=_PHOTO_SERIES[1], linewidth=2))
    needed = _square(tile - before, before + tile + after, color=_PHOTO_SERIES[0], linewidth=2)
    needed.set_linestyle("--")
    first.add_patch(needed)
    first.set_title("a tile and\nits input")
    titles = {"none": "no overlap", "less before": "{} px before", "exact": "{} px"}
    for ax, (case, title) in zip(others, titles.items(), strict=True):
        wrong = check.errors[case] > 0
        rgba = np.zeros((*wrong.shape, 4))
        rgba[wrong] = plt.matplotlib.colors.to_rgba(COLORS["paper"])
        ax.imshow(rgba, interpolation="nearest")
        for edge in range(tile, side, tile):
            ax.axhline(edge - 0.5, color=INK, linewidth=0.5)
            ax.axvline(edge - 0.5, color=INK, linewidth=0.5)
        overlap = title.format(check.overlaps[case][0])
        ax.set_title(f"{overlap}:\n{percent(check.wrong_share(case), 2)} wrong")
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
    return axes


def _square(corner: int, side: int, **style: Any) -> Rectangle:
    return Rectangle((corner - 0.5, corner - 0.5), side, side, fill=False, **style)
