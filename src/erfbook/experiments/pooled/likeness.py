"""Experiment ``pool-likeness``: how alike the layers of two seeds are, behind each early pool.

avendano section 3.3, figure 3: linear CKA on the first 1000 test images. Which outputs count as
the 50 layers of ResNet-50, and whether its estimate is free of bias, the paper does not say; all
readings are measured here, and the untrained networks beside the trained ones.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from erfbook import similarity
from erfbook.datasets import ImageSet
from erfbook.errors import UserError
from erfbook.experiments.photographs import calibrate_batch_norm
from erfbook.experiments.pooled.networks import (
    NetworkConfig,
    build_network,
    load_data,
    train_or_find,
    trained_network,
)
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.models.pooled import PooledNet
from erfbook.similarity import Representations

N_IMAGES = 1000  # "the first 1000 images of the test set"
FEWER = {"smoke": 48, "laptop": 200}  # in smaller profiles, whose test sets are small too
N_CALIBRATION = 256  # training images for batch norm's statistics before training; chosen by us
BATCH = 100
FARTHEST = 0.02  # of the images, those farthest from the mean in a layer
# Outputs of convolutions with their batch norm and ReLU, of pools, of blocks, and the logits.
LAYERS = {
    "vgg": ("features.conv?_?", "features.early_pool", "features.pool?", "head"),
    "resnet50": (
        *("features.stem", "features.early_pool"),
        *("features.layer?.?.convs.conv?", "features.layer?.?", "head"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class LikenessConfig:
    """Two trainings of one network, compared layer by layer.

    Args:
        name, dataset: the network's.
        network: what is trained.
        n_images: first test images that the layers are compared on.
        gap: the two seeds are s and s + gap.
    """

    name: str
    dataset: str
    network: NetworkConfig
    n_images: int = N_IMAGES
    gap: int = 1


def configure_likeness(
    network: NetworkConfig, gap: int = 1, n_images: int = N_IMAGES
) -> LikenessConfig:
    """Return what compares two seeds of a network."""
    name = network.name if gap == 1 else f"{network.name}, gap {gap}"
    return LikenessConfig(
        name=name, dataset=network.dataset, network=network, n_images=n_images, gap=gap
    )


def list_pairs(n_networks: int) -> list[tuple[int, int]]:
    """Return (gap, seed) of all pairs of networks, neighbours first.

    >>> list_pairs(3)
    [(1, 0), (1, 1), (2, 0)]
    """
    return [(gap, seed) for gap in range(1, n_networks) for seed in range(n_networks - gap)]


def run_likeness(config: LikenessConfig, seed: int, workspace: Workspace) -> Outcome:
    """Compare the layers of seeds ``seed`` and ``seed + gap``, trained and untrained."""
    data = load_data(config.network)
    if len(data.test) < config.n_images:
        raise UserError(
            f"n_images is {config.n_images} and {data.note} has {len(data.test)} test images here"
        )
    images = data.standardise(data.test.images[: config.n_images])
    batches = images.split(BATCH)
    seeds = (seed, seed + config.gap)
    layers = LAYERS[config.network.architecture]
    represent = functools.partial(similarity.represent, batches=batches, layers=layers)
    before = [_untrained(config.network, one, data, workspace.device) for one in seeds]
    arrays = _compare([represent(model) for model in before], "untrained")
    after = [trained_network(config.network, one, workspace) for one in seeds]
    found = [represent(model, progress=workspace.progress) for model in after]
    arrays |= _compare(found, "trained")
    arrays |= find_farthest(found)
    arrays["trained_within_other"] = _matrix(found[1], found[1]).astype(np.float16)
    first, second = (represent(model, reduce=mean_plane) for model in after)
    arrays["trained_means"] = _diagonal(first, second)
    records = [train_or_find(config.network, one, workspace) for one in seeds]
    metrics = {
        "seeds": list(seeds),
        "layers": [str(layer) for layer in found[0].layers],
        "n_features": list(found[0].n_features),
        "n_images": config.n_images,
        "accuracies": [record.metrics["accuracy"] for record in records],
        "field_px": config.network.theoretical_field,
        "n_parts": list(parts_of(config.n_images)),
        "note": data.note,
    }
    return Outcome(metrics, arrays)


def parts_of(n_images: int) -> tuple[int, ...]:
    """Return the smaller numbers of images that are tried too: a half, a quarter, an eighth."""
    return tuple(n_images // part for part in (2, 4, 8))


def mean_plane(output: torch.Tensor) -> torch.Tensor:
    """Return the mean over the plane: as many features as channels, whatever the plane's size."""
    return output.mean((2, 3)) if output.ndim == 4 else output


def _untrained(
    network: NetworkConfig, seed: int, data: ImageSet, device: torch.device
) -> PooledNet:
    """Return the network training starts from, with the statistics that its first steps see."""
    model = build_network(network, seed, len(data.classes)).to(device)
    images = data.standardise(data.train.images[:N_CALIBRATION]).to(device)
    calibrate_batch_norm(model, images, batch_size=64)
    return model.eval()


def find_farthest(networks: Sequence[Representations]) -> dict[str, np.ndarray]:
    """Return what the images farthest from the mean hold of each layer, and which they are.

    Args:
        networks: two, of the same images.

    Returns:
        ``farthest_share`` (2, layer), of the variance over all images; ``farthest_both`` (layer),
        how many of them are among the farthest in both networks, as a share.
    """
    shares = [one.shares() for one in networks]
    tops = [of.topk(max(1, round(FARTHEST * of.shape[1])), dim=1) for of in shares]
    first, second = (top.indices for top in tops)
    both = (first[:, :, None] == second[:, None, :]).any(2).double().mean(1)
    held = torch.stack([top.values.sum(1) for top in tops])
    return {
        "farthest_share": held.cpu().numpy().astype(np.float32),
        "farthest_both": both.cpu().numpy().astype(np.float32),
    }


def _compare(networks: Sequence[Representations], state: str) -> dict[str, np.ndarray]:
    """Return matrices in half precision, and same-layer curves by estimate and n of images."""
    first, second = networks

    between, biased = _matrix(first, second), _matrix(first, second, False)
    found: dict[str, np.ndarray] = {
        "between": between.astype(np.float16),
        "within": _matrix(first, first).astype(np.float16),
        "biased": biased.astype(np.float16),
        "curve": np.diagonal(between).astype(np.float32),
        "curve_biased": np.diagonal(biased).astype(np.float32),
    }
    found["curve_equal"] = _diagonal(first.at_equal_length(), second.at_equal_length())
    for part in parts_of(first.n):
        few, others = first.first(part), second.first(part)
        found[f"curve_{part}"] = _diagonal(few, others)
        found[f"curve_biased_{part}"] = _diagonal(few, others, debiased=False)
    return {f"{state}_{name}": values for name, values in found.items()}


def _matrix(a: Representations, b: Representations, debiased: bool = True) -> np.ndarray:
    return similarity.compare_representations(a, b, debiased=debiased).matrix


def _diagonal(a: Representations, b: Representations, debiased: bool = True) -> np.ndarray:
    return np.diagonal(_matrix(a, b, debiased)).astype(np.float32)


@functools.cache
def pool_likeness() -> Experiment:
    """Return the experiment: all pairs of the networks that are trained at each scale."""
    from erfbook.experiments.pooled import plans

    made = {}
    for profile, networks in plans.plan_all(lambda network: network).items():
        n_images = FEWER.get(profile, N_IMAGES)
        made[profile] = tuple(
            (configure_likeness(network, gap, n_images), n - gap)
            for gap in range(1, max(n for _, n in networks))
            for network, n in networks
            if n > gap
        )
    return Experiment(
        name="pool-likeness",
        version=2,
        summary="CKA between the layers of two seeds, by early pool (avendano s. 3.3, figure 3)",
        config=LikenessConfig,
        plans=made,
        run=run_likeness,
        can_pause=False,
    )
