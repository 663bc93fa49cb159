"""Run a model over batches, as often as memory asks for, and keep what its layers put out.

A Gram matrix needs a layer's features of all images at once. They are cut into slices of columns
that fit a budget; each pass over the batches fills the slices of one group. Gram matrices add up
over slices, so nothing depends on the cut but the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from erfbook.similarity.cka import LEAST_IMAGES, add_gram
from erfbook.similarity.grams import Representations
from erfbook.similarity.layers import Layer, Runner, listening, place_inputs

Reduce = Callable[[Tensor], Tensor]


class Slice(NamedTuple):
    """Columns ``start`` to ``stop`` of a layer's flattened features."""

    layer: Layer
    start: int
    stop: int
    last: bool


@dataclass(frozen=True)
class Batches:
    """Inputs that can be gone through several times, checked to be the same each time.

    Args:
        source: what was given.
        prints: number of images and sum of each batch, when it was first gone through.
    """

    source: Iterable[Any]
    prints: tuple[tuple[int, float], ...]

    @classmethod
    def check(cls, source: Iterable[Any]) -> Batches:
        """Go through the batches once.

        Raises:
            ValueError: they can be gone through only once, there are none, or they hold fewer
                than four images.
        """
        if isinstance(source, Iterator):
            raise ValueError("batches can be gone through only once; give a list: list(batches)")
        batches = cls(source, tuple(_print(_inputs(batch)) for batch in source))
        if batches.n < LEAST_IMAGES:
            raise ValueError(f"batches hold {batches.n} images; CKA needs {LEAST_IMAGES} or more")
        return batches

    @property
    def n(self) -> int:
        """Images."""
        return sum(count for count, _ in self.prints)

    def __iter__(self) -> Iterator[Tensor]:
        n_seen = 0
        for batch in self.source:
            inputs = _inputs(batch)
            if n_seen >= len(self.prints) or _print(inputs) != self.prints[n_seen]:
                raise ValueError(
                    f"batch {n_seen} differs from the first pass: batches must come in the same "
                    "order each time (a loader must not shuffle, crop or mirror)"
                )
            n_seen += 1
            yield inputs
        if n_seen != len(self.prints):
            raise ValueError(f"there were {len(self.prints)} batches and now {n_seen}")


def measure(
    model: nn.Module,
    batches: Batches,
    modules: dict[str, nn.Module],
    place: torch.device,
    *,
    budget: int,
    reduce: Reduce | None = None,
    progress: str = "",
) -> Representations:
    """Return the Gram matrices of a model that is in evaluation mode (see ``represent``).

    Args:
        place: device of features and Gram matrices.
        budget: bytes of features held at once.
    """
    n = batches.n
    shapes = _trace(model, batches, modules, reduce)
    widths = {layer: columns for layer, (columns, _) in shapes.items()}
    below = torch.empty(len(shapes), n * (n - 1) // 2, dtype=torch.float64, device=place)
    diagonal = torch.empty(len(shapes), n, dtype=torch.float64, device=place)
    row, column = torch.tril_indices(n, n, -1, device=place)
    gram = torch.zeros(n, n, dtype=torch.float64, device=place)
    n_done = 0
    groups = list(plan_groups(shapes, n, budget))
    for group in tqdm(groups, desc=progress, disable=None if progress else True, leave=False):
        kept = {
            one: torch.empty(n, one.stop - one.start, dtype=shapes[one.layer][1], device=place)
            for one in group
        }
        _fill(model, batches, modules, kept, widths, reduce)
        for one in group:
            features = kept.pop(one)
            _add(gram, features, one.layer)
            if one.last:
                below[n_done], diagonal[n_done] = gram[row, column], gram.diagonal()
                gram.zero_()
                n_done += 1
    return Representations(tuple(shapes), tuple(widths.values()), below, diagonal)


def measure_batch(
    runner: Runner, inputs: Tensor, modules: dict[str, nn.Module], place: torch.device
) -> Representations:
    """Return the Gram matrices of one batch, from products in float32: a batch is noisier."""
    n = len(inputs)
    found: dict[Layer, tuple[Tensor, int]] = {}

    def receive(layer: Layer, output: Tensor) -> None:
        features = _flatten(layer, _in_order_of_memory(output), n, None).to(place)
        gram = torch.zeros(n, n, dtype=torch.float64, device=place)
        _add(gram, features, layer, single=True)
        found[layer] = (gram, features.shape[1])

    with listening(modules, receive) as counts:

        def start_again() -> None:
            counts.clear()
            found.clear()

        runner(inputs, start_again)
    row, column = torch.tril_indices(n, n, -1, device=place)
    grams = torch.stack([gram for gram, _ in found.values()])
    return Representations(
        tuple(found),
        tuple(columns for _, columns in found.values()),
        grams[:, row, column],
        grams.diagonal(dim1=1, dim2=2),
    )


def plan_groups(
    shapes: dict[Layer, tuple[int, torch.dtype]], n: int, budget: int
) -> Iterator[list[Slice]]:
    """Yield groups of slices, in the order of the layers, each within the budget of bytes."""
    group: list[Slice] = []
    left = budget
    for layer, (columns, dtype) in shapes.items():
        start = 0
        while start < columns:
            fit = left // (n * dtype.itemsize)
            if fit < 1 and group:
                yield group
                group, left = [], budget
                continue
            stop = min(columns, start + max(fit, 1))
            group.append(Slice(layer, start, stop, stop == columns))
            left -= (stop - start) * n * dtype.itemsize
            start = stop
    if group:
        yield group


def _trace(
    model: nn.Module, batches: Batches, modules: dict[str, nn.Module], reduce: Reduce | None
) -> dict[Layer, tuple[int, torch.dtype]]:
    """Return number and type of each layer's features, from the first batch."""
    shapes: dict[Layer, tuple[int, torch.dtype]] = {}
    inputs = next(iter(batches))

    def receive(layer: Layer, output: Tensor) -> None:
        features = _flatten(layer, output, len(inputs), reduce)
        shapes[layer] = (features.shape[1], features.dtype)

    with listening(modules, receive):
        model(place_inputs(inputs, model))
    if not shapes:
        raise ValueError(f"none of the chosen layers was called: {', '.join(modules)}")
    return shapes


def _fill(
    model: nn.Module,
    batches: Batches,
    modules: dict[str, nn.Module],
    kept: dict[Slice, Tensor],
    widths: dict[Layer, int],
    reduce: Reduce | None,
) -> None:
    """Run over all batches and put each slice of each layer into its place."""
    slices: dict[Layer, list[Slice]] = {}
    for one in kept:
        slices.setdefault(one.layer, []).append(one)
    wanted = {path: m for path, m in modules.items() if any(s.path == path for s in slices)}
    first, n, seen = 0, 0, set()

    def receive(layer: Layer, output: Tensor) -> None:
        seen.add(layer)
        for one in slices.get(layer, ()):
            features = _flatten(layer, output, n, reduce)
            if features.shape[1] != widths[layer]:
                raise ValueError(
                    f"layer {layer} has {features.shape[1]} features an image and had "
                    f"{widths[layer]} in the first batch; inputs must be of one size"
                )
            kept[one][first : first + n] = features[:, one.start : one.stop]

    with listening(wanted, receive) as counts:
        for inputs in batches:
            n = len(inputs)
            counts.clear()
            seen.clear()
            model(place_inputs(inputs, model))
            missing = set(slices) - seen
            if missing:
                raise ValueError(f"layer {min(missing)} was called in the first batch only")
            first += n


def _add(gram: Tensor, features: Tensor, layer: Layer, *, single: bool = False) -> None:
    """Add a layer's features; what is not finite shows on the diagonal, which costs nothing."""
    # Of a constant the centred values need not be zero there, and it must add nothing. Two images
    # tell almost always that it is none.
    rounded = single or features.dtype == torch.float64
    if rounded and torch.equal(features[0], features[1]):
        if bool((features == features[:1]).all()):
            return
    add_gram(gram, features, single=single)
    if not torch.isfinite(gram.diagonal()).all():
        raise ValueError(f"layer {layer} has features that are not finite (NaN or infinite)")


def _flatten(layer: Layer, output: Tensor, n: int, reduce: Reduce | None) -> Tensor:
    """Return features (n, d), which the next module may overwrite: use or copy them at once."""
    if output.ndim == 0 or len(output) != n:
        raise ValueError(
            f"layer {layer} gives {tuple(output.shape)} for {n} images; CKA needs a row an image"
        )
    kept = output if reduce is None else reduce(output)
    return kept.reshape(n, -1)


def _in_order_of_memory(output: Tensor) -> Tensor:
    """Return planes with channels last as they lie: a batch's features may come in any order."""
    if output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last):
        return output.permute(0, 2, 3, 1)
    return output


def _inputs(batch: Any) -> Tensor:
    found = batch[0] if isinstance(batch, list | tuple) and len(batch) else batch
    if not isinstance(found, Tensor):
        raise ValueError(
            f"batches must be (inputs, targets) or inputs alone, not {type(batch).__name__}"
        )
    return found


def _print(inputs: Tensor) -> tuple[int, float]:
    """A sum that another order of the images' values changes, in whole batches or inside them."""
    values = inputs.detach().reshape(len(inputs), -1).to(torch.float64).sum(1).nan_to_num()
    weights = torch.arange(1, len(inputs) + 1, dtype=torch.float64, device=values.device)
    return len(inputs), float(values @ weights)
