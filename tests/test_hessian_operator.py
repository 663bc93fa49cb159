"""Products with the Hessian of a loss: right, symmetric, weighted, and without a trace left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hessian_cases import (
    all_values,
    dense,
    dense_by_hand,
    linear_model,
    small_net,
    unequal_batches,
)
from torch import nn
from torch.nn import functional as F

from erfbook import hessian
from erfbook.hessian import memory
from erfbook.hessian.inputs import saved_bytes

# Products of float64 numbers of size 1 over some hundred terms: 1e-16 * 1e3.
EXACT = 1e-12


def by_samples(n: int, n_all: int, n_batches: int) -> float:
    return n / n_all


def by_batches(n: int, n_all: int, n_batches: int) -> float:
    return 1 / n_batches


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_products_are_those_of_the_dense_hessian_in_both_modes(mode):
    batches = unequal_batches()
    operator = hessian.HessianOperator(
        small_net(), F.cross_entropy, batches, batch_norm=mode, dtype=torch.float64
    )
    found = dense(operator)
    right = dense_by_hand(small_net(), batches, mode, by_samples)
    assert np.abs(found - right).max() < EXACT * np.abs(right).max()
    # The mean over batches, and the other mode, are other matrices.
    other = {"eval": "train", "train": "eval"}[mode]
    for wrong in (
        dense_by_hand(small_net(), batches, mode, by_batches),
        dense_by_hand(small_net(), batches, other, by_samples),
    ):
        assert np.abs(found - wrong).max() > 1e-3 * np.abs(right).max()


def asymmetry(products, n: int, dtype) -> float:
    """Return the largest |u.Hv - v.Hu| of some pairs as a share of |Hu| |v|."""
    generator = torch.Generator().manual_seed(3)
    worst = 0.0
    for _ in range(5):
        pair = torch.randn(2, n, generator=generator, dtype=torch.float64).to(dtype)
        images = products(pair).double()
        crossed = (images[0] @ pair[1].double(), images[1] @ pair[0].double())
        size = images[0].norm() * pair[1].double().norm()
        worst = max(worst, float(abs(crossed[0] - crossed[1]) / size))
    return worst


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operator_is_symmetric_in_both_modes(mode, dtype):
    operator = hessian.HessianOperator(
        small_net(), F.cross_entropy, unequal_batches(), batch_norm=mode, dtype=dtype
    )
    # Rounding of some hundred layers' sums; a wrong operator is off by a share of order 1.
    assert asymmetry(operator.products, operator.n, dtype) < 1e3 * torch.finfo(dtype).eps

    def one_sided(rows):  # as if the gradient's statistics were taken for constants
        images = operator.products(rows)
        images[:, : operator.n // 2] *= 0.9
        return images

    assert asymmetry(one_sided, operator.n, dtype) > 1e3 * torch.finfo(dtype).eps


def test_linear_least_squares_has_twice_the_mean_square_of_its_inputs():
    """H = (2 / N) X'X for each output, divided by outputs since the loss is a mean over them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(30, 1, generator=generator, dtype=torch.float64)
    found = all_values(linear_model(6, 1), F.mse_loss, [(x[:20], y[:20]), (x[20:], y[20:])])
    right = np.linalg.eigvalsh((2 / 30 * x.T @ x).numpy())[::-1]
    np.testing.assert_allclose(found, right, rtol=1e-10)
    assert np.abs(found - right / 2).max() > 0.1  # without the 2
    halves = (x[:20].T @ x[:20] / 20 + x[20:].T @ x[20:] / 10).numpy()  # a mean over batches
    assert np.abs(found - np.linalg.eigvalsh(halves)[::-1]).max() > 1e-2


def test_logistic_regression_weighs_inputs_by_the_variance_of_their_label():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 2, (50, 1), generator=generator).double()
    model = linear_model(5, 1)
    p = torch.sigmoid(x @ model.weight[0]).detach()
    right = np.linalg.eigvalsh((x.T * (p * (1 - p)) @ x / 50).numpy())[::-1]
    found = all_values(model, F.binary_cross_entropy_with_logits, [(x, y)])
    np.testing.assert_allclose(found, right, rtol=1e-10)
    wrong = np.linalg.eigvalsh((x.T * p @ x / 50).numpy())[::-1]
    assert np.abs(found - wrong).max() > 1e-2


def test_softmax_regression_has_the_covariance_of_its_labels():
    """H = mean of (diag p - p p') kron x x'; one zero eigenvalue an input, for the softmax."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (40,), generator=generator)
    model = linear_model(4, 3)
    p = torch.softmax(x @ model.weight.T, 1).detach().numpy()
    blocks = np.array([np.diag(q) - np.outer(q, q) for q in p])
    inputs = x.numpy()
    right = np.einsum("nij,na,nb->iajb", blocks, inputs, inputs).reshape(12, 12) / 40
    values = np.linalg.eigvalsh(right)[::-1]
    found = all_values(model, F.cross_entropy, [(x, y)])
    np.testing.assert_allclose(found, values, atol=1e-12)
    assert np.abs(found[-4:]).max() < 1e-12
    diagonal = np.einsum("ni,na,nb->iab", p, inputs, inputs) / 40  # without p p'
    wrong = np.sort(np.concatenate([np.linalg.eigvalsh(part) for part in diagonal]))[::-1]
    assert np.abs(found - wrong).max() > 1e-2


def test_nothing_of_the_model_is_changed():
    model, batches = small_net().train(), unequal_batches()
    model[4].eval()
    F.cross_entropy(model(batches[0][0]), batches[0][1]).backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    modes = [part.training for part in model.modules()]
    for mode in ("eval", "train"):
        hessian.top_eigenvalues(model, F.cross_entropy, batches, 3, batch_norm=mode)
        hessian.spectral_density(
            model, F.cross_entropy, batches, batch_norm=mode, n_probes=1, n_steps=3
        )
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, model.parameters(), strict=True))
    assert modes == [part.training for part in model.modules()]
    model.train()(batches[0][0])  # a usual forward pass would have been seen
    assert any(not torch.equal(state[name], v) for name, v in model.state_dict().items())


def test_modes_come_back_after_a_failure():
    model = small_net().train()
    with pytest.raises(ValueError, match=r"one number, not \(16,\)"):
        hessian.HessianOperator(model, nn.CrossEntropyLoss(reduction="none"), unequal_batches())
    assert all(part.training for part in model.modules())


@pytest.mark.parametrize("keep", [True, False])
def test_graphs_kept_or_built_again_give_the_same_products(keep):
    batches = unequal_batches()
    options = {"batch_norm": "train", "dtype": torch.float64}
    usual = hessian.HessianOperator(small_net(), F.cross_entropy, batches, **options)
    other = hessian.HessianOperator(
        small_net(), F.cross_entropy, batches, keep_graph=keep, **options
    )
    assert (usual.n_kept, other.n_kept) == (3, 3 if keep else 0)
    rows = torch.randn(3, usual.n, generator=torch.Generator().manual_seed(0))
    assert torch.equal(usual.products(rows), other.products(rows))
    assert other.n_products == 3


def test_graphs_beyond_the_memory_are_built_again_with_a_message(capsys):
    batches = unequal_batches()
    whole = hessian.HessianOperator(small_net(), F.cross_entropy, batches)
    with whole._computing():
        first = saved_bytes(lambda: whole._gradient(0))
    # Room for the first batch of 16 and the last one, of 8.
    tight = hessian.HessianOperator(
        small_net(), F.cross_entropy, batches, memory_limit=int(1.6 * first)
    )
    assert tight.n_kept == 2
    said = capsys.readouterr().err
    assert f"kept for {tight.n_kept} of 3 batches" in said and tight.notes
    rows = torch.randn(2, whole.n, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole.products(rows), tight.products(rows))


def test_running_out_of_memory_gives_up_the_graphs_and_says_so(monkeypatch, capsys):
    batches = unequal_batches()
    operator = hessian.HessianOperator(small_net(), F.cross_entropy, batches)
    rows = torch.randn(2, operator.n, generator=torch.Generator().manual_seed(0))
    right = operator.products(rows)
    usual = operator._product

    def short(graph, row):
        if operator.n_kept:
            raise torch.OutOfMemoryError("no room")
        return usual(graph, row)

    monkeypatch.setattr(operator, "_product", short)
    assert torch.equal(operator.products(rows), right)
    assert "ran out of memory: no graph is kept" in capsys.readouterr().err
    monkeypatch.setattr(operator, "_product", lambda graph, row: 1 / 0)

    def never(i):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(operator, "_gradient", never)
    with pytest.raises(hessian.operator.RunError, match="no memory left for a product on 16"):
        operator.products(rows)


def test_parameters_are_those_that_need_gradients_or_those_named_in_the_models_order():
    model, batches = small_net(), unequal_batches()
    model[0].weight.requires_grad_(False)
    usual = hessian.HessianOperator(model, F.cross_entropy, batches)
    assert usual.names[0] == "0.bias" and usual.n == 629 - 108
    named = hessian.HessianOperator(
        model, F.cross_entropy, batches, parameters=["8.bias", "0.weight"], dtype=torch.float64
    )
    assert named.names == ("0.weight", "8.bias") and named.n == 113
    chosen = np.r_[0:108, 624:629]
    right = dense_by_hand(small_net(), batches, "eval", by_samples)[np.ix_(chosen, chosen)]
    assert np.abs(dense(named) - right).max() < EXACT * np.abs(right).max()


def test_a_parameter_that_the_loss_does_not_read_has_zeros():
    model = nn.ModuleDict({"a": nn.Linear(3, 1, bias=False), "b": nn.Linear(3, 2)})
    model.forward = lambda x: model["a"](x)
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    matrix = dense(hessian.HessianOperator(model, F.mse_loss, [(x, y)]))
    assert np.abs(matrix[3:]).max() == np.abs(matrix[:, 3:]).max() == 0
    assert np.abs(matrix[:3, :3]).max() > 0.1


def test_a_loss_that_is_linear_in_all_parameters_has_no_curvature():
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    operator = hessian.HessianOperator(linear_model(3, 1), lambda o, t: (o * t).mean(), [(x, y)])
    assert np.abs(dense(operator)).max() == 0


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_what_has_no_hessian_is_refused_in_one_line():
    batches = unequal_batches()
    build = hessian.HessianOperator
    with pytest.raises(ValueError, match="cannot be differentiated twice"):
        build(small_net(), lambda o, t: _Once.apply(o).pow(2).mean(), batches)
    with pytest.raises(ValueError, match="loss of batch 0 is nan"):
        build(small_net(), lambda o, t: o.mean() * float("nan"), batches)
    with pytest.raises(ValueError, match="does not depend on the parameters"):
        build(small_net(), lambda o, t: torch.ones(()), batches)
    with pytest.raises(ValueError, match="batches: there are none"):
        build(small_net(), F.cross_entropy, [])
    with pytest.raises(ValueError, match="there are none"):
        build(small_net(), F.cross_entropy, [(torch.zeros(0, 3, 9, 9), torch.zeros(0).long())])
    with pytest.raises(ValueError, match="batch 0 is not a pair"):
        build(small_net(), F.cross_entropy, [torch.zeros(2, 3, 9, 9)])
    with pytest.raises(ValueError, match="batch 0 has 16 inputs, 5 targets"):
        build(small_net(), F.cross_entropy, [(batches[0][0], batches[0][1][:5])])
    with pytest.raises(ValueError, match=r"the model has no 'nose'; it has 0\.weight"):
        build(small_net(), F.cross_entropy, batches, parameters=["nose"])
    with pytest.raises(ValueError, match="none of the model's requires a gradient"):
        build(nn.Flatten(), F.cross_entropy, batches)
    with pytest.raises(ValueError, match="batch_norm must be one of eval, train, not 'off'"):
        build(small_net(), F.cross_entropy, batches, batch_norm="off")
    with pytest.raises(ValueError, match="keep_graph must be"):
        build(small_net(), F.cross_entropy, batches, keep_graph="some")
    with pytest.raises(ValueError, match=r"shape \(any, 629\), not \(1, 3\)"):
        build(small_net(), F.cross_entropy, batches).products(torch.zeros(1, 3))


def test_scipy_takes_the_operator_and_agrees():
    from scipy.sparse.linalg import eigsh

    operator = hessian.HessianOperator(
        small_net(), F.cross_entropy, unequal_batches(), dtype=torch.float64
    )
    start = np.random.default_rng(0).normal(size=operator.n)
    theirs = eigsh(operator.as_linear_operator(), 12, which="LA", v0=start, tol=1e-10)[0][::-1]
    ours = hessian.top_eigenvalues(
        small_net(), F.cross_entropy, unequal_batches(), 12, dtype=torch.float64, tolerance=1e-8
    )
    # Eigenvalues are known to the square of a residual over a gap, and never worse than to it.
    np.testing.assert_allclose(ours.values, theirs, atol=1e-8 * theirs[0])


def test_memory_is_planned_on_the_device_then_on_the_host(monkeypatch):
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    free = {"cuda": 1000, "cpu": 10_000}
    monkeypatch.setattr(memory, "free_bytes", lambda device: free[device.type])
    assert memory.place_basis(50, 20, 10, cuda, None) == (50, cuda, "")
    kept, where, message = memory.place_basis(300, 200, 10, cuda, None)
    assert (kept, where) == (300, cpu) and "300 are kept in the host's memory" in message
    kept, where, message = memory.place_basis(900, 50, 10, cuda, None)
    assert (kept, where) == (70, cuda) and "70 are kept instead" in message
    with pytest.raises(memory.RunError, match="800 vectors of 10 B are needed at least"):
        memory.place_basis(900, 800, 10, cuda, None)
    assert memory.in_words(3 * 2**30) == "3 GiB"
