"""Theoretical receptive fields: rf.analyze against the other tools for PyTorch, in one run.

Four questions: who answers correctly (the truth is found by NaN probes in this run), how long
known networks take, whether the cost grows in proportion to the layers, and how much memory the
analysis of the largest networks takes. A peer that is not installed is left out, with the reason;
peers.py says how to install them into a folder of their own.

    python benchmarks/bench_fields.py            # all of it, about two minutes on two cores
    python benchmarks/bench_fields.py answers    # or one of: answers speed growth memory
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import field_cases
import numpy as np
import peers
import report
import torchvision
from torch import nn

from erfbook import rf
from erfbook.models import load_model

# (network, seconds we aim at): the peers are asked as well
NETWORKS = (("resnet152", 1.5), ("vgg16", None), ("mobilenet_v2", None))
ALL_AIM_S, MEMORY_AIM_MIB = 90.0, 200.0
DEPTHS = (100, 200, 500, 1000, 2000)
PEER_LIMIT_S = 3.0  # a peer that took longer is not asked about a deeper stack
# The networks with most parameters, at the largest input that they take up to 1024 px.
LARGE = (("vit_h_14", 224), ("regnet_y_128gf", 1024), ("convnext_large", 1024), ("vgg19", 1024))


def answers(found: dict[str, Callable]) -> None:
    """Print who is right, who is wrong (and says what), and who refuses."""
    tools = {"ours": peers.ours, **found}
    print(f"\nRight and wrong answers\n{'':34s} {'truth':>9s} ", *(f"{t:>17s}" for t in tools))
    right = dict.fromkeys(tools, 0)
    for case in field_cases.CASES:
        truth, cells = field_cases.probe(case), []
        for tool, ask in tools.items():
            verdict = judge(ask, case, truth)
            right[tool] += verdict == "right"
            cells.append(f"{verdict:>17s}")
        print(f"{case.name:34s} {shown(truth):>9s} ", *cells, flush=True)
    n = len(field_cases.CASES)
    print(f"{'right':34s} {n:>9d} ", *(f"{count:>17d}" for count in right.values()))
    report.record("answers", {"cases": n, "right": right})


def judge(ask: Callable, case: field_cases.Case, truth: tuple[int, ...]) -> str:
    """Return ``right``, ``wrong`` with the tool's number, ``refuses`` or ``does not say``."""
    try:
        answer = peers.quietly(ask, case.model(), case.input_size)
    except Exception:  # whatever a tool raises, it has not answered
        return "refuses"
    if case.asks not in answer:
        return "does not say"
    given = tuple(float(v) for v in answer[case.asks])
    if case.asks == "size":  # a field said to be infinite is the whole image
        sides = case.input_size[1:]
        given = tuple(n if np.isinf(g) else g for g, n in zip(given, sides, strict=True))
    return "right" if given == truth else f"wrong: {shown(given)}"


def shown(values: tuple[float, ...]) -> str:
    """Return 5 for (5, 5) and 3x7 for (3, 7)."""
    words = [f"{v:g}" for v in values]
    return words[0] if len(set(words)) == 1 else "x".join(words)


def speed(found: dict[str, Callable]) -> None:
    """Time known networks up to their last plane, beside each peer, and what each one says."""
    for name, aim in NETWORKS:
        model, size = load_model(name, "none"), (3, 224, 224)
        body = getattr(model, "features", None) or nn.Sequential(*list(model.children())[:-2])
        ours = shown(peers.ours(body, size)["size"])
        report.header(f"{name} at 224 px, up to its last plane, whose field is {ours} px")
        for tool, ask in found.items():
            try:
                says = shown(peers.quietly(ask, body, size)["size"])
            except Exception as error:  # whatever a tool raises, it has no answer
                print(f"{tool:44s} refuses: {type(error).__name__}")
                continue
            report.compare(
                f"{name}, {tool}: says {says}",
                partial(rf.analyze, body, size),
                partial(peers.quietly, ask, body, size),
                repeats=1 if tool == "rfa-toolbox" else 3,
            )
        seconds = min(timed(partial(rf.analyze, model, size), 3))
        told = f" (aim {aim:g} s)" if aim else ""
        print(f"{'ours alone, the whole network, best of 3':44s} {seconds:8.3f}s{told}")
        report.record(f"{name}, ours alone", {"seconds": seconds})
    names = torchvision.models.list_models(torchvision.models)
    start = time.perf_counter()
    refused = [name for name in names if not analysed(name)]
    seconds = time.perf_counter() - start
    print(
        f"\nall {len(names)} torchvision classification models, making them included: "
        f"{seconds:.1f} s (aim {ALL_AIM_S:g} s); refused: {', '.join(refused) or 'none'}"
    )
    report.record("all classification models", {"n": len(names), "seconds": seconds})


def answers_at_all(ask: Callable, model: nn.Module, size: tuple[int, ...]) -> bool:
    """Return whether a tool has some answer, right or wrong."""
    try:
        peers.quietly(ask, model, size)
    except Exception:
        return False
    return True


def analysed(name: str, side: int = 0) -> bool:
    """Return whether one of torchvision's networks is analysed without an unknown operation."""
    model = load_model(name, shapes_only=True)
    side = side or {"inception_v3": 299}.get(name, 224)
    try:
        rf.analyze(model, (3, side, side))
    except rf.TraceError as error:
        print(f"{name}: {error}")
        return False
    return True


def growth(found: dict[str, Callable]) -> None:
    """Time stacks of conv layers and fit the exponent of the cost."""
    tools = {"ours": lambda model, size: rf.analyze(model, size), **found}
    print(
        f"\nProcessor seconds for a stack of n conv layers, 3 x 3\n{'':16s}",
        *(f"{n:>8d}" for n in DEPTHS),
    )
    for tool, ask in tools.items():
        seconds: list[float] = []
        ended = ""
        for depth in DEPTHS:
            if seconds and seconds[-1] > PEER_LIMIT_S:
                ended = "not asked"
                break
            model = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(depth)))
            if not answers_at_all(ask, model, (1, 32, 32)):  # also the warm-up
                ended = "refuses"
                break
            n = 3 if tool == "ours" else 1
            call = partial(peers.quietly, ask, model, (1, 32, 32))
            seconds.append(min(timed(call, n, clock=time.process_time)))
        cells = [f"{s:8.3f}" for s in seconds] + [f"{ended:>9s}"] * bool(ended)
        slope = exponent(DEPTHS[: len(seconds)], seconds) if len(seconds) > 1 else None
        told = "" if slope is None else f"  cost ~ n^{slope:.2f}"
        print(f"{tool:16s}", *cells, told, flush=True)
        report.record(f"growth, {tool}", {"seconds": seconds, "exponent": slope})


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of seconds against sizes, both as logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def timed(call: Callable[[], object], n: int, *, clock=time.perf_counter) -> list[float]:
    """Return the seconds of n calls, by a clock of the wall or of this process."""
    seconds = []
    for _ in range(n):
        start = clock()
        call()
        seconds.append(clock() - start)
    return seconds


def memory() -> None:
    """Print how far the peak memory of a process rises while it makes and analyses a network."""
    print(f"\nGrowth of the peak memory, network and analysis (aim {MEMORY_AIM_MIB:g} MiB)")
    for name, side in LARGE:
        grown, millions = report.ask_child(__file__, "one", name, str(side))
        print(f"{name:16s} {side:5d} px {millions:8.0f} M parameters {grown:8.1f} MiB", flush=True)
        report.record(f"memory, {name}", {"side": side, "grown_mib": grown})


def one(name: str, side: int) -> None:
    """Make and analyse a network in this process; print MiB grown and millions of parameters."""
    rf.analyze(nn.Conv2d(3, 1, 1), (3, 8, 8))  # what importing lazily costs is not the network's
    load_model("alexnet", shapes_only=True)
    before = resident_mib(reset=True)
    model = load_model(name, shapes_only=True)
    rf.analyze(model, (3, side, side))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(resident_mib() - before, millions)


def resident_mib(*, reset: bool = False) -> float:
    """Return the peak of this process's resident memory, since it was last reset (Linux)."""
    if reset and Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    return report.peak_memory_mib()


def main(parts: list[str]) -> None:
    """Run the parts asked for, or all."""
    found, missing = peers.installed()
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    wanted = parts or ["answers", "speed", "growth", "memory"]
    for part in (answers, speed, growth):
        if part.__name__ in wanted:
            part(found)
    if "memory" in wanted:
        memory()


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])
