"""Images a second of training: the book's loop against the usual one, and against the device.

The usual loop reads PIL images through torchvision's transforms and a DataLoader and trains in
float32 with PyTorch's SGD, its channels first; the same network, batch size and number of images
on both sides, an epoch a call. The share of the peak is floating-point operations of the network's
forward and backward pass, counted by PyTorch, over those of one large product in the same precision
in the same run. Claims: at least as fast as the usual loop everywhere, and
CIFAR-10's 50,000 images train within 4 GB, CamVid's 360 x 480 within 16 GB.

    python benchmarks/bench_training.py           # all
    python benchmarks/bench_training.py compile   # with and without torch.compile instead
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import report
import torch
import usual_training
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from erfbook import training
from erfbook.models.camvid_resnet import CamvidLayout, CamvidResNet
from erfbook.models.cifar_resnet import CifarResNet
from erfbook.models.pooled import pooled_vgg

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MORE = 16 if DEVICE.type == "cuda" else 1  # a GPU needs more images to be timed
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
# Four 3 x 3 max pools of stride 2 and 16 blocks: a theoretical receptive field of 505 px.
FRONT_END = CamvidLayout(
    stem_kernel=3, stem_stride=1, stem_pool=3, stages=(3, 4, 6, 3), transition="max3"
)


@dataclass(frozen=True)
class Case:
    """A network with images: how many a call, how large, in batches of how many."""

    name: str
    make: Callable[[], nn.Module]
    n_images: int
    side: tuple[int, int]
    batch_size: int
    pixels: bool = False
    accumulate: int = 1

    def data(self, n: int = 0) -> usual_training.ImageSet:
        """Return noise of the case's size."""
        return usual_training.random_set(n or MORE * self.n_images, *self.side, pixels=self.pixels)

    def recipe(self, **changes) -> training.Recipe:
        """Return one epoch with crops and mirror images."""
        plain = {"epochs": 1, "batch_size": self.batch_size, "accumulate": self.accumulate}
        return training.Recipe(**{**plain, **changes})


CASES = (
    Case("ResNet 17 blocks, 16 ch.", lambda: CifarResNet(16), 256, (32, 32), 128),
    Case("VGG-like, width 1/4", lambda: pooled_vgg(3, 2, width=0.25), 1024, (32, 32), 128),
    Case("CamVid front-end, 16 ch.", lambda: CamvidResNet(FRONT_END, 16), 4, (360, 480), 4, True),
)
MEMORY_CASES = {
    "CIFAR-10 size": (50_000, Case("", lambda: CifarResNet(16), 0, (32, 32), 128)),
    "CamVid size": (
        367,
        Case("", lambda: CamvidResNet(FRONT_END, 32), 0, (360, 480), 8, True, accumulate=4),
    ),
}


def measure_peak(precision: str) -> float:
    """Return the operations a second of a large product, the faster of two ways to compute it.

    A product of matrices and a wide convolution go through different libraries, and
    the one for matrices is slow on some processors.
    """
    side, repeats = (8192, 10) if DEVICE.type == "cuda" else (1024, 60)
    options = {"dtype": TYPES[precision], "device": DEVICE}
    a, b = (torch.randn(side, side, **options) for _ in range(2))
    n, width, plane = (256, 512, 28) if DEVICE.type == "cuda" else (8, 256, 30)
    images = torch.randn(n, width, plane, plane, **options)
    images = images.contiguous(memory_format=torch.channels_last)
    kernels = torch.randn(width, width, 3, 3, **options)
    kernels = kernels.contiguous(memory_format=torch.channels_last)
    ways = {
        lambda: a @ b: 2 * side**3,
        lambda: nn.functional.conv2d(images, kernels): 18 * n * (width * (plane - 2)) ** 2,
    }
    return max(count / _least_seconds(call, repeats) for call, count in ways.items())


def _least_seconds(call: Callable[[], torch.Tensor], repeats: int) -> float:
    least = float("inf")
    with torch.no_grad():
        for _ in range(repeats):
            start = time.perf_counter()
            float(call().flatten()[0])  # waits for a GPU
            least = min(least, time.perf_counter() - start)
    return least


def count_operations(case: Case) -> float:
    """Return the operations of one image's forward and backward pass."""
    model = case.make().train()
    images = torch.randn(2, 3, *case.side)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / 2


def bench_case(case: Case, peaks: dict[str, float]) -> None:
    """Compare both loops on one network, in each precision, and print the shares of the peak."""
    data, operations = case.data(), count_operations(case)
    theirs = case.make().to(DEVICE)
    for precision in TYPES:
        ours, recipe = case.make().to(DEVICE), case.recipe(precision=precision)
        found = report.compare(
            f"{case.name}, ours {precision}",
            lambda m=ours, r=recipe: training.train(m, data, r, seed=0),
            lambda: usual_training.usual_loop(theirs, data, case.batch_size),
            repeats=3,
            items=len(data.train),
        )
        rates = [found.items / s for s in (found.ours_s, found.theirs_s)]
        shares = [
            rates[0] * operations / peaks[precision],
            rates[1] * operations / peaks["float32"],
        ]
        print(f"{'':20s} of the peak: ours {shares[0]:.0%}, theirs {shares[1]:.0%}")
        report.record(
            f"{case.name}, {precision}, share of peak",
            {"ours": shares[0], "theirs": shares[1], "operations_per_image": operations},
        )


def bench_seeds(n: int = 4) -> None:
    """Compare ways to train several seeds of a small network: forward and backward alone."""
    ways = {"vmap": usual_training.mapped, "grouped": usual_training.grouped}
    for n_blocks, channels, batch in ((3, 4, 32), (5, 8, 64), (17, 16, 64)):
        torch.manual_seed(0)
        make = lambda b=n_blocks, c=channels: CifarResNet(c, n_blocks=b).to(DEVICE)  # noqa: E731
        x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
        x, y = x.to(DEVICE), y.to(DEVICE)
        for way, build in ways.items():
            report.compare(
                f"{n} seeds, {n_blocks} blocks, {channels} ch.: {way} / in turn",
                build(make, n, x, y),
                usual_training.one_after_the_other(make, n, x, y),
                repeats=3,
                items=n * batch,
            )


def bench_compile() -> None:
    """Compare steps with and without torch.compile; its own time is in the warm-up."""
    report.header("Training with torch.compile (ours) and without (theirs)")
    for case in CASES[:2]:
        for precision in TYPES:
            data = case.data()
            sides = []
            for compiled in (True, False):
                model = case.make().to(DEVICE)
                recipe = case.recipe(precision=precision, compile=compiled)
                sides.append(lambda m=model, d=data, r=recipe: training.train(m, d, r, seed=0))
            start = time.perf_counter()
            sides[0]()
            first = time.perf_counter() - start
            name = f"{case.name}, {precision}"
            found = report.compare(name, *sides, repeats=3, items=len(data.train))
            print(f"{'':20s} the first call took {first - found.ours_s:.0f} s more")


def train_for_memory(name: str) -> None:
    """Train a step of one case at the real set's size, for the peak memory of this process."""
    n_images, case = MEMORY_CASES[name]
    epochs = case.batch_size / n_images  # one step
    training.train(case.make().to(DEVICE), case.data(n_images), case.recipe(epochs=epochs), seed=0)


def peak_memory_of(name: str) -> float:
    """Return the peak memory in MiB of a process that trains one case."""
    return report.ask_child(__file__, "memory", name)[0]


def main() -> None:
    """Print memory, then both comparisons."""
    peaks_mib = {name: peak_memory_of(name) for name in MEMORY_CASES}
    report.header("Training: images a second, an epoch of noise a call")
    peaks = {precision: measure_peak(precision) for precision in TYPES}
    print(", ".join(f"peak {p}: {v / 1e9:.0f} GFLOP/s" for p, v in peaks.items()))
    report.record("peak", {**peaks, "device": str(DEVICE)})
    for case in CASES:
        bench_case(case, peaks)
    bench_seeds()
    for name, mib in peaks_mib.items():
        n_images, case = MEMORY_CASES[name]
        print(
            f"peak memory, {name}, batches of {case.batch_size} / {case.accumulate}: {mib:.0f} MiB"
        )
        report.record(f"peak memory, {name}", {"mib": mib, "images": n_images})


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        train_for_memory(sys.argv[2])
        print(report.peak_memory_mib())
    elif sys.argv[1:2] == ["compile"]:
        bench_compile()
    else:
        main()
