"""One-shot magnitude pruning: the smallest weights of the dense network are set to zero.

Every rate starts from the dense weights. Weights go in one total order: by magnitude, equal
ones by layer and then by place in the tensor. So a number of weights is pruned exactly, and what
a lower rate prunes a higher one prunes too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from erfbook.errors import UserError

SCOPES = ("global", "layer")
LAYER_SETS = ("conv+linear", "conv", "all but first and last")

Chooser = Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Pruned:
    """A network some of whose weights are zero, and which those are.

    Args:
        model: a copy of the dense network, its pruned weights 0.
        mask: by parameter name, in the order of the network's layers, true where a weight is kept.
        rate: share of the weights in the mask's tensors that was asked for.
        scope: ``global`` or ``layer``.
    """

    model: nn.Module
    mask: Mapping[str, Bool[Tensor, "*shape"]]
    rate: float
    scope: str

    @property
    def n_weights(self) -> int:
        """Weights that could be pruned."""
        return sum(kept.numel() for kept in self.mask.values())

    @property
    def n_pruned(self) -> int:
        """Weights that are."""
        return sum(int((~kept).sum()) for kept in self.mask.values())

    @property
    def shares(self) -> dict[str, float]:
        """Share of each tensor's weights that are pruned, by parameter name."""
        return {name: float((~kept).double().mean()) for name, kept in self.mask.items()}


def prune_global(
    model: nn.Module,
    rate: float,
    *,
    scope: str = "global",
    layers: str | Chooser = "conv+linear",
) -> Pruned:
    """Return a copy of a network without its smallest weights (avendano s. 3.3, table 1).

    The paper gives neither scope nor layers: the defaults are our reading of "one-shot pruning".
    Biases and batch norm are never pruned.

    Args:
        model: the dense network; it is left as it is.
        rate: share of the weights to prune, in [0, 1). Of n weights ``round(rate * n)`` go, where
            a half is rounded to the even number.
        scope: ``global`` ranks all chosen weights together; ``layer`` prunes the share of each.
        layers: ``conv+linear``, ``conv``, ``all but first and last`` (of the convolutions and
            linear layers), or a function of a module's path and the module.

    Raises:
        UserError: the rate is outside [0, 1), or there is no such scope or set of layers, or it is
            empty, or a weight is not a plain parameter or not finite.

    >>> layer = nn.Linear(4, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, -1.0, 2.0, 0.5]]))
    >>> prune_global(layer, 0.5).model.weight.tolist()
    [[3.0, 0.0, 2.0, 0.0]]
    """
    mask = choose_mask(model, rate, scope=scope, layers=layers)
    twin = copy.deepcopy(model)
    apply_mask(twin, mask)
    return Pruned(twin, mask, rate, scope)


def choose_mask(
    model: nn.Module,
    rate: float,
    *,
    scope: str = "global",
    layers: str | Chooser = "conv+linear",
) -> dict[str, Bool[Tensor, "*shape"]]:
    """Return the mask alone, by parameter name: true where a weight is kept.

    Args:
        model, rate, scope, layers: as :func:`prune_global` takes them.

    Raises:
        UserError: as :func:`prune_global` says.
    """
    if not 0 <= rate < 1:
        raise UserError(f"rate must be at least 0 and below 1, not {rate:g}: it is a share")
    if scope not in SCOPES:
        raise UserError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")
    weights = choose_weights(model, layers)
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise UserError(f"{name} holds values that are not finite: they have no rank")
    groups = [list(weights)] if scope == "global" else [[name] for name in weights]
    mask: dict[str, Tensor] = {}
    for names in groups:
        mask |= _rank_and_mask({name: weights[name] for name in names}, rate)
    return mask


def choose_weights(model: nn.Module, layers: str | Chooser) -> dict[str, nn.Parameter]:
    """Return the weights of a set of layers by parameter name, each shared tensor once.

    Args:
        model: the network.
        layers: as :func:`prune_global` takes them.

    Raises:
        UserError: there is no such set, or it has no weights, or one is not a plain parameter.
    """
    if isinstance(layers, str) and layers not in LAYER_SETS:
        raise UserError(f"layers must be one of {', '.join(LAYER_SETS)}, not {layers!r}")
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    found = [(path, part) for path, part in model.named_modules() if isinstance(part, kinds)]
    if callable(layers):
        found = [(path, part) for path, part in found if layers(path, part)]
    elif layers == "conv":
        found = [(path, part) for path, part in found if not isinstance(part, nn.Linear)]
    elif layers == "all but first and last":
        found = found[1:-1]
    weights: dict[str, nn.Parameter] = {}
    for path, part in found:
        name = f"{path}.weight" if path else "weight"
        weight = part._parameters.get("weight")
        if not isinstance(weight, nn.Parameter):
            raise UserError(f"{name} is not a plain parameter: give the network without masks or "
                            "reparametrisations")  # fmt: skip
        if not any(weight is known for known in weights.values()):
            weights[name] = weight
    if not weights:
        raise UserError("layers chooses no convolution or linear layer of this network")
    return weights


@torch.no_grad()
def apply_mask(model: nn.Module, mask: Mapping[str, Bool[Tensor, "*shape"]]) -> None:
    """Set the weights that a mask drops to zero, in place."""
    for name, kept in mask.items():
        weight = model.get_parameter(name)
        weight.masked_fill_(~kept.to(weight.device), 0.0)


def _rank_and_mask(weights: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Return true for each weight that stays when the smallest share of all of them goes."""
    flat = torch.cat([weight.detach().flatten().cpu().abs() for weight in weights.values()])
    dropped = _smallest(flat, round(rate * len(flat)))
    parts: Sequence[Tensor] = dropped.split([weight.numel() for weight in weights.values()])
    return {
        name: ~part.view(weight.shape)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


def _smallest(values: Tensor, n: int) -> Tensor:
    """Return true for exactly the n smallest values, of equal ones the first."""
    if n == 0:
        return torch.zeros(len(values), dtype=torch.bool)
    threshold = values.kthvalue(n).values
    chosen = values < threshold
    ties = (values == threshold).nonzero()[:, 0]
    chosen[ties[: n - int(chosen.sum())]] = True
    return chosen
