"""Which projections are made: the paper's, and one change at a time of what it leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from erfbook.experiments.importance import ImportanceConfig, run_importance
from erfbook.experiments.registry import Experiment
from erfbook.models.pooled import VGG_16_STAGES

STRIDES = (1, 2, 3, 4)
EVEN_STRIDES = (2, 4)
ARCHITECTURES = ("vgg", "resnet50")
FIELDS = {"vgg": (181, 359, 537, 715), "resnet50": (108, 213, 318, 423)}  # px, by stride
# As printed in tables 3 and 4: mean and standard deviation of the maximum over 50 projections.
PRINTED = {
    "vgg": ((1.24e-5, 2.14e-6), (2.48e-6, 4.88e-7), (1.32e-7, 2.48e-8), (7.26e-8, 1.45e-8)),
    "resnet50": ((0.322, 0.122), (0.179, 0.079), (0.111, 0.039), (0.064, 0.022)),
}

# Everything that the section does not state as PyTorch has it; the networks of the other chapters.
PAPER = ImportanceConfig(name="paper", n_groups=10)
LAPTOP = replace(PAPER, name="laptop", width=1 / 4, n_networks=50)
SMOKE = replace(PAPER, name="smoke", width=1 / 16, n_networks=4, n_groups=4)
SCALES = {scale.name: scale for scale in (SMOKE, LAPTOP, PAPER)}

# One change each, or two that belong together.
CHANGES: dict[str, dict[str, Any]] = {
    "pools round down": {"round_up": False},
    "all four central units": {"unit": "all"},
    "the earlier central unit": {"unit": "earlier"},
    "ones behind the last ReLU": {"place": "plane"},
    "pixels uniform in [0, 1]": {"image": "uniform"},
    "Xavier's weights": {"initial": "xavier"},
    "He's weights, fan-in": {"initial": "he"},
    "He's weights, fan-out": {"initial": "he_out"},
    "no batch norm, biases": {"norm": "none"},
    "batch norm over one image": {"norm": "batch"},
    "batch norm over ten images": {"norm": "batch", "n_networks": 2, "n_images": 10},
    "one network, twenty images": {"n_networks": 1, "n_images": 20},
}
# Plain VGG-16, whose fields are larger: 3 + 194 k px. On a constant image a gradient reads
# 3 + 178 k px off it, the sizes that are printed (see pool_rules).
VGG_CHANGES: dict[str, dict[str, Any]] = {
    "VGG-16": {"stages": VGG_16_STAGES},
    "VGG-16, pools round down": {"stages": VGG_16_STAGES, "round_up": False},
    "VGG-16, pools round down, no batch norm, biases": {
        "stages": VGG_16_STAGES, "round_up": False, "norm": "none",
    },
}  # fmt: skip


def configure(
    scale: ImportanceConfig, architecture: str, stride: int, change: str = ""
) -> ImportanceConfig:
    """Return the configuration of one network behind one pool, with a named change or none.

    A change has twenty projections a network, or as many as the scale where that is fewer.
    """
    settings = changes_of(architecture)[change] if change else {}
    if change:
        n = min(20, scale.n_networks)
        settings = {"n_networks": n, "n_groups": 1, **settings}
        if "n_images" in settings and n < 20:
            settings["n_images"] = max(2, n // settings["n_networks"])
    title = f"{scale.name}: {architecture}, pool {stride}" + (f", {change}" if change else "")
    pool: dict[str, Any] = {"pool_kernel": stride + 1, "pool_stride": stride}
    return replace(scale, name=title, architecture=architecture, **pool, **settings)


def configure_even(scale: ImportanceConfig, stride: int) -> ImportanceConfig:
    """Return the VGG with a pool whose kernel is its stride, which covers all pixels evenly."""
    config = configure(scale, "vgg", stride)
    name = f"{config.name}, kernel {stride}"
    return replace(config, name=name, pool_kernel=stride)


def changes_of(architecture: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the changes that an architecture can have, by name."""
    return CHANGES | VGG_CHANGES if architecture == "vgg" else CHANGES


def choose_scale(profile: str, **changes: Any) -> ImportanceConfig:
    """Return a profile's scale with some settings changed."""
    scale = SCALES[profile]
    changed = replace(scale, **changes)
    return changed if changed == scale else replace(changed, name=f"{scale.name}, changed")


def _plan(scale: ImportanceConfig, *, changed: bool) -> tuple[tuple[ImportanceConfig, int], ...]:
    def all_pools(architecture: str, change: str = "", n: int = 1) -> list:
        return [(configure(scale, architecture, s, change), n) for s in STRIDES]

    pairs = [pair for architecture in ARCHITECTURES for pair in all_pools(architecture)]
    pairs += [(configure_even(scale, s), 1) for s in EVEN_STRIDES]
    for architecture in ARCHITECTURES if changed else ():
        for change, settings in changes_of(architecture).items():
            pairs += all_pools(architecture, change, 3 if settings.get("n_networks") == 1 else 1)
    return tuple(pairs)


PIXEL_IMPORTANCE = Experiment(
    name="pixel-importance",
    version=1,
    summary="what a last layer's gradient weighs on a random image (avendano s. 3.4)",
    config=ImportanceConfig,
    plans={
        "smoke": _plan(SMOKE, changed=False),
        "laptop": _plan(LAPTOP, changed=False),
        "paper": _plan(PAPER, changed=True),
    },
    run=run_importance,
    fingerprint=lambda config: f"random {config.side} px images",
    can_pause=False,
)
