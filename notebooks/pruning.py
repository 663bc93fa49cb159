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
# # Pruning against the receptive field
#
# **Question.** {cite:t}`avendano` trains one network behind max pools of four sizes. A larger receptive field costs accuracy, the study says, but makes the network immune to losing nine tenths of its weights. Is that so, and why?
#
# **Answer in short.** On all of CIFAR-10: {glue:text}`cifar_line`.
#
# - *What is taken comes back.* At 90 % new batch norm statistics alone, without any training, undo most of the loss: {glue:text}`cifar_statistics`. The collapse is one of statistics before it is one of weights.
# - *Unused weights.* At {glue:text}`live_rate_below:.0%` a step of the pool changes the VGG-like network's gap by {glue:text}`live_all_below:+.1f` [{glue:text}`live_all_below_low:+.1f`, {glue:text}`live_all_below_high:+.1f`] points ({glue:text}`live_shown`). Behind the largest pool {glue:text}`live_unused:.0%` of its weights see nothing but padding, and go first. Where {glue:text}`live_share_top:.0%` of the {ref}`weights that read the image <sec-pr-live>` are kept everywhere, a step changes the gap by {glue:text}`live_same_top:+.1f` [{glue:text}`live_same_top_low:+.1f`, {glue:text}`live_same_top_high:+.1f`].
#
# In this run, on {glue:text}`vgg_note`, the dense VGG-like network shows {glue:text}`vgg_slope_dense_words` against the field, its gap at 90 % {glue:text}`vgg_slope_gap_90_words`.
#
# The study's tables 1 and 2 and its figures 6 to 15 are here. The chapter decides the claims `avendano.table1.*`, `avendano.table2.*`, `avendano.s3.*`, `avendano.s4.*` and those of these figures.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import registry
from erfbook.experiments.pooled import (
    prunings,
    prunings_live,
    prunings_redo,
    prunings_study,
    prunings_tables,
    prunings_trends,
)

run = page.begin("pruning", globals())
p = run.parameters

# %% [markdown]
# (sec-pr-networks)=
# ## One network, four pools
#
# **The pool behind the first layer sets the field and touches no parameter.** With kernel $k+1$ and stride $k$ it multiplies by $k$ what all later layers add, $X$ pixels of its own output:
#
# $$
# r_k = 3 + k + k X = 3 + k\,(X + 1) , \qquad k = 1, \dots, 4 ,
# $$ (eq-pr-field)
#
# so fields rise in equal steps of $X + 1$. The stated 181, 359, 537 and 715 px need $X = 177$, which VGG-16 has after one convolution of its fourth stage is taken away; ResNet-50 has $X = 104$, and its smallest field is then 108 px, not the printed 110. The equation agrees with both graphs as built; the parameters are counted here.

# %%
networks = prunings_tables.check_networks()
run.report("vgg_fields_match", networks["vgg_fields"] == (181, 359, 537, 715))
run.report("resnet50_fields_match", networks["resnet50_fields"][1:] == (213, 318, 423))
run.report("resnet50_smallest", networks["resnet50_fields"][0])
run.report("same_parameters", networks["vgg_same"] and networks["resnet50_same"])
prunings_tables.tabulate_networks(networks)

# %% [markdown]
# (sec-pr-how)=
# ## What one-shot pruning is
#
# **Of all $n$ weights of convolutions and the head, the smallest $\operatorname{round}(q n)$ in magnitude become zero.**
#
# $$
# \tilde w_i = w_i \,\mathbf 1\{\operatorname{rank} |w_i| > \operatorname{round}(q\,n)\}
# $$ (eq-pr-magnitude)
#
# Every rate $q$ starts from the dense weights; equal magnitudes go in the order of the layers, so exactly that many go, and a higher rate takes all that a lower one takes. Biases and batch norm stay. The study names neither the layers nor whether they are ranked together: this is our reading, and the other readings follow below.
# *Fine-tuning* silences the gradients of pruned weights before clipping and momentum see them; they stay exactly zero.

# %%
asked = prunings_tables.configure_all(run.profile, p.dataset, tuned_epochs=p.tuned_epochs)
counts = (range(p.n_seeds), range(p.n_resnets))
studies = [
    prunings_study.gather(
        record
        for config in configs
        for record in registry.obtain(prunings.POOL_PRUNING, config, seeds, run.store)
    ).popitem()[1]
    for configs, seeds in zip(asked, counts, strict=True)
]
for study in studies:
    for name, result in prunings_trends.name_study(study, study.architecture):
        run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-pruning-accuracy", "caption": "Figures 6, 8, 10 and 12 and table 1 as one: test accuracy on {glue:text}`vgg_note` against the field, dense (black) and after one-shot pruning, a column a rate; mean over seeds and their range. Dotted: guessing."}, "image": {"alt": "Two rows of five panels, VGG and ResNet-50, from 50 to 90 percent pruned. The black dense line is the same in a row; the pruned line sinks with the rate, and reaches the dotted line of guessing where narrow networks lose most of their weights."}} tags=["hide-input"]
fig, axes = plots.figure(2, 5, height=2.5, sharey="row")
plots.plot_pruning_accuracy(axes, studies);
# %% mystnb={"figure": {"name": "fig-pruning-gap", "caption": "What pruning costs against the share of weights that go, by field, on {glue:text}`vgg_note`; mean and range of seeds."}, "image": {"alt": "Two panels of four rising lines, one a field: the cost in points grows with the rate until the network guesses."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.0, sharey=True)
plots.plot_pruning_gap(axes, studies);
# %% [markdown]
# (sec-pr-trends)=
# ## The trends, with intervals
#
# **A trend is a slope taken seed by seed, in points for each step of the pool, with Student's 95 % interval over seeds.** The study says three things: dense accuracy falls with the field; the gap at 90 % closes; and that "the trend only arises" above a rate of 0.8, which we read as pruned accuracy rising with the field at 90 % and at no lower rate.
# With {glue:text}`vgg_n_seeds:d` seeds of narrow networks only large slopes can be told from none; and where all fields have fallen to guessing ({glue:text}`vgg_chance:.0f` %), the gap is the dense accuracy in disguise. Page's test asks, without a line or a normal distribution, how often seeds that rank the fields by chance would be as much in order.

# %%
prunings_tables.tabulate_trends(studies)

# %% [markdown]
# - **Dense accuracy** of the VGG-like network {glue:text}`vgg_slope_dense:+.1f` points a step: {glue:text}`vgg_slope_dense_words`. ResNet-50 {glue:text}`resnet50_slope_dense:+.1f`: {glue:text}`resnet50_slope_dense_words`.
# - **Gap at 90 %** {glue:text}`vgg_slope_gap_90:+.1f`: {glue:text}`vgg_slope_gap_90_words`; ResNet-50 {glue:text}`resnet50_slope_gap_90:+.1f`: {glue:text}`resnet50_slope_gap_90_words`.
# - **The threshold.** Accuracy pruned at 80 % {glue:text}`vgg_slope_pruned_80:+.1f` ({glue:text}`vgg_slope_pruned_80_words`), at 90 % {glue:text}`vgg_slope_pruned_90:+.1f` ({glue:text}`vgg_slope_pruned_90_words`).
#
# (sec-pr-open)=
# ## What the study leaves open
#
# **Which layers, ranked how, and with which statistics, matter more than the field does.** A global ranking takes most from layers with many inputs, because their weights begin small; a ranking within each layer takes the first layer's too. Batch norm still divides by the *dense* network's variances:
# weights that are gone make each layer's output smaller, layer upon layer, and the last plane is nearly constant. Recalibrating, one pass over training images, cropped and mirrored as in training, changes no weight and undoes that.

# %%
prunings_tables.tabulate_ways(studies, prunings_study.RATE)

# %% mystnb={"figure": {"name": "fig-pruning-layers", "caption": "Where a global ranking prunes at 90 %: share of each layer's weights, in the order of the layers, the head last; mean over seeds."}, "image": {"alt": "Two panels of four lines over the layers. First layers and shortcuts keep more of their weights, deep layers lose nearly all; the lines of the fields lie close together."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=2.8, sharey=True)
plots.plot_pruning_layers(axes, studies, prunings_study.RATE);
# %% [markdown]
# Behind the smallest pool recalibration brings the VGG-like network at 90 % from {glue:text}`vgg_pruned_1:.0f` to {glue:text}`vgg_calibrated_1:.0f` %, behind the largest from {glue:text}`vgg_pruned_4:.0f` to {glue:text}`vgg_calibrated_4:.0f` %; dense it has {glue:text}`vgg_dense_1:.0f` and {glue:text}`vgg_dense_4:.0f` %.
#
# Part of the field's advantage is free in any case: on a plane of one position eight of a kernel's nine taps multiply padding. Behind the largest pool that is {glue:text}`vgg_unused:.0%` of the VGG-like network's weights, and {glue:text}`resnet50_unused:.0%` of ResNet-50's;
# they can go without any change of the output. {ref}`Below <sec-pr-live>` the gap is counted without them.
#
# (sec-pr-tuned)=
# ## Fine-tuning with the mask held
#
# **The printed recipe hardly moves a weight, but batch norm's statistics follow the data while it runs, and that alone regains accuracy.** Behind the smallest pool {glue:text}`vgg_regained:.0%` of the gap comes back. Ten epochs at a rate of 0.0001, decay 0.0005, momentum 0.9 and clipping at 0.1 in the study; {glue:text}`tuned_epochs:g` here. The rate decays by a cosine, which the study does not say. Beside it stands a tenth of the network's own rate.

# %%
run.report("tuned_epochs", p.tuned_epochs)
prunings_tables.tabulate_tuned(studies)

# %% mystnb={"figure": {"name": "fig-pruning-tuned", "caption": "Figure 14 with this run's networks on {glue:text}`vgg_note`: accuracy dense, pruned at 90 % and after {glue:text}`tuned_epochs:g` epochs of fine-tuning with the mask held, by two recipes; mean and range of seeds."}, "image": {"alt": "Two panels against the field. One-shot accuracy lies lowest and dense accuracy highest for VGG, both fine-tuned lines between them; ResNet-50's lines lie together near guessing."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_pruning_tuned(axes, studies, prunings_study.RATE);
# %% [markdown]
# (sec-pr-tables)=
# ## The paper, our records, this run
#
# **Only networks trained on all of CIFAR-10, two seeds or more of three pools or more, decide what the study says of it.** Such records come from the experiment `pool-pruning` at its paper profile; of several scales the one nearest to the study's counts, full width by the printed recipe first, and its column names it. A narrower network, or fewer epochs, is another network: its cells are compared all the same and say so.
# Each cell: mean ± standard deviation, percent, and the number of networks in brackets; the study has five everywhere.

# %%
whole = prunings_study.read_whole([run.published, run.store])
deciding = [prunings_study.choose_deciding(whole, name) for name in ("vgg", "resnet50")]
deciding = [study for study in deciding if study is not None]
for study in deciding:
    for name, result in prunings_trends.name_study(study, f"cifar_{study.architecture}"):
        run.report(name, **result)
run.report("cifar_line", prunings_trends.say_deciding(deciding))
run.report("cifar_statistics", prunings_trends.say_statistics(deciding))
full = prunings_study.choose_shown(whole)  # with single seeds, and what decides nothing yet
prunings_tables.tabulate_paper(prunings_tables.TABLE_1, full, studies)

# %% tags=["hide-input"]
own = {study.architecture: study for study in (*studies, *full)}  # records where there are any
shown = [own[study.architecture] for study in studies]
run.report("shown", "; ".join(map(prunings_trends.describe, shown)));
# %% mystnb={"figure": {"name": "fig-pruning-records", "caption": "Table 1 and figures 6, 8, 10 and 12 again, from published records on all of CIFAR-10 where there are any, else from this run ({glue:text}`shown`). Triangles: the paper's numbers, dense and pruned at 90 %, with two of its standard deviations."}, "image": {"alt": "Two rows of five panels, VGG and ResNet-50, from 50 to 90 percent pruned: accuracy against the field, dense and pruned, with the paper's values as triangles in the last column."}} tags=["hide-input"]
fig, axes = plots.figure(2, 5, height=2.5, sharey="row")
plots.plot_pruning_records(axes, shown, prunings_tables.TABLE_1);
# %% [markdown]
# **The same trends in the records that decide**, and what they hold of the other ways of pruning at 90 %.

# %%
prunings_tables.tabulate_trends(deciding) if deciding else None

# %%
prunings_tables.tabulate_ways(full, prunings_study.RATE) if full else None

# %% [markdown]
# (sec-pr-live)=
# ### Counted by the weights that read the image
#
# **At one rate, a network with unused weights keeps more of those that matter.** Let a share $u$ of all weights read nothing but padding. No image moves them, only decay does, so that they are small and a ranking by size takes them first. A rate $r$, of which a share $f$ falls on them, leaves of the others
#
# $$
# s = 1 - \frac{r\,(1 - f)}{1 - u} .
# $$ (eq-pr-live)
#
# In the VGG-like network of the largest field ({glue:text}`live_shown`) $u$ is {glue:text}`live_unused:.0%`: with {glue:text}`live_rate_below:.0%` of its weights gone it keeps {glue:text}`live_kept_below:.0%` of those that read the image, the network of the smallest field {glue:text}`live_kept_first_below:.0%`. Taking the unused ones changes no output, so the two are not pruned alike.
# The table compares them both ways; between the rates that were run, gaps are interpolated.

# %%
counted = shown[0]
run.report("live_shown", prunings_trends.describe(counted))
for name, result in prunings_live.name_live(counted):
    run.report(name, **result)
prunings_live.tabulate_live(counted)

# %% mystnb={"figure": {"name": "fig-pruning-live", "caption": "What one-shot pruning costs the VGG-like network ({glue:text}`live_shown`), against the share of all weights that is kept (left) and the share of those that read the image (right); mean and range of seeds, a line a field."}, "image": {"alt": "Two panels of four falling lines. Left, the gap of the two smaller fields opens between two fifths and a fifth of the weights, that of the two larger ones below a fifth. Right, all four open between two fifths and a fifth."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2, sharey=True)
plots.plot_pruning_live(axes, counted, prunings_live.list_kept(counted));
# %% [markdown]
# At {glue:text}`live_rate_below:.0%` of all weights the gap {glue:text}`live_all_below_words` with the field, {glue:text}`live_all_below:+.1f` [{glue:text}`live_all_below_low:+.1f`, {glue:text}`live_all_below_high:+.1f`] points a step of the pool. With as many of the weights that read the image kept everywhere: {glue:text}`live_same_below_words`, {glue:text}`live_same_below:+.1f` [{glue:text}`live_same_below_low:+.1f`, {glue:text}`live_same_below_high:+.1f`] points.
# There, with {glue:text}`live_share_below:.0%` kept, no network loses much, so that none could lose less; the rate above is the one that can tell. At {glue:text}`live_rate_top:.0%` it is {glue:text}`live_all_top:+.1f` [{glue:text}`live_all_top_low:+.1f`, {glue:text}`live_all_top_high:+.1f`] and {glue:text}`live_same_top:+.1f` [{glue:text}`live_same_top_low:+.1f`, {glue:text}`live_same_top_high:+.1f`], the latter with {glue:text}`live_share_top:.0%` kept, where all of them lose {glue:text}`live_least_top:.0f` points or more. The study sees a trend only above 80 %; by this count its networks of the largest field still keep {glue:text}`live_kept_top:.0%` of the weights that read the image at 90 %, as those of the smallest field do at 80 %.
# Of ResNet-50's weights {glue:text}`resnet50_unused:.0%` are unused; its gaps need another reason, such as that its weights, too, {ref}`read less often <sec-fp-reads>` behind larger pools. The chapter on field and plane {ref}`prunes a network <sec-fp-deep>` that has them on planes as large as those of the smallest field.
# That chapter also has networks, dilated ones, that lose far less than others with as many of the weights that read: the count explains what the study's pools do to the VGG-like network, and is no law for all networks.
# What is left when they are not counted is still the sum of two things, a larger field and smaller planes, which the same chapter {ref}`parts <sec-fp-cifar>`.
#
# **Fine-tuning at every rate**, for as large a share of the training as in the study: ten epochs of two hundred, fewer where training was shorter.

# %%
tuned = [prunings_tables.tabulate_tuned_rates(study) for study in full]
tuned[0] if tuned else None

# %%
tuned[1] if len(tuned) > 1 else None

# %% [markdown]
# (sec-pr-tried)=
# ### What else was tried
#
# **Where a number of the study does not come out, recipe, width, images or length of tuning may be why.** Each row changes one of them and has a name of its own; a row's network, data and recipe are in its records. "Printed recipe" is the study's rate of 0.0001 with gradients clipped at 0.1, in as many epochs as the row it is compared with.

# %%
prunings_tables.tabulate_recipes([*whole.values(), *studies])

# %% [markdown]
# (sec-pr-redo)=
# ### Without training
#
# **Published networks are pruned here anew**, {glue:text}`n_redone:d` so far: their weights are in records of the experiment `pool-training`, convolutions and head in half precision, which is what every number above was measured with. Where CIFAR-10 is at hand both accuracies of those with less than a million parameters must come out as recorded; elsewhere the shares that each layer loses must, and patches of photographs show how often the pruned network still answers as the dense one does.

# %%
redone = prunings_redo.redo_all([run.published])
run.report("n_redone", len(redone))
prunings_redo.tabulate_redone(redone)

# %% [markdown]
# **Table 2, Tiny ImageNet.** In print its columns stand as *pruned*, then *dense*, against table 1's order; here they are put in that of table 1. It needs the set itself (`erfbook data fetch tiny-imagenet`), and a GPU for 64 px images and 200 classes; no run here saw it, so that there is nothing to set beside the paper's numbers unless a column says so.

# %%
tiny = prunings_study.gather(run.published.select(prunings_study.EXPERIMENT)).values()
tiny = [study for study in tiny if study.dataset == "tiny-imagenet"]
prunings_tables.tabulate_paper(prunings_tables.TABLE_2, tiny, [])

# %% [markdown]
# ## What would refute it
#
# If networks behind the pools of stride 3 and 4 lost less than those behind the others with equally many of the weights that read the image, unused weights would not be what protects them.
# If recalibrated networks behind small pools still fell to guessing at full width and 200 epochs, the statistics would not be the cause there. If the gap closed with the field at equal planes, the field itself would be at work. Networks an eighth as wide have few weights to spare, so that
# at 90 % all of them guess, and a trend of the gap is then one of dense accuracy; the range from 50 to 80 % is where these networks can show one.
#
# ## Summary
#
# One-shot pruning at 90 % asks two things at once: whether the small weights matter, and whether batch norm notices that they are gone. In this run the second dominates: {glue:text}`vgg_pruned_1:.0f` % against {glue:text}`vgg_calibrated_1:.0f` % with the same weights. Dense accuracy: {glue:text}`vgg_slope_dense_words`.
# Accuracy at 80 %: {glue:text}`vgg_slope_pruned_80_words`. On all of CIFAR-10: {glue:text}`cifar_line`. Where {glue:text}`live_share_top:.0%` of the weights that read the image are kept, the gap there changes by {glue:text}`live_same_top:+.1f` [{glue:text}`live_same_top_low:+.1f`, {glue:text}`live_same_top_high:+.1f`] points a step of the pool ({glue:text}`live_shown`).

# %%
run.finish()
