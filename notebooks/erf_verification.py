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
# # The effective receptive field, verified
#
# **Question.** Do random networks show what the theory says: a Gaussian
# {term}`effective receptive field` whose size grows like $\sqrt n$ and whose share of the
# {term}`theoretical receptive field` falls like $1/\sqrt n$, and what do nonlinearities, {term}`stride`,
# {term}`dilation`, {term}`skip connections <skip connection>` and dropout do to it?
#
# **Answer in one line.** Yes, and nearly all of it can be predicted without drawing a weight; what the paper leaves
# unsaid, the networks' width and how runs are averaged, decides whether its slopes are met and its panels look Gaussian.
#
# This chapter repeats section 3.1 of {cite:t}`luo2016` at its own sizes and measures what section 2.5 only states.
# It decides the claims `luo.fig1.*`, `luo.fig-nonlinearity.*`, `luo.fig2.*`, `luo.fig-structures.*` and `luo.s2.5.*-measured` of the scoreboard.
# Markers are measurements, plain lines are predictions, and the dashed line is what the paper reports.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import experiments, plots, theory
from erfbook.book import page

run = page.begin("erf_verification", globals())
p = run.parameters
options = {"threshold": p.threshold, "n_bootstrap": p.n_bootstrap, "seed": p.seed}

# %% [markdown]
# (sec-ev-setup)=
# ## What is measured, and what it is compared with
#
# **Every map here is an average over random networks, and every average has a prediction.** A gradient of 1 is put on
# the centre unit of the output and propagated to the input. A run is one network with weights and an input of its own.
# Its map $g$ is as large as the {term}`theoretical receptive field`; the mean over runs of $|g|$ (the magnitude) or of
# $g^2$ (the power) is the effective receptive field. The paper does not say which of the two its figures show. Here
# **all maps show $|g|$**, and sizes and slopes are given for both.
#
# For linear networks with independent weights of mean 0 the mean power is known exactly, layer by layer:
#
# $$
# \mathbb E\big[g_{p-1}(i,j)^2\big] = C \sum_{a,b} \mathbb E\big[g_p(i+a, j+b)^2\big] .
# $$ (eq-ev-power)
#
# That is a convolution with a box, so {eq}`eq-ev-power` gives a map without sampling. Where gradients are normal,
# as they become when layers have many channels, $\mathbb E|g| = \sqrt{2/\pi}\,\sqrt{\mathbb E[g^2]}$ predicts the magnitude too.

# %%
theory.predict_gradient_power([theory.Layer(kernel=3)] * 2) * 81

# %% [markdown]
# The paper leaves four things open, and each is a choice here. *Width*: its analysis has one channel, its networks' width is not
# given, so random networks are measured with 1 and with {glue:text}`channels:d` channels. *Averaging*: runs are averaged as they
# are, unless a figure says that each was first scaled to the same total. *Order*: an activation follows every convolution, the last one
# included, which is what lets a zero output wipe out a whole gradient. *Initialisation*: weights are normal, with He's variance
# $2/(k^2 c)$ before a ReLU {cite}`heinit2015` and $1/(k^2 c)$ otherwise {cite}`glorot2010`, for $c$ input channels, without biases.
# All networks of a panel run as one grouped convolution on exactly the pixels that the unit sees.

# %% tags=["hide-input"]
run.report("channels", p.channels)
run.report("n_networks", p.n_networks);

# %% [markdown]
# (sec-ev-gaussian)=
# ## Gaussian shapes
#
# **Equal weights give a Gaussian; so do random ones, if enough channels or runs are averaged.** The paper's figure 1 has four
# depths and three kinds of network, each the mean of 20 runs. The random kinds are shown here at both widths.

# %%
options |= {"channels": p.channels}
shapes = experiments.measure_shapes(p.depths, p.n_networks, **options)
for name, result in experiments.name_shapes(shapes).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-shapes", "caption": "Mean $|g|$ over the theoretical receptive field for 3 × 3 layers, each map scaled to its own peak. Equal weights and wide random networks give a round Gaussian at every depth. With one channel a few runs dominate the mean, and lumps remain."}, "image": {"alt": "Twenty heat maps: rows are uniform, random and random plus ReLU networks, columns 5, 10, 20 and 40 layers. Uniform and wide rows are smooth round blobs that fill less of the field with depth; the one-channel rows are lumpy and off-centre at 20 and 40 layers."}} tags=["hide-input"]
fig, axes = plots.figure(len(shapes), len(p.depths), height=1.62)
plots.plot_shapes(axes, shapes);

# %% [markdown]
# How Gaussian is Gaussian? Two numbers say it for every panel: $R^2$, the share of the map's variance over pixels that the best
# Gaussian explains, and the excess kurtosis per axis, 0 for a Gaussian. Neither can be perfect. A stack of $n$ layers
# has an excess kurtosis of order $-1/n$, and the mean of 20 runs keeps their noise: for normal gradients the variance of $|g|$ is
# $\pi/2-1$ times its squared mean in every pixel. The expected $R^2$ adds up these two, so it is what a perfect theory would reach.

# %% tags=["hide-input"]
scaled = experiments.measure_shapes(p.depths, p.n_networks, kinds=["random"], equal=True, **options)
worst = max(panel.unexplained for panel in scaled["random"])
run.report("random_scaled_unexplained_largest", worst)
experiments.tabulate_panels(panel for panels in shapes.values() for panel in panels)

# %% [markdown]
# - **Uniform.** The best Gaussian explains at least {glue:text}`uniform_r2_lowest:.4f` of every panel. This is the "perfect" shape.
# - **Random, wide.** What the best Gaussian leaves unexplained is at most {glue:text}`random_wide_unexplained_largest:.1f` times
#   what noise and finite depth must leave. The kurtosis goes from {glue:text}`random_wide_kurtosis_shallowest:.2f` at the
#   shallowest to {glue:text}`random_wide_kurtosis_deepest:.2f` at the deepest stack.
# - **Random, one channel.** Up to {glue:text}`random_unexplained_largest:.1f` times. Networks differ so much in the scale of their
#   gradient that the mean of {glue:text}`n_networks:d` runs can be worth as few as {glue:text}`random_effective_lowest:.1f` equal ones
#   (column *worth*: the squared sum of the runs' totals over the sum of their squares). Single networks are wave packets beside the
#   centre: runs off the middle make up {glue:text}`random_displaced_deepest:.2f` of the deepest map's variance, and
#   {glue:text}`random_wide_displaced_deepest:.3f` at {glue:text}`channels:d` channels.
# - **Random + ReLU.** Of {glue:text}`relu_wide_runs_total:d` runs at {glue:text}`channels:d` channels, {glue:text}`relu_wide_dropped_total:d` had
#   an all-zero gradient and are left out, which scales a mean and keeps its shape. With what is left the wide networks are as Gaussian as
#   their number allows ({glue:text}`relu_wide_unexplained_largest:.1f` times the expected remainder at most), and the paper's words
#   "a bit less Gaussian" fit: fewer runs are alive, so more noise stays. One channel gives up to {glue:text}`relu_unexplained_largest:.1f` times.
#
# If every run of the linear one-channel networks is first scaled to the same total, their factor falls to {glue:text}`random_scaled_unexplained_largest:.1f` at most. The
# paper's smooth random panels therefore speak for wide layers or for runs that were scaled before the mean.

# %% mystnb={"figure": {"name": "fig-profiles", "caption": "The maps of {numref}`fig-shapes` summed along one axis, with 95 % bootstrap intervals over networks. Plain lines are predictions without any free parameter: the same theory that gives equal weights exactly gives wide random networks within their intervals, with and without ReLU."}, "image": {"alt": "Three panels of bell-shaped profiles at four depths; measured points lie on the predicted lines."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=2.9, sharey=False)
plots.plot_profiles(axes, {kind: shapes[kind] for kind in ("uniform", "random_wide", "relu_wide")});

# %% [markdown]
# (sec-ev-dead)=
# ### Gradients that vanish
#
# **With a ReLU at the output at least half of all runs are expected to have no gradient at all.** The last layer's weights are
# symmetric around 0, so its output is negative with a probability of one half, and then the whole gradient is zero. The paper remarks
# that this happens "very easily"; how easily depends on the width.

# %%
dead = experiments.measure_dead(p.depths, p.dead_channels, p.n_dead, seed=p.seed)
for name, result in experiments.name_dead(dead).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-all-zero", "caption": "Share of ReLU networks whose gradient is zero at every pixel, with Wilson 95 % intervals. The expected share cannot lie below one half (line); a counted one can, by chance. With one channel it rises with depth, but slowly: depth alone does not kill the gradient."}, "image": {"alt": "Share of all-zero gradients against depth for several widths: one channel rises slowly above one half, the other widths stay at one half."}} tags=["hide-input"]
fig, ax = plots.figure(height=2.9, width=5.5)
plots.plot_all_zero(ax, dead);

# %% [markdown]
# With one channel the share rises from {glue:text}`dead_narrow_shallowest:.2f` to {glue:text}`dead_narrow_deepest:.2f`
# between the shallowest and the deepest stack; in the widest networks it ends at {glue:text}`dead_wide_deepest:.2f`
# [{glue:text}`dead_wide_deepest_low:.2f`, {glue:text}`dead_wide_deepest_high:.2f`], a count that may fall below the expected one half. So even single-channel networks of 40 layers are
# often alive, and the paper's ReLU panels are possible at any width; how noisy they look is what tells widths apart.

# %% [markdown]
# (sec-ev-nonlinearity)=
# ## Other nonlinearities, and more runs
#
# **With 100 runs the maps become as Gaussian as 100 runs can be, whatever the nonlinearity.** The paper's next figure averages over
# random weights and random inputs at 20 layers and finds the shapes "a lot more Gaussian-like".

# %%
nonlinear = experiments.measure_nonlinearities(p.n_runs, **options)
for name, result in experiments.name_nonlinearities(nonlinear, shapes).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-nonlinearities", "caption": "Mean $|g|$ of wide random networks of 20 layers with three nonlinearities, and profiles with 95 % intervals. The prediction, which knows of no nonlinearity, passes through all three."}, "image": {"alt": "Three round heat maps for ReLU, Tanh and Sigmoid, and below each a bell-shaped profile whose points lie on the predicted line."}} tags=["hide-input"]
fig, axes = plots.figure(2, len(nonlinear), height=2.2, sharey="row")
plots.plot_nonlinearities(axes, nonlinear);

# %% [markdown]
# The best Gaussian now explains {glue:text}`nonlinear_relu_r2:.3f` (ReLU, {glue:text}`nonlinear_relu_kept:d` runs alive),
# {glue:text}`nonlinear_tanh_r2:.3f` (Tanh) and {glue:text}`nonlinear_sigmoid_r2:.3f` (Sigmoid) of the variance, where
# {glue:text}`nonlinear_relu_r2_expected:.3f`, {glue:text}`nonlinear_tanh_r2_expected:.3f` and
# {glue:text}`nonlinear_sigmoid_r2_expected:.3f` are expected. The improvement over {numref}`fig-shapes` is the number of runs.
# Whether Tanh and Sigmoid work in their linear range, as the paper guesses, no shape can tell: their mean squared slope is one factor for all pixels
# of a layer, and only the scale of the map depends on it. How linear they are is {ref}`computed elsewhere <sec-fb-relu>`.

# %% [markdown]
# (sec-ev-growth)=
# ## Growth and shrinkage with depth
#
# **The exact slope of log size against log depth is close to one half; how near the published 0.56 comes depends on width and on how runs are averaged.** The paper calls a pixel effective if it exceeds {glue:text}`threshold:.4f` of the centre, and takes the
# square root of the number of such pixels as size. It fits 0.56 to the size and −0.43 to the ratio.
#
# The two slopes are not independent. The ratio is the size over the field $2n+1$, so
#
# $$
# \text{slope}(\text{size}) - \text{slope}(\text{ratio}) = \text{slope}(\log(2n+1) \text{ against } \log n) < 1 ,
# $$ (eq-ev-slopes)
#
# which depends on the depths alone. The published pair differs by 0.99, give or take 0.01 for rounding.

# %%
consistent = experiments.find_consistent_depths(range(1, 21), range(20, 301, 5))
least = min(last for first, last, *_ in consistent if first <= 5)
run.report("depths_last_least", least)
run.report("depths_figure1_difference", theory.receptive_field_slope([5, 10, 20, 40]))
run.report("depths_difference", theory.receptive_field_slope(p.growth_depths))
run.report("threshold", p.threshold)
run.report("n_repeats", p.n_repeats);

# %%
growth = experiments.measure_size_growth(p.growth_depths, p.n_networks, **options)
fewer = {key: options[key] for key in ("channels", "threshold", "seed")}
repeats = experiments.repeat_size_growth(p.growth_depths, p.n_networks, p.n_repeats, **fewer)
run.report("n_repeats_wide", len(repeats["random_wide"]["abs"].size))
for name, result in experiments.name_growth(growth, repeats).items():
    run.report(name, **result)

# %%
deepest = run.report("deepest", max(p.depths))
fewer = {key: options[key] for key in ("channels", "n_bootstrap", "seed")}
compactness = experiments.measure_compactness(deepest, p.n_runs, **fewer)
for kind, ratio in compactness.items():
    run.report(f"{kind}_compactness", **ratio.as_result())

# %% [markdown]
# By {eq}`eq-ev-slopes` the depths of figure 1 alone would give {glue:text}`depths_figure1_difference:.3f`, so figure 2 must rest on
# deeper networks: an evenly spaced list that starts at 5 layers or fewer must reach {glue:text}`depths_last_least:d` at least to
# give both numbers. The depths used here give {glue:text}`depths_difference:.3f`.

# %% mystnb={"figure": {"name": "fig-size-growth", "caption": "Size (left) and its ratio to the theoretical receptive field (right) against depth, with 95 % bootstrap intervals over networks; lines are exact predictions: solid for $|g|$, dotted for $g^2$, which is also the shape of equal weights."}, "image": {"alt": "Two log-log plots: sizes rise and ratios fall along straight predicted lines; the one-channel points scatter most."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.6)
plots.plot_size_growth(axes, [growth[k] for k in ("uniform_abs", "random_abs", "random_wide_abs", "relu_wide_abs")]);

# %% mystnb={"figure": {"name": "fig-slopes", "caption": "Both slopes of every kind of network and statistic: markers with 95 % bootstrap intervals over networks (open: one channel), the exact prediction for the plain mean as a tick, and the paper's value. Dots below a row are repeats of the whole experiment with new networks. Of all repeats, those of one-channel networks with runs scaled to equal weight lie around the published pair."}, "image": {"alt": "Two dot plots of the slopes of size and ratio by kind of network. Wide networks sit near the exact values; repeats with one channel and scaled runs cluster around the paper's 0.56 and minus 0.43."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=4.6)
plots.plot_slopes(axes, growth, repeats, experiments.PAPER_SLOPES);

# %% [markdown]
# The exact slopes at these depths are {glue:text}`random_wide_abs_size_slope_expected:.3f` and
# {glue:text}`random_wide_abs_ratio_slope_expected:.3f` for $|g|$, and {glue:text}`random_wide_square_size_slope_expected:.3f` and
# {glue:text}`random_wide_square_ratio_slope_expected:.3f` for $g^2$: near one half, but not 0.56. How far may an experiment with
# {glue:text}`n_networks:d` networks per depth stray? The whole experiment is repeated, {glue:text}`n_repeats:d` times with one channel; brackets give the range into which
# one more repeat falls with a probability of 95 %.
#
# - **Wide networks do not get there.** Repeats with {glue:text}`channels:d` channels ({glue:text}`n_repeats_wide:d` of them, as they take long) give {glue:text}`random_wide_abs_repeat_size_slope:.3f`
#   [{glue:text}`random_wide_abs_repeat_size_slope_low:.2f`, {glue:text}`random_wide_abs_repeat_size_slope_high:.2f`] for $|g|$.
#   The one experiment whose bootstrap interval {numref}`fig-slopes` shows has {glue:text}`random_wide_abs_size_slope:.3f` [{glue:text}`random_wide_abs_size_slope_low:.3f`,
#   {glue:text}`random_wide_abs_size_slope_high:.3f`], {glue:text}`random_wide_abs_size_slope_z:+.1f` of its standard errors from the exact slope. Its {glue:text}`n_networks:d` networks per depth are one draw, and the
#   bootstrap resamples that draw. With new networks the mean of the repeats lies {glue:text}`random_wide_abs_repeat_size_slope_offset:+.3f` from the exact slope, with a standard error of
#   {glue:text}`random_wide_abs_repeat_size_slope_error:.3f`: more than that the finite width and the threshold do not explain.
# - **One channel, plain mean: they may.** {glue:text}`random_abs_repeat_size_slope:.2f` [{glue:text}`random_abs_repeat_size_slope_low:.2f`,
#   {glue:text}`random_abs_repeat_size_slope_high:.2f`] contains 0.56 as well as one half: in the median over depths the mean of
#   {glue:text}`n_networks:d` runs is worth {glue:text}`random_abs_effective_median:.1f`.
# - **One channel, runs scaled to weigh the same: they do.** {glue:text}`random_abs_scaled_repeat_size_slope:.2f`
#   [{glue:text}`random_abs_scaled_repeat_size_slope_low:.2f`, {glue:text}`random_abs_scaled_repeat_size_slope_high:.2f`] and
#   {glue:text}`random_abs_scaled_repeat_ratio_slope:.2f` [{glue:text}`random_abs_scaled_repeat_ratio_slope_low:.2f`,
#   {glue:text}`random_abs_scaled_repeat_ratio_slope_high:.2f`].
#
# Why is a scaled mean wider? Let $T$ be a network's total power and $s$ its spread about the centre. The plain mean has the variance
#
# $$
# \frac{\mathbb E[T s]}{\mathbb E[T]} = \mathbb E[s] + \frac{\operatorname{Cov}(T, s)}{\mathbb E[T]} ,
# $$ (eq-ev-scaled)
#
# which is exactly the theory's, and the scaled one $\mathbb E[s]$. Measured at {glue:text}`deepest:d` layers, $\mathbb E[s]$ is
# {glue:text}`random_compactness:.2f` [{glue:text}`random_compactness_low:.2f`, {glue:text}`random_compactness_high:.2f`] times the exact variance at one
# channel and {glue:text}`random_wide_compactness:.2f` [{glue:text}`random_wide_compactness_low:.2f`, {glue:text}`random_wide_compactness_high:.2f`] times at
# {glue:text}`channels:d`. So at one channel the covariance in {eq}`eq-ev-scaled` is negative: strong gradients are the compact ones, a plain mean sees
# mostly them, and a mean over equals is wider; as the slopes show, the more so the deeper the stack. The theory of the paper is about the plain mean.
#
# So the published pair fits narrow networks whose runs were normalised, and can occur by chance for narrow networks in a plain mean. The law, $\sqrt n$ and
# $1/\sqrt n$, holds either way to the accuracy that the paper itself claims for it. In {numref}`fig-size-growth` {glue:text}`relu_wide_abs_dropped:d`
# ReLU runs of the wide networks ({glue:text}`relu_abs_dropped:d` at one channel) had an all-zero gradient and were left out.

# %% [markdown]
# (sec-ev-structures)=
# ## Subsampling, dilation, skip connections, dropout
#
# **Strides and dilation widen, skip connections shrink, dropout changes nothing, each by as much as predicted.** The paper
# compares 15 dense layers with two variants: three layers with stride 2, or three dilated by 2, 4 and 8. Which layers is not said; here it is the
# 4th, 8th and 12th. Skip connections ($y = x + \text{conv}(x)$ in every layer) and dropout are only stated in its
# section 2.5; they are measured here the same way. All networks of this section are linear, so that the prediction is exact.

# %%
options |= {"keep": p.keep}
structures = experiments.measure_structures(p.n_networks, **options)
power = experiments.measure_structures(p.n_networks, statistic="square", **options)
placements = experiments.predict_placements(threshold=p.threshold)
squareness = experiments.predict_squareness(p.threshold)
at_half = experiments.predict_squareness(0.5).values
run.report("dilation_squareness_half", at_half["dilation"])
named = experiments.name_structures(structures, power, placements, squareness)
for name, result in named.items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-structures", "caption": "Mean $|g|$ of 15 layers at one scale of pixels, 121 px a side. Three strided layers enlarge the effective receptive field most, three dilated ones make it larger and square."}, "image": {"alt": "Three heat maps on the same scale: a small round blob for dense layers, a blob about four times as wide for strided layers, and a clearly square one about twice as wide for dilated layers."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=2.7)
plots.plot_structures(axes, [structures[k] for k in ("baseline", "subsample", "dilation")]);

# %% [markdown]
# The size is {glue:text}`subsample_size_ratio:.2f` [{glue:text}`subsample_size_ratio_low:.2f`, {glue:text}`subsample_size_ratio_high:.2f`] times the
# baseline's with strides (exact: {glue:text}`subsample_size_ratio_expected:.2f`) and {glue:text}`dilation_size_ratio:.2f`
# [{glue:text}`dilation_size_ratio_low:.2f`, {glue:text}`dilation_size_ratio_high:.2f`] with dilation (exact: {glue:text}`dilation_size_ratio_expected:.2f`).
# Where the three dilated layers sit does not matter, because without strides convolutions commute. Where the strided ones sit matters a lot.

# %% mystnb={"figure": {"name": "fig-placements", "caption": "Exact size for each way to place three stride-2 layers among 15. All of them enlarge the effective receptive field, early ones far more than late ones."}, "image": {"alt": "Histogram of sizes over all placements, all to the right of the size without stride."}} tags=["hide-input"]
fig, ax = plots.figure(height=2.6, width=5.5)
plots.plot_placements(ax, placements);

# %% [markdown]
# Over all {glue:text}`placements_n:d` placements the exact size is {glue:text}`placements_smallest:.1f` to {glue:text}`placements_largest:.1f` times the
# baseline's, so the paper's picture fixes the direction, not the amount.

# %% mystnb={"figure": {"name": "fig-structure-profiles", "caption": "Profiles with 95 % intervals; plain lines are exact. Left: skip connections narrow the profile, dropout leaves it where it was. Right: dilation gives a flat top that no Gaussian of the same variance has."}, "image": {"alt": "Left: profiles of dense, skip and dropout networks; skip is narrower, dropout coincides with dense. Right: the dilated profile is flatter and broader-shouldered than the dotted Gaussian."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_structure_profiles(axes, structures);

# %% [markdown]
# - **Rectangular.** The region that the paper calls effective, above {glue:text}`threshold:.4f` of the peak, fills {glue:text}`dilation_squareness:.2f`
#   of its bounding box with dilation and {glue:text}`baseline_squareness:.2f` without; a disc fills $\pi/4 = 0.785$, a rectangle 1 (exact
#   maps; above half of the peak it is {glue:text}`dilation_squareness_half:.2f` with dilation). The measured excess kurtosis is
#   {glue:text}`dilation_kurtosis:.2f` [{glue:text}`dilation_kurtosis_low:.2f`, {glue:text}`dilation_kurtosis_high:.2f`] (a box has −1.2) against
#   {glue:text}`baseline_kurtosis:.2f`. The three dilated kernels together put nearly equal weight on a square of $\pm 14$ pixels, and twelve
#   layers only round its edges.
# - **Skip connections** halve the variance of $g^2$, {glue:text}`skip_variance_ratio:.2f` [{glue:text}`skip_variance_ratio_low:.2f`,
#   {glue:text}`skip_variance_ratio_high:.2f`] times the baseline's, and shrink the size to {glue:text}`skip_size_ratio:.2f` [{glue:text}`skip_size_ratio_low:.2f`,
#   {glue:text}`skip_size_ratio_high:.2f`] of it. With a branch as strong as the identity half of the steps are skipped: exactly one
#   half of the variance at any depth, and {glue:text}`skip_size_ratio_expected:.2f` of the size here, $1/\sqrt 2$ for many layers.
# - **Dropout**, keeping an input with probability {glue:text}`keep:.2f`, leaves the variance of $g^2$ at {glue:text}`dropout_variance_ratio:.2f`
#   [{glue:text}`dropout_variance_ratio_low:.2f`, {glue:text}`dropout_variance_ratio_high:.2f`] of the baseline's and the kurtosis at
#   {glue:text}`dropout_kurtosis:.2f` (exact: {glue:text}`dropout_kurtosis_expected:.2f`). It makes single runs noisier, not wider.
#
# Variances are those of $g^2$, where the prediction is exact. For $|g|$ it takes gradients to be normal, which at the rim of the field, where few
# paths lead, {glue:text}`channels:d` channels do not quite make them: there the measured magnitudes fall slightly short.

# %% tags=["hide-input"]
run.report("keep", p.keep);

# %% [markdown]
# ## What would refute this
#
# The prediction has no parameter to adjust. A wide network's profile outside its interval at several depths, a kurtosis that does not tend to 0 with
# depth, a skip connection that widens, or slopes of wide networks that leave one half as depth grows would each contradict it. A width and a way to
# average that were published by the authors, and with which their two slopes do not come out, would contradict the reading of figure 2 above.
#
# ## In short
#
# - Shapes: Gaussian to the precision that 20 or 100 runs allow, for equal weights, wide random networks, and all three nonlinearities.
# - ReLU: about half of all runs have no gradient, at any depth; one-channel networks lose somewhat more.
# - Slopes: exactly {glue:text}`random_wide_abs_size_slope_expected:.2f` and {glue:text}`random_wide_abs_ratio_slope_expected:.2f` in the mean, 0.56 and −0.43
#   in the paper. In size, one-channel networks give {glue:text}`random_abs_repeat_size_slope:.2f` [{glue:text}`random_abs_repeat_size_slope_low:.2f`,
#   {glue:text}`random_abs_repeat_size_slope_high:.2f`] in a plain mean and {glue:text}`random_abs_scaled_repeat_size_slope:.2f`
#   [{glue:text}`random_abs_scaled_repeat_size_slope_low:.2f`, {glue:text}`random_abs_scaled_repeat_size_slope_high:.2f`] with runs scaled to equal weight.
# - Structures: stride ×{glue:text}`subsample_size_ratio:.1f`, dilation ×{glue:text}`dilation_size_ratio:.1f` and square, skip connections
#   ×{glue:text}`skip_size_ratio:.2f`, dropout unchanged.

# %% tags=["hide-input"]
run.finish()
