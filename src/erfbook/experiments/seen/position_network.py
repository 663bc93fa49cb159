"""Networks cut off behind a layer; the layers and units that the chapter on positions asks."""

from __future__ import annotations

import math
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from erfbook import featurevis, models, rf
from erfbook.errors import UserError
from erfbook.featurevis.keeping import fingerprint
from erfbook.featurevis.plan import choose_field

Unit = tuple[int, int]
ROLES = ("low", "middle", "high")
# Area of the exact field over the image's, nearest to which a layer is chosen; for the high layer
# the least that it must be. A few per cent, half and more than all: chosen by us.
AREA_SHARES = {"low": 0.04, "middle": 0.5, "high": 2.0}
# Distance of the outer places from the top and left border, in sides of the image; chosen by us so
# that the low layer's field fits in.
INSET = 1 / 6
PLACES = ("centre", "edge", "corner")
PADDINGS = ("zeros", "circular")


class _Enough(Exception):
    """Ends a forward pass behind the layer."""

    def __init__(self, output: torch.Tensor) -> None:
        self.output = output


class Trunk(nn.Module):
    """A network up to a layer: no later module runs, so none refuses a small image.

    Args:
        model: the whole network.
        layer: path of the last module that runs; its output is the trunk's.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""

        def stop(module: nn.Module, arguments: object, output: torch.Tensor) -> None:
            raise _Enough(output)

        handle = self.model.get_submodule(self.layer).register_forward_hook(stop)
        try:
            self.model(images)
        except _Enough as enough:
            return enough.output
        finally:
            handle.remove()
        raise ValueError(f"the layer {self.layer!r} was not called")


@lru_cache(maxsize=2)
def load_network(network: str, weights: str = "") -> nn.Module:
    """Return a network in evaluation mode, its parameters without gradients; one for all callers.

    Args:
        network: a name that :func:`erfbook.models.load_model` knows.
        weights: as there; the model's usual ones if empty.

    Raises:
        UserError: no such network or weights.
    """
    return models.load_model(network, weights or None).requires_grad_(False)


def cut_behind(model: nn.Module, layer: str, side_px: int) -> Trunk:
    """Return the network up to a layer.

    Raises:
        UserError: there is no such layer, or it has no rows and columns.
    """
    if layer not in dict(model.named_modules()):  # the whole network is traced for its message
        choose_field(model, _analyze(model, side_px), layer, None)
    trunk = Trunk(model, layer)
    if not field_of(trunk, side_px).is_plane:
        raise UserError(
            f"the layer {layer!r} has no spatial extent: its output is not (N, channels, rows, "
            "columns); name a layer before the plane is pooled or flattened"
        )
    return trunk


def pad(trunk: nn.Module, padding: str) -> nn.Module:
    """Return a network with its own padding, or a copy closed to a ring.

    Raises:
        UserError: there is no such padding, or the network cannot be closed.
    """
    if padding not in PADDINGS:
        raise UserError(f"padding must be one of {', '.join(PADDINGS)}, not {padding!r}")
    return trunk if padding == "zeros" else featurevis.with_circular_padding(trunk)


def field_of(trunk: nn.Module, side_px: int) -> rf.Field:
    """Return the exact field of a trunk's units on images of a side."""
    return _analyze(trunk, side_px)[""]


def choose_layers(model: nn.Module, side_px: int) -> dict[str, rf.Field]:
    """Return the layers that see a few per cent, about half, and more than all of an image.

    Of modules with one size of field the outermost is taken, and of those the last, so that a
    block stands for its parts.

    Raises:
        UserError: no layer sees so little, or so much.
    """
    fields: dict[int, rf.Field] = {}
    for field in list_fields(model, side_px):
        known = fields.get(field.size[0])
        if known is None or field.path.count(".") <= known.path.count("."):
            fields[field.size[0]] = field
    area = {size: size**2 / side_px**2 for size in fields}
    large = [size for size in fields if area[size] >= AREA_SHARES["high"]]
    small = [size for size in fields if area[size] < 1]
    if not large or len(small) < 2:
        raise UserError(
            f"no layers of this network see a few per cent, half and twice the area of an image of "
            f"{side_px} px; its fields are {', '.join(map(str, sorted(fields)))} px"
        )
    low, middle = (
        min(small, key=lambda size: abs(math.log(area[size] / AREA_SHARES[role])))
        for role in ("low", "middle")
    )
    return {"low": fields[low], "middle": fields[middle], "high": fields[min(large)]}


def choose_features(model: nn.Module, field: rf.Field, side_px: int) -> str:
    """Return the layer whose fields are the largest that are at most half as wide."""
    found = [f for f in list_fields(model, side_px) if 2 * f.size[0] <= field.size[0]]
    if not found:
        raise UserError(f"no layer's field is at most half of the {field.size[0]} px here")
    size = max(f.size[0] for f in found)
    same = [f for f in found if f.size[0] == size]
    depth = min(f.path.count(".") for f in same)
    return [f.path for f in same if f.path.count(".") == depth][-1]


def choose_units(field: rf.Field, inset: float = INSET) -> dict[str, Unit]:
    """Return the units at the image's centre, near its top edge and near its top left corner.

    Args:
        field: of the layer.
        inset: distance of the outer places from the border, in sides; 0 for the outermost units.
    """
    shares = {"centre": (0.5, 0.5), "edge": (inset, 0.5), "corner": (inset, inset)}
    return {name: nearest_unit(field, place) for name, place in shares.items()}


def nearest_unit(field: rf.Field, place: tuple[float, float]) -> Unit:
    """Return the unit whose field's centre is nearest to a place, in sides from the top left."""
    unit = []
    for axis, share in enumerate(place):
        last = field.grid[axis] - 1
        at = [(u if axis == 0 else 0, u if axis == 1 else 0) for u in range(last + 1)]
        centres = np.array([field.centre(u)[axis] for u in at])
        unit.append(int(np.abs(centres + 0.5 - share * field.input_size[axis]).argmin()))
    return unit[0], unit[1]


def draw_channels(n_known: int, n_channels: int, seed: int) -> tuple[int, ...]:
    """Return that many of a layer's channels, drawn without a look at them, in rising order."""
    n = min(n_channels, n_known)
    drawn = np.random.default_rng([seed, n_known]).choice(n_known, n, replace=False)
    return tuple(sorted(int(c) for c in drawn))


@lru_cache(maxsize=8)
def weights_fingerprint(network: str, weights: str) -> str:
    """Return a hash of a network's weights."""
    return fingerprint(load_network(network, weights), (network,))[:16]


def list_fields(model: nn.Module, side_px: int) -> list[rf.Field]:
    """Return the fields of the modules below the root that run once and on a plane."""
    report = _analyze(model, side_px)
    return [
        field
        for field in report.fields
        if field.path
        and field.is_plane
        and not field.is_global
        and None not in field.stride
        and len(report.calls(field.path)) == 1
    ]


_REPORTS: WeakKeyDictionary[nn.Module, dict[int, rf.Report]] = WeakKeyDictionary()


def _analyze(model: nn.Module, side_px: int) -> rf.Report:
    """Return a network's report; each is made once, since a trace takes as long as some steps."""
    known = _REPORTS.setdefault(model, {})
    if side_px not in known:
        known[side_px] = _trace(model, side_px)
    return known[side_px]


def _trace(model: nn.Module, side_px: int) -> rf.Report:
    try:
        return rf.analyze(model, (3, side_px, side_px), unknown="global")
    except rf.TraceError as error:
        place = f" up to {model.layer!r}" if isinstance(model, Trunk) else ""
        line = f"images of {side_px} px do not go through this network{place}: {error}"
        raise UserError(" ".join(line.split())) from error
