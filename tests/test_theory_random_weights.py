"""Equations 6 to 8 and 12: gradients against their definition, power against enumeration."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, signal, stats
from theory_oracles import rejects

from erfbook import theory


def adjoint_error(backward, mode):
    """Return <g, layer(x)> - <backward(g), x> for random g, x and kernel."""
    rng = np.random.default_rng(1)
    w, g, x = (rng.standard_normal(shape) for shape in ((3, 3), (5, 6), (7, 8)))
    layer = signal.convolve2d if mode == "convolution" else signal.correlate2d
    return abs((layer(x, w, mode="valid") * g).sum() - (backward(g, w) * x).sum())


@pytest.mark.parametrize("mode", ["convolution", "correlation"])
def test_backpropagation_is_the_adjoint_of_the_layer(mode):
    """luo eq. 6: the definition of a gradient, for both conventions of a layer."""
    other = {"convolution": "correlation", "correlation": "convolution"}[mode]

    def check(backward):
        assert adjoint_error(backward, mode) < 1e-12  # 270 products of size about 1

    check(lambda g, w: theory.backpropagate(g, w, forward=mode))
    rejects(check, lambda g, w: theory.backpropagate(g, w, forward=other))


def sign_networks(depth, kernel):
    """Return every 1-D network whose weights are +1 or -1, as (networks, depth, kernel)."""
    signs = itertools.product([-1.0, 1.0], repeat=depth * kernel)
    return np.array(list(signs)).reshape(-1, depth, kernel)


def test_mean_gradient_is_zero_over_all_sign_networks():
    """luo eq. 7: and not zero where the weights have a mean."""
    networks = sign_networks(3, 3)
    mean = np.mean([np.convolve(np.convolve(a, b), c) for a, b, c in networks], axis=0)
    predicted = np.ones((1, 1))
    for _ in range(3):
        predicted = theory.propagate_mean(predicted, np.zeros((3, 3)))
    assert np.array_equal(predicted[0], mean)
    shifted = networks + 0.5
    mean = np.mean([np.convolve(np.convolve(a, b), c) for a, b, c in shifted], axis=0)
    predicted = np.ones((1, 1))
    for _ in range(3):
        predicted = theory.propagate_mean(predicted, np.full((1, 3), 0.5))
    assert np.allclose(predicted[0], mean, atol=1e-12)


def test_power_is_the_average_over_all_sign_networks():
    """luo eq. 8: with variances that differ from tap to tap, and from layer to layer."""
    scales = np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 3.0], [1.0, 0.0, 1.0]])
    networks = sign_networks(3, 3) * scales
    square = np.mean([np.convolve(np.convolve(a, b), c) ** 2 for a, b, c in networks], axis=0)

    def check(propagate):
        power = np.ones((1, 1))
        for scale in scales:  # np.convolve is commutative and unturned, so turn the kernels
            power = propagate(power, (scale[None, ::-1]) ** 2)
        assert np.allclose(power[0], square, rtol=1e-12)

    check(theory.propagate_power)
    rejects(check, lambda power, variance: theory.propagate_power(power, np.sqrt(variance)))
    # variances instead of second moments: the top's variance is 0 and stays 0
    rejects(check, lambda power, variance: theory.propagate_power(0 * power, variance))


def test_activation_factor_belongs_to_the_layer_below():
    """luo eq. 12: against finite differences of x(1) = w * relu(x(0)), two-dimensional."""
    rng = np.random.default_rng(3)
    w, g, x = (rng.standard_normal(shape) for shape in ((3, 3), (4, 4), (6, 6)))

    def loss(pixels):
        return (signal.convolve2d(np.maximum(pixels, 0), w, mode="valid") * g).sum()

    step = 1e-6
    numeric = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        h = np.zeros_like(x)
        h[index] = step
        numeric[index] = (loss(x + h) - loss(x - h)) / (2 * step)
    layer = signal.convolve2d(np.maximum(x, 0), w, mode="valid")

    def check(derivative):
        # piecewise linear: only rounding, 1e-16 * |loss| / step
        assert np.abs(theory.backpropagate_activation(g, w, derivative) - numeric).max() < 1e-8

    check((x > 0).astype(float))
    rejects(check, np.pad((layer > 0).astype(float), 1))  # the index that the paper prints


def test_relu_derivative_moments_are_scipys_bernoulli():
    for chance in (Fraction(1, 2), Fraction(1, 5)):
        mean, second, variance = theory.relu_derivative_moments(chance)
        law = stats.bernoulli(float(chance))
        assert float(mean) == pytest.approx(law.mean())
        assert float(second) == pytest.approx(law.moment(2))
        assert float(variance) == pytest.approx(law.var())
    assert theory.relu_derivative_moments() == (Fraction(1, 2), Fraction(1, 2), Fraction(1, 4))


def all_sign_power(depth):
    """Average g^2 of 1-D ReLU networks over every sign of every weight and input."""
    length = 2 * depth + 1
    bits = np.array(list(itertools.product([-1.0, 1.0], repeat=3 * depth + length)))
    weights = bits[:, : 3 * depth].reshape(-1, depth, 3).swapaxes(0, 1)[..., None, None]
    inputs = bits[:, None, 3 * depth :] * np.sqrt([2, 3, 5, 7, 11, 13, 17][:length])
    return (theory.input_gradient(inputs, weights)[:, 0] ** 2).mean(axis=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_relu_halves_the_power_and_keeps_the_shape_exactly(depth):
    power = all_sign_power(depth)
    shape = theory.predict_uniform_distribution(depth, 3)

    def check(factor):
        # sums of 2^16 small integers over 2^16: exact up to the last rounding
        assert np.allclose(power, (3 * factor) ** depth * shape, rtol=1e-13)

    check(float(theory.relu_derivative_moments()[1]))
    rejects(check, 0.25)  # the paper's factor


def test_total_power_is_constant_under_he_initialisation():
    assert theory.predict_total_power(50) == 1.0
    assert theory.predict_total_power(3, gain=1.0) == 0.125


def test_input_gradient_is_the_finite_difference():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 7))
    weights = rng.standard_normal((3, 2, 3, 3, 3))
    gradient = theory.input_gradient(x, weights)
    for channel, t in ((0, 0), (1, 3), (2, 6)):
        h = np.zeros_like(x)
        h[:, channel, t] = 1e-6
        up, down = (theory.run_network(x + s * h, weights)[-1][:, 0, 0] for s in (1, -1))
        assert np.allclose(gradient[:, channel, t], (up - down) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("relu", [True, False])
def test_random_networks_have_the_predicted_power(relu):
    """Within 4 standard errors of the total, at a fixed seed."""
    gain = 2.0 if relu else 1.0
    run = theory.measure_gradient_power(6, n_networks=600, relu=relu, gain=gain, seed=5)

    def check(total):
        assert abs(run.total - total) < 4 * run.total_error

    check(theory.predict_total_power(6, gain=gain, derivative_power=0.5 if relu else 1.0))
    rejects(check, theory.predict_total_power(6, gain=gain, derivative_power=0.25))
    assert run.mean.shape == (13,)
    assert run.n_zero == 0


def test_narrow_relu_networks_may_have_no_gradient_at_all():
    run = theory.measure_gradient_power(8, channels=1, n_networks=500, seed=1)
    assert 0 < run.n_zero < 500


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_mean_field_is_the_gaussian_integral(activation):
    value = np.tanh if activation == "tanh" else lambda x: 1 / (1 + np.exp(-x))
    at_zero = 1.0 if activation == "tanh" else 0.25
    got = theory.predict_mean_field(activation, 3, gain=1.3)

    def slope(x):
        return 1 - value(x) ** 2 if activation == "tanh" else value(x) * (1 - value(x))

    q = 1.0
    for layer in range(3):
        density = stats.norm(0, np.sqrt(q)).pdf
        power = integrate.quad(lambda x, f=density: slope(x) ** 2 * f(x), -12, 12)[0]
        assert got.variances[layer] == pytest.approx(q, rel=1e-6)
        assert got.derivative_powers[layer] == pytest.approx(power, rel=1e-6)
        assert got.linearity[layer] == pytest.approx(power / at_zero**2, rel=1e-6)
        q = 1.3 * integrate.quad(lambda x, f=density: value(x) ** 2 * f(x), -12, 12)[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="forward must be one of convolution, correlation"):
        theory.backpropagate(np.ones((2, 2)), np.ones((3, 3)), forward="conv")
    with pytest.raises(ValueError, match="weight_variance must not be negative"):
        theory.propagate_power(np.ones((2, 2)), -np.ones((3, 3)))
    with pytest.raises(ValueError, match="positive must be a probability"):
        theory.relu_derivative_moments(Fraction(3, 2))
    with pytest.raises(ValueError, match="n_networks must be an integer of at least 2, not 1"):
        theory.measure_gradient_power(3, n_networks=1)
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, sigmoid, not 'elu"):
        theory.predict_mean_field("elu", 3)
