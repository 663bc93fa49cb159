"""Similarity of layers: similarity.compare against other tools for PyTorch, in one run.

Three questions: whose numbers are right (against features kept by hand, in float64), how long two
networks take, and how much memory that needs. The peers average over minibatches, so that is what
is timed, with one batch for the answers; ours for all images at once stands beside it. A peer that
is not installed is left out, with the reason; `make bench` installs those of peers.txt.

    python benchmarks/bench_similarity.py           # all of it, about two minutes on two cores
    python benchmarks/bench_similarity.py answers   # or one of: answers speed memory
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import peers
import report
import torch
import torchvision
from torch import nn

from erfbook import similarity

LAYERS = [
    *("conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1"),
    *("layer3.0", "layer3.1", "layer4.0", "layer4.1", "avgpool", "fc"),
]
N_IMAGES, BATCH, SIDE = 512, 128, 64
Tool = Callable[[nn.Module, nn.Module, list, list[str]], np.ndarray]


def ours(a: nn.Module, b: nn.Module, batches: list, layers: list[str]) -> np.ndarray:
    """Ask erfbook, HSIC_1 averaged over the batches."""
    return similarity.compare(a, b, batches, layers=layers, minibatch=True).matrix


def ours_whole(a: nn.Module, b: nn.Module, batches: list, layers: list[str]) -> np.ndarray:
    """Ask erfbook for all images at once."""
    return similarity.compare(a, b, batches, layers=layers).matrix


def pytorch_cka(a: nn.Module, b: nn.Module, batches: list, layers: list[str]) -> np.ndarray:
    """Ask pytorch-cka."""
    from cka import compute_cka

    found = compute_cka(a, b, [batches], layers=layers, device="cpu", progress=False)
    return found[0].numpy()


def torch_cka(a: nn.Module, b: nn.Module, batches: list, layers: list[str]) -> np.ndarray:
    """Ask torch-cka."""
    from torch_cka import CKA

    tool = CKA(a, b, "a", "b", model1_layers=layers, model2_layers=layers, device="cpu")
    with contextlib.redirect_stderr(io.StringIO()):
        tool.compare(Loader(batches))
    return tool.export()["CKA"].numpy()


class Loader(list):
    """Batches with the name of a data set, which torch-cka asks for."""

    dataset = "images"


PEERS: dict[str, tuple[str, Tool]] = {
    "pytorch-cka": ("cka", pytorch_cka),
    "torch-cka": ("torch_cka", torch_cka),
}


class Case(nn.Module):
    """What a network does with ``shift`` added to its first layer, and a layer called twice."""

    def __init__(self, shift: float = 0.0, inplace: bool = False, twice: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.relu = nn.ReLU(inplace=inplace)
        self.mix = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 10)
        self.twice = twice
        self.conv.bias.data += shift

    def forward(self, x):
        return self.outputs(x)["fc"][0]

    def outputs(self, x) -> dict[str, list]:
        conv = self.conv(x)
        kept = conv.clone()
        y = self.relu(conv)
        mixed = [self.mix(y)]
        if self.twice:
            mixed.append(self.mix(mixed[0]))
        return {"conv": [kept], "mix": mixed, "fc": [self.fc(mixed[-1].mean((2, 3)))]}


CASES = {
    "plain": {},
    "ReLU in place": {"inplace": True},
    "mean far above spread": {"shift": 2000.0},
    "layer called twice": {"twice": True},
}


def answers(found: dict[str, Tool]) -> None:
    """Print each tool's largest error over the pairs of layers, one batch of 64 images."""
    tools = {"ours": ours, "ours, all at once": ours_whole, **found}
    print("\nLargest error of CKA", *(f"{name:>18s}" for name in tools))
    for name, options in CASES.items():
        torch.manual_seed(0)
        a, b = (Case(**options).eval() for _ in range(2))
        for p, q in zip(b.parameters(), a.parameters(), strict=True):
            p.data.lerp_(q.data, 0.7)  # akin, so that no truth is below zero, where some clip
        x = torch.randn(64, 3, 12, 12)
        truths = [truth(a, b, x), truth(a, b, x.contiguous(memory_format=torch.channels_last))]
        batches, errors = [(x, torch.zeros(len(x)))], {}
        for tool, ask in tools.items():
            try:
                matrix = quietly(ask, a, b, batches, ["conv", "mix", "fc"])
            except Exception as error:  # whatever a tool raises, it has not answered
                errors[tool] = f"refuses: {type(error).__name__}"
                continue
            same = matrix.shape == truths[0].shape
            error = min(np.abs(matrix - t).max() for t in truths) if same else np.nan
            errors[tool] = f"{error:.1e}" if same else "leaves calls out"
        print(f"{name:20s}", *(f"{errors[tool]:>18s}" for tool in tools), flush=True)
        report.record(f"answers, {name}", dict(errors))


def truth(a: nn.Module, b: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Return CKA in float64 of features kept by hand.

    A convolution rounds otherwise with channels last, which moves features by more than any error
    of CKA where their mean is far above their spread; a tool's error is from the nearer truth.
    """
    with torch.no_grad():
        kept = [[v for each in m.outputs(x).values() for v in each] for m in (a, b)]
    return np.array(
        [[similarity.linear_cka(p.flatten(1), q.flatten(1)) for q in kept[1]] for p in kept[0]]
    )


def speed(found: dict[str, Tool]) -> None:
    """Time eleven layers of two ResNet-18 on minibatches, beside each peer."""
    report.header(f"two ResNet-18, {len(LAYERS)} layers, {N_IMAGES} images of {SIDE} px")
    for tool, ask in {**found, "ours, all images at once": ours_whole}.items():
        # Networks of their own for each side: some tools leave hooks behind, which cost time.
        sides = [partial(quietly, one, *networks(), LAYERS) for one in (ours, ask)]
        report.compare(tool, *sides, repeats=5, items=N_IMAGES)


def memory(found: dict[str, Tool]) -> None:
    """Print what each tool adds to the peak memory of a process that ran both networks."""
    print("\nPeak memory beyond that of the networks alone, MiB")
    base = peak("nothing")
    for tool in ("ours", "ours, all at once", *found):
        added = peak(tool) - base
        print(f"{tool:44s} {added:8.0f}", flush=True)
        report.record(f"memory, {tool}", {"added_mib": round(added)})


def peak(tool: str) -> float:
    """Return the peak memory of a process of its own that asks one tool, in MiB."""
    return report.ask_child(__file__, "alone", tool)[0]


def alone(tool: str) -> None:
    """Ask one tool and print this process's peak memory."""
    a, b, batches = networks()
    with torch.no_grad():
        for x, _ in batches:
            a(x), b(x)
    everyone = {"ours": ours, "ours, all at once": ours_whole, **installed()[0]}
    if tool in everyone:
        quietly(everyone[tool], a, b, batches, LAYERS)
    print(report.peak_memory_mib())


def networks() -> tuple[nn.Module, nn.Module, list]:
    """Return two networks of different seeds and the batches."""
    torch.manual_seed(0)
    a, b = (torchvision.models.resnet18(weights=None, num_classes=10).eval() for _ in range(2))
    images = torch.randn(N_IMAGES, 3, SIDE, SIDE)
    return a, b, [(x, torch.zeros(len(x))) for x in images.split(BATCH)]


def installed() -> tuple[dict[str, Tool], dict[str, str]]:
    """Return the peers that can be imported, and why the others cannot."""
    if str(peers.FOLDER) not in sys.path:
        sys.path.append(str(peers.FOLDER))  # at the end: what we pin comes first
    found, missing = {}, {}
    for name, (module, ask) in PEERS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing[name] = str(error)
        else:
            found[name] = ask
    return found, missing


def quietly(ask: Tool, *arguments) -> np.ndarray:
    """Call a tool without what it prints or warns of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return ask(*arguments)


def main(words: list[str]) -> None:
    """Run the parts asked for, or all."""
    if words[:1] == ["alone"]:
        return alone(words[1])
    found, missing = installed()
    for name, why in missing.items():
        print(f"{name} is left out: {why}")
    parts = {"answers": answers, "speed": speed, "memory": memory}
    for part in words or parts:
        parts[part](found)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
