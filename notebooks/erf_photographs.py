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
# # A trained network on photographs
#
# **Question.** What part of its {term}`theoretical receptive field` does a trained network use on real photographs, is that
# part Gaussian, and is it larger than before training?
#
# **Answer in one line.** It uses a fraction, and training has made it peaked and heavy-tailed; whether it *grew* depends on what
# one calls "before": against one reading of an untrained copy it grew, against the other it shrank.
#
# {cite:t}`luo2016` watch two ResNets of their own during training (their figure 3, not repeated here). This chapter asks
# the same of a network that anyone can load without training it: EfficientNet-Lite0 {cite}`tan2019`, whose weights come inside a Python package,
# on the photographs that come with scikit-image {cite}`vanderwalt2014`. It has no squeeze-and-excitation, so every field is local.
# The chapter decides `luo.abstract.fraction-trained`, `luo.abstract.gaussian-trained` and `luo.s1.growth-trained` of the scoreboard.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import experiments, plots
from erfbook.book import page

run = page.begin("erf_photographs", globals())
p = run.parameters

# %% [markdown]
# (sec-ep-setup)=
# ## The network works, and so do its copies
#
# **A measurement of a network that is loaded wrongly would mean nothing, so it is asked what it sees first.** Pixels are normalised
# with ImageNet's mean and standard deviation, as the package documents. The photograph of a cup of coffee is class
# {glue:text}`class_coffee:d` (*{glue:text}`name_coffee`*, probability {glue:text}`probability_coffee:.2f`), the cat's is
# {glue:text}`class_cat:d` (*{glue:text}`name_cat`*, {glue:text}`probability_cat:.2f`).

# %%
model = experiments.load_lite0()
for photograph in ("coffee", "cat"):
    index, name, probability = experiments.classify(model, photograph)
    run.report(f"class_{photograph}", index)
    run.report(f"name_{photograph}", name)
    run.report(f"probability_{photograph}", probability)

# %% [markdown]
# It is compared with copies of three kinds, all of the same architecture.
#
# - *Untrained, calibrated*: fresh weights as the package draws them. Batch norm in evaluation mode divides by *running*
#   statistics, which a new network does not have yet, so they are first measured in one pass over the crops. This is what the
#   network computes at its first training step, where batch norm uses the batch's own statistics.
# - *Untrained, fresh statistics*: the same weights, but batch norm still holds its initial mean 0 and variance 1. This is what one
#   gets by building the model and calling `eval()`.
# - *Trained weights, shuffled*: every tensor of the trained network with its entries in random order, calibrated. It keeps the scale and the
#   distribution of the weights and loses what they have learnt.
#
# For each, the gradient of the central unit of four layers, summed over the layer's channels, is taken on
# {glue:text}`n_crops:d` random crops of {glue:text}`crop_px:d` px. The map is the mean of
#
# $$
# A(i,j) = \sum_{c} \left| \frac{\partial \sum_k y^k_{\text{centre}}}{\partial x^c_{i,j}} \right|
# $$ (eq-ep-map)
#
# over the crops and, for the copies, over {glue:text}`n_seeds:d` initialisations of equal weight. The four layers' theoretical fields
# span 67, 147, 339 and 851 px. The first three lie inside the crop; of the last a crop shows only the middle.

# %%
crops = experiments.load_crops(p.n_crops, p.crop_px, p.seed)
study = experiments.study_lite0(model, crops, n_seeds=p.n_seeds, n_resamples=p.n_bootstrap)
for name, result in experiments.name_photographs(study).items():
    run.report(name, **result)
run.report("n_crops", p.n_crops)
run.report("crop_px", p.crop_px)
run.report("n_seeds", p.n_seeds);

# %% mystnb={"figure": {"name": "fig-photograph-maps", "caption": "Mean $|g|$ over the part of the theoretical field that lies in the crop, on a square-root scale, each map to its own peak and averaged over blocks. The number under a map is the side of the square as large as the smallest set that holds 95.45 % of its mass. The trained network looks at the middle of its field; the calibrated untrained copy looks at more of it: {glue:text}`area_untrained_67:.0%`, {glue:text}`area_untrained_147:.0%` and {glue:text}`area_untrained_339:.0%` of the area of the first three fields."}, "image": {"alt": "Sixteen heat maps: four rows for the trained network and its three kinds of copy, four columns for fields of 67, 147, 339 and 851 pixels. The trained row has small bright centres with faint tails, the calibrated untrained row wide blobs that fill much of the field, the row with fresh statistics nested squares in the middle, and the shuffled row blobs of middle size."}} tags=["hide-input"]
fig, axes = plots.figure(4, 4, height=1.85)
plots.plot_photograph_maps(axes, study);

# %% [markdown]
# (sec-ep-fraction)=
# ## How much of the field is used
#
# **The trained network uses a fraction, in every layer.** Three sizes are taken that would be equal if a map were a Gaussian: the
# paper's count of pixels above 4.55 % of the centre; the smallest set of pixels that holds 95.45 % of the mass; and 4.41 standard deviations.
# By the second, the trained network's {term}`effective receptive field` covers {glue:text}`area_trained_67:.0%`,
# {glue:text}`area_trained_147:.0%` and {glue:text}`area_trained_339:.0%` of the area of its 67, 147 and 339 px fields. Of the field of
# 851 px, a crop shows {glue:text}`crop_px:d`, and there the map is cut off by the image ({glue:text}`area_trained_851:.0%` of what is shown).

# %% mystnb={"figure": {"name": "fig-photograph-sizes", "caption": "Effective size against the part of the theoretical field in the crop, by three metrics, with 95 % intervals over crops and initialisations. The calibrated copy follows the whole field (line without markers) most closely; the trained network and the copy with fresh statistics lie lowest. The last point of each series is cut off by the image."}, "image": {"alt": "Three panels with logarithmic axes. All series rise with the field and lie below the line of equality. The calibrated untrained copy is closest to the line, the trained network and the copy with fresh statistics lowest."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.1, sharey=True)
plots.plot_photograph_sizes(axes, study);

# %% [markdown]
# The three metrics do not agree, which is itself an answer: the maps are not Gaussian. The paper's metric compares
# all pixels with one, the centre, and where strides print a comb on the map that one pixel is a poor yardstick; its intervals are the widest.
#
# (sec-ep-growth)=
# ## Larger than before training?
#
# **It depends on what "before" is.** The paper says that the effective field starts small and grows. Here there are
# two ways to be untrained, and they disagree. Of {glue:text}`n_comparisons:d` comparisons (four layers, three metrics) with the copy that has
# *fresh statistics*, the trained network is larger in {glue:text}`n_larger_fresh:d` and smaller in {glue:text}`n_smaller_fresh:d`, counting only intervals
# that exclude 1. Against the *calibrated* copy it is larger in {glue:text}`n_larger_untrained:d` and smaller in {glue:text}`n_smaller_untrained:d`.
# At the layer with 339 px the ratio by mass is {glue:text}`ratio_fresh_mass_339:.2f`
# [{glue:text}`ratio_fresh_mass_339_low:.2f`, {glue:text}`ratio_fresh_mass_339_high:.2f`] against the one and
# {glue:text}`ratio_untrained_mass_339:.2f` [{glue:text}`ratio_untrained_mass_339_low:.2f`, {glue:text}`ratio_untrained_mass_339_high:.2f`] against the other.

# %% mystnb={"figure": {"name": "fig-photograph-ratios", "caption": "The trained network's size over each copy's, with 95 % intervals; above 1 training has made the field larger. It has shrunk against the calibrated copy at every layer. Against the copy with fresh statistics it is larger in the deep layers, by most metrics. Shuffling the trained weights makes the field larger in all but the deepest layer."}, "image": {"alt": "Three panels of ratios at four layers with a line at one. All points of the calibrated copy lie below one; those of the copy with fresh statistics straddle it and rise to about 1.3; those of the shuffled copy lie below one except at the deepest layer, where they are close to it."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.2, sharey=True)
plots.plot_photograph_ratios(axes, study);

# %% [markdown]
# Why the two untrained copies differ fits the paper's own section 2.5: {term}`skip connections <skip connection>` keep a field small. PyTorch's initial
# weights shrink a signal at every convolution. With fresh statistics nothing scales it back, so the skip connections carry nearly everything,
# and paths through few kernels decide the field: {numref}`fig-photograph-maps` shows them as a few nested squares. Calibrated batch norm brings each branch to the size of the skip, and long paths count.
# The shuffled copy (ratio {glue:text}`ratio_shuffled_mass_147:.2f` by mass at 147 px, {glue:text}`ratio_shuffled_mass_339:.2f` at 339 px)
# separates two things: with the trained network's own weight scale but no structure the field is larger than trained, so here the small field is something the
# kernels have *learnt*.
#
# (sec-ep-gaussian)=
# ## Is it Gaussian?
#
# **The untrained copy's map is flatter than a Gaussian, the trained one's is peaked with heavy tails.** A Gaussian has
# an excess kurtosis of 0; three 3 × 3 layers of equal weights already come to −0.5. At 147 and 339 px the calibrated copy has {glue:text}`kurtosis_untrained_147:.2f` and
# {glue:text}`kurtosis_untrained_339:.2f`, the trained network {glue:text}`kurtosis_trained_147:.2f` and {glue:text}`kurtosis_trained_339:.2f`. The best
# Gaussian explains {glue:text}`r2_untrained_339:.0%` and {glue:text}`r2_trained_339:.0%` of the variance over pixels at 339 px.

# %% mystnb={"figure": {"name": "fig-photograph-profiles", "caption": "Mass in each row of the map, averaged over one period of the strides, and the Gaussian of the same mean and variance (dotted). The untrained copy follows its Gaussian up to the field's border. The trained network has a sharp peak on a broad foot."}, "image": {"alt": "Two panels of mass against row offset for fields of 147 and 339 pixels. The untrained curves are broad and close to their dotted Gaussians; the trained curves rise to a narrow peak well above their dotted Gaussians and have longer tails."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.0)
plots.plot_photograph_profiles(axes, study, study.layers[1:3]);

# %% [markdown]
# ## What would refute it
#
# A network whose trained field holds most of the area of a theoretical field that fits into the crop would refute the fraction.
# The growth claim is refuted for this network under calibrated statistics and would be restored if a copy at its first training step turned out smaller than the
# trained network. The limits are those of one architecture, one set of weights, crops of a few photographs (the intervals are over
# crops, and crops of one photograph are alike), and PyTorch's default initialisation, which need not be the one these weights started from.
# Gradients that were zero everywhere, and would have thinned a mean: {glue:text}`n_zero:d`.
#
# ## Summary
#
# On photographs EfficientNet-Lite0 uses a fraction of its theoretical field, in a shape that is peaked rather than Gaussian. Whether
# training made it grow cannot be said without saying how batch norm was set before training.

# %%
run.finish()
