"""Experiment ``pool-spectra``: eigenvalues of the loss's Hessian before and after training.

Avendaño section 3.3, figures 1 and 2. The paper prints the 90 largest eigenvalues and names neither
the images of the loss nor batch norm's mode nor the initialisation: each is a setting here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from erfbook import hessian
from erfbook.errors import UserError
from erfbook.experiments.photographs import calibrate_batch_norm
from erfbook.experiments.pooled.networks import (
    NetworkConfig,
    build_network,
    check_fits,
    load_data,
    trained_network,
)
from erfbook.experiments.registry import Outcome, Workspace
from erfbook.experiments.training_fields import INITS, initialise
from erfbook.models.pooled import PooledNet

MOMENTS = ("before", "after")
# How batch norm is read. The running statistics of an untrained network are mean 0 and variance 1
# whatever it computes; calibrated ones are those of the images, held constant; in training mode
# they are the batch's own and are differentiated too.
NORMS = ("calibrated", "train", "running")
# One vector at a time needs the fewest products; eigenvalues that such a search would miss, those
# that occur twice, are looked for afterwards with this many products.
BLOCK, N_CHECKS = 1, 4


@dataclass(frozen=True, kw_only=True)
class SpectraConfig:
    """Whose Hessian, and how it is looked at.

    Args:
        name: of the configuration.
        dataset: of the network.
        network: what is trained; before training only its architecture and data matter.
        moment: ``before`` or ``after`` training.
        k: largest eigenvalues, algebraically.
        n_images: training images that the loss is the mean over.
        image_seed: draws them; -1 takes the first ones.
        image_side: px; smaller than the images' own crops their centre, larger repeats them
            beyond their border; 0 leaves them as they are.
        batch_norm: ``calibrated``, ``train`` or ``running``.
        batch_size: images in a product, and in training mode in a batch's statistics.
        init: of the convolutions, as :func:`..training_fields.initialise` takes it.
        n_probes, n_steps: random vectors behind the density, and Lanczos steps from each; 0
            vectors for no density.
        tolerance: of an eigenvalue's residual, relative to the largest eigenvalue found.
    """

    name: str
    dataset: str
    network: NetworkConfig
    moment: str = "before"
    k: int = 90
    n_images: int = 256
    image_seed: int = -1
    image_side: int = 0
    batch_norm: str = "calibrated"
    batch_size: int = 128
    init: str = "default"
    n_probes: int = 4
    n_steps: int = 40
    tolerance: float = 1e-3

    def check(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UserError: one of them.
        """
        for name, known in (("moment", MOMENTS), ("batch_norm", NORMS), ("init", INITS)):
            word = getattr(self, name)
            if word not in known:
                raise UserError(f"{name} must be one of {', '.join(known)}, not {word!r}")
        if self.init != "default" and self.moment == "after":
            raise UserError(
                f"init {self.init!r} is a start that no network is trained from; "
                "ask for the moment 'before'"
            )
        if self.image_side and self.image_side < self.network.pool_kernel:
            raise UserError(
                f"image_side must be 0, or at least {self.network.pool_kernel}, the pool's kernel, "
                f"not {self.image_side}"
            )
        if self.batch_size < 2 or (
            self.n_images % self.batch_size == 1 and self.batch_norm != "running"
        ):
            raise UserError(
                f"batch_size {self.batch_size} leaves a batch of one of {self.n_images} images, "
                "which has no statistics: change it, or n_images, by one"
            )


def run_spectra(config: SpectraConfig, seed: int, workspace: Workspace) -> Outcome:
    """Find the largest eigenvalues, and the density if it is asked for.

    Raises:
        UserError: settings that mean nothing, such as more eigenvalues than parameters.
    """
    config.check()
    batches = take_batches(config)
    model = prepare(config, seed, batches, workspace)
    seen = look(model, batches, config, seed, progress=workspace.progress)
    metrics = {name: value for name, value in seen.items() if not isinstance(value, np.ndarray)}
    metrics |= {
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "field_px": config.network.theoretical_field,
        "plane": list(measure_planes(model, batches[0][0][:1].to(workspace.device))),
        "note": load_data(config.network).note,
    }
    return Outcome(
        metrics, {n: value for n, value in seen.items() if isinstance(value, np.ndarray)}
    )


def take_batches(config: SpectraConfig) -> list[tuple[Tensor, Tensor]]:
    """Return the standardised images of the loss with their labels, in batches.

    Raises:
        UserError: there are fewer images than asked for.
    """
    data = load_data(config.network)
    present = len(data.train)
    if not 1 <= config.n_images <= present:
        raise UserError(f"n_images must be 1 to {present}, those there are, not {config.n_images}")
    chosen = torch.arange(config.n_images)
    if config.image_seed >= 0:
        order = np.random.default_rng(config.image_seed).permutation(present)
        chosen = torch.from_numpy(order[: config.n_images])
    images = resize(data.standardise(data.train.images[chosen]), config.image_side)
    labels = data.train.labels[chosen].long()
    return list(zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True))


def resize(images: Tensor, side: int) -> Tensor:
    """Return the centre of images, or images repeated beyond their border; 0 leaves them.

    >>> resize(torch.arange(4.0).reshape(1, 1, 1, 4), 0).shape[-1]
    4
    >>> resize(torch.arange(9.0).reshape(1, 1, 3, 3), 5)[0, 0, 0]
    tensor([8., 6., 7., 8., 6.])
    """
    present = images.shape[-1]
    if side == 0:
        return images
    first = (present - side) // 2
    places = torch.arange(first, first + side) % present
    return images[..., places, :][..., places]


def draw_network(config: SpectraConfig, seed: int) -> PooledNet:
    """Return the untrained network of a seed, as its initialisation draws it."""
    n_classes = len(load_data(config.network).classes)
    model = build_network(config.network, seed, n_classes)
    if config.init != "default":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            initialise(model, config.init)
    return model


def prepare(
    config: SpectraConfig, seed: int, batches: list[tuple[Tensor, Tensor]], workspace: Workspace
) -> nn.Module:
    """Return the network at the moment, its batch norm's statistics as ``batch_norm`` reads them.

    Raises:
        UserError: it has fewer parameters than eigenvalues are asked for, or a pool larger than
            the images.
    """
    check_fits(config.network, load_data(config.network))
    model = draw_network(config, seed)
    n_parameters = sum(p.numel() for p in model.parameters())
    if not 1 <= config.k <= n_parameters:
        raise UserError(
            f"k must be 1 to {n_parameters}, the network's number of parameters, not {config.k}"
        )
    if config.moment == "after":
        model = trained_network(config.network, seed, workspace)
    # Not channels-last: products are a quarter quicker without.
    model = model.to(workspace.device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if config.batch_norm == "calibrated":
        images = torch.cat([inputs for inputs, _ in batches]).to(workspace.device)
        calibrate_batch_norm(model, images, config.batch_size)
    return model.eval()


def measure_planes(model: nn.Module, image: Tensor) -> tuple[int, int]:
    """Return the side of the plane behind the early pool, and of the last one, in units."""
    sides: list[int] = []
    features = model.get_submodule("features")
    hooks = [
        part.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
        for part in (features.get_submodule("early_pool"), features)
    ]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return sides[0], sides[1]


def look(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    config: SpectraConfig,
    seed: int,
    *,
    progress: str = "",
) -> dict[str, Any]:
    """Return a network's eigenvalues, their residuals, the density and what follows from it.

    Args:
        model: prepared; left as it is.
        batches: of the loss, cross-entropy.
        config: how many eigenvalues, how exactly.
        seed: of random vectors.
        progress: name for a progress bar.
    """
    mode = "train" if config.batch_norm == "train" else "eval"
    spectrum = hessian.top_eigenvalues(
        model,
        F.cross_entropy,
        batches,
        config.k,
        tolerance=config.tolerance,
        seed=seed,
        batch_norm=mode,
        progress=progress,
        block=BLOCK,
        n_probes=N_CHECKS,
    )
    seen: dict[str, Any] = {
        "values": np.asarray(spectrum.values),
        "residuals": np.asarray(spectrum.residuals),
        "n_converged": int(np.sum(spectrum.converged)),
        "loss": float(spectrum.loss),
        "n_products": int(spectrum.n_matvecs),
    }
    if config.n_probes:
        density = hessian.spectral_density(
            model,
            F.cross_entropy,
            batches,
            n_probes=config.n_probes,
            n_steps=config.n_steps,
            seed=seed,
            batch_norm=mode,
        )
        seen |= describe_density(density)
    return seen


def describe_density(density: hessian.SpectralDensity) -> dict[str, Any]:
    """Return a density on its grid, trace, norm, and how much of the curvature is downwards.

    ``descent`` is the sum of the sizes of all negative eigenvalues, and ``negative`` their share in
    the sum of all sizes: the bulk at zero, whose sign nobody knows, does not count in either. The
    smallest eigenvalue itself is not sought: beside far larger ones it would take long to settle.
    """
    nodes, weights = np.asarray(density.nodes), np.asarray(density.weights)
    sizes = weights * np.abs(nodes)
    return {
        "grid": np.asarray(density.grid),
        "density": np.asarray(density.density),
        "trace": float(density.trace),
        "trace_error": float(density.trace_error) if len(nodes) > 1 else 0.0,
        "frobenius": float(density.frobenius),
        "descent": float(density.n_parameters * sizes[nodes < 0].sum() / len(nodes)),
        "negative": float(sizes[nodes < 0].sum() / sizes.sum()),
        "n_density_products": int(density.n_matvecs),
    }
