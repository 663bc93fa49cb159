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
# # Pixel importance
#
# **Question.** Section 3.4 of {cite:t}`avendano` puts ones at the central unit of an untrained network's last convolution and looks at the gradient on a random 64 px image. A larger
# {term}`receptive field`, it says, keeps the pattern and lowers every pixel's weight; in the VGG a checkerboard appears. Are the numbers, the decline and the cause right?
#
# **Answer in one line.** The decline of the VGG is real, {glue:text}`fall_vgg:.1f`-fold in this run against the paper's 171-fold; that of ResNet-50 depends on what the section leaves open. The pattern does change. The checkerboard is what counting
# windows predicts, to within {glue:text}`board_error:.0%` of its strength.
#
# No training is needed, so published records hold everything at full width. This run uses {glue:text}`width:g` of the channels. The chapter decides the claims `avendano.tab3.*`, `avendano.tab4.*`, `avendano.fig4.*` and `avendano.fig5.*`.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import importance_plans as plans
from erfbook.experiments import importance_study as study
from erfbook.experiments import importance_tables as tables
from erfbook.experiments import registry
from erfbook.theory import checkerboard

run = page.begin("pixel_importance", globals())
p = run.parameters

# %% [markdown]
# (sec-pi-gradient)=
# ## What is measured
#
# Let $y_c$ be the value of channel $c$ of the last convolution at the central unit, and $x$ the image. A *projection* is
#
# $$
# I(i, j) = \Bigl| \frac{\partial}{\partial x_{ij}} \sum_c y_c \Bigr| ,
# $$ (eq-pi-importance)
#
# for each input channel; maps here show the sum over the three. The tables print the largest value of a projection, averaged over 50, ± the standard deviation of single ones.
#
# The section does not say which initialisation, which mode of batch norm, whether networks or images are drawn anew, which random image, or which unit is central on an even side.
# Where it is silent this run does what PyTorch does: its default weights, batch norm with its initial statistics, a new network and a new normal image for each projection, and the later of two central units. Networks are those of
# the chapters around this one: a VGG with fields of 181 to 715 px and ResNet-50 with 108 to 423 px.

# %%
scale = plans.choose_scale(run.profile, n_networks=p.n_networks, width=p.width)
ours = {
    kind: {
        s: study.gather(registry.obtain(
            plans.PIXEL_IMPORTANCE, plans.configure(scale, kind, s), [0], run.store,
            progress=f"{kind}, pool {s}",
        ))
        for s in plans.STRIDES
    }
    for kind in plans.ARCHITECTURES
}  # fmt: skip

# %% [markdown]
# (sec-pi-prediction)=
# ## A prediction without images
#
# **Where the gradient goes can be computed exactly.** With independent weights of mean 0 the expected *squares* of the gradient add over paths ({eq}`eq-pi-power`): a convolution spreads them evenly over its taps, a ReLU passes half, and a max pool hands each window's
# gradient to *one* of its $k^2$ pixels, so the total is kept while the area grows:
#
# $$
# \mathbb{E}[g^2](a) = \sum_{q \,\ni\, a} v\, \mathbb{E}[g^2](q), \qquad v = C_{\mathrm{out}} \operatorname{Var}[w] \ \text{(convolution)}, \quad v = k^{-2} \ \text{(max pool)} ,
# $$ (eq-pi-power)
#
# over the windows $q$ that hold pixel $a$. Two things follow. On an image without borders each pixel's share falls as the pool's stride squared, its root as $1/s$. And on 64 px most of a field of several hundred pixels lies outside: what a small plane
# sends into its zero padding is lost.

# %%
sigmas = tables.predict_all(scale)
declines = {kind: tables.predict_decline(sigmas[kind]) for kind in plans.ARCHITECTURES}
even = {
    s: study.gather(registry.obtain(
        plans.PIXEL_IMPORTANCE, plans.configure_even(scale, s), [0], run.store,
    ))
    for s in plans.EVEN_STRIDES
}  # fmt: skip
for name, result in tables.name_all(ours, sigmas, even).items():
    run.report(name, **result)
run.report("width", p.width);

# %% mystnb={"figure": {"name": "fig-importance-maxima", "caption": "Mean maximum over that behind the first pool: measured at width {glue:text}`width:g` (points), predicted (line; one number a network, its level, is taken from the first point), printed (crosses, with their spread). From the first pool to the last the VGG falls by a factor of {glue:text}`fall_vgg:.1f` [{glue:text}`fall_vgg_low:.1f`, {glue:text}`fall_vgg_high:.1f`], ResNet-50 by {glue:text}`fall_resnet50:.2f` [{glue:text}`fall_resnet50_low:.2f`, {glue:text}`fall_resnet50_high:.2f`]; predicted are {glue:text}`fall_predicted_vgg:.1f` and {glue:text}`fall_predicted_resnet50:.2f`."}, "image": {"alt": "Two panels on a logarithmic axis. VGG: points fall about fivefold along the predicted line, the paper's marks fall more than a hundredfold. ResNet-50: points and line stay near one, the paper's marks fall fivefold."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.3)
plots.plot_importance_maxima(axes, ours, declines, plans.FIELDS, plans.PRINTED);

# %% [markdown]
# The prediction has the level of each network as its only free number, and is off by at most {glue:text}`level_error_vgg:.2f` decades (VGG) and {glue:text}`level_error_resnet50:.2f` (ResNet-50). The VGG's maximum falls by a factor of {glue:text}`fall_vgg:.1f`
# [{glue:text}`fall_vgg_low:.1f`, {glue:text}`fall_vgg_high:.1f`], {glue:text}`fall_predicted_vgg:.1f` predicted; ResNet-50's by {glue:text}`fall_resnet50:.2f` [{glue:text}`fall_resnet50_low:.2f`, {glue:text}`fall_resnet50_high:.2f`],
# {glue:text}`fall_predicted_resnet50:.2f` predicted. In ResNet-50 with these weights the shortcuts carry nearly everything, three of them with a 1 × 1 kernel at stride 2 that spreads nothing: a wider pool gives the gradient more *places*, not less at each.
#
# (sec-pi-pattern)=
# ## The pattern
#
# **It changes with the pool, most of all in ResNet-50.** Each map below is drawn to its own largest value.

# %% mystnb={"figure": {"name": "fig-importance-maps", "caption": "ResNet-50 (paper's figure 4), mean |g| of {glue:text}`n_resnet50:d` networks at width {glue:text}`width:g`, each panel to its own scale. A lattice widens with the pool's stride."}, "image": {"alt": "Four square maps. A small bright diamond of dots in the middle grows from the first to the last until a regular lattice of bright dots fills the image."}} tags=["hide-input"]
fig, axes = plots.figure(1, 4, height=2.4)
titles = [f"field {f} px" for f in plans.FIELDS["resnet50"]]
maps = {s: found.map for s, found in ours["resnet50"].items()}
plots.plot_importance_maps(axes, maps, titles);

# %% mystnb={"figure": {"name": "fig-importance-maps-vgg", "caption": "VGG (paper's figure 5, whose caption names ResNet-50), mean |g| of {glue:text}`n_vgg:d` networks at width {glue:text}`width:g`, each panel to its own scale. Pools of stride 2 and 4 print a checkerboard; those of 1 and 3 do not."}, "image": {"alt": "Four square maps, bright in the middle and darker towards the border. The second and fourth carry a fine checkerboard, the first and third are smooth."}} tags=["hide-input"]
fig, axes = plots.figure(1, 4, height=2.4)
titles = [f"field {f} px" for f in plans.FIELDS["vgg"]]
maps = {s: found.map for s, found in ours["vgg"].items()}
plots.plot_importance_maps(axes, maps, titles);

# %% mystnb={"figure": {"name": "fig-importance-shared", "caption": "The VGG's maps again, all to one scale (colour: root of the value), as the statement that importance decreases needs it."}, "image": {"alt": "The same four maps to a common scale: the first bright, the second dimmer, the last two dark."}} tags=["hide-input"]
fig, axes = plots.figure(1, 4, height=2.4)
plots.plot_importance_shared(axes, maps, titles);

# %% [markdown]
# *Radius* (root-mean-square distance of the mass from its centre): VGG {glue:text}`radius1_vgg:.1f`, {glue:text}`radius2_vgg:.1f`, {glue:text}`radius3_vgg:.1f`, {glue:text}`radius4_vgg:.1f` px; ResNet-50 {glue:text}`radius1_resnet50:.1f`,
# {glue:text}`radius2_resnet50:.1f`, {glue:text}`radius3_resnet50:.1f`, {glue:text}`radius4_resnet50:.1f` px, where mass spread evenly over the image would have 26.1. The VGG's field fills the image from the start, so only its fall towards the border can change.
# ResNet-50's grows with the pool, {glue:text}`radius_ratio_resnet50:.2f` times [{glue:text}`radius_ratio_resnet50_low:.2f`, {glue:text}`radius_ratio_resnet50_high:.2f`].
#
# *Correlation* with the first pool's map, freed of the noise of finitely many projections, lowest of three: VGG {glue:text}`pattern_vgg:.2f` [{glue:text}`pattern_vgg_low:.2f`, {glue:text}`pattern_vgg_high:.2f`] pixel by pixel and {glue:text}`coarse_vgg:.2f`
# [{glue:text}`coarse_vgg_low:.2f`, {glue:text}`coarse_vgg_high:.2f`] in means over 12 px, where no checkerboard is left; ResNet-50 {glue:text}`pattern_resnet50:.2f` and {glue:text}`coarse_resnet50:.2f`. The prediction, pixel by pixel, correlates with the measured
# maps at {glue:text}`theory1_vgg:.2f` to {glue:text}`theory4_vgg:.2f` (VGG) and {glue:text}`theory1_resnet50:.3f` to {glue:text}`theory4_resnet50:.3f` (ResNet-50).
#
# (sec-pi-checkerboard)=
# ## The checkerboard, by counting
#
# **A layer covers its pixels evenly exactly where its stride divides its kernel.** In the interior a pixel lies in $\lfloor k/s \rfloor$ or $\lceil k/s \rceil$ windows, and the count repeats every $s$ pixels. Its oscillation with period $s/m$, as a share of its mean, is
#
# $$
# A_m = \left| \frac{\sin(\pi m k / s)}{k \sin(\pi m / s)} \right| = \frac{1}{s + 1} \ \text{for}\ k = s + 1 , \qquad A_m = 0 \ \text{for all}\ m \iff s \mid k .
# $$ (eq-pi-coverage)
#
# An odd kernel on an even stride, the paper's cause, is therefore always uneven. But it is not the whole rule: kernel 4 on stride 3 and kernel 6 on stride 4 are uneven too.

# %%
tables.tabulate_coverage(((2, 1), (3, 2), (4, 3), (5, 4), (2, 2), (4, 4), (5, 3), (6, 4)))

# %% mystnb={"figure": {"name": "fig-importance-coverage", "caption": "In how many windows of a pool each of twelve neighbouring pixels lies, counted."}, "image": {"alt": "Four bar charts: kernel 3 stride 2 alternates between one and two, kernel 4 stride 3 and kernel 5 stride 4 have a two every third and fourth pixel, kernel 4 stride 4 is flat at one."}} tags=["hide-input"]
fig, axes = plots.figure(1, 4, height=2.2, sharey=True)
pairs = ((3, 2), (4, 3), (5, 4), (4, 4))
counts = {(k, s): (checkerboard.predict_coverage(k, s) * 12)[:12] for k, s in pairs}
plots.plot_importance_coverage(axes, counts);

# %% [markdown]
# **Why strides 1 and 3 print nothing.** Below the pool lies a 3 × 3 convolution. Evenly spread over three pixels, it passes a wave of frequency $f$ by the share $|\sin 3\pi f / (3 \sin \pi f)|$: a third at 1/2 and at 1/4, and *nothing* at 1/3. The uneven cover of kernel 4 on stride 3 is
# erased by exactly this layer. That leaves the even strides, and makes the paper's rule come out right for these four pools.

# %% mystnb={"figure": {"name": "fig-importance-waves", "caption": "How strongly the VGG's mean map oscillates along an axis, by frequency: measured (points), predicted by {eq}`eq-pi-power` with no free number (line). Waves stand at 1/2 for stride 2, at 1/4 and 1/2 for stride 4, and nowhere for strides 1 and 3."}, "image": {"alt": "Four spectra. Those of strides 1 and 3 are flat at zero; stride 2 has one peak at one half, stride 4 has peaks at one quarter and one half, on the predicted line."}} tags=["hide-input"]
fig, axes = plots.figure(2, 2, height=2.5, sharey=True)
spectra = {s: study.measure_spectrum(found.map) for s, found in ours["vgg"].items()}
predicted = {s: study.measure_spectrum(sigmas["vgg"][s]) for s in plans.STRIDES}
words = [f"kernel {s + 1}, stride {s}" for s in plans.STRIDES]
plots.plot_importance_waves(axes.ravel(), spectra, predicted, words);

# %% [markdown]
# At stride 2 the wave of period 2 has {glue:text}`board2:.4f` of the mean [{glue:text}`board2_low:.4f`, {glue:text}`board2_high:.4f`], predicted {glue:text}`board2_predicted:.4f`; at stride 4 that of period 4 has {glue:text}`board4:.4f` [{glue:text}`board4_low:.4f`,
# {glue:text}`board4_high:.4f`], predicted {glue:text}`board4_predicted:.4f`. (For the squares it would be 1/9 and 1/15; |g| follows the root, and small waves halve.)
#
# **The test of the cause** changes the kernel alone. With kernel 2 on stride 2 and kernel 4 on stride 4, an even kernel on an even stride that divides it, the waves are {glue:text}`board2_even:.4f` and {glue:text}`board4_even:.4f`: {glue:text}`board_even:.0%` of those above at most.
#
# **ResNet-50 has it too, and more.** The same pools leave waves of {glue:text}`wave2_2_resnet50:.3f` (stride 2, period 2) and {glue:text}`wave4_4_resnet50:.3f` (stride 4, period 4), and its own layers at stride 2 add a lattice that the VGG lacks: with the first pool, which is even,
# {glue:text}`wave1_4_resnet50:.3f` at period 4. Its 1 × 1 shortcuts at stride 2 reach one pixel in four.
#
# (sec-pi-table)=
# ## The paper, our records, this run
#
# Only published records at full width decide a cell. "Within the spread" asks for the paper's mean ± two of its standard deviations (of 50 projections each), where 95 % of the paper's own single projections lie.

# %%
records = study.index([run.published, run.store])
found = study.pick_all(records, plans.PAPER)
deciding = {kind: found[kind].get("", {}) for kind in plans.ARCHITECTURES}
controls = study.pick(records, {s: plans.configure_even(plans.PAPER, s) for s in plans.EVEN_STRIDES})
for name, result in tables.name_all(deciding, sigmas, controls, "full_").items():
    run.report(name, **result)
for name, result in tables.name_choices(found).items():
    run.report(name, **result)

# %%
tables.tabulate_maxima("vgg", deciding["vgg"], ours["vgg"])

# %%
tables.tabulate_maxima("resnet50", deciding["resnet50"], ours["resnet50"])

# %% [markdown]
# (sec-pi-choices)=
# ## What the section leaves open
#
# **One choice at a time, at full width, 20 projections each.** *Miss* is the root-mean-square distance of the four means from the printed ones in decades: 0.3 is a factor of 2. The level is set by initialisation and by batch norm, over more than ten decades together; how fast it falls is set by how pools round and
# by how much of the gradient the branches carry.

# %%
tables.tabulate_changes("vgg", found["vgg"])

# %%
tables.tabulate_changes("resnet50", found["resnet50"])

# %% mystnb={"figure": {"name": "fig-importance-changes", "caption": "Measured over printed maximum, in decades, for every choice at full width: one mark per pool. A choice that explained a table would put its four marks on the dashed line."}, "image": {"alt": "Two panels with a row for each choice and four marks in it, spread over many decades around the dashed line of the paper's values."}} tags=["hide-input"]
fig, axes = plots.figure(2, 1, height=5.6, width=6.2)
for ax, kind in zip(axes.flat, plans.ARCHITECTURES, strict=True):
    plots.plot_importance_changes(ax, found[kind], plans.PRINTED[kind], kind)

# %% [markdown]
# ## What would refute it
#
# A wave at period 3 behind kernel 4 on stride 3, or one behind a kernel that its stride divides, would refute the count. Maps that keep their radius in ResNet-50, with any choice in the table, would support the paper's reading of figure 4. The printed ResNet values could come from a network whose
# branches outweigh its shortcuts: He's weights fall more steeply, though hundreds of times too high.
#
# ## Summary
#
# "Importance" is a gradient's size, and that is set by initialisation and norm before the field has any say: the tables' levels cannot be compared between the two networks. Within one network it falls because a pool spreads a kept total over more pixels and because borders swallow what leaves the image.
# The checkerboard is a count of windows: uneven where the stride does not divide the kernel, and visible where the layer below does not erase that very wave.

# %%
run.finish()
