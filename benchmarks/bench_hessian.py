"""The largest eigenvalues of a Hessian: hessian.top_eigenvalues against other tools, in one run.

Three questions: whose eigenvalues are right (against all those of the dense matrix, in float64),
how long one product takes, and how long 90 eigenvalues take at equal residuals, against ARPACK over
the very same products. A peer that is not installed is left out, with the reason; `make bench`
installs those of peers.txt.

    python benchmarks/bench_hessian.py           # all of it, about four minutes on two cores
    python benchmarks/bench_hessian.py answers   # or one of: answers products search
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import peers
import report
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn import functional as F

from erfbook import datasets, hessian
from erfbook.hessian.spectrum import SearchOptions, largest_eigenvalues
from erfbook.models.pooled import pooled_vgg

K, TOLERANCE = 90, 1e-4  # residuals are shares of the largest eigenvalue


@dataclass(frozen=True)
class Problem:
    """A network, its loss and its batches; how many eigenvalues, batch norm in which mode."""

    model: nn.Module
    batches: list[tuple[torch.Tensor, torch.Tensor]]
    k: int = K
    batch_norm: str = "eval"
    loss_fn: nn.Module = field(default_factory=nn.CrossEntropyLoss)

    def operator(self, **options) -> hessian.HessianOperator:
        """Return our products."""
        options["batch_norm"] = self.batch_norm
        return hessian.HessianOperator(self.model, self.loss_fn, self.batches, **options)

    def fresh(self) -> nn.Module:
        """Return a copy of the network in the problem's mode, as a peer takes it."""
        return copy.deepcopy(self.model).train(self.batch_norm == "train")


def ours(problem: Problem) -> np.ndarray:
    """Ask erfbook."""
    return hessian.top_eigenvalues(
        problem.model,
        problem.loss_fn,
        problem.batches,
        problem.k,
        tolerance=TOLERANCE,
        batch_norm=problem.batch_norm,
    ).values


def arpack(problem: Problem) -> np.ndarray:
    """Ask ARPACK through SciPy, over our products."""
    operator = problem.operator().as_linear_operator()
    return _arpack(operator, problem.k, TOLERANCE)[0]


def curvlinops(problem: Problem) -> np.ndarray:
    """Ask ARPACK over curvlinops' products."""
    return _arpack(_curvlinops_operator(problem), problem.k, TOLERANCE)[0]


def eigenthings(problem: Problem) -> np.ndarray:
    """Ask hessian-eigenthings for Lanczos with four products for each eigenvalue."""
    from hessian_eigenthings import lanczos

    operator = _eigenthings_operator(problem)
    steps = min(4 * problem.k, operator.size)
    return lanczos(operator, k=problem.k, max_iter=steps, which="LA", seed=0).eigenvalues.numpy()


def pyhessian(problem: Problem) -> np.ndarray:
    """Ask PyHessian for power iteration with as many products as its default takes."""
    found, _ = _pyhessian_operator(problem).eigenvalues(top_n=problem.k)
    return np.sort(found)[::-1]


Tool = Callable[[Problem], np.ndarray]
PEERS: dict[str, tuple[str, Tool]] = {
    "curvlinops": ("curvlinops", curvlinops),
    "hessian-eigenthings": ("hessian_eigenthings", eigenthings),
    "PyHessian": ("pyhessian", pyhessian),
}


def _curvlinops_operator(problem: Problem) -> LinearOperator:
    from curvlinops import HessianLinearOperator

    model = problem.fresh()
    parameters = [p for p in model.parameters() if p.requires_grad]
    operator = HessianLinearOperator(model, problem.loss_fn, parameters, problem.batches)
    return operator.to_scipy(dtype=np.float32)


def _eigenthings_operator(problem: Problem):
    from hessian_eigenthings import HessianOperator, supervised_loss

    return HessianOperator(problem.fresh(), problem.batches, supervised_loss(problem.loss_fn))


def _pyhessian_operator(problem: Problem):
    from pyhessian import hessian as build

    return build(problem.fresh(), problem.loss_fn, dataloader=problem.batches, cuda=False)


def _arpack(operator: LinearOperator, k: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, the largest first, and vectors in rows."""
    start = np.random.default_rng(0).normal(size=operator.shape[0]).astype(operator.dtype)
    values, vectors = eigsh(operator, k, which="LA", tol=tolerance, v0=start)
    return values[::-1], vectors.T[::-1]


def small_net() -> nn.Module:
    """Return two convolutions with batch norm: 629 parameters."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(54, 5)),
    )


def cases() -> dict[str, Problem]:
    """Return small problems of which each has one difficulty."""
    torch.manual_seed(1)
    x, y = torch.randn(40, 3, 9, 9), torch.randint(0, 5, (40,))
    halves = [(x[:20], y[:20]), (x[20:], y[20:])]
    unequal = [(x[:36], y[:36]), (x[36:], y[36:])]
    features, wanted = torch.randn(60, 12), torch.randn(60, 8)
    copies = Problem(nn.Linear(12, 8), [(features, wanted)], 16, loss_fn=nn.MSELoss())
    return {
        "equal batches": Problem(small_net(), halves, 20),
        "a smaller last batch": Problem(small_net(), unequal, 20),
        "batch norm in training mode": Problem(small_net(), halves, 20, "train"),
        "each eigenvalue eight times": copies,
    }


def truth_of(problem: Problem) -> np.ndarray:
    """Return the largest eigenvalues of the dense matrix, in float64."""
    operator = problem.operator(dtype=torch.float64)
    matrix = operator.products(torch.eye(operator.n, dtype=torch.float64)).numpy()
    return np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1][: problem.k]


def answers(found: dict[str, Tool]) -> None:
    """Print each tool's largest error as a share of the largest eigenvalue."""
    tools = {"ours": ours, "ARPACK": arpack, **found}
    print("\nError of eigenvalues", " " * 10, *(f"{name:>20s}" for name in tools))
    for name, problem in cases().items():
        truth, errors = truth_of(problem), {}
        for tool, ask in tools.items():
            try:
                values = quietly(ask, problem)
            except Exception as error:  # whatever a tool raises, it has not answered
                errors[tool] = f"refuses: {type(error).__name__}"[:20]
                continue
            errors[tool] = f"{np.abs(values - truth).max() / truth[0]:.1e}"
        print(f"{name:31s}", *(f"{errors[tool]:>20s}" for tool in tools), flush=True)
        report.record(f"answers, {name}", dict(errors))


def vgg(*, trained: bool) -> Problem:
    """Return a narrow VGG with a pool of its own, and photographs' patches; cross-entropy."""
    data = datasets.load("patches32")
    torch.manual_seed(0)
    model = pooled_vgg(3, 2, width=1 / 16, n_classes=len(data.classes))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40 if trained else 0):
        chosen = torch.randint(0, len(data.train), (64,))
        outputs = model(data.standardise(data.train.images[chosen]))
        optimiser.zero_grad()
        F.cross_entropy(outputs, data.train.labels[chosen].long()).backward()
        optimiser.step()
    images = data.standardise(data.train.images[:64])
    batch = (images, data.train.labels[:64].long())
    return Problem(model, [batch], batch_norm="eval" if trained else "train")


def products(found: dict[str, Tool]) -> None:
    """Time five products one by one, beside each peer's."""
    problem = vgg(trained=True)
    operator = problem.operator()
    report.header(f"five products with a Hessian of {operator.n} parameters, 64 images of 32 px")
    rows = torch.randn(5, operator.n)
    mine = partial(_one_by_one, operator.matvec, rows.numpy())
    again = problem.operator(keep_graph=False)
    sides = {"no graph kept": partial(_one_by_one, again.matvec, rows.numpy())}
    if "curvlinops" in found:
        theirs = quietly(_curvlinops_operator, problem)
        sides["curvlinops"] = partial(_one_by_one, theirs.matvec, rows.numpy())
    if "hessian-eigenthings" in found:
        sides["hessian-eigenthings"] = partial(
            _one_by_one, _eigenthings_operator(problem).matvec, rows
        )
    if "PyHessian" in found:
        tool = quietly(_pyhessian_operator, problem)
        parts = [
            [part.view(p.shape) for part, p in zip(row.split(operator._sizes), tool.params)]  # noqa: B905
            for row in rows
        ]
        sides["PyHessian"] = partial(_one_by_one, tool.dataloader_hv_product, parts)
    for name, theirs in sides.items():
        report.compare(name, mine, partial(quietly, theirs), repeats=3, items=len(rows))


def _one_by_one(multiply: Callable, rows) -> None:
    for row in rows:
        multiply(row)


def search(found: dict[str, Tool]) -> None:
    """Time the 90 largest eigenvalues against ARPACK and hessian-eigenthings, same products."""
    print(f"\n{K} largest eigenvalues, residuals at most {TOLERANCE:g} of the largest")
    print(f"{'':44s} {'seconds':>9s} {'products':>9s} {'residual':>9s} {'error':>9s} {'ratio':>7s}")
    for trained in (False, True):
        problem = vgg(trained=trained)
        operator = problem.operator()
        exact = largest_eigenvalues(
            problem.operator(dtype=torch.float64), K, tolerance=1e-6, seed=1
        ).values
        # ARPACK's tolerance is relative to each eigenvalue, so the smallest decides.
        solvers = {
            "ours": partial(_search_ours, operator),
            "ARPACK": partial(
                _arpack, operator.as_linear_operator(), K, TOLERANCE * exact[0] / exact[-1]
            ),
        }
        if "hessian-eigenthings" in found:
            solvers["hessian-eigenthings"] = partial(_search_eigenthings, operator)
        seconds = {}
        for name, solve in solvers.items():
            operator.n_products, start = 0, time.perf_counter()
            values, vectors = quietly(solve)
            seconds[name], count = time.perf_counter() - start, operator.n_products
            rest = operator.products(torch.from_numpy(vectors.copy())).numpy()
            rest = np.linalg.norm(rest - values[:, None] * vectors, axis=1).max() / exact[0]
            error, times = np.abs(values - exact).max() / exact[0], seconds[name] / seconds["ours"]
            label = f"{name}, {'after' if trained else 'before'} training"
            took = f"{label:44s} {seconds[name]:8.1f}s {count:9d}"
            print(f"{took} {rest:9.1e} {error:9.1e} {times:6.2f}x", flush=True)
            row = {"seconds": seconds[name], "products": count, "residual": float(rest)}
            report.record(label, {**row, "error": float(error), "ratio": times})


def _search_ours(operator: hessian.HessianOperator) -> tuple[np.ndarray, np.ndarray]:
    options = SearchOptions(block=1, keep_vectors=True)
    found = largest_eigenvalues(operator, K, tolerance=TOLERANCE, options=options)
    return found.values, found.vectors.numpy()


def _search_eigenthings(operator: hessian.HessianOperator) -> tuple[np.ndarray, np.ndarray]:
    from hessian_eigenthings import LambdaOperator, lanczos

    theirs = LambdaOperator(lambda v: operator.products(v[None])[0], operator.n)
    found = lanczos(theirs, k=K, max_iter=4 * K, which="LA", seed=0)
    return found.eigenvalues.numpy(), found.eigenvectors.numpy()


def installed() -> tuple[dict[str, Tool], dict[str, str]]:
    """Return the peers that can be imported, and why the others cannot."""
    if str(peers.FOLDER) not in sys.path:
        sys.path.append(str(peers.FOLDER))  # at the end: what we pin comes first
    found, missing = {}, {}
    for name, (module, ask) in PEERS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing[name] = str(error)
        else:
            found[name] = ask
    return found, missing


def quietly(ask: Callable, *arguments):
    """Call a tool without what it prints or warns of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return ask(*arguments)


def main(words: list[str]) -> None:
    """Run the parts asked for, or all."""
    found, missing = installed()
    for name, why in missing.items():
        print(f"{name} is left out: {why}")
    parts = {"answers": answers, "products": products, "search": search}
    for part in words or parts:
        parts[part](found)


if __name__ == "__main__":
    main(sys.argv[1:])
