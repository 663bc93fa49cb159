"""A batch of random networks against a loop over plain modules, at the paper's sizes.

The loop is what one writes first: a network after the other, a padded image, autograd. Its image
is as large as the theoretical receptive field, the smallest that shows the whole gradient, so
every layer runs at full size. Ours draws all networks of the batch, shrinks forwards and grows
backwards. Both draw their weights and inputs, and both return the gradient at every input pixel.

    python benchmarks/bench_ensemble.py
"""

from __future__ import annotations

import report
import torch
from torch import nn

from erfbook import erf
from erfbook.theory import Layer

ACTIVATIONS = {None: nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}
# (name, layers, channels, activation, networks)
CASES = (
    ("random, 20 layers, 1 channel", 20, 1, None, 20),
    ("random + ReLU, 20 layers, 1 channel", 20, 1, "relu", 20),
    ("random + ReLU, 40 layers, 1 channel", 40, 1, "relu", 20),
    ("random, 20 layers, 16 channels", 20, 16, None, 20),
    ("random + ReLU, 20 layers, 16 channels", 20, 16, "relu", 20),
    ("random + ReLU, 40 layers, 16 channels", 40, 16, "relu", 20),
    ("Tanh, 20 layers, 16 channels, 100 runs", 20, 16, "tanh", 100),
)


def loop(depth: int, channels: int, activation: str | None, n_networks: int) -> torch.Tensor:
    """Measure the same maps one network at a time."""
    side, gain, maps = 2 * depth + 1, 2.0 if activation == "relu" else 1.0, []
    for _ in range(n_networks):
        stack = []
        for i in range(depth):
            n_in, n_out = (channels if i else 1), (channels if i < depth - 1 else 1)
            conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
            nn.init.normal_(conv.weight, std=(gain / (9 * n_in)) ** 0.5)
            stack += [conv, ACTIVATIONS[activation]()]
        image = torch.randn(1, 1, side, side, requires_grad=True)
        output = nn.Sequential(*stack)(image)
        (gradient,) = torch.autograd.grad(output[0, 0, depth, depth], image)
        maps.append(gradient[0, 0])
    return torch.stack(maps)


def main() -> None:
    """Print the table and the largest memory held."""
    report.header("Random networks: one batch against a loop over modules (networks per second)")
    for name, depth, channels, activation, n in CASES:
        options = {"activation": activation, "channels": channels}
        report.compare(
            name,
            lambda depth=depth, n=n, options=options: erf.measure_ensemble(
                [Layer()] * depth, n, **options
            ),
            lambda depth=depth, n=n, options=options: loop(depth, n_networks=n, **options),
            repeats=7,
            items=n,
        )
    print(f"peak memory {report.peak_memory_mib():.0f} MiB (both sides in one process)")


if __name__ == "__main__":
    main()
