"""Figures of the chapter on what a stack of convolutions does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from erfbook.notation import percent
from erfbook.plots.style import COLORS, INK, heatmap, paper_reference, part_rows
from erfbook.theory import Convergence, GradientPower

# One colour and one marker a kernel or kind, in the order drawn (chosen by us).
SERIES = tuple(COLORS[name] for name in ("uniform", "random", "relu", "tanh", "sigmoid"))
MARKERS = ("o", "s", "^", "D", "v")


def plot_inverse_transform(
    axes: Sequence[plt.Axes],
    spectra: Mapping[int, Float[np.ndarray, " omega"]],
    coefficients: Sequence[int],
    inverse: Float[np.ndarray, " t"],
    poster: Float[np.ndarray, " t"],
) -> Sequence[plt.Axes]:
    """Draw spectra of stacks by depth; beside them coefficients and both inverse transforms.

    Args:
        axes: two.
        spectra: by depth, magnitude over [-pi, pi] relative to omega = 0.
        coefficients: exact, by t.
        inverse: the inverse transform at the same t.
        poster: the poster's integral, which lacks exp(j omega t).
    """
    left, right = axes
    for (depth, spectrum), color in zip(spectra.items(), SERIES, strict=False):
        omega = np.linspace(-np.pi, np.pi, len(spectrum))
        left.plot(omega, spectrum, color=color, label=f"n = {depth}")
    left.set_xticks([-np.pi, 0, np.pi], ["−π", "0", "π"])
    left.set(xlabel="frequency ω (rad/px)", ylabel="|V(ω)|ⁿ / kⁿ", title="Fourier domain")
    left.legend()
    t = np.arange(len(coefficients))
    right.vlines(t, 0, coefficients, color=COLORS["predicted"], linewidth=2, label="exact")
    right.plot(t, inverse, "o", color=COLORS["uniform"], label="inverse transform")
    right.plot(t, poster, "x", color=COLORS["paper"], label="as the poster prints it")
    right.set(xlabel="position t (px)", ylabel="o(t)", title="and back")
    right.set_ylim(0, 1.8 * max(coefficients))  # room for the legend
    right.legend(loc="upper left")
    return axes


def plot_coefficients(
    axes: Sequence[plt.Axes],
    standardised: Mapping[str, tuple[np.ndarray, np.ndarray]],
    tail: tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]],
) -> Sequence[plt.Axes]:
    """Draw rescaled coefficients on the Gaussian, and one stack with its Gaussian in log scale.

    Args:
        axes: two.
        standardised: by name, positions in standard deviations and densities times sigma.
        tail: exact distribution of one stack and the Gaussian's density, by t.
    """
    left, right = axes
    z = np.linspace(-4, 4, 201)
    left.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color=INK, label="Gaussian")
    for (name, (x, y)), color, marker in zip(standardised.items(), SERIES, MARKERS, strict=False):
        left.plot(x, y, marker, color=color, markersize=5, fillstyle="none", label=name)
    left.set(xlim=(-4, 4), xlabel="(t − mean) / σ", ylabel="σ · o(t)", title="The bulk")
    left.set_ylim(0, 0.6)
    left.legend(ncols=2, loc="upper center", columnspacing=1, handlelength=1.2)
    exact, gaussian = tail
    t = np.arange(len(exact)) - (len(exact) - 1) / 2
    right.semilogy(t, gaussian, color=INK, label="Gaussian")
    right.semilogy(t, exact, "o", color=COLORS["uniform"], markersize=3.5, label="exact")
    right.set(xlabel="distance from the centre (px)", ylabel="o(t)", title="The tails")
    right.legend(loc="lower center")
    return axes


def plot_erf_radius(
    axes: Sequence[plt.Axes],
    depths: Int[np.ndarray, " depths"],
    exact: Mapping[int, Float[np.ndarray, " depths"]],
    predicted: Mapping[int, Float[np.ndarray, " depths"]],
) -> Sequence[plt.Axes]:
    """Draw radius and radius over theoretical receptive field against depth, by kernel.

    Args:
        axes: two.
        depths: numbers of layers.
        exact: by kernel, standard deviation of the exact coefficients, px.
        predicted: by kernel, equation 11, px.
    """
    for kernel, color, marker in zip(exact, SERIES, MARKERS, strict=False):
        field = depths * (kernel - 1) + 1
        for ax, scale in zip(axes, (1, field), strict=True):
            ax.loglog(depths, predicted[kernel] / scale, color=color)
            points = exact[kernel] / scale
            ax.loglog(depths, points, marker, color=color, markersize=4, label=f"k = {kernel}")
    axes[0].set(ylabel="radius σ (px)", title="Grows as √n")
    axes[1].set(ylabel="radius / theoretical field", title="Shrinks as 1/√n")
    for ax in axes:
        ax.set_xlabel("layers n")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].legend()
    return axes


def plot_gaussian_limit(
    axes: Sequence[plt.Axes],
    kernels: Mapping[str, tuple[Convergence, float]],
    uniform: Convergence,
    gap: Convergence,
) -> Sequence[plt.Axes]:
    """Draw Kolmogorov distances with limit and bound, and a kernel's distance in several senses.

    Args:
        axes: two.
        kernels: by name, distances over depth and the limit of sqrt(n) times the distance.
        uniform: distances of the kernel of three ones.
        gap: distances of a kernel with nothing at its middle tap.
    """
    left, right = axes
    for (name, (result, limit)), color, marker in zip(
        kernels.items(), SERIES, MARKERS, strict=False
    ):
        depths = result.depths
        left.loglog(depths, result.bound, color=color, linestyle=":", linewidth=1)
        left.loglog(depths, limit / np.sqrt(depths), color=color, linewidth=1)
        left.loglog(depths, result.distance, marker, color=color, markersize=4, label=name)
    left.set(xlabel="layers n", ylabel="Kolmogorov distance", title="Exact, limit and bound")
    left.set_ylim(bottom=left.get_ylim()[0] / 5)  # room for the legend
    handles, _ = left.get_legend_handles_labels()
    solid = Line2D([], [], color=INK, linestyle="-", linewidth=1, label="limit law")
    dotted = Line2D([], [], color=INK, linestyle=":", linewidth=1, label="bound")
    handles += [solid, dotted]
    left.legend(handles=handles, loc="lower left", ncols=2, columnspacing=1)
    senses = {
        "Kolmogorov": uniform.distance,
        "single pixel": uniform.local,
        "total variation": uniform.variation,
        "single pixel, gap": gap.local,
    }
    for (name, values), color, marker in zip(senses.items(), SERIES, MARKERS, strict=False):
        right.loglog(uniform.depths, values, f"{marker}-", color=color, markersize=4, label=name)
    right.set(xlabel="layers n", ylabel="distance", title="It depends on the sense")
    right.set_ylim(bottom=right.get_ylim()[0] / 20)
    right.legend(loc="lower left")
    return axes


def plot_relu_factor(
    axes: Sequence[plt.Axes],
    runs: Mapping[int, GradientPower],
    paper: Sequence[float],
    profile: Float[np.ndarray, " t"],
) -> Sequence[plt.Axes]:
    """Draw the gradient's total power against depth, and its profile at the largest depth.

    Args:
        axes: two.
        runs: by depth, random ReLU networks with He's initialisation.
        paper: total power with the paper's factor, at the same depths.
        profile: predicted E[g^2] at the largest depth.
    """
    left, right = axes
    depths = np.array(list(runs))
    total = np.array([run.total for run in runs.values()])
    error = 1.96 * np.array([run.total_error for run in runs.values()])
    left.axhline(1, color=COLORS["predicted"], label="E[σ'²] = 1/2")
    left.plot(depths, paper, color=COLORS["paper"], linestyle=(0, (4, 2)), label="the paper's 1/4")
    left.errorbar(depths, total, error, fmt="o", color=COLORS["relu"], capsize=3, label="networks")
    left.set_yscale("log")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="layers n", ylabel="Σ E[g²]", title="Power reaching the input")
    left.legend(loc="lower left")
    deepest = runs[depths.max()]
    t = np.arange(len(profile)) - (len(profile) - 1) / 2
    right.errorbar(
        t, deepest.mean, 1.96 * deepest.standard_error, fmt="o", color=COLORS["relu"], markersize=4
    )
    right.plot(t, profile, color=COLORS["predicted"])
    right.set(xlabel="distance from the centre (px)", ylabel="E[g²]")
    right.set_title(f"Shape after {depths.max()} layers")
    return axes


def plot_architectures(
    axes: np.ndarray, maps: Mapping[str, tuple[Float[np.ndarray, "side side"], float]]
) -> np.ndarray:
    """Draw predicted maps of E|g| on one scale of pixels, with their profiles in the last panel.

    Args:
        axes: one more than there are maps.
        maps: by name, E|g| relative to its centre, and its size in px.
    """
    panels = np.ravel(axes)
    part_rows(panels[0])
    side = max(power.shape[0] for power, _ in maps.values())
    for ax, (name, (values, size)) in zip(panels, maps.items(), strict=False):
        margin = (side - values.shape[0]) // 2
        heatmap(ax, np.pad(values, margin), title=name)
        ax.set_xlabel(f"size {size:.1f} px of {values.shape[0]} px")
    last = panels[len(maps)]
    for (name, (values, _)), color in zip(maps.items(), SERIES, strict=False):
        row = values[(values.shape[0] - 1) // 2, (values.shape[0] - 1) // 2 :]
        width = 3.5 if name == "plain" else 1.4  # what coincides with it stays visible
        last.plot(np.arange(row.size), row / row.max(), color=color, label=name, linewidth=width)
    last.set(xlabel="distance (px)", ylabel="E|g|", title="From the centre outwards")
    last.set_xlim(0, 0.75 * side)
    last.set_box_aspect(1)
    last.yaxis.tick_right()  # so that the panel lines up with the maps above and beside it
    last.yaxis.set_label_position("right")
    last.spines["right"].set_visible(True)
    last.spines["left"].set_visible(False)
    last.legend(fontsize=8, handlelength=1, loc="upper right")
    return axes


def plot_threshold(
    ax: plt.Axes, *, at_two_sigma: float, threshold: float, radius: float
) -> plt.Axes:
    """Draw a Gaussian's height against distance with the paper's two readings of two sigma.

    Args:
        ax: one.
        at_two_sigma: height at two standard deviations, relative to the centre; the share of a
            round Gaussian's mass outside a radius equals its height there.
        threshold: height at which the paper cuts.
        radius: distance of that height, in standard deviations.
    """
    r = np.linspace(0, 4, 201)
    ax.plot(r, np.exp(-(r**2) / 2), color=COLORS["predicted"], label="Gaussian")
    ax.plot([2, 2, 0], [0, at_two_sigma, at_two_sigma], color=COLORS["random"], linewidth=1)
    ax.plot(
        2,
        at_two_sigma,
        "s",
        color=COLORS["random"],
        label=f"2 σ, {percent(1 - at_two_sigma, 1)} of the mass inside",
    )
    paper_reference(ax, threshold, f"the paper's threshold, {percent(threshold, 2)} of the centre")
    inside = f"{radius:.2f} σ, {percent(1 - threshold, 2)} of the mass inside"
    ax.plot(radius, threshold, "o", color=COLORS["paper"], label=inside)
    ax.set(xlabel="distance from the centre (σ)", ylabel="height / centre", xlim=(0, 4))
    ax.set_ylim(0, 1.02)
    ax.legend(loc="upper right")
    return ax
