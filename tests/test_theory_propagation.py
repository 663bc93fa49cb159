"""Exact power maps of any stack: against enumeration, sampling and closed forms."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from theory_oracles import jacobian_row, rejects

from erfbook import theory
from erfbook.theory import Layer


@st.composite
def stacks(draw, most=5):
    layers = []
    for _ in range(draw(st.integers(1, most))):
        residual = draw(st.booleans())
        kernel = draw(st.sampled_from([1, 3, 5] if residual else [1, 2, 3, 4]))
        stride = 1 if residual else draw(st.integers(1, 3))
        dilation = draw(st.integers(1, 3))
        keep = draw(st.sampled_from([1.0, 0.5, 0.8]))
        layers.append(Layer(kernel, stride, dilation, residual, keep))
    return layers


def support(layers):
    """Return the side of the gradient of a network of positive weights, by walking through it."""
    return jacobian_row(layers, [np.ones((layer.kernel, layer.kernel)) for layer in layers]).shape[
        0
    ]


@settings(max_examples=60, deadline=None)
@given(stacks(most=3))
def test_field_is_the_gradients_support(layers):
    def check(size):
        assert size(layers) == support(layers)

    check(theory.receptive_field_size)
    rejects(check, lambda s: theory.receptive_field_size(s) + 1)


def test_field_size_rejects_strides_applied_to_their_own_layer():
    def check(size):
        assert size([Layer(3, stride=2), Layer(3)]) == support([Layer(3, stride=2), Layer(3)])

    def too_early(layers):
        jump, size = 1, 1
        for layer in layers:
            jump *= layer.stride
            size += (layer.reach - 1) * jump
        return size

    check(theory.receptive_field_size)
    rejects(check, too_early)


def test_power_of_any_stack_is_the_average_over_all_signs():
    """Every sign of 2 x 2 weights in a strided, a dilated and a plain layer: 4096 networks."""
    layers = [Layer(2, stride=2), Layer(2, dilation=2), Layer(2)]
    total = 0.0
    for signs in itertools.product([-1.0, 1.0], repeat=12):
        total = total + jacobian_row(layers, list(np.array(signs).reshape(3, 2, 2))) ** 2
    exact = total / 2**12  # weights of variance 1 = gain / kernel^2 with gain 4

    def check(stack):
        power = theory.predict_gradient_power(stack, gain=4.0)
        assert power.shape == exact.shape
        assert np.allclose(power, exact, rtol=1e-12)

    check(layers)
    rejects(check, layers[::-1])  # from the output down
    rejects(check, [Layer(2), Layer(2, dilation=3), Layer(2, dilation=2)])  # as large, else shaped


def test_power_with_skip_connection_and_dropout_is_the_average_over_signs_and_masks():
    """One residual 3 x 3 layer over nine masked inputs (all 512 masks), then its weights' power."""
    layer = Layer(3, residual=True, keep=0.5)
    weights = np.random.default_rng(0).choice([-1.0, 1.0], size=(40, 3, 3))
    weights = np.concatenate([weights, -weights])  # exact mean zero, squares all 1
    total = 0.0
    for bits in itertools.product([0.0, 2.0], repeat=9):
        mask = np.array(bits).reshape(3, 3)
        rows = np.array([jacobian_row([layer], [w], [mask]) for w in weights])
        total = total + (rows**2).mean(axis=0)
    got = theory.predict_gradient_power([layer], gain=9.0)
    assert np.allclose(got, total / 2**9, rtol=1e-12)
    with pytest.raises(AssertionError):
        assert np.allclose(
            theory.predict_gradient_power([Layer(3, residual=True)], gain=9.0), total / 2**9
        )


def test_power_of_a_deep_mixed_stack_is_that_of_sampled_networks():
    """1500 networks of normal weights: the total and the row profile within 4 standard errors."""
    layers = [Layer(3, stride=2), Layer(3, residual=True), Layer(3, dilation=2)]
    rng = np.random.default_rng(7)
    maps = np.array(
        [jacobian_row(layers, list(rng.standard_normal((3, 3, 3)) / 3)) ** 2 for _ in range(1500)]
    )
    profiles = maps.sum(axis=1)
    error = profiles.std(axis=0, ddof=1) / math.sqrt(len(maps))

    def check(power):
        assert (np.abs(profiles.mean(axis=0) - power.sum(axis=0)) <= 4 * error + 1e-12).all()

    check(theory.predict_gradient_power(layers))
    rejects(check, 1.5 * theory.predict_gradient_power(layers))


def test_plain_stack_is_the_extended_binomial_in_both_axes():
    for kernel, depth in ((2, 7), (3, 10)):
        row = theory.predict_uniform_distribution(depth, kernel)
        got = theory.predict_gradient_power([Layer(kernel)] * depth)
        assert np.allclose(got, np.outer(row, row), rtol=1e-12)
        ones = functools.reduce(signal.convolve2d, [np.ones((kernel, kernel)) / kernel**2] * depth)
        assert np.allclose(got, ones, rtol=1e-9, atol=1e-18)


def test_generic_and_separable_paths_agree():
    """A stack with one residual layer of kernel 1 runs in 2-D and is the plain one, scaled."""
    plain = [Layer(3), Layer(4, stride=2), Layer(3, dilation=3)]
    both = theory.predict_gradient_power([*plain, Layer(1, residual=True)], gain=0.7)
    assert np.allclose(both, 1.7 * theory.predict_gradient_power(plain, gain=0.7), rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(stacks(), st.sampled_from([1.0, 0.4, 3.0]))
def test_maps_have_the_closed_forms_moments_and_symmetries(layers, gain):
    power = theory.predict_gradient_power(layers, gain=gain)
    side = theory.receptive_field_size(layers)
    assert power.shape == (side, side)
    assert np.allclose(power, power.T, rtol=1e-12)
    assert np.allclose(power, power[::-1, ::-1], rtol=1e-12)
    factors = ((layer.residual + gain / layer.keep) for layer in layers)
    assert power.sum() == pytest.approx(math.prod(factors), rel=1e-12)
    variance = theory.predict_erf_variance(layers, gain=gain)
    # positions up to about 300 px, squared, times 1e-16 a term
    assert theory.measure_erf_variance(power) == pytest.approx(variance, rel=1e-9, abs=1e-9)
    if variance > 0:
        kurtosis = theory.predict_erf_kurtosis(layers, gain=gain)
        assert theory.measure_erf_kurtosis(power) == pytest.approx(kurtosis, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda layers: sum((layer.kernel**2 - 1) / 12 for layer in layers),  # no strides
        lambda layers: theory.predict_erf_variance(layers[::-1]),  # strides from the wrong end
        lambda layers: theory.predict_erf_variance(  # skip connections ignored
            [Layer(layer.kernel, layer.stride, layer.dilation) for layer in layers]
        ),
    ],
)
def test_moments_reject_wrong_closed_forms(wrong):
    layers = [Layer(3), Layer(3, stride=2), Layer(3, residual=True), Layer(3, dilation=2)]
    measured = theory.measure_erf_variance(theory.predict_gradient_power(layers))

    def check(predict):
        assert predict(layers) == pytest.approx(measured, rel=1e-9)

    check(theory.predict_erf_variance)
    rejects(check, wrong)


def test_dropout_keeps_a_plain_shape_and_widens_a_residual_one():
    plain, dropped = ([Layer(3, keep=keep)] * 6 for keep in (1.0, 0.5))
    ratio = theory.predict_gradient_power(dropped) / theory.predict_gradient_power(plain)
    assert np.allclose(ratio, 2.0**6, rtol=1e-12)
    residual = [theory.branch_share(Layer(3, residual=True, keep=keep)) for keep in (1.0, 0.5)]
    assert residual == pytest.approx([1 / 2, 2 / 3])


def test_dilation_commutes_and_stride_does_not():
    wide, strided, layer = Layer(3, dilation=2), Layer(3, stride=2), Layer(3)
    power = theory.predict_gradient_power
    assert np.allclose(power([wide, layer, layer]), power([layer, layer, wide]), rtol=1e-12)
    field = theory.receptive_field_size
    assert field([strided, layer, layer]) > field([layer, layer, strided])


def test_bad_stacks_are_refused():
    with pytest.raises(ValueError, match="layers must hold one Layer or more, not \\[\\]"):
        theory.predict_gradient_power([])
    with pytest.raises(ValueError, match=r"gain must be a positive number, not 0\.0"):
        theory.predict_gradient_power([Layer()], gain=0.0)
    with pytest.raises(ValueError, match="overflows over 40 layers; lower gain"):
        theory.predict_gradient_power([Layer(residual=True)] * 40, gain=1e9)
    with pytest.raises(ValueError, match="layers must have a kernel of 2 taps or more"):
        theory.predict_erf_kurtosis([Layer(1)])
    with pytest.raises(ValueError, match="power must be non-negative with a positive sum"):
        theory.measure_erf_variance(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"Layer\.kernel must be an integer of at least 1, not 0"):
        Layer(0)
    with pytest.raises(ValueError, match=r"Layer\.keep must lie in"):
        Layer(keep=0.0)
    with pytest.raises(ValueError, match="a residual Layer needs stride 1 and an odd reach"):
        Layer(2, residual=True)
