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
# # How far must it look?
#
# **Question.** {cite:t}`luo2016` see the {term}`effective receptive field` grow during training. Does it grow because the network *learns*, or because what it learns lies *far away*?
# What if the label depends on evidence at a distance that we choose?
#
# **Answer in one line.** The field goes where the evidence is. Asked for a mark {glue:text}`far_px:d` px away it *{glue:text}`answer_far`*; asked for one at {glue:text}`near_px:d` px it *{glue:text}`answer_near`*; with
# labels drawn by lot, which ask for nothing, it *{glue:text}`answer_lots`*. And the field before training says how long each distance takes to learn.
#
# No natural image comes with the distance at which its label is decided. So this chapter makes images where it is known: synthetic ones, in which a mark is hidden at each of several distances from the centre. All tasks
# share these images and the untrained networks. They differ in the question alone. The chapter goes beyond what the paper measured; it decides `luo.s4.large-field-tasks` and adds a check to `distill.closing.necessary`.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots, rf
from erfbook.book import page
from erfbook.experiments import (
    distance_runs,
    distance_speed,
    distance_summary,
    distance_tables,
    distance_task,
)
from erfbook.experiments.distance_checks import check_task
from erfbook.models.valid import ValidNet

run = page.begin("erf_distance", globals())
p = run.parameters

# %% [markdown]
# (sec-ed-task)=
# ## One set of images, several questions
#
# **Only what lies at the asked distance helps, by construction.** An image is grey noise with one square of 3 × 3 pixels on each of several circles around its centre. Each square's angle is uniform, and it is lighter
# or darker than its ground with even odds; all of this is drawn independently. A task names one circle, of radius $d$, and the label is the tone $y = \pm 1$ of its mark. A disc that ends before the mark shows
# pixels $x_{\mathrm{in}}$ that do not depend on $y$, so Bayes' best guess from them is a coin:
#
# $$
# P(y = 1 \mid x_{\mathrm{in}}) = P(y = 1) = \tfrac12 .
# $$ (eq-ed-chance)
#
# That is checked by turning the asked mark over with everything else held fixed: of the pixels nearer than the mark, {glue:text}`leaks:d` changed. One who knows what marks look like and sees the whole image is right in
# {glue:text}`template_whole:.1%` of the images or more; with a view that ends before the mark the same method gives log odds of {glue:text}`template_short:.1f` at most, either way. The shares of the tones differ from one half by at most
# {glue:text}`tone_gap:.1f` standard errors.

# %%
config = distance_runs.DistanceConfig(
    None, distances=p.distances, kernels=p.kernels, channels=p.channels, contrast=p.contrast,
    n_train=p.n_train, n_test=p.n_test, n_maps=p.n_maps, lr=p.lr,
)  # fmt: skip
for name, result in check_task(config.rings, n_images=300).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-distance-images", "caption": "One image, asked about several times. Dashed: the circle on which the asked mark lies. The other marks are drawn independently of the label."}, "image": {"alt": "The same noisy grey image in a row of panels. It holds a few small light and dark squares. A dashed circle of growing radius passes through another square in each panel, and the label below says whether that square is darker or lighter."}} tags=["hide-input"]
draws = distance_task.draw_rings(config.rings, 1, seed=5)
fig, axes = plots.figure(1, len(p.distances), height=2.2)
plots.plot_distance_images(axes, config, distance_task.paint_rings(config.rings, draws)[0], draws.tones[0]);

# %% [markdown]
# (sec-ed-network)=
# ## A network of which one unit is read
#
# **Nothing may carry the evidence to the answer but the unit's own field.** Global pooling would: it reads every position. Here {glue:text}`n_layers:d` convolutions without padding, each with batch norm and a ReLU, shrink an image of
# {glue:text}`field_px:d` px to one single unit of {glue:text}`channels:d` channels, and a linear layer reads that. The {term}`theoretical receptive field` is the image, {glue:text}`field_px_analyzed:d` px by the arithmetic of the graph; there is no
# border and no other unit. Measured, as in {eq}`eq-ed-map`, is the decision itself, the difference $s$ of the two scores, on images that were not trained on:
#
# $$
# A(i,j) = \operatorname{mean}_x \left| \frac{\partial s}{\partial x_{i,j}} \right| .
# $$ (eq-ed-map)
#
# Each of {glue:text}`n_seeds:d` seeds has one untrained network and one set of {glue:text}`n_train:d` training images, the same for every task, and sees each image once. "Before" is measured with the batch-norm statistics that the first step will use. In this
# network without skip connections it makes no difference: with the statistics of a network just built half of the mass lies within {glue:text}`radius_fresh:.1f` px, with those of the first step within {glue:text}`radius_before:.1f` px.

# %%
network = ValidNet(config.channels, config.kernels).eval()
side = config.rings.side_px
run.report("field_px_analyzed", rf.analyze(network, (3, side, side))["head"].size[0])
study = distance_summary.study_distances(config, n_seeds=p.n_seeds, n_pairs=p.n_pairs, store=run.store)
for name, result in distance_summary.name_distances(study).items():
    run.report(name, **result)
distance_tables.tabulate_distances(study)

# %% [markdown]
# The table shows means over seeds, before → after training. {glue:text}`n_learnt:d` of {glue:text}`n_distances:d` distances were learnt by every seed.
#
# (sec-ed-goes)=
# ## The field goes where the evidence is
#
# **Training does not enlarge the field as such; it moves it to the asked distance, outwards or inwards, where that is learnt.** Asked for {glue:text}`far_px:d` px, the disc that holds half of the map's mass changes from
# {glue:text}`radius_before:.1f` px to {glue:text}`radius_far:.1f` px [{glue:text}`radius_far_low:.1f`, {glue:text}`radius_far_high:.1f`], a factor of {glue:text}`growth_far:.2f`
# [{glue:text}`growth_far_low:.2f`, {glue:text}`growth_far_high:.2f`]. Asked for {glue:text}`near_px:d` px, the factor is {glue:text}`growth_near:.2f` [{glue:text}`growth_near_low:.2f`, {glue:text}`growth_near_high:.2f`].

# %% mystnb={"figure": {"name": "fig-distance-maps", "caption": "The decision's field, mean over seeds, each map to its own peak on a square-root scale: before training, after it with labels drawn by lot and for each asked distance (dashed circle), and of the trained weights in random order. Where a distance was learnt the map is a ring on the circle."}, "image": {"alt": "Heat maps. Before training a broad blob. By lot a blob, somewhat narrower. For the asked distances bright rings that lie on dashed circles of growing radius. Shuffled weights give the broad blob again."}} tags=["hide-input"]
fig, axes = plots.figure(2, 4, height=2.1)
plots.plot_distance_maps(axes, study);

# %% [markdown]
# Three controls tell what does *not* do it.
#
# - **Labels drawn by lot.** The same images, steps and losses to reduce, but nothing to find: accuracy {glue:text}`accuracy_lots:.0%`, and the radius changes by a factor of {glue:text}`growth_lots:.2f`
#   [{glue:text}`growth_lots_low:.2f`, {glue:text}`growth_lots_high:.2f`]. Training as such does not make the field grow. That noise, too,
#   is fitted first where the untrained field is strongest ({ref}`below <sec-ed-speed>`), near the centre, would explain a shrinking field, and a fall of the radii at the start of {numref}`fig-distance-learning`.
# - **Weights in random order.** Each tensor of the network trained on {glue:text}`far_px:d` px keeps its values and loses their places: {glue:text}`radius_shuffled_far:.1f` px, next to {glue:text}`radius_before:.1f` px before training. The ring is structure, not scale.
# - **A field that is too small.** The lowest part of the network alone, with a theoretical field of {glue:text}`blind_field_px:d` px, is asked for the mark at {glue:text}`far_px:d` px, which it cannot see: {glue:text}`accuracy_blind:.1%` right,
#   {glue:text}`accuracy_blind_gap:.1f` standard errors from a coin. It has to be so by {eq}`eq-ed-chance`, and shows that nothing leaks.
#
# With the change by lot taken off, seed by seed, the radius follows the asked distance with a slope of {glue:text}`slope:.2f` [{glue:text}`slope_low:.2f`, {glue:text}`slope_high:.2f`] px per px. A field that reached just as far as needed would have 1.

# %% mystnb={"figure": {"name": "fig-distance-radius", "caption": "Radius of the disc that holds half (left) and 95 % (right) of the mass, with 95 % intervals over seeds. Half of the mass follows the asked distance with a slope of {glue:text}`slope:.2f`. The radius of 95 % does so less: {glue:text}`slope_95:.2f`."}, "image": {"alt": "Left, the points after training for the asked distances lie near the line of as far as needed, except at 0; shuffled weights stay at the dashed level of before training. Right, all points stay near the level of before training, high above the line."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_distance_radius(axes, study);

# %% [markdown]
# (sec-ed-farther)=
# ## And no farther?
#
# **Nearly: what is not needed fades, but does not vanish.** Asked for {glue:text}`near_px:d` px, the mass farther out than the mark falls from {glue:text}`beyond_before_near:.0%` to {glue:text}`beyond_near:.0%`. Asked for {glue:text}`far_px:d` px it goes from
# {glue:text}`beyond_before_far:.0%` to {glue:text}`beyond_far:.0%`; beyond the farthest mark there is only noise, no other mark that it would pay to ignore, which may be why. A task at distance 0 is learnt within {glue:text}`steps_centre` steps, and then
# there is no loss left that would make the network unlearn the rest of its initial field. Its radius of {glue:text}`radius_centre:.1f` px is what is left of {glue:text}`radius_before:.1f`.

# %% mystnb={"figure": {"name": "fig-distance-profiles", "caption": "Share of the map's mass at each distance from the centre, mean over seeds. Grey: the pixels a mark on the asked circle touches. A learnt task gathers the mass there and takes it from nearer pixels as well as from farther ones."}, "image": {"alt": "One panel for each asked distance. The dashed curve before training and the dotted one by lot are broad. The solid curve after training peaks in the grey band where the task was learnt."}} tags=["hide-input"]
fig, axes = plots.figure(1, len(study.far), height=3.0)
plots.plot_distance_profiles(axes, study, distance_summary.profile_tasks(study));

# %% [markdown]
# The paper's own metric hardly sees the growth. It counts the pixels above 4.55 % of the *central* one, and a network that looks at a ring has little at its centre: asked for {glue:text}`far_px:d` px, its size changes by a factor of {glue:text}`size_ratio_far:.2f`
# only (the radius: {glue:text}`growth_far:.2f`).
#
# (sec-ed-speed)=
# ## The field before training is the speed of learning
#
# **Far evidence is slow to learn, and the untrained field says how slow.** Take the mean margin $M = \mathrm{E}[y\,s(x)]$. A small step of gradient descent raises it in proportion to $\lVert \partial M / \partial\theta \rVert^2$. In a wide linear network with
# independent zero-mean weights, changing one weight changes the network's function at pixel $p$ by a product of what lies above and below it. In the mean over weights all terms that mix two pixels vanish, and every layer contributes the same
# convolution of powers, the one that makes the untrained field $\mathrm{E}[g_p^2]$ in equation 8 of {cite:t}`luo2016`. What a task gains from it is
#
# $$
# S(d) = \sum_p \mathrm{E}[g_p^2]\; c_d(p)^2 ,
# $$ (eq-ed-speed)
#
# with $c_d(p)$ the probability that the asked mark covers $p$. Nothing in it is fitted. For {glue:text}`near_px:d` px it predicts a speed of {glue:text}`speed_predicted_near:.2g` of that at the centre, and for {glue:text}`far_px:d` px {glue:text}`speed_predicted_far:.2g`.
# Measured on the untrained networks as they are, with ReLU, batch norm and {glue:text}`channels:d` channels, it is {glue:text}`speed_near:.2g`
# [{glue:text}`speed_near_low:.2g`, {glue:text}`speed_near_high:.2g`] and {glue:text}`speed_far:.2g` [{glue:text}`speed_far_low:.2g`, {glue:text}`speed_far_high:.2g`]. The steps that training then needs until its loss has halved
# are {glue:text}`steps_near` and {glue:text}`steps_far` (median). Among the distances learnt they rise as the power {glue:text}`steps_power` of $1/S$. It would be 1 if descent kept its first speed; below 1 it speeds up on the way, as deep
# networks do whose layers grow together.

# %%
others = distance_speed.compare_speeds(config)

# %% mystnb={"figure": {"name": "fig-distance-speed", "caption": "Left: speed at which training starts to learn a mark, over that of the first mark: predicted from the untrained field (solid), measured in each seed (small dots; products of noisy gradients at or below 0 are not shown) and on average, and predicted for other networks with the same theoretical field of {glue:text}`field_px:d` px. Right: the steps until the loss had halved, against the prediction; open where it never did."}, "image": {"alt": "Left, measured points fall with distance along the solid line over orders of magnitude. Lines for 3 by 3 layers fall faster, with skip connections fastest, dilated ones slowest. Right, the steps rise as the predicted speed falls."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.3)
plots.plot_distance_speed(axes, study, others);

# %% [markdown]
# So two networks with one theoretical field may be very unlike: of the four on the left, 3 × 3 layers with skip connections learn a far mark slowest and dilated ones fastest, by orders of magnitude. A {term}`theoretical receptive field` that holds
# the evidence is necessary. Whether it suffices within the steps one has is decided by the effective field that training starts from.

# %% mystnb={"figure": {"name": "fig-distance-learning", "caption": "Accuracy on new images (left) and the radius of half of the mass (right) during training; means over seeds, shaded from the lowest to the highest. The nearer the mark, the sooner it is found, and the field moves when the accuracy does."}, "image": {"alt": "Left, accuracy rises first for the mark at the centre, then for the others in the order of their distance; by lot it stays at one half. Right, the radius falls for near marks and, where it was learnt, rises for the farthest one, at the time at which its accuracy rises."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_distance_learning(axes, study);

# %% [markdown]
# ## Published records
#
# Other networks and longer distances are run by the sweep `erf-distance` and published with their records. Where only some seeds learn a task, those that do are a control for those that don't: same images, same number of steps. The factor is that of the radius which holds half of the mass,
# after over before, with its interval over seeds that learnt the task (an accuracy of 90 % or more) and over those that did not.

# %%
distance_tables.tabulate_published(run.published)

# %% [markdown]
# ## What would refute it
#
# A radius that grows as much with labels by lot as with a far mark; shuffled weights that keep the ring; a blind network that is right more often than a coin; or a far task that is learnt as soon as a near one although the untrained field
# predicts orders of magnitude. What this cannot say: the images are synthetic, one kind of mark in noise, and the network is small and has no skip connections. Photographs do not tell how far their evidence lies, so a field that grows on them
# (or does not) cannot be read as plainly.
#
# ## Summary
#
# An effective field grows when the task asks for it and shrinks when it does not. "The field grows during training" is a statement about the data as much as about networks.

# %%
run.finish()
