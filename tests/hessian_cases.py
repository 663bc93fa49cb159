"""Networks, operators and dense matrices that the tests of the Hessian share."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from erfbook import hessian


class Known:
    """A symmetric operator of known eigenvalues: Q diag(values) Q', Q a reflection."""

    device = torch.device("cpu")

    def __init__(self, values, dtype=torch.float64) -> None:
        self.values = torch.as_tensor(np.array(values, dtype=float), dtype=dtype)
        self.n, self.dtype = len(self.values), dtype
        generator = torch.Generator().manual_seed(5)
        axis = torch.randn(self.n, generator=generator, dtype=torch.float64)
        self.axis = (axis / axis.norm()).to(dtype)

    def turned(self, rows):
        return rows - 2 * (rows @ self.axis)[:, None] * self.axis

    def products(self, rows):
        return self.turned(self.turned(rows) * self.values)


def spectrum_with_clusters() -> np.ndarray:
    """Return 90 values with multiplicities and clusters above a bulk of 700, largest first."""
    top = [10.0] * 7 + [9.0] * 3 + [8.0, 7.9999, 7.9998] + list(np.linspace(2, 6, 77))
    bulk = np.random.default_rng(0).normal(0, 0.3, 690)
    values = np.concatenate([top, bulk.clip(-1, 1.2), np.linspace(-4, -3, 10)])
    return np.sort(values)[::-1].copy()


def small_net(seed: int = 0) -> nn.Module:
    """Return two convolutions with batch norm and dropout: 629 parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(4, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(54, 5),
        )


def unequal_batches(n: int = 40) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return images in batches of 16, 16 and what is left."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 3, 9, 9, generator=generator)
    y = torch.randint(0, 5, (n,), generator=generator)
    return [(x[i : i + 16], y[i : i + 16]) for i in range(0, n, 16)]


def dense(operator) -> np.ndarray:
    """Return an operator's matrix, row by row."""
    return operator.products(torch.eye(operator.n, dtype=operator.dtype)).double().numpy()


@functools.cache
def values_of_small_net(mode: str) -> np.ndarray:
    """Return all eigenvalues of the small net's loss on its images, largest first."""
    operator = hessian.HessianOperator(
        small_net(), F.cross_entropy, unequal_batches(), batch_norm=mode, dtype=torch.float64
    )
    return np.linalg.eigvalsh(dense(operator))[::-1].copy()


def dense_by_hand(model, batches, mode: str, share) -> np.ndarray:
    """Return a loss' Hessian by PyTorch's own, from a function written here.

    Args:
        model: a net as above.
        batches: its images.
        mode: of batch norm.
        share: (batch's samples, all samples, batches) -> weight of a batch's mean.
    """
    model = model.double()
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    n = sum(len(x) for x, _ in batches)
    model.eval()
    for part in model:
        part.training = mode == "train" and isinstance(part, nn.BatchNorm2d)

    def loss(vector):
        parts = [
            p.view(s)
            for p, s in zip(vector.split([s.numel() for s in shapes]), shapes, strict=True)
        ]
        state = dict(zip(names, parts, strict=True))
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        each = (
            share(len(x), n, len(batches))
            * F.cross_entropy(
                torch.func.functional_call(model, {**state, **buffers}, (x.double(),)), y
            )
            for x, y in batches
        )
        return sum(each)

    return torch.autograd.functional.hessian(loss, flat, vectorize=True).numpy()


def linear_model(n_in: int, n_out: int, seed: int = 0) -> nn.Module:
    """Return a linear map without bias, float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(n_in, n_out, bias=False).double()


def all_values(model, loss_fn, batches, **options) -> np.ndarray:
    """Return every eigenvalue by the function under test."""
    n = sum(p.numel() for p in model.parameters())
    return hessian.top_eigenvalues(model, loss_fn, batches, n, **options).values


def lanczos_once(operator, steps: int, *, passes: int) -> np.ndarray:
    """Return Ritz values of a Lanczos method from one vector, the textbook's."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(operator.n, generator=generator, dtype=torch.float64).to(operator.dtype)
    rows, alpha, beta = [v / v.norm()], [], []
    for _ in range(steps):
        w = operator.products(rows[-1][None])[0]
        alpha.append(float(w @ rows[-1]))
        w = w - alpha[-1] * rows[-1] - (beta[-1] * rows[-2] if beta else 0)
        for _ in range(passes):
            basis = torch.stack(rows)
            w = w - (basis @ w) @ basis
        beta.append(float(w.norm()))
        rows.append(w / w.norm())
    upper = np.diag(beta[: len(alpha) - 1], 1)
    return np.linalg.eigvalsh(np.diag(alpha) + upper + upper.T)[::-1]


def banded(grow):
    """Make a search take the projected matrix for a band, which it is until the first restart."""

    def wrong(search):
        before = search.basis.size
        grow(search)
        width = search.basis.size - before
        search.projected[before:, : max(before - width, 0)] = 0
        search.projected[: max(before - width, 0), before:] = 0

    return wrong
