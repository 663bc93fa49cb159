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
# # Where does this unit look?
#
# **Question.** Several tools draw a map of an image for one {term}`unit` of a network. Asked the same question about the same unit and the same
# photograph, what does each say about where the unit looks, and is that inside the pixels that can matter at all?
#
# **Answer in one line.** What goes back through the network stays inside the exact field; what hides parts of the image spills over by the size of
# what it hides; and much of the maps' agreement is their common shape: a map that merely falls off from the middle of the field has a rank correlation of
# {glue:text}`rank_nearness_147:.2f` with the gradient.
#
# {cite:t}`araujo2019` compute {term}`theoretical receptive fields <theoretical receptive field>`; the text this book follows also names tools that look at a unit from outside: the deconvnet of
# {cite:t}`zeiler2014`, tf-explain, Captum {cite}`kokhlikyan2020` and SHAP {cite}`lundberg2017`. None of them is told the field, so the exact field can judge
# them. This chapter decides `distill.tools.deconvnet`, `distill.tools.captum`, `distill.tools.shap` and `distill.tools.tf-explain`.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import experiments, plots
from erfbook.book import page

run = page.begin("where_a_unit_looks", globals())
p = run.parameters
libraries = ("captum", "shap")
missing = [name for name in libraries if not experiments.is_installed(name)]
run.report("missing", ", ".join(missing) or "none");

# %% [markdown]
# Libraries that are not installed here, whose results below are therefore "nan": {glue:text}`missing`.
#
# (sec-wl-subject)=
# ## One network, one photograph, two units
#
# **The units are chosen so that everything they can see is in the picture.** The network is EfficientNet-Lite0 {cite}`tan2019` with its trained weights; nothing before its
# last average makes a field global. The photograph ({glue:text}`photograph`) comes with scikit-image {cite}`vanderwalt2014`, cut to its central square
# and resized to the 224 px that the network was trained on. Two blocks are taken whose fields of 67 and 147 px lie wholly inside it, and of each the
# {term}`channel` whose central unit rises most above its mean over the plane, in standard deviations: channel {glue:text}`channel_67:d`
# ({glue:text}`z_score_67:.1f` above) and channel {glue:text}`channel_147:d` ({glue:text}`z_score_147:.1f`). It answers to what is in the middle of this
# photograph, and not to everything.

# %%
subject = experiments.load_subject(p.photograph, p.n_changes)
run.report("photograph", subject.photograph)
run.report("n_changes", p.n_changes);

# %% mystnb={"figure": {"name": "fig-looks-units", "caption": "The photograph with the exact fields of the two units, with their sides in px. No pixel outside its box can change a unit, whatever the weights."}, "image": {"alt": "A photograph with a small and a large square drawn around its middle, each with a cross at its centre."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.2, width=3.2)
plots.plot_looks_units(ax, subject);

# %% [markdown]
# (sec-wl-known)=
# ## A unit whose answer is known
#
# **Every tool is first asked about a unit for which pencil and paper give the answer.** Take a network of two convolutions and rectifiers with positive kernels
# on a positive image. Then all rectifiers are open and the unit is linear, $f(x) = \sum_i w_i x_i$, with weights $w$ that follow from the two kernels. With a
# baseline $b$ (what stands for "nothing there") and a set $P$ of hidden pixels, the tools must return
#
# $$
# \frac{\partial f}{\partial x_i} = w_i, \qquad (x_i - b_i)\, w_i, \qquad f(x) - f(x \text{ with } b \text{ in } P) = \sum_{i \in P} (x_i - b_i)\, w_i
# $$ (eq-wl-known)
#
# if they are gradients, if they compare with a baseline, and if they hide pixels. Errors are relative to the largest right value.

# %%
errors = experiments.check_known_unit()
run.report("known_error", max(errors.values()))
run.report("n_known", len(errors))
experiments.tabulate_known(errors)

# %% [markdown]
# All {glue:text}`n_known:d` implementations are right to {glue:text}`known_error:.1g`, which is what single precision leaves. So wherever tools disagree below,
# it is because they ask different things of a network that is not linear.
#
# (sec-wl-tools)=
# ## The tools
#
# **They differ in what they do at a rectifier, in what they compare with, and in what they hide.**
#
# *Going back.* The gradient, the deconvnet {cite}`zeiler2014` and guided backpropagation {cite}`springenberg2015` send a signal $s$ from the unit to the image and
# differ only at rectifiers, where $x$ is the rectifier's input:
#
# $$
# \begin{aligned}
# \text{gradient:}\quad & s \mapsto s\,[x > 0], \\
# \text{deconvnet:}\quad & s \mapsto s\,[s > 0], \\
# \text{guided:}\quad & s \mapsto s\,[x > 0][s > 0] .
# \end{aligned}
# $$ (eq-wl-rules)
#
# This network rectifies with ReLU6; the gradient and guided rules are closed above 6 too, the deconvnet's knows no input and is not. The original deconvnet also
# undoes max pooling at the places where the maximum was; here nothing pools before these units. Batch norm acts as the fixed scale it is, and a skip
# connection adds the two signals. Both are our reading: the network of 2014 had neither.
#
# *Comparing.* Integrated gradients {cite}`sundararajan2017` average the gradient along the straight line from a baseline $b$, here an image of mean colour, and
#
# $$
# a_i = (x_i - b_i) \int_0^1 \frac{\partial f}{\partial x_i}\bigl(b + t (x - b)\bigr)\, dt, \qquad \sum_i a_i = f(x) - f(b) .
# $$ (eq-wl-integrated)
#
# SHAP's GradientExplainer does the same from other photographs, chosen at random ({glue:text}`n_samples:d` samples).
#
# *Hiding.* Occlusion covers a patch of {glue:text}`patch_px:d` px with the mean colour, every {glue:text}`stride_px:d` px, and gives each pixel the mean effect of the patches over it. SHAP's
# PartitionExplainer halves the image into cells, hides them in many combinations behind a blurred copy, and shares the effect among them ({glue:text}`n_evals:d` evaluations).
#
# *A different question.* Grad-CAM {cite}`selvaraju2017` asks which places of the last plane speak for a *class*. It is shown to be told apart.

# %%
settings = experiments.ToolSettings(
    p.n_steps, p.n_samples, p.n_evals, p.patch_px, p.stride_px, p.seed
)
ask = (subject.model, subject.image)
looks = [experiments.ask_tools(*ask, target, subject.others, settings) for target in subject.targets]
for one in looks:
    for name, result in experiments.name_looks(one).items():
        run.report(name, **result)
for name in ("n_samples", "n_evals", "n_steps", "patch_px", "stride_px"):
    run.report(name, getattr(p, name))

# %% mystnb={"figure": {"name": "fig-looks-maps", "caption": "Magnitude of every tool's map over the photograph, on a square-root scale, each to its own peak, with the exact field as a box and the share of the map inside it. The first five stay inside. Occlusion spills over by less than its patch, SHAP's cells by the size of a cell; Grad-CAM answers for a class and not for the unit."}, "image": {"alt": "Sixteen heat maps, eight tools for each of two units, each with a box. Gradient, deconvnet, guided backpropagation, integrated gradients and SHAP by gradients are blobs inside the box. SHAP by cells is a mosaic of rectangles that crosses the box, occlusion a coarse blob, Grad-CAM a smooth cloud over the whole image."}} tags=["hide-input"]
fig, axes = plots.figure(4, 4, height=2.15)
plots.plot_looks_maps(axes, looks);

# %% tags=["hide-input"]
experiments.tabulate_looks(looks[0])

# %% tags=["hide-input"]
experiments.tabulate_looks(looks[1])

# %% [markdown]
# The tables give the numbers for the field of 67 px, then of 147 px: the share of the map's mass on pixels that can matter; the smallest box around all that is not zero; three
# sizes; the distance from the map's centre of mass to the field's centre; and the time it took here.
#
# (sec-wl-inside)=
# ## What is outside the field
#
# **Methods that go back are exactly zero outside the field.** A pixel outside has no path to the unit, so no rule at the rectifiers can
# give it a signal, and no average over other images either. The largest value outside is {glue:text}`outside_backward:.1g` of the peak over five such methods and both
# units. Their smallest boxes are the exact fields ({glue:text}`box_gradient_67:d` and {glue:text}`box_gradient_147:d` px for the gradient): a tool of this kind, asked about one
# unit of a network in which no kernel's edge is zero, does measure the theoretical size, if one looks at the faintest pixels.
#
# **Methods that hide are not.** A patch $P$ changes the unit only if it meets the field $R$,
#
# $$
# f(x) \ne f(x \text{ without } P) \ \Rightarrow\ P \cap R \ne \emptyset,
# $$ (eq-wl-occlusion)
#
# so along an axis, for a field of $r$ pixels and a patch of $p$, at most $r + p - 1$ positions have an effect, and a map that spreads it over the patch reaches
# $p - 1$ pixels too far on either side. {numref}`fig-looks-reach` slides bars, as high as the image, over it.

# %%
backward = ("gradient", "deconvnet", "guided", "integrated", "expected")
run.report("outside_backward", max(one[tool].outside for one in looks for tool in backward))
reaches = experiments.measure_reaches(subject, p.bars_px)
run.report("reach_excess", max(r.found - r.predicted for r in reaches))
run.report("reach_lack", max(r.predicted - r.found for r in reaches));

# %% mystnb={"figure": {"name": "fig-looks-reach", "caption": "How many positions of a bar, of one pixel each, change a unit, against the bar's width. The line is field plus bar less one, without any free parameter. Largest number of positions missing: {glue:text}`reach_lack:d`. Even the field's outer columns count."}, "image": {"alt": "Two rising lines, one for each field, with measured points on them."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.0, width=5.5)
plots.plot_looks_reach(ax, reaches);

# %% [markdown]
# The count never exceeds {eq}`eq-wl-occlusion` (its largest excess is {glue:text}`reach_excess:d`, its largest lack {glue:text}`reach_lack:d`). Beyond the reach of its patches the occlusion map's largest values are
# {glue:text}`beyond_patch_67:.1g` and {glue:text}`beyond_patch_147:.1g` at the two units; {glue:text}`inside_occlusion_67:.1%` and {glue:text}`inside_occlusion_147:.1%` of its mass lie inside the fields.
# SHAP's cells leave {glue:text}`inside_partition_67:.1%` and {glue:text}`inside_partition_147:.1%` inside: a cell that straddles the border spreads its value evenly over both sides, and
# cells that were never halved keep what was left to them. The smaller the field, the worse.
#
# (sec-wl-size)=
# ## How large, and how alike
#
# **All tools that answer for the unit see a part of the field only; how large a part depends on the tool.** {numref}`fig-looks-sizes` takes the smallest set of pixels that holds 95.45 % of a map. For the
# gradient it covers {glue:text}`area_gradient_67:.0%` and {glue:text}`area_gradient_147:.0%` of the field's area. The deconvnet is wider by {glue:text}`spread_deconvnet_67:.2f` and
# {glue:text}`spread_deconvnet_147:.2f` times in side, since it lets signals through rectifiers that are closed; guided backpropagation, which lets through the least, is at
# {glue:text}`spread_guided_67:.2f` and {glue:text}`spread_guided_147:.2f`. Occlusion is at {glue:text}`spread_occlusion_67:.2f` and {glue:text}`spread_occlusion_147:.2f`, SHAP's cells at
# {glue:text}`spread_partition_67:.1f` and {glue:text}`spread_partition_147:.1f`.

# %% mystnb={"figure": {"name": "fig-looks-sizes", "caption": "Side of the square as large as the smallest set of pixels that holds 95.45 % of a map, over the exact field's side. Backward methods use about half of the field's side. Above 1 a map says more about the tool's resolution than about the unit."}, "image": {"alt": "A dot plot of relative size for eight tools and two units. Backward methods and occlusion lie between 0.4 and 0.7; SHAP by cells is wider, and Grad-CAM lies above 1."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.3, width=5.8)
plots.plot_looks_sizes(ax, looks);

# %% [markdown]
# **Much of the agreement is the envelope.** Averaged over blocks of 8 px, the maps inside the field of 147 px have rank correlations with the gradient of {glue:text}`rank_deconvnet_147:.2f` (deconvnet),
# {glue:text}`rank_guided_147:.2f` (guided), {glue:text}`rank_integrated_147:.2f` (integrated), {glue:text}`rank_occlusion_147:.2f` (occlusion) and {glue:text}`rank_partition_147:.2f` (SHAP's cells). But a map that
# merely falls off from the field's centre, and knows neither photograph nor weights, has {glue:text}`rank_nearness_147:.2f`. So ranks are also taken relative to the mean over a block's images under the mirrors and quarter turns of the field's
# box, which leaves nothing of a symmetric envelope. Then {glue:text}`detail_deconvnet_147:.2f`, {glue:text}`detail_guided_147:.2f`, {glue:text}`detail_integrated_147:.2f`, {glue:text}`detail_occlusion_147:.2f` and
# {glue:text}`detail_partition_147:.2f` remain. Grad-CAM, which was not asked about the unit, has {glue:text}`rank_gradcam_147:.2f` with the envelope and {glue:text}`detail_gradcam_147:.2f` without it. What it shares with the gradient is
# therefore not, or not only, that both are large in the middle: a class and a unit in the middle of one photograph can point to the same side. So neither count proves that two tools answered one question.

# %% mystnb={"figure": {"name": "fig-looks-agreement", "caption": "Rank correlation of the maps of the larger unit, in per cent, over blocks of 8 px: plain (left) and without the envelope, relative to each block's mirror images and quarter turns (right). Backward methods are nearly one method by the first count and still much alike by the second. Grad-CAM answers another question, and still agrees with them in part."}, "image": {"alt": "Two triangular tables of correlations between eight tools. On the left the five backward methods and occlusion correlate nearly perfectly. On the right all values are lower, those among backward methods highest, those of SHAP by cells and Grad-CAM lowest."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=4.6)
plots.plot_looks_agreement(axes, looks[1]);

# %% [markdown]
# (sec-wl-reactions)=
# ## What a map reacts to
#
# **Without pooling a deconvnet does not see the photograph.** By {eq}`eq-wl-rules` its signal depends on the weights alone, so another photograph must give the same map. Without the envelope, its correlations
# with the maps of other photographs ({glue:text}`n_changes:d` tried) are {glue:text}`stays_deconvnet_photograph_67:.3f` and {glue:text}`stays_deconvnet_photograph_147:.3f` at the two units: it says where a unit's *weights* look.
# The gradient keeps {glue:text}`stays_gradient_photograph_67:.2f` and {glue:text}`stays_gradient_photograph_147:.2f`.
#
# **Backward methods hardly tell channels apart.** The next most excited channels at the same place leave {glue:text}`stays_gradient_channel_67:.2f` and {glue:text}`stays_gradient_channel_147:.2f` (gradient),
# {glue:text}`stays_guided_channel_67:.2f` and {glue:text}`stays_guided_channel_147:.2f` (guided), {glue:text}`stays_integrated_channel_67:.2f` and {glue:text}`stays_integrated_channel_147:.2f` (integrated). {cite:t}`nie2018` found that
# guided backpropagation and deconvnets depend little on the unit; as to *where* it looks, the plain gradient is no different.
#
# **What a map keeps without the weights.** {cite:t}`adebayo2018` warn of methods whose maps survive random weights. Here the trained weights are shuffled, tensor by tensor, with batch norm calibrated again. The means left are
# {glue:text}`stays_gradient_weights_67:.2f` and {glue:text}`stays_gradient_weights_147:.2f` (gradient), {glue:text}`stays_deconvnet_weights_67:.2f` and {glue:text}`stays_deconvnet_weights_147:.2f` (deconvnet),
# {glue:text}`stays_guided_weights_67:.2f` and {glue:text}`stays_guided_weights_147:.2f` (guided), with much scatter between copies.
# Integrated gradients keep {glue:text}`stays_integrated_weights_67:.2f` and {glue:text}`stays_integrated_weights_147:.2f` with the one copy they are asked about: they multiply by the image, which did not change. Their warning is about how a picture looks in fine detail; of the places that guided backpropagation names, in blocks of 8 px, little is left here.
#
# **Occlusion cannot be judged so.** It is asked here with patches side by side, to save time, and the same patches moved by half a patch leave only {glue:text}`stays_occlusion_grid_67:.2f` and {glue:text}`stays_occlusion_grid_147:.2f`. What it seems to
# react to is within that noise.

# %%
reactions = [
    experiments.measure_reactions(*ask, target, subject.others, settings) for target in subject.targets
]
for one in reactions:
    for name, result in experiments.name_reactions(one).items():
        run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-looks-reactions", "caption": "Rank correlation, without the envelope, of a map with the map after a change; large markers are means, dots the single changes. At 1 the map has not noticed, at 0 nothing is left of it. The deconvnet does not notice the photograph, backward methods hardly notice the channel, and occlusion's own grid changes it as much as anything else."}, "image": {"alt": "Two panels of correlations for five tools under three changes. The deconvnet is exactly at one for another photograph; other channels leave backward methods near 0.9; shuffled weights scatter around and above zero; all values of occlusion are low, that of its moved grid included."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4, sharex=True, sharey=True)
plots.plot_looks_reactions(axes, reactions);

# %% [markdown]
# (sec-wl-limits)=
# ## Where the libraries do not apply, and do not always say so
#
# **Captum's deconvnet and guided backpropagation are the plain gradient on this network.** They change modules of class `ReLU`; ReLU6 is not one, and nothing is said. On the network as it is,
# they differ from the gradient by {glue:text}`captum_deconvnet_relu6:.1g` and {glue:text}`captum_guided_relu6:.1g`. On a copy in which each ReLU6 is a ReLU they agree with ours to
# {glue:text}`captum_deconvnet_relu:.1g` and {glue:text}`captum_guided_relu:.1g`. Captum's gradient and occlusion agree with ours on the network itself, to
# {glue:text}`captum_gradient:.1g` and {glue:text}`captum_occlusion:.1g`.
#
# **SHAP's DeepExplainer does not apply.** It knows neither ReLU6 nor the network's padding layers, and a block uses one rectifier twice. Its values, which should add up to the change of the unit, miss it by
# {glue:text}`sum_deep:.0%`; its own check refuses them. Integrated gradients with {glue:text}`n_steps:d` steps miss {eq}`eq-wl-integrated` by {glue:text}`sum_integrated:.1%`.
#
# **Grad-CAM's cells are not where its units look.** It stretches a plane of 7 × 7 units over the image, so each unit stands for a cell of {glue:text}`cell_px:d` px. Its exact field has {glue:text}`cell_field_px:d` px, and
# {glue:text}`cell_share:.1%` of the gradient of the most active unit lie in its cell.
#
# **tf-explain** works on TensorFlow models only and is not part of TensorFlow; it is named and not tested.

# %%
for name, gap in experiments.compare_with_captum(*ask, subject.targets[0]).items():
    run.report(f"captum_{name}", gap)
for name, gap in experiments.check_sums(*ask, subject.targets[0], p.n_steps).items():
    run.report(f"sum_{name}", gap)
for name, value in experiments.locate_cell(*ask).items():
    run.report(name, value)

# %% [markdown]
# ## What would refute it
#
# One pixel outside the field with a signal from a backward method, or one patch that misses the field and changes the unit, would refute the exact field or the tool; both are tested to the last bit.
# A photograph that changes the deconvnet's map would refute that it sees weights alone. Sizes, spreads and correlations rest on one network, two units and few changes; another network can order the tools differently.
#
# ## Summary
#
# | tool | says | does not say |
# |---|---|---|
# | gradient | which pixels a small change would matter in, exactly inside the field | what would happen without them |
# | deconvnet | where the weights of the unit look | anything about this photograph, unless pooling switches carry it in |
# | guided backpropagation | the paths that excite, in a narrower map | what inhibits; hardly which channel it is |
# | integrated gradients, SHAP by gradients | how the difference from a baseline is made up, inside the field | a size that does not depend on the baseline |
# | SHAP by cells | which large parts matter together | where, below the size of its cells |
# | occlusion | what hiding really does | where, below the size of its patch: it adds $p - 1$ px |
# | Grad-CAM | which places speak for a class | where a unit looks |
#
# For the *theoretical* field none is needed and none is as good: it is arithmetic. For the effective one they answer different questions, and the gradient's size should be named as the gradient's.

# %%
run.finish()
