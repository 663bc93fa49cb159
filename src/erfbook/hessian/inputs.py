"""What the caller gives, checked: batches, parameters, and what the loss function returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def choose_parameters(
    model: nn.Module, names: Sequence[str] | None = None
) -> dict[str, nn.Parameter]:
    """Return the parameters that vary, in the model's order.

    Args:
        model: any module.
        names: of the parameters; None for all that require gradients.

    Raises:
        ValueError: an unknown name, or none left.
    """
    present = dict(model.named_parameters())
    if isinstance(names, str):
        names = [names]
    unknown = [name for name in names or () if name not in present]
    if unknown:
        raise ValueError(
            f"parameters: the model has no {unknown[0]!r}; it has {', '.join(present) or 'none'}"
        )
    if names is None:
        chosen = {name: p for name, p in present.items() if p.requires_grad}
        remedy = "none of the model's requires a gradient; name those that vary"
    else:
        chosen = {name: p for name, p in present.items() if name in set(names)}
        remedy = "an empty list leaves nothing to vary"
    if not any(p.numel() for p in chosen.values()):
        raise ValueError(f"parameters: {remedy}")
    return chosen


def collect_batches(
    batches: Iterable[Batch], device: torch.device, dtype: torch.dtype
) -> list[Batch]:
    """Return the batches on a device, floating-point numbers in a dtype; empty ones left out.

    They are read once and kept, since a loader that shuffles would give another loss every time.

    Raises:
        ValueError: none, or one that is not a pair of tensors of the same length.
    """

    def moved(value: Tensor) -> Tensor:
        value = value.detach().to(device, dtype if value.is_floating_point() else None)
        return value.contiguous()

    found = []
    for i, batch in enumerate(batches):
        pair = tuple(batch) if isinstance(batch, (tuple, list)) else ()
        if len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
            raise ValueError(f"batches: batch {i} is not a pair of tensors (inputs, targets)")
        inputs, targets = pair
        if len(inputs) != len(targets):
            raise ValueError(f"batches: batch {i} has {len(inputs)} inputs, {len(targets)} targets")
        if len(inputs):
            found.append((moved(inputs), moved(targets)))
    if not found:
        raise ValueError("batches: there are none, so there is no loss; give at least one sample")
    return found


def check_loss(loss: object, batch: int) -> None:
    """Refuse what is not the mean of a loss over a batch.

    Raises:
        ValueError: no scalar, not finite, or nothing that depends on the parameters.
    """
    if not isinstance(loss, Tensor) or loss.ndim:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn must return the batch's mean loss, one number, not {shape}")
    if not loss.isfinite():
        raise ValueError(
            f"the loss of batch {batch} is {float(loss.detach())}: it has no Hessian; look at the "
            "inputs and the parameters"
        )
    if not loss.requires_grad:
        raise ValueError("the loss does not depend on the parameters that vary")


def check_graph(gradient: Iterable[Tensor]) -> None:
    """Refuse a gradient of which a part cannot be differentiated.

    Asked for parameters' gradients alone, PyTorch walks around such a part without an error and
    takes it for a constant.

    Raises:
        ValueError: a function in it is differentiable once.
    """
    nodes, seen = [value.grad_fn for value in gradient], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise ValueError(
                "the loss cannot be differentiated twice, so it has no Hessian: one of its "
                "functions can be differentiated only once"
            )
        nodes += [before for before, _ in node.next_functions]


def saved_bytes(build) -> int:
    """Return the bytes that the graph built by a call keeps, each storage once."""
    seen: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        kept = build()
    del kept
    return sum(seen.values())
