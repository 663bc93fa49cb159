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
# # Does a unit want the same thing everywhere?
#
# **Question.** A convolution computes the same thing at every position. But the {term}`receptive field` of a deep {term}`unit` is larger than the image, and at each position another part of it falls outside. Does what the unit prefers then depend on where it stands?
#
# **Answer in one line.** {glue:text}`answer`
#
# {cite:t}`zipser2015` shows pictures of one unit in each of three layers and judges by eye. Here the fields are exact, {glue:text}`n_channels:d` channels of each layer are drawn without a look at them, and the same weights are asked again on an image without a border.
# The chapter decides `position.fig1.*`, `position.fig2.*`, `position.fig3.*` and what the text says of them.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments.seen import position_network, position_study, position_tables

run = page.begin("position", globals())
p = run.parameters
run.report("network", position_tables.describe_network(p));
# %% [markdown]
# The network and how it differs from the paper's: {glue:text}`network`.
#
# (sec-po-fields)=
# ## Three layers, three places
#
# **How much of a field the border cuts off is arithmetic.** Unit $u$ of a layer with field $r$, stride $S$ and padding $P$ sees pixels $uS - P$ to $uS - P + r - 1$; on an image of $n$ px its field lies wholly inside at
#
# $$
# \left(\frac{1}{m}\,\#\{u : 0 \le uS - P,\ uS - P + r \le n\}\right)^2
# $$ (eq-po-inside)
#
# of the layer's $m \times m$ positions. The layers are chosen by that arithmetic alone: of all modules, the one whose field's area is nearest to 4 % of the image (low) and to half of it (middle), and the first whose area is at least twice the image's (high).
# The places are the same pixels for all: the image's centre, and a sixth of its side from the top edge and from the top left corner. There the low layer's field fits in. To part size from border, the low layer is asked once more at its outermost units, where its small field is cut off too.

# %%
layers = position_tables.measure_layers(run.profile, p, run.store)
for name, result in position_study.name_all(layers).items():
    run.report(name, **result)
run.report("never_shrinks", position_tables.share_never_shrinking(p))
run.report("answer", position_tables.answer(layers))
position_tables.tabulate_fields(layers)

# %% [markdown]
# In the low layer {glue:text}`inside_low:.0%` of the positions see their whole field inside the {glue:text}`side_px:d` px of the image, in the middle one {glue:text}`inside_middle:.0%`, in the high one {glue:text}`inside_high:.0%`: there it is the rule, not the exception, that part of a field is outside.
#
# (sec-po-pictures)=
# ## Pictures
#
# **The paper's method**: the gradient is one at the unit and zero at the rest of its layer, it goes back to the image, the image follows it, and this is repeated from random dots. Step and blur are chosen by us. Nothing moves the image, so the field stays where it is, and what a unit can't see keeps its dots.
#
# One channel per layer is shown, the one of {glue:text}`shown` rank by how much its places differ (below): number {glue:text}`rank_middle:d` of {glue:text}`n_channels:d`, not the best one. A sheet of any other takes one line: {doc}`unit_sheet`.

# %%
sheets = position_tables.make_sheets(run.profile, p, layers, run.store)
run.report("shown", p.shown)
for role in position_network.ROLES:
    channel, rank = position_tables.shown_channel(layers[role], p.shown)
    run.report(f"channel_{role}", channel)
    run.report(f"rank_{role}", rank);

# %% mystnb={"figure": {"name": "fig-position-pictures", "caption": "The paper's figure 1: one channel of each layer (columns) at the same three places (rows). Boxes are exact fields, crosses their centres; under each picture, how much of the field is outside the image. The low layer's pattern moves and stays what it is; the others are pushed into the room that the border leaves."}, "image": {"alt": "Nine pictures. Left column: a small patch of one pattern at three places. Middle and right column: large patterns that fill much of the picture and change with the place."}} tags=["hide-input"]
fig, axes = plots.figure(3, 3, height=2.35)
plots.plot_position_pictures(axes, sheets);
# %% mystnb={"figure": {"name": "fig-position-middle", "caption": "The paper's figure 2: the middle layer's channel {glue:text}`channel_middle:d` (rank {glue:text}`rank_middle:d` of {glue:text}`n_channels:d`), three restarts (columns) at each place (rows)."}, "image": {"alt": "Nine pictures, three restarts at centre, edge and corner: within a row the same kind of pattern in other details."}} tags=["hide-input"]
fig, axes = plots.figure(3, 3, height=2.25)
plots.plot_position_middle(axes, sheets["middle"]);
# %% mystnb={"figure": {"name": "fig-position-high", "caption": "The paper's figure 3: the same for the high layer's channel {glue:text}`channel_high:d` (rank {glue:text}`rank_high:d`). Where the field reaches beyond the image on all sides no edge of its box is seen."}, "image": {"alt": "Nine busier pictures, three restarts at centre, edge and corner, with patterns that fill the image and vary between restarts."}} tags=["hide-input"]
fig, axes = plots.figure(3, 3, height=2.25)
plots.plot_position_high(axes, sheets["high"]);
# %% [markdown]
# (sec-po-likeness)=
# ## Alike within a place, unlike between places?
#
# **A shift is not a difference.** The pictures are laid over each other by their units' fields, and compared on the part of the field that all three places show. Two measures: the correlation of the pixels, and of features, the means over that part of an earlier layer's channels, which ask what there is and not
# exactly where. With $s_{ij}$ the similarity of pictures $i, j$ of one channel and $w, b$ the pairs of the same and of different places,
#
# $$
# \Delta = \overline{s}_w - \overline{s}_b
# $$ (eq-po-gap)
#
# is 0 on average if places do not matter. The test exchanges the places of a channel's pictures at random, for all channels at once, and asks how often $\Delta$ is as large; intervals are over channels. Each row of the tables has two such tests; the answer above shares 5 % out over all of them (Bonferroni), and single p-values stand as they are.
#
# **The control has no border.** With {term}`circular padding` every unit sees a whole image, a shift of the image shifts all responses, and all places are equal by symmetry: pictures moved from one place to another changed a response by {glue:text}`ring_error_words` at most. Whatever differs between places
# there is chance. What the border does is the difference between the two. (The low layer needs no control: away from the border its pictures are those of the ring.)

# %%
position_tables.tabulate_likeness(layers, "features")

# %%
position_tables.tabulate_likeness(layers, "pixels")

# %% mystnb={"figure": {"name": "fig-position-similarity", "caption": "Similarity of a channel's pictures within a place and between places, mean over {glue:text}`n_channels:d` channels with 95 % interval. Where the two part, places differ."}, "image": {"alt": "Dot plot with six rows. For the low layer, and for both layers on a ring, within and between coincide; for middle and high layers with a border, within lies to the right of between, more so in features than in pixels."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.5)
plots.plot_position_similarity(axes, layers);
# %% [markdown]
# - **Low, inside**: $\Delta$ in features {glue:text}`gap_features_low:+.3f` [{glue:text}`gap_features_low_low:+.3f`, {glue:text}`gap_features_low_high:+.3f`], p = {glue:text}`p_features_low:.3f`; in pixels {glue:text}`gap_pixels_low:+.3f`, p = {glue:text}`p_pixels_low:.3f`. **Low, over the border**: {glue:text}`gap_features_border:+.3f`, p = {glue:text}`p_features_border:.3f`; in pixels {glue:text}`gap_pixels_border:+.3f`, p = {glue:text}`p_pixels_border:.4f`.
# - **Middle**: {glue:text}`gap_features_middle:+.3f` [{glue:text}`gap_features_middle_low:+.3f`, {glue:text}`gap_features_middle_high:+.3f`], p = {glue:text}`p_features_middle:.4f`; of it, by the border {glue:text}`border_features_middle:+.3f` [{glue:text}`border_features_middle_low:+.3f`, {glue:text}`border_features_middle_high:+.3f`].
# - **High**: {glue:text}`gap_features_high:+.3f` [{glue:text}`gap_features_high_low:+.3f`, {glue:text}`gap_features_high_high:+.3f`], p = {glue:text}`p_features_high:.4f`; by the border {glue:text}`border_features_high:+.3f` [{glue:text}`border_features_high_low:+.3f`, {glue:text}`border_features_high_high:+.3f`].
# - **On a ring**: the smallest of four p-values is {glue:text}`smallest_ring_p:.2f`.
#
# Where places differ, the likeness that remains is the larger part: pictures of one unit at different places correlate at {glue:text}`between_features_middle:.2f` and {glue:text}`between_features_high:.2f` in features, those of different units at one place at {glue:text}`others_features_middle:.2f` and {glue:text}`others_features_high:.2f`. So it is possible to guess that they belong to one unit. The low layer over its border has p = {glue:text}`p_pixels_border:.4f` in pixels and {glue:text}`p_features_border:.4f` in features: what a cut does to a small field.
#
# **More restarts, more outcomes?** From the middle to the high layer, likeness within a place changes by {glue:text}`steadier_pixels:+.3f` [{glue:text}`steadier_pixels_low:+.3f`, {glue:text}`steadier_pixels_high:+.3f`] in pixels and {glue:text}`steadier_features:+.3f` [{glue:text}`steadier_features_low:+.3f`, {glue:text}`steadier_features_high:+.3f`] in features, and the bytes per pixel that JPEG
# needs, our measure of complexity, by {glue:text}`busier:+.3f` [{glue:text}`busier_low:+.3f`, {glue:text}`busier_high:+.3f`]. (Each layer has features of its own, so that the pixels are the better comparison.)

# %% mystnb={"figure": {"name": "fig-position-cut", "caption": "How much the centre and an outer place differ, against the share of the outer place's field that is outside the image. Hollow: the same weights on a ring, where nothing is cut off."}, "image": {"alt": "Points with error bars. The low layer lies at zero; the middle layer's and high layer's points lie above zero, those on a ring at zero."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.9, width=5.6)
plots.plot_position_cut(ax, layers);
# %% [markdown]
# (sec-po-sensitivity)=
# ## Where a unit is sensitive
#
# **Within its field**, on photographs, the gradient of the unit nearest the centre falls from the middle to the outermost ring to {glue:text}`fall_low:.0%`, {glue:text}`fall_middle:.1%` and {glue:text}`fall_high:.1%` of its value (low, middle, high). So the part of a large field that is cut off is mostly the part that counts least.
# **From place to place**, the whole gradient at the border is {glue:text}`gain_low:.2f`, {glue:text}`gain_middle:.2f` and {glue:text}`gain_high:.2f` of that at the centre.

# %% mystnb={"figure": {"name": "fig-position-sensitivity", "caption": "Left: root mean square gradient per pixel by distance from the field's centre, over that of the innermost ring, on a log scale. Right: norm of a unit's gradient along the central row, over that of the central unit. Means over channels and photographs."}, "image": {"alt": "Left: three curves fall from 1 by one to three orders of magnitude towards the border of the field. Right: three curves between about 0.6 and 1.2 from the image's centre to its border."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.6)
plots.plot_position_sensitivity(axes, layers);
# %% [markdown]
# (sec-po-transfer)=
# ## Does a pattern work elsewhere?
#
# **Paste it, and see.** Let $x_a$ be a picture made for place $a$, $T$ the shift from $a$ to $b$ (grey comes in from outside), and $f_b$ the unit's response at $b$. Of what $b$'s own pictures reach above grey,
#
# $$
# \tau_{a \to b} = \frac{f_b(T x_a) - f_b(\text{grey})}{f_b(x_b) - f_b(\text{grey})}
# $$ (eq-po-transfer)
#
# survives; ratios are of sums over channels. On a ring $\tau$ is 1 up to chance.

# %%
position_tables.tabulate_transfer(layers)

# %% mystnb={"figure": {"name": "fig-position-transfer", "caption": "Left: what the corner's own pictures reach over what the centre's do. Middle: what the centre's picture is worth at the corner, where part of it falls off. Right: the corner's picture at the centre. Hollow: on a ring, where all are 1 up to chance."}, "image": {"alt": "Three dot plots with six rows each and a line at 1. Rings and the low layer lie at 1; middle and high layers lie lower, the high layer's picture from the corner lowest at the centre."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.0)
plots.plot_position_transfer(axes, layers);
# %% [markdown]
# In the high layer the corner reaches {glue:text}`attains_high:.0%` of the centre's response. The centre's picture gives {glue:text}`outward_high:.0%` [{glue:text}`outward_high_low:.0%`, {glue:text}`outward_high_high:.0%`] of the corner's own there, although part of it falls off; the corner's picture gives {glue:text}`inward_high:.0%` [{glue:text}`inward_high_low:.0%`, {glue:text}`inward_high_high:.0%`]
# of the centre's own. Places differ, then, mostly by what there is no room for, and the pattern that fits into less room is a poor guide to the whole.
#
# (sec-po-limits)=
# ## What this can't tell, and what would refute it
#
# One network, with other classes than the paper's, {glue:text}`n_restarts:d` pictures of each channel at each place. At {glue:text}`side_px:d` px the layers that see half the image are lower than at 224 px, and no unit of them stands for faces; the test asks about borders, not about faces. Features of the same network share its taste; pixels do not.
# A picture that is not finished is less like its twin, within and between places alike. What a network would learn if its border were different, and whether it *uses* the border, this can't say: that takes training.
#
# Refuted would be: *the border does it*, by a gap on the ring; *small fields do not care*, by a gap of the low layer inside the image; *large ones do*, by no gap in the high layer. Published runs at 224 px with more channels: {glue:text}`published_runs`.

# %%
published = position_tables.read_published(run.published)
run.report("published_runs", "below" if published else "none yet")
position_tables.tabulate_likeness(published, "features") if published else None

# %% [markdown]
# ## Summary
#
# {glue:text}`answer` A ring keeps all weights and has no border, and there the smallest of the p-values is {glue:text}`smallest_ring_p:.2f`; the border adds {glue:text}`border_features_middle:+.2f` (middle) and {glue:text}`border_features_high:+.2f` (high) to how much places differ, while pictures of one unit
# still correlate at {glue:text}`between_features_middle:.2f` and {glue:text}`between_features_high:.2f` between places. What a unit wants depends on where it stands as far as there is no room for it; it does not become another unit.

# %%
run.finish()
