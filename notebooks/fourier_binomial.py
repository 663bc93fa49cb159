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
# # What a stack of convolutions does
#
# **Question.** How does the influence of the input on one unit spread when convolutions are stacked,
# and which of the statements that {cite:t}`luo2016` make about it are exact, approximate or wrong?
#
# **Answer in one line.** Every layer moves the gradient by one random tap, the moves add up, so the
# {term}`effective receptive field` is the distribution of a sum: exactly known at every depth, Gaussian in
# the limit, $\sqrt n$ wide. This chapter works through equations 1 to 12 and section 2.5 of the paper,
# each with a check that runs, and ends with [what the paper and its poster got wrong](sec-fb-errata). Claims
# `luo.intro.*`, `luo.eq*`, `luo.s2*`, `luo.s3.1.threshold` and `luo.poster.*` of the scoreboard are decided here, in seconds on two
# processor cores.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
import functools
import math

import numpy as np
import scipy.signal
import sympy

from erfbook import plots, theory
from erfbook.book import page
from erfbook.notation import round_to

run = page.begin("fourier_binomial", globals())
p = run.parameters

# %% [markdown]
# (sec-fb-fourier)=
# ## Ones, through the Fourier domain and back
#
# **A stack of kernels of ones has integer gradients, and they are the coefficients of a polynomial.**
# Put a gradient of 1 on one output unit. Going down through a layer whose $k$ weights along an axis are all 1 adds
# up $k$ shifted copies of it. With an impulse $\delta(t)$, the gradient above and the kernel are
#
# $$
# u(t) = \delta(t), \qquad v(t) = \sum_{m=0}^{k-1} \delta(t-m),
# $$ (eq-fb-signals)
#
# and $n$ layers give $o = u * v * \dots * v$. In two dimensions the kernel of ones is the product of a
# column and a row, so the map is the product of two such signals and one axis is enough
# (a rank-one map: its second singular value is {glue:text}`separability_gap:.1g` of the first).
# The discrete-time Fourier transform
#
# $$
# U(\omega) = \sum_t u(t)\, e^{-j\omega t} = 1, \qquad V(\omega) = \sum_{m=0}^{k-1} e^{-j\omega m}
# $$ (eq-fb-dtft)
#
# turns the $n$ convolutions into a product, which is a polynomial in $x = e^{-j\omega}$:
#
# $$
# \mathcal F(o)(\omega) = U(\omega)\, V(\omega)^n = \Big( \sum_{m=0}^{k-1} e^{-j\omega m} \Big)^n .
# $$ (eq-fb-product)
#
# The inverse transform reads off one coefficient, because the exponentials are orthogonal:
#
# $$
# o(t) = \frac{1}{2\pi} \int_{-\pi}^{\pi} \Big( \sum_{m=0}^{k-1} e^{-j\omega m} \Big)^n e^{j\omega t}\, d\omega ,
# $$ (eq-fb-inverse)
#
# $$
# \frac{1}{2\pi} \int_{-\pi}^{\pi} e^{-j\omega s} e^{j\omega t}\, d\omega = \begin{cases} 1, & s = t \\ 0, & s \ne t. \end{cases}
# $$ (eq-fb-orthogonal)

# %%
kernel, depth = 3, 6
t = np.arange(depth * (kernel - 1) + 1)
v = theory.box(np.arange(kernel), kernel)
o = functools.reduce(np.convolve, [v] * depth, theory.impulse(np.arange(1)))
omega = np.linspace(-np.pi, np.pi, 201)
dirichlet = np.exp(-1j * omega) * (1 + 2 * np.cos(omega))  # V for k = 3, summed by hand
run.report("transform_error", abs(theory.predict_transform(v, omega) - dirichlet).max())
run.report("product_error", abs(theory.predict_transform(o, omega) - theory.predict_stack_transform(kernel, depth, omega)).max() / kernel**depth)
print("o(t) =", o)

# %% [markdown]
# The integral {eq}`eq-fb-inverse` needs no approximation: its integrand is a trigonometric polynomial, for which a
# mean over more than $n(k-1)+1$ equally spaced frequencies is exact. Adaptive quadrature, which knows
# nothing of that, agrees, and so does computer algebra.

# %%
spectrum = functools.partial(theory.predict_stack_transform, kernel, depth)
inverse = theory.invert_transform(spectrum, t, n_points=len(t) + 1)
quadrature = [theory.invert_by_quadrature(spectrum, s)[0] for s in t]
overlaps = [[theory.measure_overlap(r, s) for s in range(5)] for r in range(5)]
algebra = (sympy.Poly([1] * kernel, sympy.symbols("x")) ** depth).all_coeffs()
run.report("inverse_error", abs(inverse - o).max())
run.report("quadrature_error", abs(np.array(quadrature) - o).max())
run.report("overlap_error", abs(np.array(overlaps) - np.eye(5)).max())
run.report("sympy_agrees", algebra == o.tolist())
poster = np.full(len(t), theory.invert_by_quadrature(spectrum, 0)[0])  # no exp(j omega t): the same for every t
run.report("poster_inverse_error", abs(poster - o).max());

# %% mystnb={"figure": {"name": "fig-inverse-transform", "caption": "Left: the spectrum of a stack of kernels of three ones narrows with depth, as its signal widens. Right: the inverse transform returns the exact coefficients of six layers (largest deviation {glue:text}`inverse_error:.1g`); without the factor $e^{j\\omega t}$, as the poster prints it, it returns the same number at every position."}, "image": {"alt": "Two panels. The spectrum narrows from depth 1 to 16. The inverse transform's points sit on the bars of the exact coefficients, while the poster's formula gives a flat row of crosses at one."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2)
spectra = {n: abs(theory.predict_stack_transform(kernel, n, omega)) / kernel**n for n in (1, 4, 16)}
plots.plot_inverse_transform(axes, spectra, o, inverse, poster);

# %% [markdown]
# (sec-fb-coefficients)=
# ## Exact coefficients at any depth
#
# **For $k = 2$ they are the binomial coefficients, for larger $k$ the extended binomial (or polynomial)
# coefficients** {cite}`eger2013,neuschel2014`: the number of ways in which $n$ taps, each $0, \dots, k-1$, add up to $t$.
# Each way is one path from the input pixel to the unit. Differentiating $P = V^n$ gives $V P' = n V' P$, and comparing powers of $x$
#
# $$
# t\, c_t = \sum_{m=1}^{k-1} \big( m (n+1) - t \big)\, c_{t-m},
# $$ (eq-fb-recurrence)
#
# a few big-integer products per coefficient, so nothing overflows and nothing is rounded.

# %%
run.report("binomial_exact", theory.extended_binomial_coefficients(p.max_depth, 2) == [math.comb(p.max_depth, s) for s in range(p.max_depth + 1)])
polynomial = theory.extended_binomial_coefficients(p.max_depth, 3)
run.report("extended_exact", polynomial == theory.pack_coefficients(p.max_depth, 3))
run.report("largest_coefficient_digits", len(str(max(polynomial))))
n_paths = max(theory.extended_binomial_coefficients(20, 3))  # the outermost pixel has one path
run.report("path_ratio", n_paths)
run.report("path_ratio_words", round_to(n_paths, 2))
singular = np.linalg.svd(functools.reduce(scipy.signal.convolve2d, [np.ones((3, 3))] * 20), compute_uv=False)
run.report("separability_gap", singular[1] / singular[0]);

# %% [markdown]
# The largest coefficient of the deepest stack here has {glue:text}`largest_coefficient_digits:d` digits. Twenty 3-tap layers already
# give the central pixel {glue:text}`path_ratio_words` times as many paths as the outermost one, along one axis: this
# is the sense in which the centre of a receptive field weighs more.
#
# (sec-fb-draws)=
# ## A kernel is a die, a stack is a sum of throws
#
# **Normalise the weights to sum 1 and the gradient becomes a probability.** For any kernel $w(m)$
#
# $$
# U(\omega)\, V(\omega)^n = \Big( \sum_{m=0}^{k-1} w(m)\, e^{-j\omega m} \Big)^n
# $$ (eq-fb-weighted)
#
# is the characteristic function of $S_n = X_1 + \dots + X_n$ (at $-\omega$) with independent $P(X_i = m) = w(m)$, so
#
# $$
# \begin{aligned}
# o(t) &= P(S_n = t), \qquad \mathbb E[S_n] = n \sum_m m\, w(m), \\
# \operatorname{Var}[S_n] &= n \Big( \sum_m m^2 w(m) - \big(\textstyle\sum_m m\, w(m)\big)^2 \Big).
# \end{aligned}
# $$ (eq-fb-moments)

# %%
w = np.array([0.2, 0.5, 0.3])
distribution = theory.predict_distribution(w, depth)
chance = theory.enumerate_draws(w, depth)  # all 729 ways to throw the die
mean, variance = theory.predict_moments(w, depth)
transform = theory.predict_transform(distribution, omega)
run.report("weighted_error", abs(transform - theory.predict_weighted_transform(w, depth, omega)).max())
run.report("probability_error", abs(distribution - chance).max())
run.report("moment_error", max(abs(t @ chance - mean), abs((t - mean) ** 2 @ chance - variance)));

# %% [markdown]
# For the uniform kernel, $w(m) = 1/k$, the standard deviation is
#
# $$
# \begin{aligned}
# \sqrt{\operatorname{Var}[S_n]} &= \sqrt{n}\, \sqrt{\sum_m \frac{m^2}{k} - \Big( \sum_m \frac mk \Big)^2} \\
# &= \sqrt{\frac{n (k^2-1)}{12}} .
# \end{aligned}
# $$ (eq-fb-radius)
#
# The paper calls this number, one standard deviation, the size of the effective receptive field. The theoretical
# one is $n(k-1)+1$ pixels wide, so the part that matters shrinks like $1/\sqrt n$. Every layer adds $k-1$ pixels to it:
# {glue:text}`field_step:d` for a 3-tap kernel, not the kernel's size.

# %%
depths = np.unique(np.geomspace(4, p.max_depth, 12).astype(int))
stacks = {k: [theory.predict_uniform_distribution(n, k) for n in depths] for k in p.kernels}
exact = {k: np.array([theory.measure_erf_variance(q[None]) for q in stacks[k]]) ** 0.5 for k in p.kernels}
radius = {k: np.array([theory.predict_radius(int(n), k) for n in depths]) for k in p.kernels}
first = p.kernels[0]
ratios = exact[first] / (depths * (first - 1) + 1)
run.report("radius_error", max(abs(exact[k] / radius[k] - 1).max() for k in p.kernels))
run.report("radius_slope", theory.fit_log_slope(depths, exact[first]))
run.report("ratio_slope", theory.fit_log_slope(depths[-4:], ratios[-4:]))
taps = range(3, 12, 2)
run.report("kernel_slope", theory.fit_log_slope(taps, [theory.predict_radius(20, k) for k in taps]))
run.report("field_step", theory.receptive_field_size([theory.Layer(3)] * 6) - theory.receptive_field_size([theory.Layer(3)] * 5));

# %% mystnb={"figure": {"name": "fig-erf-radius", "caption": "Standard deviation of the exact coefficients (points) and equation 11 (lines). The radius grows as $\\sqrt n$ (slope {glue:text}`radius_slope:.3f`), and relative to the theoretical receptive field it shrinks (slope {glue:text}`ratio_slope:.3f` over the deepest four)."}, "image": {"alt": "Two log-log panels. For every kernel size the radius rises along a line of slope one half, and its ratio to the theoretical receptive field falls along slopes that approach minus one half."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2)
plots.plot_erf_radius(axes, depths, exact, radius);

# %% [markdown]
# (sec-fb-limit)=
# ## The Gaussian limit, and in which sense
#
# **The distribution function converges at the rate $n^{-1/2}$, and the reason is the pixel grid, not the shape.**
# $S_n$ has the Gaussian's mean and variance, so compare the two through the Kolmogorov distance
# $\Delta_n = \sup_z |P(S_n \le \mathbb E S_n + z\sigma_n) - \Phi(z)|$. The Berry-Esseen theorem
# {cite}`berry1941,esseen1942` bounds it and Esseen's lattice expansion gives its limit for a
# lattice of spacing $h$ ({cite:t}`shevtsova2011` for the constant):
#
# $$
# \begin{aligned}
# \Delta_n &\le 0.4748\, \frac{\mathbb E |X - \mathbb E X|^3}{\sigma^3 \sqrt n}, \\
# \sqrt n\, \Delta_n &\to \frac{1}{\sqrt{2\pi}} \Big( \frac{|\gamma|}{6} + \frac{h}{2\sigma} \Big),
# \end{aligned}
# $$ (eq-fb-berry-esseen)
#
# with $\sigma$ and $\gamma$ the standard deviation and skewness of one draw. A symmetric kernel keeps only the
# second term: half the height of the largest step of a distribution that lives on pixels.

# %%
dice = {f"k = {k}": np.full(k, 1 / k) for k in p.kernels} | {"skewed": np.array([0.8, 0.15, 0.05])}
limit = {name: (theory.predict_convergence(die, depths), theory.predict_kolmogorov_limit(die)) for name, die in dice.items()}
uniform = theory.predict_convergence([1 / 3] * 3, depths)
gaps = theory.predict_convergence([0.5, 0, 0.5], depths)  # weight on the outer taps only
large = depths >= 16  # below, higher orders bend the line
run.report("kolmogorov_slope", theory.fit_log_slope(depths[large], uniform.distance[large]))
run.report("kolmogorov_deepest", uniform.distance[-1])
run.report("berry_esseen_share", max((r.distance / r.bound).max() for r, _ in limit.values()))
run.report("limit_error", max(abs(r.distance[-1] * depths[-1] ** 0.5 / c - 1) for r, c in limit.values()))
run.report("local_slope", theory.fit_log_slope(depths[large], uniform.local[large]))
run.report("gap_kernel_local", gaps.local[-1])
run.report("variation_deepest", uniform.variation[-1]);

# %% mystnb={"figure": {"name": "fig-gaussian-limit", "caption": "Left: exact Kolmogorov distance (points), its limit law (solid) and the Berry-Esseen bound (dotted). The fitted slope for $k = 3$ is {glue:text}`kolmogorov_slope:.3f`, and no distance exceeds {glue:text}`berry_esseen_share:.0%` of its bound. Right: single pixels of a kernel of ones converge faster, with slope {glue:text}`local_slope:.2f`; a kernel with a gap never converges pixel by pixel."}, "image": {"alt": "Two log-log panels. Kolmogorov distances of five kernels fall with slope minus one half on their limit lines and below their bounds. For three uniform taps the local and total variation distances fall with slope minus one, while the local distance of a kernel with a gap stays at one."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2, height=3.2)
plots.plot_gaussian_limit(axes, limit, uniform, gaps);

# %% [markdown]
# "In distribution" is therefore not a technicality. For a kernel of ones the deviation at single pixels vanishes even faster. For a
# kernel whose middle tap is zero every second pixel stays at exactly 0 and its neighbours at twice the Gaussian:
# the deviation is {glue:text}`gap_kernel_local:.2f` of the peak at every depth. And far from the centre no kernel is
# Gaussian: the field ends at a pixel, the Gaussian does not.

# %%
tail = theory.predict_uniform_distribution(40, 3)
ratio, two_sigma = theory.tail_ratio(tail), int(2 * theory.predict_radius(40, 3))
run.report("bulk_ratio_error", abs(ratio[40 - two_sigma : 41 + two_sigma] - 1).max())
run.report("corner_ratio", ratio[0])
standard = {f"k = {k}, n = {n}": (theory.predict_uniform_distribution(n, k), theory.predict_radius(n, k)) for k, n in ((2, 4), (3, 4), (3, 40))}
curves = {name: ((np.arange(len(q)) - (len(q) - 1) / 2) / s, q * s) for name, (q, s) in standard.items()}

# %% mystnb={"figure": {"name": "fig-coefficients", "caption": "Left: coefficients in units of their standard deviation fall on one Gaussian already at few layers. Right: 40 layers of three taps. Within two standard deviations the ratio to the Gaussian is 1 to within {glue:text}`bulk_ratio_error:.1%`; at the edge of the theoretical field it is {glue:text}`corner_ratio:.1g`."}, "image": {"alt": "Left, rescaled coefficients of three stacks lie on the Gaussian curve. Right, in log scale, exact values follow the Gaussian near the centre and fall many orders of magnitude below it towards the edge."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2)
plots.plot_coefficients(axes, curves, (tail, theory.gaussian_density(tail)));

# %% [markdown]
# Depth alone does not make a Gaussian: no single layer may dominate the sum. Ten layers of two taps with
# stride 2 throw dice of sizes $1, 2, 4, \dots$, and their sum is exactly uniform, as at any depth; its Kolmogorov distance stays at
# {glue:text}`doubling_distance:.3f`. Nor do the layers have to share their weights, as the paper's first remark
# has it: mixing kernels of 2, 3, 5 and 7 taps reaches {glue:text}`mixed_distance:.4f` at the same number of layers as the deepest stack above.

# %%
doubling = theory.predict_gradient_power([theory.Layer(2, stride=2)] * 10).sum(axis=0)
mixed = functools.reduce(np.convolve, [theory.predict_uniform_distribution(p.max_depth // 4, k) for k in (2, 3, 5, 7)])
run.report("doubling_distance", theory.kolmogorov_distance(doubling))
run.report("mixed_distance", theory.kolmogorov_distance(mixed));

# %% [markdown]
# (sec-fb-random)=
# ## Random weights
#
# **With independent zero-mean weights the gradient is zero on average and its power spreads like a kernel of ones.** One layer down,
#
# $$
# g(i,j,p-1) = \sum_{a,b} w^p_{ab}\; g(i+a,\, j+b,\, p) .
# $$ (eq-fb-backprop)
#
# The weights of layer $p$ are independent of everything above it, so the mean vanishes,
#
# $$
# \mathbb E[g(i,j,p-1)] = \sum_{a,b} \mathbb E[w^p_{ab}]\, \mathbb E[g(i+a,j+b,p)] = 0 ,
# $$ (eq-fb-mean)
#
# and in the square all cross terms vanish, because $\mathbb E[w_{ab} w_{a'b'}] = 0$ for different taps. What is left is
#
# $$
# \mathbb E[g(i,j,p-1)^2] = C \sum_{a,b} \mathbb E[g(i+a,j+b,p)^2] ,
# $$ (eq-fb-power)
#
# the recursion of the stack of ones times $C$ per layer: the same shape with a factor $C^n$. We write second moments where the paper writes
# variances. Below the top they are equal; at the top $g$ is the constant 1 with variance 0, and a recursion of
# variances would stay at {glue:text}`power_from_variance:.0f`. Averaging over every network with weights $\pm 1$ checks both equations without sampling.

# %%
mean, power = theory.enumerate_gradient(4)  # all 4096 networks of four 3-tap layers
run.report("mean_error", abs(mean).max())
run.report("power_error", abs(power - theory.extended_binomial_coefficients(4, 3)).max())
run.report("power_from_variance", theory.propagate_power(np.zeros((4, 4)), np.ones((3, 3))).sum())
scaled, unit = (theory.predict_gradient_power([theory.Layer(3)] * 8, gain=gain) for gain in (1.7, 1.0))
run.report("constant_factor_error", abs(scaled / (1.7**8 * unit) - 1).max());

# %% [markdown]
# Equation {eq}`eq-fb-backprop` is the gradient of a layer that *convolves*. Frameworks correlate instead, and then the
# indices read $i-a, j-b$; the sources use both conventions. The definition of a gradient, $\langle g, w * x \rangle =
# \langle \text{backprop}(g), x \rangle$ for every $x$, tells them apart, while the statistics of equal independent taps do not.

# %%
run.report("backprop_error", theory.measure_adjoint_defect("convolution", forward="convolution"))
run.report("backprop_mixed_error", theory.measure_adjoint_defect("correlation", forward="convolution"));

# %% [markdown]
# (sec-fb-relu)=
# ## What ReLU does
#
# **The shape stays; the factor per layer is $\mathbb E[\sigma'^2] = 1/2$, not the $1/4$ that the paper prints.** With the activation before
# the convolution, as in the paper,
#
# $$
# g(i,j,p-1) = \sigma'\!\big(x^{p-1}_{ij}\big) \sum_{a,b} w^p_{ab}\; g(i+a,\, j+b,\, p) .
# $$ (eq-fb-activation)
#
# The derivative of ReLU is the indicator of $x > 0$. An indicator is its own square, so for a symmetric $x$
#
# $$
# \begin{aligned}
# \mathbb E[\sigma'^2] &= \mathbb E[\sigma'] = P(x > 0) = \tfrac12, \\
# \operatorname{Var}[\sigma'] &= \tfrac12 - \tfrac14 = \tfrac14 .
# \end{aligned}
# $$ (eq-fb-relu)
#
# The paper needs the first and equates it with the second. It also assumes that $\sigma'$ is independent of the
# gradient. That is not needed, nor are wide layers. Build the network from the input up, without biases and with weights (and inputs) as
# likely as their negatives. Averaged over the weights above, the power is a sum over pixels of $\sigma'^2 (\partial x / \partial x^0)^2$; turn the sign of the kernel
# that makes a pixel, and its $\sigma'$ switches between 0 and 1 while the square of its derivative stays. Each
# layer therefore contributes exactly $\tfrac12$, and the *average* of $g^2$ keeps the shape of the linear network exactly, at
# any width. The check averages over every sign of every weight and input of a three-layer network; nothing is sampled.

# %%
_, power = theory.enumerate_gradient(3, relu=True)
run.report("relu_factor_exact", (power.sum() / 3**3) ** (1 / 3))  # C k = 3 a layer
run.report("relu_shape_error", abs(power / power.sum() - theory.predict_uniform_distribution(3, 3)).max())
_, second, spread = map(float, theory.relu_derivative_moments())
run.report("relu_second_moment", second)
run.report("relu_variance", spread);

# %% [markdown]
# Random networks with normal weights and He's initialisation, $C k^2 = 2$ {cite}`heinit2015`, show what hangs on it. With
# $1/2$ the gradient's power is the same at every depth, which is what that initialisation was made for; with $1/4$ it would
# halve at every layer.

# %%
runs = {n: theory.measure_gradient_power(n, channels=p.channels, n_networks=p.n_networks, seed=p.seed + n) for n in p.random_depths}
last = max(runs)
total, error = runs[last].total, 1.96 * runs[last].total_error
run.report("relu_factor", total ** (1 / last) / 2, low=max(total - error, 0) ** (1 / last) / 2, high=(total + error) ** (1 / last) / 2, n=p.n_networks)
run.report("relu_width_ratio", theory.measure_erf_variance(runs[last].mean[None]) ** 0.5 / theory.predict_radius(last, 3))
run.report("n_networks", p.n_networks)
run.report("relu_paper_power", theory.predict_total_power(last, derivative_power=0.25));


# %% mystnb={"figure": {"name": "fig-relu-factor", "caption": "Left: power of the input gradient of random ReLU networks (points, 95 % intervals, n = {glue:text}`n_networks:d` networks per depth): constant, as $\\mathbb E[\\sigma'^2] = 1/2$ predicts; the paper's factor would leave {glue:text}`relu_paper_power:.1g` of it at the right end. Right: its shape is that of the linear network (line); the width is {glue:text}`relu_width_ratio:.3f` of the predicted one."}, "image": {"alt": "Left, total gradient power of random ReLU networks stays at one at all depths while the paper's factor predicts a steep fall. Right, the measured profile of squared gradients follows the predicted bell."}} tags=["hide-input"]
fig, axes = plots.figure(1, 2)
plots.plot_relu_factor(axes, runs, [theory.predict_total_power(n, derivative_power=0.25) for n in runs], theory.predict_uniform_distribution(last, 3));

# %% [markdown]
# For tanh and sigmoid the paper argues that small initial weights keep them in their linear region. With unit-variance
# input and Xavier's initialisation {cite}`glorot2010`, mean-field theory (many channels) says how far: the squared
# slope relative to the one at zero starts at {glue:text}`tanh_linearity_first:.2f` for tanh, because the input is not small, and
# reaches {glue:text}`tanh_linearity_last:.2f` after 20 layers; sigmoid stays between {glue:text}`sigmoid_linearity_first:.2f` and
# {glue:text}`sigmoid_linearity_last:.2f`. The factor is the same for every pixel of a layer, so the shape is unaffected by it.

# %%
for name in ("tanh", "sigmoid"):
    linearity = theory.predict_mean_field(name, 20).linearity
    run.report(f"{name}_linearity_first", linearity[0])
    run.report(f"{name}_linearity_last", linearity[-1])

# %% [markdown]
# (sec-fb-architectures)=
# ## Dropout, subsampling, dilation, skip connections
#
# **All four are one formula: the variance of a sum of independent steps.** The paper leaves these cases to an
# appendix; what follows is our own derivation. Going down through layer $l$ the gradient's power moves by one tap, whose length in input pixels is
# the dilation $a_l$ times the product of the strides below:
#
# $$
# \operatorname{Var}[S] = \sum_{l=1}^{n} q_l\; a_l^2\, \frac{k_l^2-1}{12}\; \Big( \prod_{i<l} s_i \Big)^{2} .
# $$ (eq-fb-steps)
#
# - **Subsampling** by $s_l$ puts $s_l-1$ zeros between the gradients below it, so the steps of every layer above become $s_l$ times as long.
# - **Dilation** $a_l$ spreads the taps of its own layer. Steps commute, so it does not matter which layer is dilated; for a stride it does.
# - **A skip connection** $y = x + w * x$ offers a choice. Power goes straight down with weight 1 or through the convolution with weight
#   $r = C k^2$; cross terms vanish as before. A step is made with probability $q_l = r/(1+r)$, for a plain layer $q_l = 1$.
# - **Dropout** with scaling $1/\text{keep}$ multiplies a layer's power by $\mathbb E[(\text{mask}/\text{keep})^2] = 1/\text{keep}$ at every
#   pixel alike: no change of shape. Inside a skip connection it raises $r$ to $r/\text{keep}$, and the field widens a little, which the paper does not say.
#
# With skip connections the two axes share their choice, so a map is no longer a product of two
# profiles, and the recursion runs in two dimensions.

# %%
stacks = theory.example_stacks(15)
powers = {name: theory.predict_gradient_power(layers) for name, layers in stacks.items()}
variances = {name: theory.predict_erf_variance(layers) for name, layers in stacks.items()}
skip_dropout = theory.predict_erf_variance([theory.Layer(3, residual=True, keep=0.5)] * 15)
run.report("variance_error", max(abs(theory.measure_erf_variance(powers[n]) / variances[n] - 1) for n in stacks))
run.report("dropout_shape_error", abs(powers["dropout"] / powers["dropout"].max() - powers["plain"] / powers["plain"].max()).max())
run.report("dropout_skip_ratio", (skip_dropout / variances["skip"]) ** 0.5)
run.report("skip_ratio", (variances["skip"] / variances["plain"]) ** 0.5);

# %% [markdown]
# Where the paper's three strides sit it does not say; over all {glue:text}`n_placements:d` placements among 15 layers, $\sigma$
# grows by {glue:text}`subsample_ratio_least:.2f` to {glue:text}`subsample_ratio_most:.2f` times. Three dilations of 2, 4 and 8 give
# {glue:text}`dilation_ratio:.2f` times wherever they are; three more plain layers would give {glue:text}`three_layers_ratio:.2f`.
# One dilation by 8 carries most of that variance, so the sum is not yet Gaussian: its excess kurtosis is
# {glue:text}`dilation_kurtosis:.2f`, more than halfway to a box ($-1.2$), against {glue:text}`plain_kurtosis:.2f` for the plain
# stack. That is the "rectangular" look of the paper's dilation figure. Skip connections with $r = 1$ halve the variance: $\sigma$ is
# {glue:text}`skip_ratio:.3f` of the plain stack's, and dropping half of the inputs brings it up {glue:text}`dropout_skip_ratio:.3f` times.

# %%
ratios = theory.predict_subsampling(15, 3)
run.report("n_placements", len(ratios))
run.report("subsample_ratio_least", ratios.min())
run.report("subsample_ratio_most", ratios.max())
run.report("dilation_ratio", (variances["dilation"] / variances["plain"]) ** 0.5)
run.report("three_layers_ratio", theory.predict_radius(18, 3) / theory.predict_radius(15, 3))
run.report("dilation_kurtosis", theory.predict_erf_kurtosis(stacks["dilation"]))
run.report("plain_kurtosis", theory.predict_erf_kurtosis(stacks["plain"]));

# %% mystnb={"figure": {"name": "fig-architectures", "caption": "Predicted maps of E|g| for 15 layers of 3 x 3, nothing sampled: plain, with half of the inputs dropped, with skip connections, with three strides of 2 and with three dilations of 2, 4 and 8, at layers 4, 8 and 12 (chosen by us). Dropout changes nothing, subsampling and dilation widen the field, skip connections narrow it. Last panel: cuts through the centre."}, "image": {"alt": "Five heat maps on one scale and one panel of profiles. Dropout equals the plain stack. Skip connections give a smaller spot than the plain stack; dilation and subsampling give larger ones, the dilated one flat-topped and squarish."}} tags=["hide-input"]
fig, axes = plots.figure(2, 3)
plots.plot_architectures(axes, {name: (np.sqrt(power), theory.predict_size(power, statistic="abs")) for name, power in powers.items()});

# %% [markdown]
# (sec-fb-size)=
# ## What "two standard deviations" measures
#
# **The paper's threshold holds two sigma of mass, but lies at {glue:text}`radius_at_threshold:.2f` sigma of distance.** Its figure 2 counts the pixels above
# $1 - 95.45\,\% = 4.55\,\%$ of the centre and calls that two standard deviations. At two standard deviations a Gaussian
# is {glue:text}`height_at_two_sigma:.1%` of its peak; 4.55 % is the mass beyond them, and a height only at
# $r = \sigma \sqrt{2 \ln (1/0.0455)}$. In two dimensions the number still fits: the share of a round Gaussian's mass outside radius $r$ is $e^{-r^2/2\sigma^2}$, its height
# there, so the counted region holds 95.45 % of the mass (exact map of 40 layers: {glue:text}`mass_above_threshold:.2%`). The square root of its area is
#
# $$
# \sqrt{\pi}\, r = \sigma \sqrt{2 \pi \ln (1/0.0455)} = 4.41\, \sigma ,
# $$ (eq-fb-size)
#
# and $\sigma$ depends on the {term}`statistic`: for Gaussian shapes $\mathbb E|g| \propto \sqrt{\mathbb E[g^2]}$, so averaging $|g|$ gives a width $\sqrt 2$ times
# that of averaging $g^2$. Neither choice moves a slope in the limit.

# %%
field = theory.predict_gradient_power([theory.Layer(3)] * 40)
run.report("height_at_two_sigma", math.exp(-2))
cut = run.report("radius_at_threshold", math.sqrt(2 * math.log(1 / theory.TWO_SIGMA_TAIL)))
run.report("mass_above_threshold", field[field > theory.TWO_SIGMA_TAIL * field.max()].sum() / field.sum())
run.report("size_in_sigma", theory.predict_gaussian_size(1.0))
run.report("size_share", theory.predict_size(field) / field.shape[0]);

# %% mystnb={"figure": {"name": "fig-threshold", "caption": "Height of a round Gaussian against distance. The paper's threshold cuts at {glue:text}`radius_at_threshold:.2f` standard deviations, not at 2, where the height is {glue:text}`height_at_two_sigma:.1%`."}, "image": {"alt": "A Gaussian curve falls with distance. At two standard deviations it still stands clearly above the paper's threshold, which it crosses further out."}} tags=["hide-input"]
fig, ax = plots.figure(width=5)
plots.plot_threshold(ax, at_two_sigma=math.exp(-2), threshold=theory.TWO_SIGMA_TAIL, radius=cut);

# %% [markdown]
# (sec-fb-errata)=
# ## What the paper and the poster got wrong
#
# None of these changes the paper's conclusions, and each of them has a check; the [errata page](../errata.md) collects them.
#
# 1. **Section 2.4**: $\mathbb E[\sigma'^2] = \operatorname{Var}[\sigma'] = 1/4$. The second moment is 1/2 (enumerated: {glue:text}`relu_factor_exact:.4f`), only the variance is 1/4.
# 2. **Poster, inverse transform**: without $e^{j\omega t}$ it misses the coefficients by up to {glue:text}`poster_inverse_error:.0f`; its right side does not depend on $t$.
# 3. **Equation 11, first expression**: in the text version we worked from the square root ends before the squared mean, which gives {glue:text}`radius_printed:.2f` px instead of
#    {glue:text}`radius_right:.2f` px for one 3-tap layer. The result, $\sqrt{n(k^2-1)/12}$, is right.
# 4. **Equation 12**: $\sigma'$ carries the index of layer $p$, but belongs to the pixels of layer $p-1$. In one-layer ReLU networks the
#    right index gives the true gradient in {glue:text}`activation_right:.0%` of the draws, the printed one in {glue:text}`activation_printed:.0%`.
# 5. **Equation 8** propagates variances from the top, where the gradient is a constant of variance 0. Second moments make it right.
# 6. **Section 2**: the gradient is set to zero "for all $i \ne 0$ and $j \ne 0$". It must be for all $(i,j) \ne (0,0)$; as printed, {glue:text}`unset_gradients:d` of 25 pixels of a $5 \times 5$ output are left open.
# 7. **Introduction**: a layer adds $k-1$ pixels to the theoretical receptive field ({glue:text}`field_step:d` for 3 taps), not the kernel size.
# 8. **Section 3.1**: the threshold of 4.55 % of the centre lies at {glue:text}`radius_at_threshold:.2f` standard deviations, not at 2.
# 9. **Section 2.3**: equation 10 is said to need $w(m) > 0$; zero taps are fine (deviation {glue:text}`zero_tap_error:.1g`). Negative ones are not:
#    one repeated kernel $(-\frac14, \frac32, -\frac14)$ has sum 1 and "variance" {glue:text}`negative_variance:.2f` per layer, so no Gaussian belongs to it.
#    With weights that differ from layer to layer only their squares matter, and signs are harmless.
# 10. **Remark 1** asks for equal weights in all layers. Not needed; what is needed is that no layer dominates, and stride 2 in every layer breaks that (distance {glue:text}`doubling_distance:.3f` at any depth).
# 11. **Section 2.5**: dropout inside a skip connection does change the shape: $\sigma$ grows {glue:text}`dropout_skip_ratio:.3f` times.

# %%
right, printed = theory.measure_activation_index(seed=p.seed)
run.report("activation_right", right)
run.report("activation_printed", printed)
run.report("radius_printed", theory.radius_as_printed(1, 3))
run.report("radius_right", theory.predict_radius(1, 3))
run.report("unset_gradients", theory.count_unset_gradients(5))
run.report("zero_tap_error", abs(theory.predict_distribution([0.5, 0, 0.5], 6)[::2] - theory.predict_uniform_distribution(6, 2)).max())
run.report("negative_variance", theory.predict_moments([-0.25, 1.5, -0.25], 1)[1]);

# %% [markdown]
# ## What would refute this
#
# One differing integer between the recurrence and the packed power, a Kolmogorov distance above its bound, or a slope away from $-1/2$ would refute
# the first half. The second half stands on independence and zero mean of the weights: correlated or trained weights, batch
# normalisation or borders that cut the field are outside it. The factor of ReLU would be refuted by an enumeration that does not
# give 1/2; a simulated interval that excludes it would mean that the normal weights' heavy tails beat the number of networks.
#
# ## Summary
#
# - The influence of the input on a unit of a stack of ones is an extended binomial distribution, exactly; under random weights the mean square of the gradient has the same shape.
# - The Gaussian is approached at $n^{-1/2}$ in distribution (fitted {glue:text}`kolmogorov_slope:.3f`), never in the corners, and only if no layer dominates.
# - The radius grows as $k \sqrt n$ and occupies a share of the theoretical field that falls as $1/\sqrt n$.
# - ReLU halves the gradient's power per layer and keeps its average shape exactly; the paper's 1/4 is wrong.
# - Subsampling, dilation, skip connections and dropout are one sum of variances.

# %%
run.finish()
