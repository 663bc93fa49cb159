"""The Hessian of a mean loss as an operator: its product with vectors, by double backward.

Where memory allows, the graph of each batch's gradient is built once and kept, and a product is one
backward pass through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from erfbook import progress
from erfbook.errors import RunError
from erfbook.hessian import memory
from erfbook.hessian.inputs import (
    Batch,
    check_graph,
    check_loss,
    choose_parameters,
    collect_batches,
    saved_bytes,
)
from erfbook.hessian.modes import MODES, batch_norm_mode, full_precision

LossFunction = Callable[[Tensor, Tensor], Tensor]
Graph = tuple[Tensor, ...]


class HessianOperator:
    """The symmetric matrix of second derivatives of a mean loss over samples, as products.

    The loss is the mean over all samples, so a batch counts by its number of samples. With
    ``batch_norm="train"`` each batch is normalised by its own statistics and the batches are thus
    part of what the loss is; the operator is symmetric in both modes. The model is called with
    copies of its parameters and buffers: nothing of it is changed, gradients included.

    Args:
        model: any module that takes one tensor.
        loss_fn: (outputs, targets) -> the mean loss over the batch's samples.
        batches: (inputs, targets) pairs, moved to the model's device.
        batch_norm: ``eval`` or ``train``; all else is in evaluation mode either way.
        parameters: names of those that vary; None for all that require gradients. Their order is
            the model's.
        dtype: of all arithmetic; None for the parameters' own.
        keep_graph: True, False, or ``auto`` for as many batches as fit the memory.
        memory_limit: bytes for kept graphs; None for a share of what is free.

    Raises:
        ValueError: no batches, no parameters, a loss that is not a number.
        RunError: out of memory for one batch.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        batches: Iterable[Batch],
        *,
        batch_norm: str = "eval",
        parameters: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        keep_graph: bool | str = "auto",
        memory_limit: int | None = None,
    ) -> None:
        if batch_norm not in MODES:
            raise ValueError(f"batch_norm must be one of {', '.join(MODES)}, not {batch_norm!r}")
        if keep_graph not in (True, False, "auto"):
            raise ValueError(f"keep_graph must be True, False or 'auto', not {keep_graph!r}")
        chosen = choose_parameters(model, parameters)
        first = next(iter(chosen.values()))
        self.device, self.dtype = first.device, dtype or first.dtype
        self.names = tuple(chosen)
        self.shapes = tuple(p.shape for p in chosen.values())
        self.n = sum(p.numel() for p in chosen.values())
        self._sizes = [shape.numel() for shape in self.shapes]
        self.batch_norm = batch_norm
        self.notes: list[str] = []
        self.n_products = 0
        self._model, self._loss_fn = model, loss_fn
        # Contiguous, not channels-last: see training.devices.choose_layout for why that is unsafe.
        self._leaves = tuple(self._copy(p).requires_grad_() for p in chosen.values())
        self._fixed = {
            name: self._copy(value)
            for name, value in [*model.named_parameters(), *model.named_buffers()]
            if name not in chosen
        }
        self._batches = collect_batches(batches, self.device, self.dtype)
        self.n_samples = sum(len(inputs) for inputs, _ in self._batches)
        self._graphs: dict[int, Graph] = {}
        self._room = 0 if keep_graph is False else self._room_for_graphs(memory_limit, keep_graph)
        self.loss = self._open()

    def products(self, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Return the product with each row, in the operator's dtype, on its device."""
        rows = vectors.to(self.device, self.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.n:
            raise ValueError(f"vectors must be of shape (any, {self.n}), not {tuple(rows.shape)}")
        total = torch.zeros(rows.shape, dtype=self._wide, device=self.device)
        for i, (inputs, _) in enumerate(self._batches):
            total.add_(self._batch_products(i, rows), alpha=len(inputs) / self.n_samples)
        self.n_products += len(rows)
        return total.to(self.dtype)

    def matvec(self, vector: np.ndarray) -> np.ndarray:
        """Return the product with one flat vector."""
        row = torch.from_numpy(np.ascontiguousarray(vector).reshape(1, -1))
        return self.products(row)[0].cpu().numpy()

    def as_linear_operator(self):
        """Return it as a ``scipy.sparse.linalg.LinearOperator``, for other solvers."""
        from scipy.sparse.linalg import LinearOperator

        dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            (self.n, self.n), matvec=self.matvec, rmatvec=self.matvec, dtype=dtype
        )

    @property
    def _wide(self) -> torch.dtype:
        """The type in which batches are added up."""
        many = len(self._batches) > 1 and self.device.type != "mps"
        return torch.float64 if many else self.dtype

    @property
    def n_kept(self) -> int:
        """Batches whose gradient's graph is kept."""
        return len(self._graphs)

    def _copy(self, value: Tensor) -> Tensor:
        dtype = self.dtype if value.is_floating_point() else value.dtype
        return value.detach().to(
            self.device, dtype, copy=True, memory_format=torch.contiguous_format
        )

    def _room_for_graphs(self, limit: int | None, keep: bool | str) -> float:
        if keep is True:
            return float("inf")
        return memory.free_bytes(self.device) * memory.SHARE / 2 if limit is None else limit

    def _open(self) -> float:
        """Return the loss, keeping graphs while there is room, and check that it has a Hessian."""
        first = len(self._batches[0][0])
        per_sample = 0.0
        if 0 < self._room < float("inf"):
            with self._computing():
                per_sample = saved_bytes(lambda: self._gradient(0)) / first
        total, used = 0.0, 0.0
        for i, (inputs, _) in enumerate(self._batches):
            graph, loss = self._build(i)
            total += loss * len(inputs) / self.n_samples
            if i == 0:
                check_graph(graph)
                self._product(graph, torch.zeros(self.n, dtype=self.dtype, device=self.device))
            asked = per_sample * len(inputs)
            if self._room and used + asked <= self._room:
                self._graphs[i] = graph
                used += asked
        if 0 < self._room and self.n_kept < len(self._batches):
            self._say(
                f"the gradient's graph is kept for {self.n_kept} of {len(self._batches)} batches; "
                "the others' are built again for every block of products"
            )
        return total

    def _build(self, i: int) -> tuple[Graph, float]:
        """Return the graph of a batch's gradient and its loss; give up kept graphs for memory."""
        while True:
            try:
                with self._computing():
                    return self._gradient(i)
            except torch.OutOfMemoryError as error:
                self._give_up_graphs(len(self._batches[i][0]), error)

    def _batch_products(self, i: int, rows: Tensor) -> Tensor:
        """Return one batch's Hessian times each row; give up kept graphs for memory."""
        while True:
            try:
                graph = self._graphs.get(i) or self._build(i)[0]
                return torch.stack([self._product(graph, row) for row in rows]).to(self._wide)
            except torch.OutOfMemoryError as error:
                graph = ()
                self._give_up_graphs(len(self._batches[i][0]), error)

    def _product(self, graph: Graph, row: Tensor) -> Tensor:
        """Return one batch's Hessian times a vector."""
        parts = [
            part.view(shape)
            for part, shape in zip(row.split(self._sizes), self.shapes, strict=True)
        ]
        live = [(g, part) for g, part in zip(graph, parts, strict=True) if g.requires_grad]
        if not live:  # the loss is linear in all that vary
            return torch.zeros_like(row)
        with self._computing():
            try:
                found = torch.autograd.grad(
                    [g for g, _ in live],
                    self._leaves,
                    [part for _, part in live],
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                first = str(error).splitlines()[0]
                raise ValueError(
                    f"the loss cannot be differentiated twice, so it has no Hessian: {first}"
                ) from error
        return torch.cat([value.reshape(-1) for value in found])

    def _gradient(self, i: int) -> tuple[Graph, float]:
        inputs, targets = self._batches[i]
        # Batch norm in training mode writes to its buffers: they are copies, and fresh ones.
        state = dict(zip(self.names, self._leaves, strict=True))
        state |= {name: value.clone() for name, value in self._fixed.items()}
        outputs = functional_call(self._model, state, (inputs,))
        loss = self._loss_fn(outputs, targets)
        check_loss(loss, i)
        gradient = torch.autograd.grad(
            loss, self._leaves, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return gradient, float(loss.detach())

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        with full_precision(self.device), batch_norm_mode(self._model, self.batch_norm):
            yield

    def _give_up_graphs(self, n_samples: int, error: Exception) -> None:
        if not self._graphs:
            raise RunError(
                f"{self.device} has no memory left for a product on {n_samples} samples: give "
                "smaller batches (with batch norm in training mode they are another loss)"
            ) from error
        self._graphs.clear()
        self._room = 0
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._say(f"{self.device} ran out of memory: no graph is kept from here on")

    def _say(self, message: str) -> None:
        self.notes.append(message)
        progress.tell(f"hessian: {message}")
