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
# # Computing receptive fields
#
# **Question.** Which input pixels can a unit see, in any network, by arithmetic alone? And once every layer's
# {term}`theoretical receptive field` is known, what does its size say about accuracy, about the image's border, and about what the unit does see?
#
# **Answer in one line.** A path of layers sees what one layer would, so a kernel, a stride and a padding describe it exactly; two numbers
# decide whether paths that meet agree ({term}`aligned`); and in most networks most units look past the border of the image.
#
# {cite:t}`araujo2019` gave the recurrences, the closed forms and a table of ten networks. This chapter derives them in another way, runs them against networks
# that are traced and executed, recomputes the table, and decides the claims `distill.*` of the scoreboard that are arithmetic.
# The tools that look at a unit from the outside have a chapter of their own.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
import numpy as np

from erfbook import plots, theory
from erfbook.book import page
from erfbook.experiments import (
    accuracy,
    alignment,
    borders,
    effective,
    operations,
    published,
    published_names,
    same_padding,
    theoretical,
    tiling,
)
from erfbook.theory import Window

run = page.begin("theoretical_rf", globals())
p = run.parameters

# %% [markdown]
# (sec-tr-path)=
# ## One path: two layers are one
#
# **Everything about a single path follows from what one layer does.** Take one axis and count everything from 0. Layer $l$, from the input up,
# has a {term}`kernel` of $k_l$ taps, the {term}`stride` $s_l$, and $p_l$ values of {term}`padding` before its first input. Its unit $u$ reads the places
# $s_l u - p_l$ to $s_l u - p_l + k_l - 1$ of the level below. Neighbouring units $u_l, \dots, v_l$ together read from where the first one's window begins to
# where the last one's ends:
#
# $$
# \begin{aligned}
# u_{l-1} &= s_l u_l - p_l, \\
# v_{l-1} &= s_l v_l - p_l + k_l - 1 .
# \end{aligned}
# $$ (eq-tr-region)
#
# Their number $r = v - u + 1$ therefore obeys
#
# $$
# r_{l-1} = s_l r_l + (k_l - s_l) .
# $$ (eq-tr-size)
#
# Started at one output unit, $r_L = 1$, this is a loop of one line.

# %%
path = [Window(3, padding=1), Window(3, stride=2, padding=1), Window(2, stride=2)]
regions = [(2, 2)]  # unit 2 of the last layer
for window in reversed(path):
    regions.append(theory.step_region(regions[-1], window))
regions

# %% [markdown]
# For a formula instead of a loop, put one layer on another. Unit $u$ of the upper layer reads the places $s_2 u - p_2 + j$ with $0 \le j < k_2$, and each of these reads
# $s_1(\cdot) - p_1 + i$ with $0 \le i < k_1$, in all
#
# $$
# \begin{gathered}
# s_1 s_2\, u - (p_1 + s_1 p_2) + (s_1 j + i), \\
# 0 \le s_1 j + i \le s_1 (k_2 - 1) + k_1 - 1 ,
# \end{gathered}
# $$
#
# and both ends of the last range are reached. So the pair has the regions of **one layer**, with
#
# $$
# \begin{aligned}
# k &= k_1 + s_1 (k_2 - 1), \\
# s &= s_1 s_2, \qquad p = p_1 + s_1 p_2 .
# \end{aligned}
# $$ (eq-tr-compose)
#
# Collapse a path from the input up, and each new layer finds below it one layer whose stride is the product of all strides so far. It adds $k_l - 1$ and $p_l$, times
# that product:
#
# $$
# \begin{aligned}
# r_0 &= 1 + \sum_{l=1}^{L} (k_l - 1) \prod_{i<l} s_i , \\
# S_0 &= \prod_{l=1}^{L} s_l , \qquad P_0 = \sum_{l=1}^{L} p_l \prod_{i<l} s_i .
# \end{aligned}
# $$ (eq-tr-closed)
#
# These are size, {term}`effective stride` and {term}`effective padding`, and unit $u_L$ sees
#
# $$
# \begin{aligned}
# u_0 &= -P_0 + S_0 u_L, \\
# v_0 &= u_0 + r_0 - 1, \\
# c_0 &= u_0 + (r_0 - 1)/2 .
# \end{aligned}
# $$ (eq-tr-ends)
#
# Solved for the unit, {eq}`eq-tr-ends` also answers the inverse question. Pixel $x$ lies in the regions of all whole $u_L$ with
#
# $$
# 0 \le x + P_0 - S_0 u_L \le r_0 - 1 .
# $$ (eq-tr-inverse)

# %%
print(theory.collapse(path))
print("unit 2 sees", theory.predict_region(path, 2))
print("pixel 8 is seen by", list(theory.predict_units_seeing(path, 8)))
check = theoretical.compare_recurrences(p.n_stacks, p.seed)
for name, result in theoretical.name_path_check(check).items():
    run.report(name, **result)

# %% mystnb={"figure": {"name": "fig-single-path", "caption": "The path of the cells above on 16 pixels; dashed squares are padding. Blue: what unit 2 sees on every level. Orange: unit 0, whose region begins left of the image. Regions widen by $k - 1$ steps of the level on which a kernel works."}, "image": {"alt": "Four rows of squares, from one output unit down to the input. The cone of a middle unit covers 1, 2, 5 and 7 squares; the cone of the first unit reaches two squares beyond the left border."}} tags=["hide-input"]
fig, ax = plots.figure(height=2.8)
plots.plot_single_path(ax, path, 16, [2, 0]);

# %% [markdown]
# On {glue:text}`path_stacks:d` random stacks of up to six convolutions (kernel, stride, padding and {term}`dilation` all vary), recurrence, closed form and the analysis of the
# traced network were compared: {glue:text}`path_wrong_size:d` sizes, {glue:text}`path_wrong_stride:d` strides and {glue:text}`path_wrong_padding:d` paddings differ. Then the stacks were
# executed with a NaN in one pixel at a time, which reaches exactly the units that see it: of {glue:text}`path_units:d` units inside the image
# {glue:text}`path_wrong_region:d` see another region and {glue:text}`path_wrong_centre:d` have another centre, and of {glue:text}`path_pairs:,d` pairs of pixel and unit
# {glue:text}`path_wrong_inverse:d` contradict {eq}`eq-tr-inverse`.
#
# The formulas describe the plane that padding extends. At the border, cutting a region off at the image is not always enough: {glue:text}`path_overstated:d` of
# {glue:text}`path_border:d` border units do not see every pixel of what is left, because a layer in between reads its own padding there. `field.region(unit, clip=True)` follows every path and is
# exact there too.

# %% [markdown]
# (sec-tr-layers)=
# ## Layers that are not plain convolutions
#
# **Each is a step of the same recurrences with a kernel, a stride and a padding of its own, or it sees the whole image.** A kernel dilated by $a$ reaches over
#
# $$
# k \;\to\; a (k - 1) + 1
# $$ (eq-tr-dilation)
#
# inputs. Pooling reads like a convolution. A separable convolution is two layers, one of them with $k = 1$, which changes nothing. Batch norm is a number per channel at inference, $k = 1$; in training
# its mean and variance are taken over the plane, so that every unit depends on every pixel.
#
# Resizing by $m$ and {term}`transposed convolution` have the stride $1/m$, and $k$ is the number of inputs that an output uses. Where that number alternates from unit to unit, take its mean over the $m$ phases:
#
# $$
# \begin{aligned}
# \text{nearest: } & k = 1 \\
# \text{linear, } m \text{ even: } & k = 2 \\
# \text{transposed: } & k = k_t / s_t, \; m = s_t .
# \end{aligned}
# $$ (eq-tr-upsampling)
#
# For a transposed convolution: unit $y$ uses the inputs $x$ with $0 \le y + p_t - s_t x < k_t$, from $\lceil (y + p_t - k_t + 1)/s_t \rceil$ to $\lfloor (y + p_t)/s_t \rfloor$. Over $s_t$ neighbouring
# units either rounding costs $(s_t - 1)/(2 s_t)$ on average, and what is left of their number is $k_t / s_t$. Sizes, ends and centres are linear in it, so {eq}`eq-tr-closed` and {eq}`eq-tr-ends` give their means.

# %%
examples = operations.show_operations()
for name, result in operations.name_operations(examples).items():
    run.report(name, **result)
operations.tabulate_operations(examples)

# %% [markdown]
# The table sets size, stride and padding of each row, collapsed into one layer, beside what neighbouring units see when it is executed; {glue:text}`op_n_confirmed:d` of
# {glue:text}`op_n:d` rows agree in every unit inside the line. The last row is the one that no whole number can describe: its units see {glue:text}`op_transposed_mean_size:.1f` pixels, two and three in turn. In training batch norm makes a unit of three taps see the
# whole line of {glue:text}`op_norm_train_mean_size:.0f` px, so the mode in which a network is analysed belongs to the answer.

# %% [markdown]
# (sec-tr-graph)=
# ## Any graph: when do paths agree?
#
# **Where paths meet, a unit sees the union of what they see. The union looks the same around every unit if all paths have one effective stride, and is centred like each of them if they have one centre.**
# For paths $a$ and $b$ into one unit:
#
# $$
# \begin{gathered}
# S_0^{(a)} = S_0^{(b)}, \qquad C^{(a)} = C^{(b)}, \\
# C = -P_0 + (r_0 - 1)/2 .
# \end{gathered}
# $$ (eq-tr-alignment)
#
# By {eq}`eq-tr-ends` $C$ is the centre of unit 0, and the centres of unit $u$ through the two paths differ by the difference of $C$ plus $u$ times that of the strides. If both vanish the graph is aligned, and the
# largest path alone says what a unit sees. If only the strides agree, the regions are shifted against each other by the same amount everywhere. If the strides differ, the paths part
# company from unit to unit, and there is no one size.
#
# The example is a residual block of stride 2, a body of two 3-tap layers and a shortcut. It is aligned when the body pads by one on both sides. TensorFlow's `SAME`
# rule pads a strided 3-tap layer on an even plane behind the last pixel only: that moves the body, and whether it does depends on the size of the image.

# %%
examples = alignment.show_alignment()
for name, result in alignment.name_alignment(examples).items():
    run.report(name, **result)
print(examples["other centre"].field.why, examples["other stride"].field.why, sep="\n")

# %% mystnb={"figure": {"name": "fig-alignment", "caption": "What each unit of a two-path graph on 12 pixels (dotted) sees through each path; ticks are centres. Aligned: centres coincide for every unit. Other centre: the body pads behind only, and all regions are off by one. Other stride: the centres drift apart and the union has {glue:text}`alignment_stride_size_smallest:d` to {glue:text}`alignment_stride_size_largest:d` px."}, "image": {"alt": "Three panels of horizontal bars, two for each of six units. Left, the centres of both bars coincide. Middle, they are one pixel apart for every unit. Right, they drift from three pixels apart on one side through coincidence to the other side."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.0)
plots.plot_alignment(axes, examples);

# %% [markdown]
# The analysis of the traced graph reaches the same three verdicts as {eq}`eq-tr-alignment`, names the two paths that disagree, and gives each unit the region that execution gives it.
# A graph with paths of different stride does not merely lack alignment: its "receptive field size" is not a number.

# %% [markdown]
# (sec-tr-table)=
# ## The published table, recomputed
#
# **{glue:text}`table_matches:d` of the {glue:text}`table_rows:d` rows come out in all three numbers**, from definitions written anew after TF-Slim's. The table gives size / effective stride / effective
# padding of the last plane before a network's head, and its top-1 accuracy on ImageNet. No network is misaligned.

# %%
rows = published.recompute_table()
for name, result in published_names.name_table(rows).items():
    run.report(name, **result)
published_names.tabulate(rows).rename_axis(None)[["published", "ours", "torchvision"]]

# %% [markdown]
# **torchvision's networks of the same names are not the same networks.** VGG-16 and Inception v3 agree. AlexNet pads its first layer, which TF-Slim does not
# (effective padding {glue:text}`table_alexnet_v2_torchvision_padding:d` instead of {glue:text}`table_alexnet_v2_padding:d`). A ResNet of TF-Slim strides in the last unit of its blocks, one of torchvision
# in the first unit of its stages, so from {glue:text}`table_resnet_v1_50_size_parts_at` on the fields differ: {glue:text}`table_resnet_v1_50_torchvision_size:d` px instead of
# {glue:text}`table_resnet_v1_50_size:d` at the end of ResNet-50. With the stride moved, TF-Slim's has {glue:text}`variant_stride_first_size:d` too; what is left is the padding of the first pool. torchvision's GoogLeNet,
# used below, has a 3 × 3 kernel where Inception has its 5 × 5, and pools that round up.
#
# **The paddings are published for 224 px, and hold for few other sizes.** TensorFlow's `SAME` rule pads a 3-tap layer of stride 2 before the first value if the plane is odd, and not if it is even. The plane at stride
# $s$ has $\lceil n/s \rceil$ values, and whether that is odd is one binary digit of $-n$. The digits add up to
#
# $$
# P_0(n) = P_0(224) + \sum_{s} s\, d_s(-n) ,
# $$ (eq-tr-same)
#
# where $d_s$ is the binary digit worth $s$, and $s$ runs over the strides at which a network has such a layer. For MobileNet v1 all five digits count, so that its padding is right where 32 divides $n$.

# %%
rule, variants = same_padding.check_padding(p.padding_sides), same_padding.vary_resnet()
for name, result in published_names.name_padding(rule, variants).items():
    run.report(name, **result)
run.report("padding_misses", rule.n_checked - rule.n_equal)
print(variants["same"].why)

# %% [markdown]
# On {glue:text}`padding_checked:d` pairs of network and size {eq}`eq-tr-same` misses the analysed padding {glue:text}`padding_misses:d` times; the published padding is right on
# {glue:text}`padding_published_holds:d` of them. At 224 px the mean centre of MobileNet v1's fields lies {glue:text}`table_mobilenet_v1_offset:+.1f` px from the middle of the image on both axes, towards the lower right;
# in torchvision's ResNet-50, which pads alike on both sides, it lies at {glue:text}`table_resnet_v1_50_torchvision_offset:+.1f` px. And a ResNet-50 whose strided 3 × 3 layers used `SAME` would be misaligned: the line above names
# the paths. TF-Slim avoids it by padding those layers by a fixed one.

# %% [markdown]
# (sec-tr-accuracy)=
# ## Accuracy and the logarithm of the field
#
# **Over these ten networks accuracy does grow with the logarithm of the field, and the ten cannot say why.** The least-squares line gains {glue:text}`accuracy_slope:.1f` points
# [{glue:text}`accuracy_slope_low:.1f`, {glue:text}`accuracy_slope_high:.1f`] for every doubling of the field. On the logarithm it explains
# {glue:text}`accuracy_log_r2:.0%` of the variance, on the size itself {glue:text}`accuracy_linear_r2:.0%`. torchvision publishes accuracies too: its networks whose fields are local are a second sample.

# %% tags=["hide-input"]
fits, survey = accuracy.fit_families(), accuracy.survey_torchvision()
for name, result in (published_names.name_accuracy(fits) | published_names.name_survey(survey)).items():
    run.report(name, **result)
run.report("accuracy_slope_above_zero", fits["all"].slope.low > 0)
run.report("accuracy_log_gain", fits["all"].r2 - fits["all"].linear_r2)
run.report("saturated_px", 2 * published.TABLE_SIDE - 1, unit="px")
run.report("saturated_networks", sum(row.ours.size > 2 * published.TABLE_SIDE - 1 for row in rows));

# %% mystnb={"figure": {"name": "fig-accuracy", "caption": "Published top-1 accuracy against the recomputed field, on a logarithmic axis, with the fitted line and its 95 % confidence band. The oldest network pulls the line down at its left end; without it the slope is {glue:text}`accuracy_slope_no_oldest:.1f` points a doubling."}, "image": {"alt": "Ten networks rise from AlexNet at 195 pixels and 57 per cent to Inception-ResNet v2 at 3039 pixels and 80 per cent, scattered about a straight line on a logarithmic axis; AlexNet lies far below the line."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.6)
plots.plot_accuracy(ax, fits["all"]);

# %% [markdown]
# - **One network carries much of it.** Without {glue:text}`accuracy_most_influential` the slope is {glue:text}`accuracy_slope_no_oldest:.1f` [{glue:text}`accuracy_slope_no_oldest_low:.1f`,
#   {glue:text}`accuracy_slope_no_oldest_high:.1f`] and the line fits far better ({glue:text}`accuracy_log_r2_no_oldest:.0%`); without the Inceptions the interval,
#   [{glue:text}`accuracy_slope_no_inception_low:.1f`, {glue:text}`accuracy_slope_no_inception_high:.1f`], includes zero.
# - **A second sample agrees weakly.** torchvision's networks give {glue:text}`survey_slope:.1f` [{glue:text}`survey_slope_low:.1f`, {glue:text}`survey_slope_high:.1f`] points a doubling, with a correlation of
#   {glue:text}`survey_correlation:.2f`, and {glue:text}`survey_discordant:d` of {glue:text}`survey_pairs:d` pairs in the wrong order.
# - **Not sufficient.** In the table too, {glue:text}`accuracy_discordant:d` of {glue:text}`accuracy_pairs:d` pairs have the larger field and the lower accuracy. And training alone adds
#   {glue:text}`survey_training_gain_low:.1f` to {glue:text}`survey_training_gain_high:.1f` points to {glue:text}`survey_training_n:d` of torchvision's networks, at the same field: as much as the line gives for a doubling.
# - **Necessary?** Networks of 75 % and more have fields larger than the image, from {glue:text}`accuracy_smallest_field_75:d` px in the table and {glue:text}`survey_smallest_field_75:d` in torchvision on. For 80 % the
#   table would ask for {glue:text}`accuracy_smallest_field_80:d` px, but one of torchvision's has it with {glue:text}`survey_smallest_field_80:d`. Beyond
#   {glue:text}`saturated_px:d` px every unit of a 224 px image sees all of it, and {glue:text}`saturated_networks:d` of the ten are beyond: whatever moves accuracy among them, it is not more pixels. In the other
#   direction {cite:t}`brendel2019` report AlexNet's accuracy from features of 17 px.

# %% [markdown]
# (sec-tr-border)=
# ## How many units look past the border
#
# **In most layers of most networks, most units do.** The share of layers of which the border cuts most units is {glue:text}`border_alexnet_mostly_cut:.0%` in AlexNet, {glue:text}`border_vgg16_mostly_cut:.0%` in VGG-16,
# {glue:text}`border_googlenet_mostly_cut:.0%` in GoogLeNet, {glue:text}`border_resnet50_mostly_cut:.0%` in ResNet-50 and {glue:text}`border_lite0_mostly_cut:.0%` in EfficientNet-Lite0: more than half in {glue:text}`border_networks_mostly_cut:d` of the {glue:text}`border_networks:d` networks asked here. Regions may begin before the image; what lies there is padding. {numref}`fig-field-on-photograph` shows it for three layers of one network and one of scikit-image's photographs {cite}`vanderwalt2014`.

# %% mystnb={"figure": {"name": "fig-field-on-photograph", "caption": "Fields of three layers of EfficientNet-Lite0 on a photograph of 224 px, crosses are their centres. Left the central unit of each layer, right the first. A quarter of a small field is all that a corner unit sees of the image, and no unit of block 10 sees only image."}, "image": {"alt": "A cat's face with nested squares of 67, 147 and 339 pixels. Around the centre the two smaller ones lie inside the photograph and the largest outside it; at the corner most of each lies outside."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.9)
plots.plot_field_on_photograph(axes, borders.show_fields());

# %% [markdown]
# If the centres of square regions of side $r$ were spread evenly over an image of side $n$, the share of regions that the border cuts would be
#
# $$
# 1 - \max\Big(0,\; 1 - \frac{r-1}{n}\Big)^2 ,
# $$ (eq-tr-cut)
#
# and nothing but $r/n$ would matter. It is counted exactly, unit by unit, for every convolution of five networks (torchvision's definitions, and EfficientNet-Lite0's package), at {glue:text}`side_px:d` px.

# %%
cut = borders.measure_borders(p.side_px, complete=p.complete)
run.report("side_px", p.side_px)
for name, result in borders.name_borders(cut).items():
    run.report(name, **result)
borders.tabulate_borders(cut)

# %% mystnb={"figure": {"name": "fig-border-cut", "caption": "For every convolution of five networks: the share of units whose field the border cuts (left), and how much of a field lies inside the image on average (middle). Against the size of the field (right) all networks fall on the prediction of {eq}`eq-tr-cut`."}, "image": {"alt": "Left, curves of the share of cut units rise from near 0 to 100 per cent, for GoogLeNet, ResNet-50 and EfficientNet-Lite0 before or soon after half of the depth. Middle, the mean share of a field inside the image falls to between 71 and 7 per cent. Right, all points lie on one S-shaped curve."}} tags=["hide-input"]
fig, axes = plots.figure(1, 3, height=3.2)
sizes = np.geomspace(3, 900, 200)
plots.plot_border_cut(axes, cut, (sizes, [borders.predict_share_cut(r, p.side_px) for r in sizes]));

# %% [markdown]
# Halfway through its convolutions {glue:text}`border_alexnet_halfway:.0%` of AlexNet's units are cut, {glue:text}`border_vgg16_halfway:.0%` of VGG-16's,
# {glue:text}`border_googlenet_halfway:.0%` of GoogLeNet's, {glue:text}`border_resnet50_halfway:.0%` of ResNet-50's and {glue:text}`border_lite0_halfway:.0%` of EfficientNet-Lite0's. In the last three no unit of the
# deepest layers lies inside the image at all, and of EfficientNet-Lite0's last field an average unit finds {glue:text}`border_lite0_last_inside:.0%` on the image. What a unit
# prefers to see can therefore depend on where it sits, which is the premise of a later chapter.
#
# The last column turns the question round: the smallest image on which the deepest field of the central unit is complete, {glue:text}`border_alexnet_smallest:d` px for AlexNet and
# {glue:text}`border_vgg16_smallest:d` px for VGG-16. It is a little more than the field, because central units do not sit in the middle of every image.

# %% [markdown]
# (sec-tr-effective)=
# ## What a unit could see and what it does see
#
# **The {term}`effective receptive field` is smaller, in every network measured.** Its size here is the side of the square as large as the smallest set of pixels that holds
# 95.45 % of the mean $|\partial y / \partial x|$ of the central unit. A unit that used its field evenly would have {glue:text}`even_ratio:.3f` of its side by this measure. Stacks of 3 × 3 layers with ReLU, ResNet-18 and VGG-11 are **untrained**
# ({glue:text}`n_networks:d` networks each, random inputs); EfficientNet-Lite0 is **trained** and sees photographs (crops at random places: {glue:text}`n_crops:d`).

# %%
pairs = effective.measure_size_pairs(
    p.depths, n_networks=p.n_networks, n_inputs=p.n_inputs, n_crops=p.n_crops
)
for name, result in effective.name_size_pairs(pairs).items():
    run.report(name, **result)
run.report("even_ratio", effective.EVEN_RATIO)
run.report("n_networks", p.n_networks)
run.report("n_crops", p.n_crops);

# %% mystnb={"figure": {"name": "fig-size-pairs", "caption": "Effective against theoretical side (left) and their ratio (right); bars, of at most {glue:text}`effective_largest_spread:.0%` of the value, span the random networks, the open marker is a field that the image cuts. The more layers lie behind a field of one size, the smaller its effective part."}, "image": {"alt": "Left, all points lie below the line of equality on logarithmic axes. Right, the ratio falls with the field's size for every network: slowly for VGG-11, fastest for plain stacks."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.6)
plots.plot_size_pairs(axes, pairs);

# %% [markdown]
# The ratio lies between {glue:text}`effective_smallest_ratio:.2f` and {glue:text}`effective_largest_ratio:.2f`. It is not a function of the field: VGG-11 reaches 102 px in a few layers with pools between
# them and fills most of it, a stack of 3 × 3 layers needs twenty for 41 px and fills half. The chapters on the effective field say why: with the number $n$ of layers the field grows like $n$ and its effective part like $\sqrt n$.

# %% [markdown]
# (sec-tr-dense)=
# ## Tiles of a dense network
#
# **The exact region says how far tiles must overlap, and one multiple of the pooling less is too little.** A small U-Net with two poolings and two transposed convolutions maps a photograph to an image of the same size. Its weights are −1, 0 and 1 and its
# pixels whole numbers, so float64 rounds nothing and the tiled output must equal the whole one in every bit.

# %%
tiles = tiling.check_tiling(p.tile_px, seed=p.seed)
for name, result in tiling.name_tiling(tiles).items():
    run.report(name, **result)
tiles.tiling

# %% mystnb={"figure": {"name": "fig-unet-tiling", "caption": "Tiles of the U-Net's output, and the output pixels that are not equal to those of the whole image. With the overlap that the regions ask for, rounded up to the pooling, none differs."}, "image": {"alt": "Left, a photograph with one tile and the larger square of input that it needs. Then three maps of wrong pixels: broad bands along all tile borders without overlap, a few along the borders with four pixels too little, none with the exact overlap."}} tags=["hide-input"]
fig, axes = plots.figure(1, 4, height=2.4)
plots.plot_unet_tiling(axes, tiles);

# %% [markdown]
# A tile may begin at any multiple of {glue:text}`tiling_multiple:d` px and needs {glue:text}`tiling_before:d` px before and {glue:text}`tiling_after:d` px after it, rounded up so that its input begins in step with the
# pooling: {glue:text}`tiling_wrong_exact:.0%` of the pixels differ. With {glue:text}`tiling_multiple:d` px less before each tile {glue:text}`tiling_wrong_less_before:.2%` are wrong, without overlap
# {glue:text}`tiling_wrong_none:.0%`.

# %% [markdown]
# (sec-tr-odd)=
# ## Odd numbers of other papers
#
# **A stated field is a constraint on the layers behind it, and some cannot be met as described.** All arrangements of the stated kind were enumerated with {eq}`eq-tr-closed`, and a sample of those that fit
# was built and analysed: the ledger requires that each has the size it was found for.

# %%
odd = published_names.explain_odd_numbers()
for name, result in published_names.name_odd_numbers(odd).items():
    run.report(name, **result)

# %% [markdown]
# - **74 px** for a ResNet of 17 blocks without downsampling {cite}`luo2016`. With stride 1 the size is $1 + \sum_l (k_l - 1)$, which is odd as long as all kernels are. {glue:text}`cifar_odd_layouts_74:d` of
#   {glue:text}`cifar_odd_layouts:d` arrangements of odd kernels reach it; the nearest have {glue:text}`cifar_nearest_below:d` and {glue:text}`cifar_nearest_above:d` px. Some layer must have an even kernel, a
#   4 × 4 mean pool behind 17 blocks and a 3 × 3 stem, for example.
# - **505 px** for 16 blocks and four subsamplings, same paper. {glue:text}`camvid_layouts_505:d` of {glue:text}`camvid_layouts:d` arrangements reach it, so it identifies no network. A plain one is among them:
#   four 3 × 3 max pools of stride 2 and ResNet-34's stages of 3, 4, 6 and 3 blocks. But of the {glue:text}`camvid_uniform_tried:d` arrangements of that simple kind {glue:text}`camvid_uniform:d` have 505 px, and
#   a coincidence cannot be excluded.
# - **110, 213, 318, 423 px** for ResNet-50 with a pool behind the first layer (Avendaño). The last three are those of a 3 × 3 layer and a pool of kernel $k+1$ and stride $k$ = 2, 3, 4; the same rule
#   gives {glue:text}`pooled_resnet50_110:d` px for $k = 1$, not 110.
# - **181, 359, 537, 715 px** for a VGG-like network, same paper, $3 + 178k$. {glue:text}`pooled_vgg_layouts:d` stacks meet them under that rule, none of them a published VGG (nearest: {glue:text}`pooled_vgg_nearest` layers a stage).
#   But a plain VGG-16 does in another reading. The sizes were read off a gradient, and on a constant image a max pool passes its gradient to one pixel of each window: read so, VGG-16 gives
#   {glue:text}`pooled_vgg_gradient_181:d`, {glue:text}`pooled_vgg_gradient_359:d`, {glue:text}`pooled_vgg_gradient_537:d` and {glue:text}`pooled_vgg_gradient_715:d`, all
#   {glue:text}`pooled_vgg_gradient_matches:d` numbers. If that is how they were found, the true fields are larger.

# %% [markdown]
# ## What would refute this
#
# One unit whose executed region differs from {eq}`eq-tr-ends` inside the image, or one pixel that a tile got wrong, would refute the arithmetic. A network of the table whose three numbers did not come out under TF-Slim's layers would put either the table or our reading of TF-Slim in doubt. The
# logarithmic law would fall with networks of small fields and high accuracy, and it is weak already: ten networks, chosen by others, in which the field grows together with everything else.
#
# ## In short
#
# - A path is one layer; its size, stride and padding are sums and products of those of its layers ({glue:text}`path_units:d` units checked, none wrong).
# - Paths agree or they do not, by two conditions; if strides differ there is no one size.
# - The published table stands, {glue:text}`table_matches:d` rows of {glue:text}`table_rows:d`, for TF-Slim's networks at 224 px; torchvision's of the same names have other numbers, and so has another image size.
# - Accuracy grows by {glue:text}`accuracy_slope:.1f` points a doubling in that table, for reasons the table cannot separate.
# - At {glue:text}`side_px:d` px every unit of ResNet-50 looks past the border from {glue:text}`border_resnet50_all_cut_depth:.0%` of its depth on, of EfficientNet-Lite0 from {glue:text}`border_lite0_all_cut_depth:.0%` on.
# - Tiles of a dense network are exact with the overlap of its regions ({glue:text}`tiling_before:d` px here), and wrong with less.

# %%
run.finish()
