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
# # The loss landscape against the receptive field
#
# **Question.** Section 3.3 of {cite:t}`avendano` shows the 90 largest eigenvalues of the loss's Hessian, and reads from them that before training a network with a larger {term}`theoretical receptive field` lies in a wider spectrum with larger
# eigenvalues, hence in a steeper and more chaotic landscape. Does it, and is it the field that does it?
#
# **Answer in short.** On all of CIFAR-10: {glue:text}`cifar_line`. Before training, this run's largest eigenvalue {glue:text}`vgg_before_largest_says` with the field in VGG-like networks ({glue:text}`vgg_before_largest_ends` times from smallest to largest) and {glue:text}`resnet50_before_largest_says` in ResNet-50 ({glue:text}`resnet50_before_largest_ends` times).
# On planes of equal size it {glue:text}`effect_field_says` with the field by itself ({glue:text}`effect_field:.2f`), and on fields of equal size it {glue:text}`effect_plane_says` as the planes shrink ({glue:text}`effect_plane:.2f`).
#
# The chapter decides the claims `avendano.fig1.*`, `avendano.fig2.*` and `avendano.s3.3.landscape*` of the scoreboard.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments.pooled import (
    likeness_tables,
    spectra_runs,
    spectra_study,
    spectra_tables,
)

run = page.begin("loss_landscape", globals())
p = run.parameters

# %% [markdown]
# (sec-ll-hessian)=
# ## Curvature
#
# **The Hessian says how steeply the loss bends in each direction.** With $L(\theta) = \frac1N \sum_i \ell(f_\theta(x_i), y_i)$, cross-entropy over $N$ training images without weight decay, and all $n$ parameters in $\theta$,
#
# $$
# H_{ab} = \frac{\partial^2 L}{\partial\theta_a\,\partial\theta_b}, \qquad H v = \lambda v .
# $$ (eq-ll-hessian)
#
# Along an eigenvector the loss curves upwards if $\lambda > 0$ and downwards if $\lambda < 0$, and steps longer than $2/\lambda$ overshoot. $H$ is never formed: a product with a vector is the gradient of a gradient, $H v = \nabla_\theta\,(v \cdot \nabla_\theta L)$. The Lanczos method
# turns such products into a small matrix,
#
# $$
# H Q_m = Q_m T_m + \beta_m q_{m+1} e_m^\top, \qquad Q_m^\top Q_m = I ,
# $$ (eq-ll-lanczos)
#
# the largest eigenvalues of which settle first. An approximate pair $(\lambda, v)$ with $|v| = 1$ is never further from an eigenvalue than its residual $|H v - \lambda v|$, which is measured, not assumed. The density of *all* eigenvalues comes from the same matrices, started from random vectors of signs:
#
# $$
# \phi(t) \approx \frac1{n_v} \sum_{l=1}^{n_v} \sum_{i=1}^{m} \bigl(e_1^\top y_i^{(l)}\bigr)^2\, g_\sigma\bigl(t - \theta_i^{(l)}\bigr) ,
# $$ (eq-ll-density)
#
# with $\theta_i^{(l)}$ and $y_i^{(l)}$ the eigenvalues and eigenvectors of the $l$-th $T_m$ and $g_\sigma$ a Gaussian.
#
# **What the paper leaves open is a setting here**: the images ($N$, which), the mode of batch norm, the initialisation. The running statistics of an untrained network are mean 0 and variance 1, whatever it computes, so "evaluation mode" before training describes a network that training never sees. In training mode the statistics
# belong to the batch and are differentiated too, so that the loss of an image depends on the others. The default lies between the two: statistics of the very images of the loss, held constant. After training that is evaluation mode with statistics that fit. The other modes are compared {ref}`below <sec-ll-settings>`.

# %%
vgg, resnet = likeness_tables.choose_networks(run.profile, p.dataset)
wanted = {
    ("vgg", "before"): (vgg, p.n_seeds),
    ("vgg", "after"): (vgg, p.n_trained),
    ("resnet50", "before"): (resnet, p.n_resnets),
    ("resnet50", "after"): (resnet, p.n_trained_resnets),
}
spectra = {
    key: spectra_runs.run_pools(network, key[1], n_seeds, run.store)
    for key, (network, n_seeds) in wanted.items()
}

# %% tags=["hide-input"]
for (architecture, moment), pools in spectra.items():
    for name, result in spectra_study.name_pools(pools, f"{architecture}_{moment}").items():
        run.report(name, **result)
run.report("data", spectra["vgg", "before"].note);
# %% [markdown]
# (sec-ll-before)=
# ## Before training, and after
#
# **Untrained networks need no training, so this part is the paper's own question.** The loss is that of {glue:text}`vgg_before_n_images:d` images ({glue:text}`resnet50_before_n_images:d` for ResNet-50) of {glue:text}`data`; {glue:text}`vgg_before_k:d` and {glue:text}`resnet50_before_k:d` eigenvalues stand for the paper's 90.
# No residual exceeds {glue:text}`vgg_before_residual_words` of its largest eigenvalue before and {glue:text}`vgg_after_residual_words` after training ({glue:text}`resnet50_before_residual_words` and {glue:text}`resnet50_after_residual_words` for ResNet-50).

# %% mystnb={"figure": {"name": "fig-spectra-ranks", "caption": "The paper's figure 1 with this run's VGG-like networks on {glue:text}`data`: largest eigenvalues by rank, mean over seeds and their range, by theoretical field."}, "image": {"alt": "Two panels, before and after training, of four falling curves of eigenvalues by rank on a logarithmic axis. Before training the curves of the two larger fields lie above the other two."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4)
plots.plot_spectra_ranks(axes, {when: spectra["vgg", when] for when in ("before", "after")});
# %% mystnb={"figure": {"name": "fig-spectra-ranks-resnet", "caption": "The paper's figure 2 with this run's ResNet-50, as above."}, "image": {"alt": "Two panels, before and after training, of four falling curves of eigenvalues by rank on a logarithmic axis."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.4)
plots.plot_spectra_ranks(axes, {when: spectra["resnet50", when] for when in ("before", "after")});
# %% [markdown]
# **Before training.** Behind the largest field, over behind the smallest, paired by seed, with Student's 95 % interval over seeds: in VGG-like networks ({glue:text}`vgg_before_seeds_words`)
# the largest eigenvalue is {glue:text}`vgg_before_largest_ends` times as large, the distance between the first and the last one listed {glue:text}`vgg_before_spread_ends` times;
# in ResNet-50 ({glue:text}`resnet50_before_seeds_words`) {glue:text}`resnet50_before_largest_ends` and {glue:text}`resnet50_before_spread_ends` times.
# The *trend*, which the verdicts ask for, uses all four fields: a line through the logarithm, seed by seed, and what it rises by from the first field to the last. It gives {glue:text}`vgg_before_largest_words` and {glue:text}`resnet50_before_largest_words`; where the number jumps between two fields and is level otherwise, a line overshoots. That happens: in {glue:text}`vgg_before_largest_rising:d` of {glue:text}`vgg_before_seeds_words` the largest eigenvalue rises from each field to the next.
#
# **After training.** The trend's factor is {glue:text}`vgg_after_largest_words` in VGG-like networks ({glue:text}`vgg_after_seeds_words`), of which the interval says that it {glue:text}`vgg_after_largest_says`;
# and {glue:text}`resnet50_after_largest_words` in ResNet-50 ({glue:text}`resnet50_after_seeds_words`), which {glue:text}`resnet50_after_largest_says`. Networks that fit their images to different degrees stand at different losses, and curvature depends on the loss: the table gives both. The paper shows these panels and says nothing of them.
#
# **Up and down.** Of all curvature, by size, {glue:text}`vgg_before_negative_smallest:.0%` points downwards in the untrained VGG-like network with the smallest field and {glue:text}`vgg_before_negative_greatest:.0%` with the largest. The sum of the sizes of all negative eigenvalues, estimated from the density, is multiplied by {glue:text}`vgg_before_descent_words` from the smallest field to the largest in VGG-like networks and by {glue:text}`resnet50_before_descent_words` in ResNet-50. The paper speaks of descent as well, and the largest eigenvalues, all it shows, cannot tell of it.

# %% mystnb={"figure": {"name": "fig-spectra-trend", "caption": "Largest and last listed eigenvalue and norm (root of the sum of all squares) against the field on {glue:text}`data`: before (filled, solid) and after training (open, dotted); small marks are seeds. Below each field: the last plane."}, "image": {"alt": "Two panels against the theoretical field. Before training the curvature of VGG-like networks jumps up where the last plane shrinks from two units a side to one; after training it shows no clear trend."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.8)
plots.plot_spectra_trend(axes, spectra);
# %% mystnb={"figure": {"name": "fig-spectra-density", "caption": "Density of all eigenvalues of the VGG-like network's first seed, smallest and largest field, smoothed; logarithmic, since nearly all eigenvalues lie at zero."}, "image": {"alt": "Two panels with a narrow peak at zero and low, long tails to both sides; before training the tails of the largest field reach further on both sides."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_spectra_density(axes, {when: spectra["vgg", when] for when in ("before", "after")});
# %% tags=["hide-input"]
spectra_tables.tabulate_largest(spectra)

# %% [markdown]
# λₖ is the last eigenvalue listed. Of the whole spectrum:

# %% tags=["hide-input"]
spectra_tables.tabulate_whole(spectra)

# %% [markdown]
# The trace, a small difference of large sums, has its standard error over random vectors; *norm* is the root of the sum of all squares; *downwards* is the share of negative eigenvalues in the sum of all sizes, and *sum downwards* their own sum, both estimated from the density.
#
# (sec-ll-field)=
# ## Field, or plane?
#
# **A wider pool changes two things at once: it makes the field larger and every later plane smaller.** On images of 32 px the last plane of the VGG-like network is 2 × 2 behind the pools of stride 1 and 2, and a single unit behind those of stride 3 and 4. The mean over the last plane that the head reads is then a mean over four units, or over one.
# Before training the two can be told apart without a new network: crop the images for the pool of stride 1, and its planes are those of stride 4 with its own field; repeat the images beyond their border for the pool of stride 4, and its planes are those of stride 1.

# %%
separation = spectra_runs.run_separation(vgg, p.n_varied, run.store)
for name, result in spectra_study.name_separation(separation).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-spectra-separation", "caption": "Largest eigenvalue before training of VGG-like networks with the smallest and the largest field, on planes of equal size, on {glue:text}`data`; dots are seeds."}, "image": {"alt": "Two lines, small and large field, from large planes to small planes, on a logarithmic axis."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.0, width=5.0)
plots.plot_spectra_separation(ax, separation);
# %% [markdown]
# With the planes held, a larger field multiplies the largest eigenvalue by {glue:text}`effect_field_words`; with the field held, smaller planes multiply it by {glue:text}`effect_plane_words`.
# The control is not free of the image: a crop shows less of it, and a repeated image has seams.
#
# (sec-ll-settings)=
# ## What the settings do
#
# **The trend has to outlive the choices that the paper does not state.** Each row changes one setting of untrained VGG-like networks; the ratio is that of the largest eigenvalues, largest over smallest field, paired by seed ({glue:text}`n_varied:d` seeds).

# %% tags=["hide-input"]
small, large = spectra_runs.run_variants(vgg, p.n_varied, run.store)
for name, result in spectra_study.name_variants(small, large).items():
    run.report(name, **result)
run.report("n_varied", p.n_varied)
spectra_tables.tabulate_variants(small, large)

# %% [markdown]
# **The ratio's 95 % interval lies above 1 in {glue:text}`variants_growing:d` of {glue:text}`n_variants:d` rows**; the ratio lies between {glue:text}`variants_least:.2f` and {glue:text}`variants_most:.2f`. With running statistics that were never run, as evaluation mode takes an untrained network, the ratio is {glue:text}`variants_running_words`: whether the trend is a large one hangs on a mode that the paper does not name. He's initial weights have six times PyTorch's variance; batch norm makes what the network computes independent of the weights' scale, and the curvature falls with it for every pool alike.
#
# (sec-ll-table)=
# ## The paper, our records, this run
#
# **The paper prints curves and no numbers**, so its column holds what its text says of them. Its networks were trained on CIFAR-10, and only spectra of 90 eigenvalues of networks on all of CIFAR-10, a quarter as wide or wider, with two seeds or more behind all four pools, decide what it says of them. Theirs stand with the number of seeds in brackets and Page's test of rising.

# %% tags=["hide-input"]
stores = [run.published, run.store]
published = spectra_runs.read_published(stores)
for name, result in spectra_runs.name_published(published, stores).items():
    run.report(name, **result)
run.report("cifar_line", spectra_tables.say_deciding(published))
spectra_tables.tabulate_figures(published, spectra)

# %% tags=["hide-input"]
shown = spectra_tables.choose_shown(published, spectra)
records = {}
for (architecture, moment), pools in shown.items():
    records.setdefault(architecture, {})[moment] = pools
for architecture, moments in records.items():
    run.report(f"shown_{architecture}", spectra_tables.describe(next(iter(moments.values()))));
# %% mystnb={"figure": {"name": "fig-spectra-records", "caption": "Figure 1 again, from published records where there are any, else from this run: largest eigenvalues of the VGG-like network by rank ({glue:text}`shown_vgg`); mean over seeds and their range."}, "image": {"alt": "A panel each before and after training, of four falling curves of eigenvalues by rank on a logarithmic axis."}} tags=["hide-input"]
fig, axes = plots.figure(1, len(records["vgg"]), height=3.4)
plots.plot_spectra_ranks(axes, records["vgg"]);
# %% mystnb={"figure": {"name": "fig-spectra-records-resnet", "caption": "Figure 2 again, in the same way, of ResNet-50 ({glue:text}`shown_resnet50`). A moment that is not drawn has not been published behind all four pools."}, "image": {"alt": "A panel for each moment that was run, of four falling curves of eigenvalues by rank on a logarithmic axis."}} tags=["hide-input"]
fig, axes = plots.figure(1, len(records["resnet50"]), height=3.4)
plots.plot_spectra_ranks(axes, records["resnet50"]);
# %% mystnb={"figure": {"name": "fig-spectra-records-trend", "caption": "The networks of the two figures above: largest and last listed eigenvalue and norm against the field; before (filled, solid) and after training (open, dotted); small marks are seeds."}, "image": {"alt": "Two panels against the theoretical field, one a network, with lines of three numbers before and, where it was run, after training."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.8)
plots.plot_spectra_trend(axes, shown);
# %% [markdown]
# ## What would refute it
#
# A largest eigenvalue that stays, or falls, as the field grows on planes of equal size speaks against the field as the cause; one that grows there speaks for it. The twins of this run cannot say how strong either effect is in the paper's networks: they have an eighth and a sixteenth of the channels, and the loss of a few images has a spectrum of its own.
# Whether a landscape with larger eigenvalues is "more difficult to traverse" is another question: nothing here trains two networks that differ in their curvature alone.
#
# ## Summary
#
# Before training the largest eigenvalue {glue:text}`vgg_before_largest_says` with the field in VGG-like networks and {glue:text}`resnet50_before_largest_says` in ResNet-50; after training it {glue:text}`vgg_after_largest_says` and {glue:text}`resnet50_after_largest_says`. With planes held, it {glue:text}`effect_field_says` with the field; with the field held, it {glue:text}`effect_plane_says` as planes shrink.

# %%
run.finish()
