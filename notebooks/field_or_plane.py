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
# # Is it the receptive field, or the smaller feature map?
#
# **Question.** {cite:t}`avendano` enlarges the {term}`receptive field` by the {term}`stride` of an early max pool, sees dense accuracy fall and pruned accuracy rise, and speaks of the receptive field. The conclusion admits that the feature maps shrank with it.
# Which of the two was it?
#
# **Answer in short.** The pool changes four things, not one: field, plane, detail, and the number of weights that ever read the image. They can be had one at a time with the same weights. On all of CIFAR-10: {glue:text}`cifar_line`.
# In this run, of dense accuracy: {glue:text}`answer`.
#
# The fourth thing needs no training to be seen: from stride {glue:text}`dead_stride:d` on, the VGG-like network on 32 px images has {glue:text}`dead_share:.0%` of its convolutions' weights over nothing but padding. That is the stride at which the paper's pruned accuracy jumps.
# With how *often* weights read go the gaps of these VGG-like networks, also where the number of those that ever do tells nothing; that was found after the gaps were seen, and ResNet-50 has bounds of its own ({ref}`sec-fp-reads`).
# The chapter goes beyond what the paper measured; it decides the claims `avendano.s4.*` of the scoreboard.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import registry
from erfbook.experiments.pooled import (
    control,
    control_dead,
    control_design,
    control_study,
    control_tables,
    reads,
    reads_taps,
)

run = page.begin("field_or_plane", globals())
p = run.parameters

# %% [markdown]
# (sec-fp-three)=
# ## What a stride changes
#
# **Field and plane are two readings of one number.** Let the early pool have kernel $p$ and stride $k$, and let all that follows add $X$ pixels of its own input ($X$ = 177 for the VGG-like network, counted in its chapter on pruning). Then on an image of $n$ px
#
# $$
# r = 3 + (p - 1) + k X , \qquad m \approx \frac{n}{k} , \qquad \text{step of the early plane} = k .
# $$ (eq-fp-stride)
#
# Field $r$, side $m$ of every later plane, and the distance between neighbouring values, what we call **detail**, move together. To part them, the step of the *kernels* must differ from the step of the *plane*.
# Stride 1 with a wide enough pool would not do: a field of {glue:text}`field_strided:d` px needs a kernel of {glue:text}`stride_one_kernel:d` px, which on a 32 px image is one global maximum, the same at nearly every position. Six networks do it:
#
# | network | early pool | later layers | field | detail | plane |
# |---|---|---|---|---|---|
# | base | kernel 2, stride 1 | as they are | small | kept | large |
# | strided | kernel $k+1$, stride $k$ (the paper's) | as they are | large | lost | small |
# | dilated | kernel $k+1$, at every pixel | all dilated by $k$, pools too | large | mostly kept | large |
# | coarse | strided, each value repeated $k$ times a side | as they are | small | lost | large |
# | coarse dilated | strided, repeated | all dilated by $k$ | large | lost | large |
# | deep | as base | the last stage dilated | large | kept | large |
#
# No network has a parameter more or less, they begin with the same weights, and any of them can load any other's. We compare at $k = {}${glue:text}`stride:d`: there the planes of the dilated networks are exactly those of base. For an even $k$ the later strides of 2 would leave only every
# $k$-th position of the early plane in use, and *dilated* would keep no detail; the last column but two of the table below counts that. Its counts are of networks with a thirty-second of the channels, on which fields, planes and shares do not depend; its last row, *sampled*, is *base* of which only every $k$-th position of the last plane is kept, for even strides.

# %%
designs = control_tables.describe_all()
stride = run.report("stride", control.STRIDE)
run.report("field_strided", designs["strided"].field)
run.report("stride_one_kernel", designs["strided"].field - designs["base"].field + 2)
run.report("same_parameters", len({one.n_parameters for one in designs.values()}) == 1)
for name, result in control_design.compare_lattice(stride).items():
    run.report(name, **result)
control_tables.tabulate_designs(designs)

# %% mystnb={"figure": {"name": "fig-control-networks", "caption": "A corner of the plane behind the early pool, in px of the image. Dots: positions; shaded tiles: positions that share one value; red: what one unit of the next 3 × 3 layer reads. The field grows with the distance of the red squares, detail is lost with the tiles, the plane shrinks with the dots."}, "image": {"alt": "Six small grids. Base and deep: a dot at every pixel, nine adjacent red squares. Strided: a dot in every third pixel, each in a shaded tile, red squares three apart. Dilated: a dot at every pixel, red squares three apart. Coarse and coarse dilated: dots at every pixel in tiles of three by three, red squares adjacent in the first and three apart in the second."}} tags=["hide-input"]
fig, axes = plots.figure(2, 3, height=2.75)
shown = {kind: designs[kind] for kind in control.KINDS}
plots.plot_control_networks(axes, shown, stride=stride, last_step=control.DEEP["vgg"][stride]);

# %% [markdown]
# Fields are computed from the graph as built; planes are measured; the *values read* are those early values from which a NaN arrives at the last plane. On the lattice of every $k$-th position, *dilated* and *coarse dilated* compute exactly what *strided* computes: with the same weights their last planes differ there by at most
# {glue:text}`lattice_error_words` of the largest value, in double precision. So *dilated* is the paper's network run on all shifts of the image at once, its answers averaged, and *strided* is one of these shifts.
#
# (sec-fp-dead)=
# ## The fourth thing: weights that never read the image
#
# **Where a plane is no larger than a kernel's step, all taps but the middle one lie on padding.** A tap at distance $d$ from the middle reads one of $m$ positions only if $d < m$. With $k \ge 3$ and 32 px, the last stage of the VGG-like network works on planes of a single position: eight of its nine taps multiply zeros, whatever
# the image. Such weights receive no gradient, only decay, and pruning them costs nothing.

# %%
shares = control_tables.count_live()
dead = [k for (kind, side, k), s in shares.items() if (kind, side) == ("vgg", 32) and s < 1]
run.report("dead_stride", min(dead))
run.report("dead_share", 1 - shares["vgg", 32, 3])
live = [share for (kind, *_), share in shares.items() if kind == "resnet50"]
run.report("resnet_dead_share", 1 - min(live))
reads_of = control_tables.count_live(measure=control_design.share_read)
control_tables.tabulate_live(shares, reads_of)

# %% mystnb={"figure": {"name": "fig-control-live", "caption": "Left: share of the convolutions' weights that read anything but padding, counted. Right: dense less pruned accuracy at 90 %, as the paper prints it. For the VGG-like network on CIFAR-10 the fall of one and of the other come at the same stride; the other three have no dead weights, and their gaps close all the same."}, "image": {"alt": "Left: three lines stay at 100 percent; VGG on 32 pixels drops to about 49 percent at strides 3 and 4. Right: its gap drops from 59 to 0 points between strides 2 and 3; ResNet on 32 pixels drops between 1 and 2; both on 64 pixels fall slowly."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.3)
plots.plot_control_live(axes, shares, control_tables.GAPS);

# %% [markdown]
# For the VGG-like network on CIFAR-10 this sits exactly where the paper's gap closes, from 58.7 to 0.18 points. It cannot be all: ResNet-50 has {glue:text}`resnet_dead_share:.0%` dead weights, on either size of image, and its gaps close too.
# How much of the VGG-like network's advantage is these weights is counted in the chapter on pruning ({ref}`sec-pr-live`), and {ref}`below <sec-fp-deep>` a network that has them without the small planes is pruned.
#
# (sec-fp-effects)=
# ## What each part does
#
# **Three effects add up to what the pool does, exactly.** With $a, d, c, b, s$ the accuracies of base, dilated, coarse, coarse dilated and strided,
#
# $$
# s - a = \underbrace{\tfrac12\bigl[(d - a) + (b - c)\bigr]}_{\text{field}} + \underbrace{\tfrac12\bigl[(c - a) + (b - d)\bigr]}_{\text{detail}} + \underbrace{(s - b)}_{\text{plane}} .
# $$ (eq-fp-effects)
#
# The first two are the main effects of a two-by-two design on large planes, the third changes the plane at the same field and detail. Beside them stands *deep* − *base*, the field without any change of planes, detail or early layers. All runs of a seed share initial weights, images, order and recipe, so differences are taken seed by seed.
# The data are {glue:text}`data`, with {glue:text}`n_runs:d` seeds; pruning is by magnitude over all layers at once.

# %%
scale = control_tables.choose_scale(
    control.SCALES[run.profile], p.dataset, n_train=p.n_train, epochs=p.epochs, width=p.width
)
runs = {
    config.kind: registry.obtain(control.POOL_CONTROL, config, range(p.n_seeds), run.store)
    for config in control.configure_all(scale)
}
study = control_study.gather(scale.name, runs, p.rate)
for name, result in control_study.name_study(study).items():
    run.report(name, **result)
run.report("rate", p.rate)
control_tables.tabulate_two_way(study)

# %% mystnb={"figure": {"name": "fig-control-effects", "caption": "What each part does in this run, in points: mean with Student's 95 % interval, dots are seeds. The second to fourth row add up to the first. The gap is dense less one-shot pruned accuracy."}, "image": {"alt": "Three panels with five rows each: all that the pool does, field, detail, plane, and the field in the last stage alone. Each row has a point with a horizontal interval and small dots for seeds, beside a line at zero."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.4, sharey=True)
plots.plot_control_effects(axes, study.panels());

# %%
control_tables.tabulate_effects(study)

# %% [markdown]
# In this run, of dense accuracy: {glue:text}`answer`. Of the gap at {glue:text}`rate:.0%`: {glue:text}`answer_gap`.
# Student's intervals assume normal differences; with few seeds bootstrap intervals are too narrow, and both stand in the table.
#
# (sec-fp-cifar)=
# ## On all of CIFAR-10
#
# **The networks that decide**: published ones where there are two seeds of each, else this run's. Here: {glue:text}`shown_n_runs:d` seeds of each, {glue:text}`shown_scale`, {glue:text}`shown_data`.

# %%
published = control_study.read_published([run.published, run.store])
deciding = control_study.choose_deciding(published)
shown = deciding or study
for name, result in control_study.name_study(shown, "shown_").items():
    run.report(name, **result)
run.report("shown_rate", shown.rate)
run.report("shown_line", control_study.say_deciding(shown))
named = control_study.name_verdicts(deciding) if deciding else {}
for name, result in named.items():
    run.report(name, **result)
run.report("cifar_line", control_study.say_deciding(deciding))
control_tables.tabulate_two_way(shown)

# %% mystnb={"figure": {"name": "fig-control-cifar", "caption": "What each part does on all of CIFAR-10, drawn like the figure above; of the networks of the table above ({glue:text}`shown_scale`, {glue:text}`shown_data`)."}, "image": {"alt": "Three panels with five rows each: all that the pool does, field, detail, plane, and the field in the last stage alone. Each row has a point with a horizontal interval and small dots for seeds, beside a line at zero."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.4, sharey=True)
plots.plot_control_effects(axes, shown.panels());

# %%
control_tables.tabulate_effects(shown)

# %%
control_tables.tabulate_scales(published)

# %% [markdown]
# In words, each part on each measure: {glue:text}`shown_line`. At {glue:text}`shown_rate:.0%` and this width *base* has {glue:text}`shown_pruned_base:.0f` % of test images right and *strided* {glue:text}`shown_pruned_strided:.0f` %, where guessing gives 10 %.
# The gap of networks that guess says no more than dense accuracy does, which is why 80 % stands beside it.
# Of the weights that read the image, *base* keeps {glue:text}`shown_live_kept_base:.0%` at {glue:text}`shown_rate:.0%`, *strided* {glue:text}`shown_live_kept_strided:.0%`; of those that do not, *strided* keeps {glue:text}`shown_dead_kept_strided:.1%`.
#
# (sec-fp-deep)=
# **Dead weights without small planes.** *Deep* has as many of them as *strided*, with the planes and the detail of *base*; the field of its last stage is larger, too, so that what it gains is owed to either. Published so far on all of CIFAR-10, each row with the seeds it has; pruned by magnitude over all layers at once. What *deep* gains on *base*: {glue:text}`deep_line`.
# That dead weights are enough for it is seen where *base* keeps as many of the weights that read the image ({ref}`sec-pr-live`): it then loses hardly anything.
# In the tables above the field's part of the gap holds them, too: every dilated network has as many dead weights as *strided*.

# %%
kinds = control_dead.choose_kinds([run.published, run.store])
run.report("deep_line", control_dead.say_deep(kinds))
run.report("equal_line", control_dead.say_equal(kinds))
control_dead.tabulate_kinds(kinds) if kinds else None

# %% [markdown]
# **What is left without them.** Each network at the rate at which it keeps about as many of the weights that read the image as *base* at its lower rate. Gap less that of *base*, points: {glue:text}`equal_line`.
# What is left for *deep* is owed to the field of its last stage; what *dilated* has beyond that, to the field of all other layers and to its averaging over shifts of the image.

# %%
control_dead.tabulate_equal(kinds) if kinds else None

# %% [markdown]
# **Trained weights can change places.** As *dilated* holds *strided* on a lattice, each can run with the other's weights, batch norm's statistics included. What is lost tells how much was learned for one way of looking:

# %%
run.report("planes_shrink", designs["strided"].planes[0] < designs["base"].planes[0])
run.report("plane_base", designs["base"].planes[0])
run.report("plane_strided", designs["strided"].planes[0])
run.report("values_dilated", designs["dilated"].detail)
control_tables.tabulate_swaps(shown)

# %% [markdown]
# (sec-fp-reads)=
# ## Weights that seldom read
#
# **Dead weights are one end of a scale.** Along an axis of $m$ positions a tap that lies $t$ steps of $d$ from the middle reads at $(m - |t|\,d)/m$ of them and multiplies padding at the others; the shares of rows and columns multiply. On a plane of 2 × 2 a corner tap reads at one position of four.
# Wider pools and dilated kernels lower these shares in the layers behind them, also where no weight is dead: the last column but one of the table {ref}`above <sec-fp-dead>`.
#
# A weight learns from the positions at which it reads and decays at every step. So it should be the smaller the less it reads, and a ranking by size should take it early. The first is asked of the published networks, each layer's outer taps against the same layer's behind other pools; the second of the networks above.

# %%
seen = reads.gather_reads([run.published], kinds)
run.report("taps_line", reads_taps.say_taps(seen.taps))
run.report("corner_quarter", reads_taps.corner_ratio(seen.taps, 0.25))
run.report("corner_never", reads_taps.corner_ratio(seen.taps, 0))
run.report("kept_line", reads.say_kept(seen))
run.report("other_line", reads.say_other(seen))
seen.table()

# %% mystnb={"figure": {"name": "fig-control-reads", "caption": "Left: mean magnitude of the corner taps, and of the edge taps, of each 3 × 3 layer of the published networks, against the share of positions at which they read; line: what independent gradients give. Right: gap against the weights that are kept, as a share of the *reading*: the number of weights that, reading everywhere, would read as often as all of the network's own together; more weights than that can be kept; open at the lower rate, filled at the higher, crosses: networks behind pools of stride 2 and 4 at five rates; stars: ResNet-50; bars from seed to seed."}, "image": {"alt": "Left: VGG's taps rise from a tenth of the middle tap where they never read, over 0.45 at a quarter of the positions, to about 0.9; ResNet-50's lie higher and rise less. Right: the gap falls from above 70 points to nearly 0 as more is kept, steeply at about 40 percent; dilated networks lie on the same fall, ResNet-50 falls at about 20 percent."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.6)
plots.plot_reads(axes, seen);

# %% [markdown]
# **Outer taps are smaller where they read less.** A tap moves by what it is told at its positions. Were these gradients independent, their sum over a share $q$ of the positions would be as large as $\sqrt q$; were they all alike, as $q$; what initial weights are left makes the power smaller.
# Measured, magnitude goes as this power of the share: {glue:text}`taps_line`. VGG's corner taps that read at a quarter of the positions have {glue:text}`corner_quarter:.2f` of the middle tap's magnitude, those that never read {glue:text}`corner_never:.2f`.
#
# **What is kept of the reading goes with the gap.** Let a network's *reading* be the number of weights that, reading everywhere, would read as often as all of its own do together: {glue:text}`kept_line`. *Dilated* has as many weights that ever read as *strided*, but they read less often, and a larger part of the reading survives. So the part of the gap at {glue:text}`shown_rate:.0%` that the decomposition calls "plane", {glue:text}`shown_plane_gap:+.1f` points, need not be the plane's own doing: on wide planes dilated kernels seldom read, and *strided* takes that away.
# This is an explanation found after the gaps were seen, from a dozen points of one architecture, and the weights of *dilated* are not among the published ones.
#
# **The bounds are VGG's own.** ResNet-50, whose 3 × 3 weights are a smaller part of all and have a way round them, was not among those dozen: {glue:text}`other_line`. So the reading orders networks of one architecture, and says nothing of how much of it another one needs.
#
# (sec-fp-limits)=
# ## What this can't tell, and what would refute it
#
# Counts, fields, planes and the identity on the lattice are exact and hold at any width and after any training. Effects are those of the width, images and steps that were run; {glue:text}`shown_n_runs:d` seeds tell differences apart only where they are larger than the intervals above. Networks of few channels fall to chance at 90 %, and then the gap
# says no more than dense accuracy does; hence the lower rate beside it. Short training rewards what learns fast, and full training may turn an order round.
#
# *Dilated* keeps {glue:text}`values_dilated:d` of {glue:text}`plane_base:d` early values a side, not all, so its part of "field" holds a little "detail"; *deep* does not, but its field grows in the last stage only. And every field here is larger than the image: what grows is the part of it that holds padding. On images larger than the field the question would be another one.
#
# The paper's reading would be refuted by a field effect on all of CIFAR-10 whose interval excludes a fall, in both *dilated* and *deep*, and supported if both fall as *strided* does. Ours, that dead weights make the VGG-like network prunable, would be refuted if *deep*, which has as many of them, kept base's gap: at 80 % it changes it by {glue:text}`shown_deep_gap_80:+.1f` [{glue:text}`shown_deep_gap_80_low:+.1f`, {glue:text}`shown_deep_gap_80_high:+.1f`] points, at 90 % by {glue:text}`shown_deep_gap_90:+.1f` [{glue:text}`shown_deep_gap_90_low:+.1f`, {glue:text}`shown_deep_gap_90_high:+.1f`].
# That the reading decides would be refuted by a VGG-like network that keeps most of its reading and collapses, or keeps a third of it and does not.
#
# ## Summary
#
# The stride of an early pool is no dial for the receptive field alone. Field, plane and detail can be parted at no cost in weights, and a fourth change, dead weights, comes in at the very stride at which the paper's VGG-like network becomes prunable.
#
# On all of CIFAR-10 ({glue:text}`shown_scale`, {glue:text}`shown_data`) dense accuracy changes by {glue:text}`shown_total_accuracy:+.1f` points, of which field {glue:text}`shown_field_accuracy:+.1f`, detail {glue:text}`shown_detail_accuracy:+.1f`, plane {glue:text}`shown_plane_accuracy:+.1f`;
# the gap at {glue:text}`shown_rate:.0%` by {glue:text}`shown_total_gap:+.1f`, of which field {glue:text}`shown_field_gap:+.1f`, detail {glue:text}`shown_detail_gap:+.1f`, plane {glue:text}`shown_plane_gap:+.1f`. Where two parts are large and of opposite sign, what the pool does by itself says little of either.
# Dead weights are in the field's part: what *deep* gains on *base*, pruned, is {glue:text}`deep_line`, and where as many of the weights that read the image are kept, gaps differ from that of *base* by {glue:text}`equal_line`.
#
# What tells these VGG-like networks apart is how often their weights read the image, and not padding: what is kept of that goes with the gap ({ref}`sec-fp-reads`). It was found after the gaps were seen, on one architecture.

# %%
run.finish()
