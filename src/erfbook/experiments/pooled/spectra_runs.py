"""Spectra of a notebook's networks: found in a store, or made and put there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import STRIDES, NetworkConfig
from erfbook.experiments.pooled.spectra import MOMENTS
from erfbook.experiments.pooled.spectra_plans import ENDS, ask, pool_spectra, separate, vary
from erfbook.experiments.pooled.spectra_study import (
    MEASURES,
    Pools,
    Separation,
    gather,
    measure_growth,
    read_deciding,
)
from erfbook.experiments.registry import obtain
from erfbook.records import Record, Store

Variants = Mapping[str, list[Record]]


def run_pools(network: NetworkConfig, moment: str, n_seeds: int, store: Store) -> Pools:
    """Return the spectra of a network behind each of the four pools.

    Args:
        network: its pool is set here.
        moment: before or after training.
        n_seeds: of each.
        store: where records are looked for, and put.
    """
    configs = dict(zip(STRIDES, plans.configure_pools(network), strict=True))
    return gather(
        {
            stride: obtain(pool_spectra(), ask(config, moment), range(n_seeds), store)
            for stride, config in configs.items()
        }
    )


def run_variants(network: NetworkConfig, n_seeds: int, store: Store) -> tuple[Variants, Variants]:
    """Return spectra before training, a setting changed each, for smallest and largest field."""
    small, large = (
        {
            word: obtain(pool_spectra(), config, range(n_seeds), store)
            for word, config in own.items()
        }
        for own in map(vary, _ends(network))
    )
    return small, large


def run_separation(network: NetworkConfig, n_seeds: int, store: Store) -> Separation:
    """Return small and large field on small and large planes, before training."""
    cells = separate(*_ends(network))
    return Separation(
        {word: obtain(pool_spectra(), one, range(n_seeds), store) for word, one in cells.items()}
    )


def read_published(stores: Iterable[Store]) -> dict[tuple[str, str], tuple[str, Pools]]:
    """Return the scale and spectra that decide each figure's panels, by architecture and moment."""
    stores = list(stores)
    found = {
        (architecture, moment): read_deciding(stores, architecture, moment)
        for architecture in ("vgg", "resnet50")
        for moment in MOMENTS
    }
    return {key: one for key, one in found.items() if one is not None}


def name_published(
    published: Mapping[tuple[str, str], tuple[str, Pools]], stores: Iterable[Store]
) -> dict[str, dict[str, Any]]:
    """Return what the ledger asks about CIFAR-10, under names that begin with ``cifar``.

    Args:
        published: as :func:`read_published` returns it.
        stores: in which spectra in batch norm's training mode are looked for as well.
    """
    stores = list(stores)
    pools = {f"cifar_{a}_{m}": found for (a, m), (_, found) in published.items()}
    for architecture in ("vgg", "resnet50"):
        other = read_deciding(stores, architecture, "before", batch_norm="train")
        pools |= {f"cifar_{architecture}_before_train": other[1]} if other else {}
    named: dict[str, dict[str, Any]] = {
        f"cifar_{a}_{m}_data": {"value": f"{scale}, {own.note}"}
        for (a, m), (scale, own) in published.items()
    }
    for prefix, own in pools.items():
        for name in MEASURES:
            factor = measure_growth(own, name)
            ends = {"low": factor.low, "high": factor.high, "n": factor.n}
            named[f"{prefix}_{name}"] = {"value": factor.value, **ends}
            named[f"{prefix}_{name}_grows"] = {"value": bool(factor.low > 1)}
    return named


def _ends(network: NetworkConfig) -> list[Any]:
    configs = plans.configure_pools(network)
    return [ask(configs[STRIDES.index(stride)], "before") for stride in ENDS]
