# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # All units of a channel at once
#
# **Question.** What does an image look like that drives a channel at *every* position, and what does it show that an image for one unit does not?
#
# **Answer in one line.** A texture that restarts agree on, in a layout that they share only as far as the image's border sets it; deep in the network units get in each other's way, and nothing becomes sparse.
#
# {cite:t}`zipser2015` shows such images for a low, a middle and a high layer of its GoogLeNet {cite}`szegedy2015` (its figures 4 to 6), and describes what is seen: large-scale structure, consistent between outcomes; features "unmasked" that single units do not show; a more realistic style;
# and, for the high layer, one or two clear faces where every unit alone shows a riot of them. Its network, trained on 869 classes of persons and clothing, is not published. Here it is asked of EfficientNet-Lite0 {cite}`tan2019`, which anyone can load, of {glue:text}`n_channels:d` channels per layer drawn at random, in numbers.
# The chapter decides `position.fig4.*`, `position.fig5.*`, `position.fig6.*` and `position.tiling.*`.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import registry
from erfbook.experiments.seen import tiling, tiling_study, tiling_tables

run = page.begin("tiling", globals())
p = run.parameters

# %% [markdown]
# (sec-ti-method)=
# ## What is driven
#
# Let $a_u(x)$ be the value of a channel at unit $u$ for the image $x$. Driving one unit follows $\nabla a_u$; driving all of them follows
#
# $$
# \nabla_x \sum_u a_u(x) = \sum_u \nabla_x a_u(x) ,
# $$ (eq-ti-sum)
#
# the same kernel pulled on from every position. The ascent is the paper's: random dots, normalised steps, a blur that fades. Steps, step size and blur are not printed and are ours. Three kinds of image are made for every channel: *tiled*; for the *one* central unit; and *tiled without borders*, on the same
# weights with circular padding.
#
# The third tells where a layout comes from. Without borders, shifting the image by the layer's stride shifts all units alike,
#
# $$
# \sum_u a_u(S x) = \sum_u a_u(x) ,
# $$ (eq-ti-shift)
#
# so no place is better than another for any part of a pattern: there, restarts can agree on a *texture* but have no reason to agree on *where*.
#
# Layers are chosen by their exact field: *low*, the last that covers a tenth of the image or less; *middle*, the one nearest to half; *high*, the first in which even corner units could see all of it.

# %%
settings = {"network": p.network, "side": p.side, "n_channels": p.n_channels, "steps": p.steps}
levels = tiling_study.gather({
    level: registry.obtain(
        tiling.TILING, tiling.configure(run.profile, level, **settings), [p.seed], run.store,
        progress=level,
    )[0]
    for level in tiling.LEVELS
})  # fmt: skip
named = {k: v for level in levels.values() for k, v in tiling_study.name_level(level).items()}
for name, result in named.items():
    run.report(name, **result)
shown = {name: tiling_study.choose_shown(level)[0] for name, level in levels.items()}
run.report("n_channels", len(levels["low"].channels))
run.report("side", p.side)
run.report("shown_rank", tiling_study.choose_shown(levels["low"])[1]);

# %% mystnb={"figure": {"name": "fig-tiling-tiled", "caption": "Tiled images, restarts of one channel per layer. The channel is not picked by eye: it is the one whose restarts agree with the median rank ({glue:text}`shown_rank:d` of {glue:text}`n_channels:d`). The right column has no borders. Texture and colour repeat from restart to restart; the place of single parts hardly does."}, "image": {"alt": "Square images: rows for a low, a middle and a high layer, columns for two or three restarts and one without borders. Within a row all show the same kind of texture, from fine strokes in the low layer to larger motifs in the high one, with different local details."}} tags=["hide-input"]
columns = [*(("tiled", i) for i in range(min(3, levels["low"].n_tiled))), ("torus", 0)]
fig, axes = plots.figure(3, len(columns), height=1.95)
plots.plot_tiling_pictures(axes, levels, shown, columns);

# %% mystnb={"figure": {"name": "fig-tiling-single", "caption": "The same channels, one central unit driven alone, two restarts. Outside the unit's exact field the image keeps its random dots."}, "image": {"alt": "Six square images. In the low layer a small coloured spot in the middle of grey noise, in the middle layer a spot of two thirds of the side, in the high layer a pattern that is strong in the middle and fades towards the border."}} tags=["hide-input"]
fig, axes = plots.figure(3, 2, height=2.45, width=4.8)
plots.plot_tiling_pictures(axes, levels, shown, [("single", 0), ("single", 1)]);

# %% mystnb={"figure": {"name": "fig-tiling-sheet", "caption": "Tiled images of the channels drawn, low, middle and high from top to bottom; below each the channel's number."}, "image": {"alt": "A sheet of small images in three blocks: stripes and dots for the low layer, scales, rings and knots for the middle one, arcs and larger motifs for the high one, different from channel to channel."}} tags=["hide-input"]
fig, axes = plots.figure(6, 6, height=1.25)
plots.plot_tiling_sheet(axes, levels, 12);

# %% [markdown]
# (sec-ti-likeness)=
# ## Do restarts agree?
#
# **On the texture, yes. On the layout, a little, as far as the border sets it.** Agreement is how much more alike two restarts of a channel are than images of two channels, $(w - b)/(1 - b)$ with the mean cosines $w$ and $b$: 0 for strangers, 1 for copies. *Layout* is what varies over a quarter of the image or more,
# *details* the rest, both pixel by pixel; *features* are the means over the plane of the network's last layer, which do not ask where something is.

# %% mystnb={"figure": {"name": "fig-tiling-likeness", "caption": "Agreement of restarts with 95 % intervals over channels. Without borders (triangles) features agree at {glue:text}`features_excess_torus_low:.2f`, {glue:text}`features_excess_torus_middle:.2f` and {glue:text}`features_excess_torus_high:.2f` (low, middle, high), layouts at {glue:text}`layout_excess_torus_low:.2f`, {glue:text}`layout_excess_torus_middle:.2f` and {glue:text}`layout_excess_torus_high:.2f`."}, "image": {"alt": "Three panels at low, middle and high. Layout: tiled points at a tenth to a fifth, those without borders close to zero, single units higher. Details: all near zero. Features: tiled and borderless between six and nine tenths, single units near four tenths."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.2, sharey=True)
plots.plot_tiling_likeness(axes, named);

# %% [markdown]
# Features agree at {glue:text}`features_excess_tiled_low:.2f`, {glue:text}`features_excess_tiled_middle:.2f` and {glue:text}`features_excess_tiled_high:.2f` (low, middle, high), against {glue:text}`features_excess_single_low:.2f`, {glue:text}`features_excess_single_middle:.2f` and
# {glue:text}`features_excess_single_high:.2f` for one unit: part of that gap is averaging, since a tiled image holds the pattern many times over. Layouts agree at {glue:text}`layout_excess_tiled_low:.2f` [{glue:text}`layout_excess_tiled_low_low:.2f`, {glue:text}`layout_excess_tiled_low_high:.2f`] in the low layer
# (p = {glue:text}`layout_p_tiled_low:.3f` by shuffling images among channels), details at {glue:text}`details_excess_tiled_low:.2f`. Without borders it is {glue:text}`layout_excess_torus_low:.2f` [{glue:text}`layout_excess_torus_low_low:.2f`, {glue:text}`layout_excess_torus_low_high:.2f`]; the difference, paired by channel, is
# {glue:text}`border_low:.2f` [{glue:text}`border_low_low:.2f`, {glue:text}`border_low_high:.2f`] in the low, {glue:text}`border_middle:.2f` [{glue:text}`border_middle_low:.2f`, {glue:text}`border_middle_high:.2f`] in the middle and {glue:text}`border_high:.2f` [{glue:text}`border_high_low:.2f`, {glue:text}`border_high_high:.2f`] in the high
# layer. {eq}`eq-ti-shift` says that it must be so: what restarts share of a layout, a border has to have put there. (Images of one unit agree in layout more, since a unit says where.)
#
# (sec-ti-structure)=
# ## How large is the structure?
#
# **As large as the effective field in the low layer, and no larger than the exact one.** The correlation length is the longest shift, in any direction, at which the image still correlates with itself at 1/e.

# %% mystnb={"figure": {"name": "fig-tiling-lengths", "caption": "Correlation length with 95 % intervals over channels, beside the side of the exact field (lines) and of the set that holds 95.45 % of the effective one (dotted). Shifts of up to half the image's side can be seen. Over one unit's image, tiling lengthens order by {glue:text}`longer_low:.2f` [{glue:text}`longer_low_low:.2f`, {glue:text}`longer_low_high:.2f`], {glue:text}`longer_middle:.2f` [{glue:text}`longer_middle_low:.2f`, {glue:text}`longer_middle_high:.2f`] and {glue:text}`longer_high:.2f` [{glue:text}`longer_high_low:.2f`, {glue:text}`longer_high_high:.2f`] times (low, middle, high)."}, "image": {"alt": "Correlation lengths on a logarithmic axis. Tiled and borderless points lie near each other with overlapping intervals: somewhat below the effective field in the low layer, far below both fields in the middle and high layers; single units lie lower in all three."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.2, width=6.4)
plots.plot_tiling_lengths(ax, named);

# %% [markdown]
# In the low layer tiled images correlate over {glue:text}`length_tiled_low:.0f` px [{glue:text}`length_tiled_low_low:.0f`, {glue:text}`length_tiled_low_high:.0f`], {glue:text}`reach_low:.2f` [{glue:text}`reach_low_low:.2f`, {glue:text}`reach_low_high:.2f`] of the exact field's {glue:text}`field_low:d` px; {glue:text}`beyond_low:.0%` of the channels (those of long
# stripes) go beyond it. Single units reach {glue:text}`length_single_low:.0f` px. In the middle and high layers the lengths are {glue:text}`length_tiled_middle:.0f` and {glue:text}`length_tiled_high:.0f` px, motifs far smaller than fields of {glue:text}`field_middle:d` and {glue:text}`field_high:d` px; photographs come to
# {glue:text}`length_photograph_high:.0f` px. An image of {glue:text}`side:d` px has no room for structure beyond those two fields, whatever it shows.

# %% [markdown]
# (sec-ti-sparse)=
# ## Is the channel's own response sparse?
#
# **No: tiling spreads it as evenly as it can.** With $r_u$ the positive part of the channel's map, $n$ units,
#
# $$
# s = \Bigl(1 - \frac{\langle r \rangle^2}{\langle r^2 \rangle}\Bigr) \Big/ \Bigl(1 - \frac{1}{n}\Bigr)
# $$ (eq-ti-sparse)
#
# is 0 where all units respond alike and 1 where one does {cite}`rolls1995`. A peak is a unit above its neighbours and above half of the largest.

# %% mystnb={"figure": {"name": "fig-tiling-sparseness", "caption": "Left and middle: sparseness and peaks of the channel's own map, for tiled images, one unit's images and photographs. Right: what a unit gets of its own image's response when all are driven, how many units get half of it, and what one unit's image gives the whole channel, over tiled. 95 % intervals over channels."}, "image": {"alt": "Three panels. Sparseness: tiled near zero, photographs near two thirds, single units highest. Peaks: tiled many, photographs fewer, single units one. Shares: a tiled unit gets about six tenths in the low, all in the middle and half in the high layer; one unit's image gives the channel five to twenty-five percent."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.3)
plots.plot_tiling_sparseness(axes, named);

# %% [markdown]
# In the high layer $s$ is {glue:text}`sparse_tiled_high:.2f` [{glue:text}`sparse_tiled_high_low:.2f`, {glue:text}`sparse_tiled_high_high:.2f`] against {glue:text}`sparse_photograph_high:.2f` for photographs, with {glue:text}`peaks_tiled_high:.1f` peaks among {glue:text}`n_units_high:d` units: not one or two. One thing that the paper infers from
# sparse faces can be asked without them, that most units do not have what they prefer: a tiled unit of the high layer gets {glue:text}`per_unit_high:.0%` [{glue:text}`per_unit_high_low:.0%`, {glue:text}`per_unit_high_high:.0%`] of what it gets in its own image, and {glue:text}`half_driven_high:.0%`
# [{glue:text}`half_driven_high_low:.0%`, {glue:text}`half_driven_high_high:.0%`] of the units get half of it or more. In the middle layer they get {glue:text}`per_unit_middle:.0%`. One unit's image in turn gives its channel {glue:text}`from_single_low:.0%`, {glue:text}`from_single_middle:.0%` and
# {glue:text}`from_single_high:.0%` of the tiled response.
#
# (sec-ti-style)=
# ## Another style, other features, more realism?
#
# **Another style, clearly; a few features more; more realistic by two measures of three.** All of this is read on the part of the image that the central unit could see. In deep features two images of one kind are more alike than two of different kinds by {glue:text}`kind_gap_low:.2f`, {glue:text}`kind_gap_middle:.2f` and
# {glue:text}`kind_gap_high:.2f` (p = {glue:text}`kind_p_low:.3f`, {glue:text}`kind_p_middle:.3f`, {glue:text}`kind_p_high:.3f`).

# %% mystnb={"figure": {"name": "fig-tiling-style", "caption": "Three statistics of style, 95 % intervals over channels (photographs: over crops). Slope of log power over log frequency; excess kurtosis of brightness steps; distance of deep features from the photographs' mean, in units of the photographs' own (line). Tiled images come nearer to photographs in the first and, in the deeper layers, in the third, and go away from them in the second."}, "image": {"alt": "Three panels. Slopes: photographs near minus two and a half, tiled images between, single units flattest. Kurtosis: tiled images near zero or one, single units at five to ten, photographs higher still with wide intervals. Feature distance: tiled lower than single units in the middle and high layers."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.3)
plots.plot_tiling_style(axes, named);

# %% [markdown]
# The slope comes nearer to that of photographs by {glue:text}`slope_gain_middle:.2f` [{glue:text}`slope_gain_middle_low:.2f`, {glue:text}`slope_gain_middle_high:.2f`] in the middle and {glue:text}`slope_gain_high:.2f` [{glue:text}`slope_gain_high_low:.2f`, {glue:text}`slope_gain_high_high:.2f`] in the high layer, the features by
# {glue:text}`away_gain_middle:.2f` [{glue:text}`away_gain_middle_low:.2f`, {glue:text}`away_gain_middle_high:.2f`] and {glue:text}`away_gain_high:.2f` [{glue:text}`away_gain_high_low:.2f`, {glue:text}`away_gain_high_high:.2f`]. The kurtosis goes the other way ({glue:text}`kurtosis_gain_high:.1f` in the high layer): a texture has no
# empty ground and few strong edges, a photograph has both, and one unit's image, strong in the middle and weak around, is nearer to that by its shape alone.
#
# *Unmasking.* Another channel of the layer *shows* where it responds above the 95th percentile of its responses to photographs. By tiling alone, in every restart and in none of the single unit's, {glue:text}`unmasked_middle:.1%` of them show in the middle and {glue:text}`unmasked_high:.1%` in the high layer; by the single
# unit's images alone {glue:text}`masked_middle:.1%` and {glue:text}`masked_high:.1%`. The balance is {glue:text}`unmasked_net_middle:.1%` [{glue:text}`unmasked_net_middle_low:.1%`, {glue:text}`unmasked_net_middle_high:.1%`] and {glue:text}`unmasked_net_high:.1%` [{glue:text}`unmasked_net_high_low:.1%`, {glue:text}`unmasked_net_high_high:.1%`]. In the low
# and middle layers a tiled image also has more room to show something.
#
# (sec-ti-effective)=
# ## Does the effective field say where a pattern is sharp?
#
# **The layer's effective field does, nearly perfectly; the unit's own hardly adds to it.** The {term}`effective receptive field` is the mean $|g|$ of the same unit on photographs; sharpness is the local contrast of its image, both under the same small Gaussian.

# %% mystnb={"figure": {"name": "fig-tiling-link", "caption": "Local contrast of the image for one unit (top) and the effective field of that unit on photographs (bottom), over the part of the exact field inside the image. Colour: root of the value, each to its own peak."}, "image": {"alt": "Six maps. In each column contrast above and effective field below have the same extent: bright in the middle and fading long before the border of the exact field."}} tags=["hide-input"]
fig, axes = plots.figure(2, 3, height=2.4)
plots.plot_tiling_link(axes, levels, shown);

# %% [markdown]
# The rank correlation over the field is {glue:text}`rank_own_low:.3f`, {glue:text}`rank_own_middle:.3f` and {glue:text}`rank_own_high:.3f`; with nearness to the field's middle {glue:text}`rank_centre_low:.3f`, {glue:text}`rank_centre_middle:.3f` and {glue:text}`rank_centre_high:.3f`; with the effective fields of *other* channels' units at the same place
# {glue:text}`rank_other_low:.3f`, {glue:text}`rank_other_middle:.3f` and {glue:text}`rank_other_high:.3f`. The unit's own adds {glue:text}`rank_extra_low:.3f`, {glue:text}`rank_extra_middle:.3f` and {glue:text}`rank_extra_high:.3f` (p = {glue:text}`rank_p_low:.3f`, {glue:text}`rank_p_middle:.3f`, {glue:text}`rank_p_high:.3f` by
# dealing the fields out anew). Half of the effective field's mass lies on {glue:text}`half_area_middle:.0%` of the middle layer's field and holds {glue:text}`half_share_middle:.0%` of the image's squared contrast. It is no surprise that contrast goes where the gradient is: each step *is* a gradient. It is a finding that the gradient
# on photographs tells where the steps on a growing pattern will go: that hangs on the layer's paths more than on the image.
#
# (sec-ti-table)=
# ## All numbers
#
# Means over channels with 95 % intervals. Agreement is of restarts, beyond that of strangers.

# %%
tiling_tables.tabulate_levels(named)

# %% [markdown]
# ## What would refute it
#
# Layouts that agree without borders as well as with them would refute the border as their cause. A network whose tiled maps have one or two peaks, as the paper's faces suggest, would refute the evenness as a rule: ours is another network, with linear outputs of blocks, other classes, smaller images at the laptop
# profile, and channels that nobody picked. What a face is, no number here knows.
#
# ## Summary
#
# Tiling shows a channel as a texture, stable from restart to restart. Its layout owes what stability it has to the border. It is not sparse, it is another style than a single unit's, and where units see the whole image they share it at half of what each could have.

# %%
run.finish()
