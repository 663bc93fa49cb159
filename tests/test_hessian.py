"""The largest eigenvalues and the density: values, multiplicities, residuals, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hessian_cases import (
    Known,
    banded,
    lanczos_once,
    small_net,
    spectrum_with_clusters,
    unequal_batches,
    values_of_small_net,
)
from torch.nn import functional as F

from erfbook import hessian
from erfbook.hessian import spectrum as spectrum_module
from erfbook.hessian.density import density_of
from erfbook.hessian.lanczos import Search
from erfbook.hessian.spectrum import SearchOptions, largest_eigenvalues


def check_values(values, right, allowed: float) -> None:
    """Every eigenvalue in its place, as often as its multiplicity."""
    assert len(values) == len(right)
    assert np.abs(np.asarray(values) - right).max() < allowed


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("block", [1, 2, 8])
def test_a_known_spectrum_is_found_with_its_multiplicities(dtype, block):
    right = spectrum_with_clusters()
    options = SearchOptions(block=block, n_measured=90)
    found = largest_eigenvalues(Known(right, dtype), 90, options=options)
    # Residuals are at most 1e-4 of 10; values lie within them. The values next to each other
    # differ by 0.05, so one too many or too few moves the rest by more.
    check_values(found.values, right[:90], 1e-3)
    assert found.converged.all() and found.measured.all() and found.residuals.max() <= 1e-3
    assert not found.notes and found.n_matvecs < 800
    assert right[-1] - 1e-9 <= found.smallest


def test_the_check_rejects_lanczos_without_reorthogonalisation_and_from_one_vector():
    right = spectrum_with_clusters()
    # Without it, copies of converged values push others out of the list. With it, but from one
    # vector, equal values come one after the other, out of rounding, and so too late.
    for passes, steps in ((0, 400), (2, 150)):
        wrong = lanczos_once(Known(right), steps, passes=passes)[:90]
        with pytest.raises(AssertionError):
            check_values(wrong, right[:90], 1e-3)
    copies = lanczos_once(Known(np.unique(right)[::-1]), 400, passes=0)
    assert np.sum(np.abs(copies - 10) < 1e-6) > 1  # one eigenvalue, reported more than once


def test_what_one_vector_misses_is_found_by_the_second_search():
    """Exact arithmetic from one vector sees one copy of each; ours looks again from others."""
    right = np.concatenate([[5.0] * 4, np.linspace(3, 4, 6), np.linspace(-1, 1, 300)])
    right = np.sort(right)[::-1]
    without = SearchOptions(block=1, n_probes=0)
    found = largest_eigenvalues(Known(right), 8, options=SearchOptions(block=1))
    check_values(found.values, right[:8], 5e-4)
    blind = largest_eigenvalues(Known(right), 8, options=without)
    assert blind.converged.all()  # every pair is one, and yet they are not the largest
    with pytest.raises(AssertionError):
        check_values(blind.values, right[:8], 5e-4)


def test_a_basis_that_is_restarted_many_times_finds_the_same(monkeypatch):
    # A bulk that reaches up to the wanted values: they converge slowly.
    right = np.concatenate([[10.0] * 3, np.linspace(5, 4, 17), np.linspace(3.9, -5, 700)])
    short = SearchOptions(subspace=30)
    usual, restarts = Search.restart, []

    def counted(search, keep):
        restarts.append(keep)
        usual(search, keep)

    monkeypatch.setattr(Search, "restart", counted)
    found = largest_eigenvalues(Known(right), 20, options=short)
    check_values(found.values, right[:20], 1e-3)
    assert len(restarts) > 20 and found.converged.all()
    monkeypatch.setattr(Search, "grow", banded(Search.grow))
    wrong = largest_eigenvalues(Known(right), 20, options=short)
    assert not wrong.converged.all() or np.abs(wrong.values - right[:20]).max() > 1e-3


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_values_are_those_of_the_dense_matrix_in_both_modes(mode, dtype):
    model, batches = small_net(), unequal_batches()
    right = values_of_small_net(mode)
    found = hessian.top_eigenvalues(
        model, F.cross_entropy, batches, 30, batch_norm=mode, dtype=dtype, n_measured=30
    )
    check_values(found.values, right[:30], 1e-4 * right[0])
    assert found.converged.all() and found.residuals.max() <= 1e-4 * right[0]
    assert found.n_parameters == 629 and found.n_samples == 40
    assert found.dtype == str(dtype).removeprefix("torch.")
    # The largest in size are others here: negative ones are among them.
    by_size = right[np.argsort(-np.abs(right))][:30]
    with pytest.raises(AssertionError):
        check_values(np.sort(by_size)[::-1], right[:30], 1e-4 * right[0])


def test_residuals_are_those_of_the_vectors():
    right = spectrum_with_clusters()
    operator = Known(right)
    options = SearchOptions(keep_vectors=True, n_measured=5)
    found = largest_eigenvalues(operator, 90, options=options)
    vectors = found.vectors
    true = operator.products(vectors) - torch.from_numpy(found.values)[:, None] * vectors
    lengths = true.norm(dim=1).numpy()
    assert found.measured.sum() >= 5
    # Measured ones to rounding; the estimates of the others to rounding as well, in float64.
    measured = found.measured
    np.testing.assert_allclose(found.residuals[measured], lengths[measured], rtol=1e-6, atol=1e-13)
    assert (lengths <= found.residuals + 1e-12).all()
    gram = vectors @ vectors.T
    assert (gram - torch.eye(90)).abs().max() < 1e-12


def test_residuals_of_float32_are_not_below_the_true_ones():
    right = spectrum_with_clusters()
    options = SearchOptions(keep_vectors=True, n_measured=5)
    found = largest_eigenvalues(Known(right, torch.float32), 90, options=options)
    vectors = found.vectors.double()
    true = Known(right).products(vectors) - torch.from_numpy(found.values)[:, None] * vectors
    # Rounding of a product in float32: 1e-7 of 10, times a few.
    assert (true.norm(dim=1).numpy() <= found.residuals + 1e-5).all()


def test_a_search_that_is_ended_early_says_which_have_not_converged():
    options = SearchOptions(max_products=120)
    found = largest_eigenvalues(Known(spectrum_with_clusters()), 90, options=options)
    assert not found.converged.all() and found.n_matvecs < 130
    assert "of 90 eigenvalues have converged" in found.notes[-1]
    true = np.abs(found.values[:, None] - spectrum_with_clusters()).min(axis=1)
    assert (true <= found.residuals + 1e-9).all()  # an eigenvalue lies within each residual


def test_a_seed_gives_the_same_numbers_twice_and_another_one_others():
    values = [
        hessian.top_eigenvalues(small_net(), F.cross_entropy, unequal_batches(), 5, seed=s).values
        for s in (1, 1, 2)
    ]
    assert np.array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    np.testing.assert_allclose(values[0], values[2], rtol=1e-4)


def test_all_eigenvalues_of_a_small_operator_and_those_of_zero():
    right = np.array([3.0, 2.0, 0.0, 0.0, -1.0])
    for k in (1, 3, 5):
        found = largest_eigenvalues(Known(right), k)
        np.testing.assert_allclose(found.values, right[:k], atol=1e-12)
    nothing = largest_eigenvalues(Known(np.zeros(40)), 3)
    assert np.abs(nothing.values).max() == 0 and nothing.converged.all()
    low_rank = np.concatenate([[4.0, 3.0, 2.0], np.zeros(200)])
    found = largest_eigenvalues(Known(low_rank), 20)
    np.testing.assert_allclose(found.values, low_rank[:20], atol=1e-12)


def test_what_cannot_be_asked_for_is_refused_in_one_line():
    model, batches = small_net(), unequal_batches()
    ask = hessian.top_eigenvalues
    for k in (0, -3, 630, 2.5):
        with pytest.raises(ValueError, match=rf"k must be between 1 and 629.*not {k}"):
            ask(model, F.cross_entropy, batches, k)
    with pytest.raises(ValueError, match=r"at least 1\.2e-06 in float32.*not 1e-09; dtype=torch"):
        ask(model, F.cross_entropy, batches, 3, tolerance=1e-9)
    with pytest.raises(ValueError, match="below 1, not 2"):
        ask(model, F.cross_entropy, batches, 3, tolerance=2)
    with pytest.raises(ValueError, match="block must be at least 1, not 0"):
        ask(model, F.cross_entropy, batches, 3, block=0)
    with pytest.raises(ValueError, match="subspace must be at least 9 for k = 3, not 4"):
        ask(model, F.cross_entropy, batches, 3, subspace=4)
    with pytest.raises(ValueError, match="max_products must be at least 1, not 0"):
        ask(model, F.cross_entropy, batches, 3, max_products=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        ask(model, F.cross_entropy, batches, 3, colour="red")


def test_a_basis_without_room_on_the_device_goes_to_the_host_with_a_message(monkeypatch, capsys):
    right = spectrum_with_clusters()
    operator = Known(right)
    usual = spectrum_module.Basis

    def refuse(*arguments, device, **options):
        if device.type == "meta":
            raise torch.OutOfMemoryError("no room")
        return usual(*arguments, device=device, **options)

    place = spectrum_module.memory.place_basis
    monkeypatch.setattr(spectrum_module, "Basis", refuse)
    monkeypatch.setattr(
        spectrum_module.memory,
        "place_basis",
        lambda *a: (place(*a)[0], torch.device("meta"), ""),
    )
    found = largest_eigenvalues(operator, 20)
    check_values(found.values, right[:20], 1e-3)
    assert "in the host's memory" in found.notes[0]
    assert "in the host's memory" in capsys.readouterr().err


def test_a_limit_on_memory_makes_the_basis_smaller_with_a_message(capsys):
    right = spectrum_with_clusters()
    options = SearchOptions(memory_limit=110 * 8 * len(right))
    found = largest_eigenvalues(Known(right), 90, options=options)
    check_values(found.values, right[:90], 1e-3)
    assert "110 are kept instead" in found.notes[0] and found.notes[0] in capsys.readouterr().err
    tight = SearchOptions(memory_limit=50 * 8 * len(right))
    with pytest.raises(spectrum_module.RunError, match="ask for fewer eigenvalues"):
        largest_eigenvalues(Known(right), 90, options=tight)


def test_the_bar_is_drawn_where_asked_for_and_quiet_elsewhere(monkeypatch, capsys):
    options = SearchOptions(progress="spectrum")
    largest_eigenvalues(Known(np.arange(60.0)), 3, options=options)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TQDM_DISABLE", "0")
    largest_eigenvalues(Known(np.arange(60.0)), 3, options=options)
    said = capsys.readouterr().err
    assert "spectrum" in said and "3 of 3 eigenvalues" in said


def smoothed(values, grid, width):
    each = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2)
    return each.mean(axis=1) / (width * np.sqrt(2 * np.pi))


def test_the_density_is_the_exact_one_smoothed_equally():
    right = spectrum_with_clusters()
    grid = np.linspace(-6, 12, 400)
    found = density_of(Known(right), n_probes=60, n_steps=80, grid=grid, bandwidth=0.3)
    exact = smoothed(right, grid, 0.3)
    step = grid[1] - grid[0]
    # Each probe's weights are off by sqrt(2 / n) of a share; summed over the grid's bumps, with 60
    # probes, a few hundredths.
    assert np.abs(found.density - exact).sum() * step < 0.05
    assert found.density.sum() * step == pytest.approx(1, abs=1e-6)
    # Nodes counted equally, and the mirrored spectrum, are rejected.
    for wrong in (smoothed(found.nodes.ravel(), grid, 0.3), smoothed(-right, grid, 0.3)):
        assert np.abs(wrong - exact).sum() * step > 0.15


def test_trace_norm_and_masses_are_the_matrix_own_within_their_errors():
    model, batches = small_net(), unequal_batches()
    right = values_of_small_net("eval")
    found = hessian.spectral_density(
        model, F.cross_entropy, batches, n_probes=15, n_steps=50, dtype=torch.float64
    )
    # Four standard errors at a fixed seed.
    assert abs(found.trace - right.sum()) < 4 * found.trace_error
    assert abs(found.frobenius - np.sqrt((right**2).sum())) < 4 * found.frobenius_error
    for cut in (-0.1, 0.1):
        share = (right < cut).mean()
        assert abs(found.mass(high=cut) - share) < 4 * found.mass_error(high=cut) + 5e-3
    # Signs give a variance of at most twice the squared norm; half as much again for few probes.
    assert found.trace_error < 1.5 * np.sqrt(2 / 15 * (right**2).sum())
    assert found.n_matvecs == 15 * 50
    third = (right**3).mean()
    assert abs(found.moment(3) - third) < 4 * found.moment_error(3)
    assert abs(found.trace - np.abs(right).sum()) > 4 * found.trace_error  # singular values


def test_a_probe_in_few_eigenspaces_ends_early_and_is_exact():
    found = density_of(Known([2.0] * 30 + [5.0] * 10), n_probes=300, n_steps=20)
    assert found.n_matvecs == 600  # two eigenspaces, two products each
    assert found.mass(low=4) == pytest.approx(0.25, abs=4 * found.mass_error(low=4))
    assert ((np.abs(found.nodes - 2) < 1e-9) | (np.abs(found.nodes - 5) < 1e-9))[
        found.weights > 0
    ].all()


def test_densities_of_impossible_settings_are_refused():
    operator = Known(np.arange(5.0))
    with pytest.raises(ValueError, match="n_probes must be at least 1, not 0"):
        density_of(operator, n_probes=0)
    with pytest.raises(ValueError, match="n_steps must be at least 1, not 0"):
        hessian.spectral_density(small_net(), F.cross_entropy, unequal_batches(), n_steps=0)
    with pytest.raises(ValueError, match="bandwidth must be positive, not -1"):
        density_of(operator, bandwidth=-1)
