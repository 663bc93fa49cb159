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
# # Representations of two seeds
#
# **Question.** Section 3.3 of {cite:t}`avendano` compares the layers of two trainings that differ in their seed alone, and reports that behind a large {term}`receptive field` the deepest layers diverge while the others stay alike. Do they, and is it the field?
#
# **Answer in short.** On all of CIFAR-10: {glue:text}`cifar_line`.
#
# - *Seeds that have learned nothing differ, too.* Before training the deep layers of this run's networks lose {glue:text}`vgg_untrained_deep_drop:.2f` (VGG-like) and {glue:text}`resnet_untrained_deep_drop:.2f` (ResNet-50) of their CKA from the smallest to the largest pool, after it {glue:text}`vgg_deep_drop:.2f` and {glue:text}`resnet_deep_drop:.2f`.
# - *A few images can be most of a layer*, and of its CKA: in ResNet-50 {glue:text}`farthest:.0%` of them hold {glue:text}`shown_resnet_held:.0%` of the deep layers' variance behind the largest pool, in the VGG-like network {glue:text}`shown_vgg_held:.0%` ({ref}`sec-re-farthest`).
#
# In this run, VGG-like networks: {glue:text}`vgg_answer`; ResNet-50: {glue:text}`resnet_answer`.
#
# The paper's only evidence is a figure of four heat maps. Here the same maps get numbers, intervals over networks, a control (the same networks before training), and a check of the measure itself.
# The chapter decides the claims `avendano.fig3.*` of the scoreboard.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments.pooled import likeness, likeness_bias, likeness_study, likeness_tables

run = page.begin("representations", globals())
p = run.parameters

# %% [markdown]
# (sec-re-measure)=
# ## The measure
#
# **Linear {term}`CKA` asks whether two layers find the same images alike.** With $x_i$ a layer's output for image $i$, flattened, and $K_{ij} = x_i \cdot x_j$, $L_{ij} = y_i \cdot y_j$ for two layers {cite:p}`kornblith2019`,
#
# $$
# \operatorname{CKA} = \frac{\operatorname{HSIC}(K, L)}{\sqrt{\operatorname{HSIC}(K, K)\,\operatorname{HSIC}(L, L)}} .
# $$ (eq-re-cka)
#
# It is 1 for features that differ by a rotation, a shift and a scale, so the order of channels does not matter; a stretch of one direction does. The usual estimate of HSIC centres $K$ and $L$ and sums their products, diagonals included.
# The diagonals say how large each $x_i$ is, agree whatever the layers do, and bias the index upwards. For unrelated Gaussian features of $n$ images,
#
# $$
# \operatorname{CKA} \approx \sqrt{\frac{d_1}{d_1 + n} \cdot \frac{d_2}{d_2 + n}} ,
# $$ (eq-re-bias)
#
# one half where there are as many features as images, and near 1 for a wide plane. HSIC$_1$ {cite:p}`song2012` leaves the diagonals out. With $\tilde K$ and $\tilde L$ for the matrices without them, and up to a factor that cancels in {eq}`eq-re-cka`,
#
# $$
# \operatorname{HSIC}_1 \propto \langle \tilde K, \tilde L \rangle + \frac{(1^\top \tilde K 1)(1^\top \tilde L 1)}{(n-1)(n-2)} - \frac{2}{n-2}\, 1^\top \tilde K \tilde L 1 ,
# $$ (eq-re-hsic)
#
# whose expectation is exact. The paper does not say which estimate it used. That matters here, because a larger pool leaves smaller planes and so *fewer features*: with the biased estimate, deep layers could look less alike for no other reason.
# `similarity.compare` centres features before it multiplies them, sums in float64, copies each output before the next layer overwrites it, and gives every call of a module its own row.

# %%
bias = likeness_bias.measure_bias(p.n_images, p.n_draws)
run.report("unrelated_biased", bias.biased[-1])
run.report("unrelated_debiased", abs(bias.debiased).max())
run.report("unrelated_error", abs(bias.biased - bias.predicted).max());

# %% [markdown]
# On {glue:text}`n_images:d` images, unrelated features of {glue:text}`largest_d:d` numbers have a biased CKA of {glue:text}`unrelated_biased:.2f`, where {eq}`eq-re-bias` is never off by more than {glue:text}`unrelated_error:.3f`. The debiased one stays within {glue:text}`unrelated_debiased:.3f` of zero at every number of features.
#
# (sec-re-pairs)=
# ## Two seeds, four pools
#
# **Every pair of seeds, behind each of the four pools.** {glue:text}`vgg_n_networks:d` VGG-like networks and {glue:text}`resnet_n_networks:d` ResNet-50 a pool, on {glue:text}`data`, compared on the first {glue:text}`n_images:d` test images (the paper: 1000).
# A layer is the output of a convolution with its batch norm and ReLU; the last layer of a residual block is its sum with the shortcut; the logits close the list. That gives ResNet-50 {glue:text}`resnet_n_layers:d` layers with weights, of which the 25th is the middle one, as in the paper. *Early* layers are those up to the middle, *deep* ones those behind it.

# %%
vgg, resnet = likeness_tables.choose_networks(run.profile, p.dataset)
families = [
    likeness_study.compare_pools(vgg, p.n_networks, p.n_images, run.store),
    likeness_study.compare_pools(resnet, p.n_resnets, p.n_images, run.store),
]
for family, prefix in zip(families, ("vgg", "resnet"), strict=True):
    for name, result in likeness_tables.name_family(family, prefix):
        run.report(name, **result)

# %% tags=["hide-input"]
run.report("n_images", p.n_images)
run.report("largest_d", int(bias.n_features[-1]))
run.report("data", families[0].members[0].records[0].metrics["note"]);

# %% mystnb={"figure": {"name": "fig-likeness-bias", "caption": "Left: CKA of unrelated Gaussian features, mean over draws; the line is the prediction, the dotted line the number of images. Right: what the bias adds to the CKA of deep layers of two trained seeds, against the number of images, on a scale of its own."}, "image": {"alt": "Left, squares rise along a curve from 0 to near 1 as features become more numerous, circles stay at 0. Right, four curves over the number of images that end close to 0."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
names = [family.title.split(",")[0] for family in families]
added = dict(zip(names, map(likeness_bias.added_by_images, families), strict=True))
plots.plot_likeness_bias(axes, bias, added);

# %% [markdown]
# **What counts is not how many features a layer has, but along how many directions they vary, and how alike they are already.** Unrelated noise varies along all of its directions; layers that follow the images vary along few. On {glue:text}`n_images:d` images the bias adds {glue:text}`vgg_bias_least:+.3f` to deep layers of the VGG-like network with the smallest field
# and {glue:text}`vgg_bias_most:+.3f` with the largest; on an eighth of the images {glue:text}`vgg_bias_eighth_least:+.3f` and {glue:text}`vgg_bias_eighth_most:+.3f`.
# For ResNet-50 it is {glue:text}`resnet_bias_least:+.3f` and {glue:text}`resnet_bias_most:+.3f`. It falls with the number of images, so that a thousand are safer than few. From here on the estimate is the debiased one, unless said otherwise.

# %% mystnb={"figure": {"name": "fig-likeness-matrices", "caption": "The paper's figure 3 with this run's ResNet-50: CKA of each layer of one seed with each layer of another, by theoretical field, mean over pairs; red lines mark the middle layer."}, "image": {"alt": "Four square heat maps of 50 by 50 layers with red dashed lines through the middle layer."}} tags=["hide-input"]
fig, axes = plots.figure(2, 2, height=2.9, width=6.5)
plots.plot_likeness_matrices(axes, families[1]);

# %% mystnb={"figure": {"name": "fig-likeness-matrices-vgg", "caption": "The same for the VGG-like network, which the paper does not show."}, "image": {"alt": "Four square heat maps of 13 by 13 layers with red dashed lines through the middle layer."}} tags=["hide-input"]
fig, axes = plots.figure(2, 2, height=2.9, width=6.5)
plots.plot_likeness_matrices(axes, families[0]);

# %% [markdown]
# (sec-re-depth)=
# ## By depth
#
# **The diagonal of those maps, a line a pool.** A layer is compared with the same layer of the other seed; bands span the pairs. Dotted: the networks before training, with batch norm's statistics from training images.

# %% mystnb={"figure": {"name": "fig-likeness-depth", "caption": "CKA of a layer with the same layer of another seed, against depth, by pool; bands span the pairs, dotted lines are the untrained networks behind the smallest and the largest pool, the red line marks the middle layer."}, "image": {"alt": "Two panels of four curves over depth with two dotted ones; the VGG-like network's stay above its dotted ones, ResNet-50's fall with depth."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4, sharey=True)
plots.plot_likeness_depth(axes, families);

# %% mystnb={"figure": {"name": "fig-likeness-within", "caption": "CKA between the layers of one and the same network, behind the smallest and the largest pool, mean over networks."}, "image": {"alt": "Four square heat maps with a bright diagonal: two of the VGG-like network, two of ResNet-50."}} tags=["hide-input"]
fig, axes = plots.figure(2, 2, height=2.9, width=6.5)
plots.plot_likeness_within(axes, families);

# %% [markdown]
# (sec-re-field)=
# ## By field
#
# **Loss of similarity from the smallest to the largest field.** Pairs that share a network are not independent, so the 95 % intervals leave out one *network* at a time (jackknife, Student's t with one degree of freedom less than networks). Two networks make one pair and no interval.
#
# - *VGG-like*: deep layers lose {glue:text}`vgg_deep_drop:.2f`, early ones {glue:text}`vgg_early_drop:.2f`; before training {glue:text}`vgg_untrained_deep_drop:.2f` and {glue:text}`vgg_untrained_early_drop:.2f`. Over all four pools deep CKA changes by {glue:text}`vgg_slope:+.3f` per 100 px ({glue:text}`vgg_p`).
# - *ResNet-50*: deep layers lose {glue:text}`resnet_deep_drop:.2f`, early ones {glue:text}`resnet_early_drop:.2f`; before training {glue:text}`resnet_untrained_deep_drop:.2f` and {glue:text}`resnet_untrained_early_drop:.2f`. Per 100 px: {glue:text}`resnet_slope:+.3f` ({glue:text}`resnet_p`).
# - *Inside one network*: the CKA of deep with early layers falls from the smallest to the largest pool by {glue:text}`vgg_isolation_drop:+.2f` (VGG-like) and {glue:text}`resnet_isolation_drop:+.2f` (ResNet-50).

# %% mystnb={"figure": {"name": "fig-likeness-field", "caption": "Mean CKA of early and of deep layers of two seeds against the theoretical field, with 95 % intervals over networks where there are three or more, cut at 1, which CKA cannot pass; open markers: before training."}, "image": {"alt": "Two panels of four lines over the field: early and deep layers, trained with filled and untrained with open markers."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4, sharey=True)
plots.plot_likeness_field(axes, families);

# %% [markdown]
# **The untrained networks are the control.** Their deep layers differ between seeds by chance alone, and a large pool already changes by how much: from {glue:text}`vgg_untrained_deep_least:.2f` to {glue:text}`vgg_untrained_deep_most:.2f` for the VGG-like network, from {glue:text}`resnet_untrained_deep_least:.2f` to {glue:text}`resnet_untrained_deep_most:.2f` for ResNet-50.
# What is to be put down to *learning* is the difference from that, and a network that has learned little is mostly its beginning: the ResNet-50 here reach {glue:text}`resnet_accuracy_least:.0%` and {glue:text}`resnet_accuracy_most:.0%` of test images, the VGG-like ones {glue:text}`vgg_accuracy_least:.0%` and {glue:text}`vgg_accuracy_most:.0%`.
#
# (sec-re-choices)=
# ## What the answer depends on
#
# **The same loss by other readings.** The biased estimate; a half and an eighth of the images; means over the plane, which leave every pool as many features as channels; the last convolution of a block before the addition instead of the sum; all images {ref}`at equal length <sec-re-farthest>`; and the untrained networks.

# %% mystnb={"figure": {"name": "fig-likeness-choices", "caption": "CKA that deep layers lose from the smallest to the largest field, by reading, with 95 % intervals over networks where there are any. Orange: before training."}, "image": {"alt": "Two panels with a point for each reading beside a line at zero."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.0, sharey=True)
plots.plot_likeness_choices(axes, families, likeness_tables.WORDS);

# %%
likeness_tables.tabulate_choices(families[0])

# %%
likeness_tables.tabulate_choices(families[1])

# %% [markdown]
# *Plane size.* Debiasing removes what the number of features does to unrelated layers; it cannot make a 1 × 1 plane hold what a larger one holds. Means over the plane compare pools with equally many features; where that row agrees with the first, the number of features is not what makes the difference.
#
# (sec-re-table)=
# ## The paper, our records, this run
#
# **Only ResNet-50 trained on all of CIFAR-10, three seeds or more behind every pool, compared on 1000 images, decides what the paper says.** Such runs come from the experiment `pool-likeness` at the paper profile. This run stands beside them.

# %%
published = likeness_tables.read_families([run.published, run.store])
deciding = likeness_tables.choose_deciding(published)
for name, result in likeness_tables.name_verdicts(deciding).items() if deciding else ():
    run.report(name, **result)
run.report("cifar_line", likeness_tables.say_deciding(published))
likeness_tables.tabulate_likeness(published, families)

# %% tags=["hide-input"]
shown = likeness_tables.choose_shown(published, families)
run.report("shown", "; ".join(f"{family.title}, {family.note}" for family in shown));
# %% mystnb={"figure": {"name": "fig-likeness-records", "caption": "CKA of a layer with the same layer of another seed, against depth, from published records on all of CIFAR-10 where there are any, else from this run ({glue:text}`shown`); bands span the pairs, dotted lines are untrained networks, the red line marks the middle layer."}, "image": {"alt": "Two panels of curves over depth with two dotted ones: the VGG-like network and ResNet-50."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4, sharey=True)
plots.plot_likeness_depth(axes, shown);

# %% mystnb={"figure": {"name": "fig-likeness-records-matrices", "caption": "The paper's figure 3 again, with the ResNet-50 of the figure before ({glue:text}`shown`): CKA of each layer of one seed with each layer of another, by theoretical field, mean over pairs; red lines mark the middle layer."}, "image": {"alt": "A square heat map of 50 by 50 layers for each field, with red dashed lines through the middle layer; early layers are bright, deep ones dark behind larger pools."}} tags=["hide-input"]
fig, axes = plots.figure(1, len(shown[1].members), height=2.5)
plots.plot_likeness_matrices(axes, shown[1]);

# %% [markdown]
# (sec-re-farthest)=
# ## A few images can be a layer
#
# **Linear CKA weighs an image by its squared distance from the mean of all.** Where a few images lie far from the rest, it compares little else. Such *dominant datapoints* are known from wide and deep networks, and they are others for another seed {cite:p}`nguyen2022`; moving a few points far enough lowers CKA, however alike the others are {cite:p}`davari2023`.
# So the networks above are asked two more things: how much of a layer's variance belongs to the {glue:text}`farthest:.0%` of the images that lie farthest out, and what CKA is when each image's output, less the mean, is scaled to the same length before anything else. Then only directions count.

# %% tags=["hide-input"]
run.report("farthest", likeness.FARTHEST)
for family, prefix in zip(shown, ("shown_vgg", "shown_resnet"), strict=True):
    for name, result in likeness_tables.name_farthest(family, prefix).items():
        run.report(name, **result)
# %% mystnb={"figure": {"name": "fig-likeness-farthest", "caption": "Above: what the {glue:text}`farthest:.0%` of the images that are farthest from the mean hold of each layer's variance, mean over networks; dotted, their share of the images. Below: CKA of two seeds with all images at equal length. Networks and data as in the figure before ({glue:text}`shown`); bands span the pairs, the red line marks the middle layer."}, "image": {"alt": "Four panels over depth, VGG left and ResNet-50 right. Above, shares of variance: low in the VGG-like network, rising to nearly all of it in ResNet-50's deep layers. Below, CKA at equal length, which stays high at most depths."}} tags=["hide-input"]
fig, axes = plots.figure(2, 2, height=2.7, sharey="row")
plots.plot_likeness_farthest(axes, shown, likeness.FARTHEST);

# %% [markdown]
# **What the farthest images hold**, mean over deep layers, behind the pools of the smallest and the largest field. By chance two seeds would have {glue:text}`farthest:.0%` of them in common.

# %%
likeness_tables.tabulate_farthest(shown)

# %% [markdown]
# Where CKA is low, and high at equal length, two networks differ in which few images they set apart, and not in what they make of the others.
# A heat map of CKA shows both as the same dark square, and the paper's figure 3 does not say which it is. The verdicts below keep the paper's measure.
#
# ## What would refute it
#
# The paper's statement has three parts: deep layers of two seeds become less alike as the field grows, early ones much less so, and inside one network deep layers part from the rest. An interval of the first that holds zero, or early layers that lose as much, would refute it for the networks measured.
# That a "chaotic" loss landscape is the cause is a reading that similarity cannot test.
#
# **What these twins can't tell.** They have a fraction of the channels, and fewer directions to differ in. They learned for minutes: deep layers that have not yet moved are still their random beginnings. The pool changes the field and the plane at once, so that neither this chapter nor the paper's figure says which of the two is at work.
# And two seeds share data and order of classes, so that alike does not mean good.
#
# ## Summary
#
# VGG-like networks: {glue:text}`vgg_answer`. ResNet-50: {glue:text}`resnet_answer`. From the smallest to the largest pool, deep layers of seeds that have not been trained lose {glue:text}`vgg_untrained_deep_drop:.2f` and {glue:text}`resnet_untrained_deep_drop:.2f` of their CKA. A heat map alone shows neither that, nor the bias of its estimate, nor {ref}`on how few images <sec-re-farthest>` it may rest; all three belong beside it.

# %%
run.finish()
