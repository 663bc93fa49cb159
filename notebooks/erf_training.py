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
# # The effective field during training
#
# **Question.** Does the {term}`effective receptive field` grow while a network learns, and does it come to fill the image?
#
# **Answer in one line.** It depends on what "before" is. Measured with the batch-norm statistics of a network just built, the classifier's field
# *{glue:text}`classes_answer_running`* during training in this run ({glue:text}`classes_note`). Measured as that network computes at its first step, it *{glue:text}`classes_answer_calibrated`*.
# The paper's first network on all of CIFAR-10: {glue:text}`cifar_line`. For its second network only the first reading starts near the size that the paper states.
#
# {cite:t}`luo2016` follow two ResNets in their section 3.2: one of 17 residual blocks on CIFAR-10, which reaches 89 % accuracy, and one of 16 blocks on CamVid, whose field grows from a diameter of
# about 100 px to about 150 (their figure 3). Neither width, kernels, initialisation nor recipe are stated. This chapter follows such networks in both readings, with controls
# that separate what the weights' scale does from what was learnt. It decides the claims `luo.fig3.*` and `luo.s3.2.*` of the scoreboard.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import (
    registry,
    training_growth,
    training_initial,
    training_redo,
    training_tables,
)  # fmt: skip
from erfbook.experiments.training_classes import ERF_TRAINING
from erfbook.experiments.training_scenes import ERF_CAMVID

run = page.begin("erf_training", globals())
p = run.parameters

# %% [markdown]
# (sec-et-readings)=
# ## Two readings of one moment
#
# **With batch norm, "the network before training" is two networks.** In evaluation mode batch norm computes
#
# $$
# y = \gamma\, \frac{x - \mu}{\sqrt{v + \epsilon}} + \beta ,
# $$ (eq-et-norm)
#
# where $\mu$ and $v$ are *running* statistics. A network just built has $\mu = 0$ and $v = 1$, whatever its layers compute: batch norm does nothing. In training mode the batch's own mean and variance stand there, so that the
# network that takes the first step is another one. The two readings used throughout:
#
# - **running statistics**: the network as it is. Before training, batch norm does nothing; during training the statistics lag behind the weights;
# - **calibrated**: a copy whose statistics are first set to those of training images.
#
# After training both agree. The map is the mean over test images of $|g|$, where $g$ is the gradient of the last plane's central unit, summed over its channels, with respect to a pixel (as in {eq}`eq-ep-map`). On a plane of 32 × 32,
# which has no middle, the unit is (16, 16), counted from 0.

# %%
for name, config in training_initial.NETWORKS.items():
    run.report(f"field_{name}", training_initial.confirm_field(config))
classes = training_tables.configure_classes(
    run.profile,
    dataset=p.dataset, n_blocks=p.n_blocks, channels=p.channels, n_train=p.n_train, epochs=p.epochs, lr=p.lr,
)
scenes = training_tables.configure_scenes(run.profile, dataset=p.scenes)
run.report("field_classes", training_initial.confirm_field(classes))
run.report("field_scenes", training_initial.confirm_field(scenes));

# %% [markdown]
# With odd kernels the classifier's field cannot be the stated 74 px ({ref}`why <sec-tr-odd>`). A 5 × 5 first layer in front of 17 blocks of two 3 × 3 layers gives {glue:text}`field_cifar:d` px. Four max pools and 16 blocks in ResNet-34's stages give
# {glue:text}`field_camvid:d` px. The networks *trained* in this run have fields of {glue:text}`field_classes:d` and {glue:text}`field_scenes:d` px.

# %% [markdown]
# (sec-et-initial)=
# ## Before training: small, and how small is a matter of weights and statistics
#
# **Skip connections keep the field small at first, in every reading.** The paper expects so from its section 2.5. Both networks are measured untrained on {glue:text}`n_crops:d` crops of photographs large enough for the whole field, with and
# without their {term}`skip connections <skip connection>`, for weights as PyTorch draws them (uniform, variance 1/(3 · fan-in)), He's normal ones {cite}`heinit2015`, and branches that start at a gain of 0. Sizes are sides of the smallest set that holds 95.45 % of the mass;
# intervals are over {glue:text}`n_initial:d` networks of width {glue:text}`initial_channels:d`.

# %%
initial = []
for network in ("cifar", "camvid"):
    options = {"n_seeds": p.n_initial, "n_crops": p.n_crops, "channels": p.initial_channels}
    initial += training_initial.measure_initial(network, **options)
for name, result in training_initial.name_initial(initial).items():
    run.report(name, **result)
for name in ("n_crops", "n_initial", "initial_channels"):
    run.report(name, getattr(p, name))
training_initial.tabulate_initial(initial)

# %% [markdown]
# With skips the classifier's field is {glue:text}`initial_share_cifar_smallest:.0%` to {glue:text}`initial_share_cifar_largest:.0%` of its theoretical {glue:text}`field_cifar:d` px, the segmentation network's
# {glue:text}`initial_share_camvid_smallest:.0%` to {glue:text}`initial_share_camvid_largest:.0%` of {glue:text}`field_camvid:d` px. Without them each is larger. But the choice of reading alone moves the classifier's from
# {glue:text}`initial_share_cifar_default_running:.0%` to {glue:text}`initial_share_cifar_default_calibrated:.0%`: PyTorch's weights shrink a signal at every layer, so that without working batch norm the skips carry nearly everything; calibrated, every branch
# counts. He's weights keep the signal's size by themselves, and with them it is the running statistics that give the larger field ({glue:text}`initial_share_cifar_he_running:.0%` against {glue:text}`initial_share_cifar_he_calibrated:.0%`).
#
# By the paper's metric (pixels above 4.55 % of the centre, as the diameter of a disc of that area) the CamVid network begins at {glue:text}`initial_diameter_camvid_default_running:.0f` px [{glue:text}`initial_diameter_camvid_default_running_low:.0f`, {glue:text}`initial_diameter_camvid_default_running_high:.0f`] with running
# statistics and at {glue:text}`initial_diameter_camvid_default_calibrated:.0f` px [{glue:text}`initial_diameter_camvid_default_calibrated_low:.0f`, {glue:text}`initial_diameter_camvid_default_calibrated_high:.0f`] calibrated. **Of the two, the first is near the paper's "about 100"**, with the
# weights that PyTorch draws by default. That is consistent with a measurement in evaluation mode of a network just built; the paper does not say how its was made.

# %% [markdown]
# (sec-et-film)=
# ## The film: two beginnings, one end
#
# **Both readings meet within the first epochs, between their beginnings.** The data are {glue:text}`classes_note`; {glue:text}`classes_n_seeds:d` runs of {glue:text}`n_blocks:d` blocks, {glue:text}`channels:d` channels, {glue:text}`classes_epochs:.0f` epochs. Test accuracy ends at {glue:text}`classes_accuracy:.1%`
# [{glue:text}`classes_accuracy_low:.1%`, {glue:text}`classes_accuracy_high:.1%`].

# %%
records = registry.obtain(ERF_TRAINING, classes, range(p.n_seeds), run.store)
growth = training_growth.gather(records)
for name, result in training_growth.name_growth(growth, "classes").items():
    run.report(name, **result)
run.report("n_blocks", p.n_blocks)
run.report("channels", p.channels);

# %% mystnb={"figure": {"name": "fig-training-film", "caption": "The mean $|g|$ of the central unit on the image plane while the network learns, each frame to its own peak on a square-root scale; numbers are sizes by mass, px. Above: running statistics. Below: calibrated. The two begin differently and end alike, without reaching the border."}, "image": {"alt": "Two rows of heat maps from before training to the end. The upper row begins with a small spot, the lower with a wide one; after the first epochs both show the same spot of middle size in the centre of the image."}} tags=["hide-input"]
moments = growth.pick_moments(7)
fig, axes = plots.figure(2, len(moments), height=1.35)
plots.plot_training_film(axes, growth, moments);

# %% mystnb={"figure": {"name": "fig-training-sizes", "caption": "Size by two metrics, and test accuracy, against the epoch (log scale, first steps included), mean and 95 % interval over runs. What looks like growth from one beginning is shrinkage from the other."}, "image": {"alt": "Three panels. In two of them, one for each metric, a curve for running statistics starts low and rises, a curve for calibrated statistics starts high and falls, and they join. In the third, accuracy rises."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.0)
plots.plot_training_sizes(axes, growth);

# %% [markdown]
# After over before, by mass, is {glue:text}`classes_growth_running_mass:.2f` [{glue:text}`classes_growth_running_mass_low:.2f`, {glue:text}`classes_growth_running_mass_high:.2f`] with running statistics and
# {glue:text}`classes_growth_calibrated_mass:.2f` [{glue:text}`classes_growth_calibrated_mass_low:.2f`, {glue:text}`classes_growth_calibrated_mass_high:.2f`] calibrated, formed within each run. By the paper's metric it is {glue:text}`classes_growth_running_pixels:.2f` and
# {glue:text}`classes_growth_calibrated_pixels:.2f`; with the mean of $g^2$ instead of $|g|$, {glue:text}`classes_growth_running_square:.2f` and {glue:text}`classes_growth_calibrated_square:.2f`.
#
# **It does not fill the image.** Afterwards 95.45 % of the mass lie in {glue:text}`classes_filled_after:.0%` of the pixels; an even map would need 95 %. The border's pixels have {glue:text}`classes_edge_after:.2%` of the mean.
#
# (sec-et-controls)=
# ## Scale or structure?
#
# **In this run the trained field is *{glue:text}`classes_than_shuffled`* that of the same weights without their order**; on all of CIFAR-10 it is {glue:text}`cifar_controls`. Three kinds of copies of the trained network forget something and are calibrated anew: all entries of each tensor in random order; only the nine taps of each kernel in random order; kernels drawn anew with each tensor's mean and spread, under
# the trained batch norm.

# %% mystnb={"figure": {"name": "fig-training-ratios", "caption": "The trained network's size over its own before training in both readings, and over copies that have forgotten something, by three metrics, with 95 % intervals over runs. Below 1 the trained field is the smaller one. Of this run; that of all of CIFAR-10 is {numref}`fig-training-records-ratios`."}, "image": {"alt": "Five groups of three points around a line at one. The group for running statistics lies above one, the groups for calibrated statistics, shuffled weights, shuffled taps and redrawn kernels lie below."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.4)
plots.plot_training_ratios(ax, growth);

# %% [markdown]
# The trained size is {glue:text}`classes_over_shuffled:.2f` [{glue:text}`classes_over_shuffled_low:.2f`, {glue:text}`classes_over_shuffled_high:.2f`] times that of the shuffled copies and {glue:text}`classes_over_taps:.2f`
# [{glue:text}`classes_over_taps_low:.2f`, {glue:text}`classes_over_taps_high:.2f`] times that of copies that keep everything but the order of the taps. A ratio near the calibrated one ({glue:text}`classes_growth_calibrated_mass:.2f`) means that the scale of the weights did not change the field, and the places of large taps within the kernels did. A ratio of 1 means that copies without any order have the trained size, so that scale alone explains it.
#
# (sec-et-accuracy)=
# ## Size and accuracy
#
# **Does a network that is more accurate look farther?** After the first half epoch, size and accuracy have a rank correlation of {glue:text}`classes_rank_correlation:.2f` along a run of these few patches ({glue:text}`classes_n_seeds:d` runs), and on all of CIFAR-10 of {glue:text}`cifar_correlation`. A small field that is needed early may be outgrown later, so the smallest size on the way is compared with the last: after over
# smallest is {glue:text}`classes_recovery:.2f` [{glue:text}`classes_recovery_low:.2f`, {glue:text}`classes_recovery_high:.2f`], the smallest at epoch {glue:text}`classes_lowest_epoch:.2g` (chosen for each run by the others). Published runs of the whole network on all of CIFAR-10 stand
# beside this run; the parameter `other_lr` adds runs at another learning rate.

# %%
published = training_tables.read_published([run.published, run.store], "erf-training")
other = [training_tables.change_rate(classes, p.other_lr)] if p.other_lr else []
others = [
    training_growth.gather(registry.obtain(ERF_TRAINING, config, range(2), run.store)) for config in other
]
whole = training_tables.choose_whole(published)
training_tables.tabulate_growths([growth, *others, *whole.values()])

# %% mystnb={"figure": {"name": "fig-training-accuracy", "caption": "Size by mass (calibrated) against test accuracy along each run from the first half epoch on. Stars are the ends."}, "image": {"alt": "Lines of points from lower left or upper left towards a star at the right, one line a run, one colour a configuration."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.2)
plots.plot_training_accuracy(ax, [growth, *others, *whole.values()]);

# %% [markdown]
# (sec-et-depth)=
# ## Layer by layer
#
# **In the trained network, too, the field grows with depth far more slowly than the theoretical one.** Section 5 of the paper concludes that local information survives many layers. Behind each block of the trained networks, measured size grows as the theoretical one to the power
# {glue:text}`classes_depth_slope:.2f` [{glue:text}`classes_depth_slope_low:.2f`, {glue:text}`classes_depth_slope_high:.2f`]: 1 would be in proportion, 0.5 the square root of {eq}`eq-fb-radius`.

# %% mystnb={"figure": {"name": "fig-training-depth", "caption": "Size by mass behind the first layer and each block of the trained networks against the theoretical field, the line of equality, and a square root through the first point."}, "image": {"alt": "Points that follow the dotted square root and fall ever farther below the line of equality."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.0)
plots.plot_training_depth(ax, growth);

# %% [markdown]
# (sec-et-scenes)=
# ## Street scenes
#
# **The same two readings, for a segmentation network.** The data are {glue:text}`scenes_note`, the network has a field of {glue:text}`field_scenes:d` px and an output at 1/16. After {glue:text}`scenes_epochs:.0f` epochs its mean IoU is {glue:text}`scenes_mean_iou:.1%`, its pixel accuracy {glue:text}`scenes_accuracy:.1%`
# ({glue:text}`scenes_n_seeds:d` runs). The diameter by the paper's metric goes from {glue:text}`scenes_diameter_running:.0f` px (running statistics) or {glue:text}`scenes_diameter_calibrated:.0f` px (calibrated) to {glue:text}`scenes_diameter_after:.0f` px:
# by mass, the field *{glue:text}`scenes_answer_running`* in the one reading and *{glue:text}`scenes_answer_calibrated`* in the other. These pixels are not the paper's; its 100 and 150 belong to images of 480 × 360 and a field of 505 px.

# %%
scene_records = registry.obtain(ERF_CAMVID, scenes, range(p.n_seeds), run.store)
scene_growth = training_growth.gather(scene_records)
for name, result in training_growth.name_growth(scene_growth, "scenes").items():
    run.report(name, **result)
published_scenes = training_tables.read_published([run.published, run.store], "erf-camvid")
deciding = training_tables.choose_deciding(published_scenes)
for name, result in training_growth.name_growth(deciding, "camvid").items() if deciding else ():
    run.report(name, **result)

# %% tags=["hide-input"]
shown = deciding or scene_growth
run.report("scenes_shown", training_tables.title(shown));
# %% mystnb={"figure": {"name": "fig-scene-fields", "caption": "The segmentation network's field ({glue:text}`scenes_shown`) on the image plane before training in both readings, and after, each to its own peak on a square-root scale; the circle has the diameter of the paper's metric. Where CamVid is the data, the paper's 100 and 150 px are dashed."}, "image": {"alt": "Three heat maps of a wide image. The first has a small blob, the second a wide one, the third one of middle size, each with a circle."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=2.4)
plots.plot_scene_fields(axes, shown, (100, 100, 150) if deciding else (None,) * 3);

# %% [markdown]
# (sec-et-table)=
# ## The paper, our records, this run
#
# **The paper's figures need the paper's data.** Rows of the scoreboard that name CIFAR-10 or CamVid are decided by runs of the whole network on the whole set alone, of at least two seeds; patches and drawn scenes never decide them. What the names of runs stand for: {glue:text}`scales`.

# %%
deciding = training_tables.choose_deciding(published)
for name, result in training_growth.name_growth(deciding, "cifar").items() if deciding else ():
    run.report(name, **result)
run.report("cifar_line", training_tables.say_deciding(deciding))
run.report("cifar_controls", training_tables.say_controls(deciding))
run.report("cifar_structure", training_tables.say_structure(deciding))
run.report("cifar_correlation", training_tables.say_correlation(deciding))
run.report("scales", training_tables.say_scales(published))
training_tables.tabulate_classes(whole, [growth])

# %% tags=["hide-input"]
shown = deciding or growth
run.report("shown", training_tables.title(shown));
# %% mystnb={"figure": {"name": "fig-training-records-film", "caption": "The film again, of the published network on all of CIFAR-10 where there is one, else of this run ({glue:text}`shown`): each frame to its own peak on a square-root scale; numbers are sizes by mass, px."}, "image": {"alt": "Two rows of heat maps from before training to the end: running statistics above, calibrated ones below."}} tags=["hide-input"]
moments = shown.pick_moments(7)
fig, axes = plots.figure(2, len(moments), height=1.35)
plots.plot_training_film(axes, shown, moments);
# %% mystnb={"figure": {"name": "fig-training-records", "caption": "Sizes and test accuracy of the same network ({glue:text}`shown`) against the epoch (log scale), mean and 95 % interval over runs."}, "image": {"alt": "Three panels: two of the effective size against the epoch, in both readings, with the side of the image as a dashed line; one of test accuracy, rising."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.0)
plots.plot_training_sizes(axes, shown);
# %% mystnb={"figure": {"name": "fig-training-records-ratios", "caption": "Its trained size ({glue:text}`shown`) over its own before training in both readings, and over copies that have forgotten something, by three metrics, with 95 % intervals over runs."}, "image": {"alt": "Five groups of three points around a line at one: running statistics, calibrated statistics, shuffled weights, shuffled taps, redrawn kernels."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.4)
plots.plot_training_ratios(ax, shown);
# %% [markdown]
# (sec-et-tried)=
# ### What was tried to explain a difference
#
# **Size after training over size before, by metric and statistic across**, of the paper's network on all of CIFAR-10: the table of {ref}`size and accuracy <sec-et-accuracy>` has a row for each scale that was run. Changes of one thing at a time, from “cpu”: {glue:text}`variants_run`. Not run, so that their effect is not known: {glue:text}`variants_missing`.

# %%
variants, missing = training_tables.split_variants(published)
run.report("variants_run", ", ".join(variants) or "none yet")
run.report("variants_missing", ", ".join(missing) or "none")
training_tables.tabulate_growths(list(variants.values())) if variants else None

# %% [markdown]
# The segmentation network:

# %%
training_tables.tabulate_scenes(training_tables.choose_whole(published_scenes), [scene_growth])

# %% [markdown]
# (sec-et-redo)=
# ### Without training
#
# **A small network that was trained on all of a set is part of its record**, with the record's checksum. The networks of the best published configuration ({glue:text}`n_redone:d` of them hold theirs) are loaded here and measured anew: on the record's own images where they are at hand, else on patches of photographs. A network of yours is one line away: `erfbook erf`.

# %%
redone = training_redo.redo_all([run.published], list(whole)[:1])
run.report("n_redone", len(redone))
training_redo.tabulate_redone(redone)

# %% [markdown]
# ## What would refute it
#
# That growth depends on the reading would be refuted by a network that grows in both, by every metric; this can happen on other data, with more training or with other weights, and the table above is where it would show. That the trained field is small by structure would be refuted by shuffled copies of the trained size; on all of CIFAR-10 it {glue:text}`cifar_structure`.
# The limits are those of this run: intervals are over {glue:text}`classes_n_seeds:d` runs on one set of images, and the centre unit's field on {glue:text}`n_images:d` test images stands for all. Gradients that were zero everywhere after training: {glue:text}`classes_n_zero:d`.
#
# ## Summary
#
# Skip connections keep an untrained ResNet's field at a fraction of the theoretical one. Whether training enlarges it depends on whether batch norm was at work before. On {glue:text}`classes_note`: with running statistics it {glue:text}`classes_answer_running`, with calibrated ones it {glue:text}`classes_answer_calibrated`. On all of CIFAR-10: {glue:text}`cifar_line`.
# It does not fill the image. That it is small by the order of its weights is seen in the short run (trained over shuffled {glue:text}`classes_over_shuffled:.2f`); on all of CIFAR-10 that {glue:text}`cifar_structure`.

# %%
run.report("n_images", classes.n_images)
run.finish()
