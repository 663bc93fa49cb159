"""How every benchmark here times, prints and records: ours against the usual way, in one run.

Ours and theirs are timed alternately, so that a machine that slows down halfway hits both, and
the ratio is the median over pairs. Each comparison is also written to
``_build/bench/<script>.json`` together with the machine and the versions it ran on.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from erfbook.hardware import name_device

FOLDER = Path(__file__).resolve().parents[1] / "_build" / "bench"


@dataclass(frozen=True)
class Comparison:
    """Median seconds of both sides; the ratio theirs / ours with its smallest and largest pair."""

    name: str
    ours_s: float
    theirs_s: float
    ratio: float
    ratio_min: float
    ratio_max: float
    repeats: int
    items: int


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int = 5,
    *,
    items: int = 0,
) -> Comparison:
    """Time ``ours`` and ``theirs`` in turn after one warm-up each, print a row and record it.

    Args:
        name: what is compared, in a few words.
        ours, theirs: calls that do the same work from scratch.
        repeats: timed pairs.
        items: things one call processes (networks, images); 0 prints no throughput.

    Returns:
        The medians over the pairs.
    """
    ours(), theirs()
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(repeats)]
    ratios = [b / a for a, b in pairs]
    result = Comparison(
        name,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        repeats,
        items,
    )
    print(_row(result), flush=True)
    _record(result)
    return result


def header(title: str) -> None:
    """Print the title, the machine and the head of the table."""
    env = environment()
    print(f"\n{title}")
    print(f"{env['cpu']}, {env['cores']} cores, {env['threads']} torch threads")
    print(f"torch {env['torch']}, {env['platform']}")
    print(f"{'':44s} {'ours':>9s} {'theirs':>9s} {'ratio':>7s}  [min, max]      ours/s   theirs/s")


def environment() -> dict[str, str | int]:
    """Return what the figures depend on: processor, threads, versions."""
    return {
        "cpu": name_device("cpu"),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(terse=True),
    }


def peak_memory_mib() -> float:
    """Return the largest resident memory this process has held so far, in MiB.

    From Linux' own count of this program: there, what getrusage tells survives the start of a new
    program in a process, so that a child's peak is at least its parent's.
    """
    status = Path("/proc/self/status")
    rows = status.read_text().splitlines() if status.exists() else []
    for row in rows:
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def ask_child(script: str, *words: str) -> list[float]:
    """Run a script in a process of its own and return the numbers on the last line it prints.

    Raises:
        SystemExit: it failed; with what it wrote.
    """
    command = [sys.executable, script, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _row(c: Comparison) -> str:
    rates = f"{c.items / c.ours_s:9.1f}  {c.items / c.theirs_s:9.1f}" if c.items else ""
    spread = f"[{c.ratio_min:.1f}, {c.ratio_max:.1f}]"
    return f"{c.name:44s} {c.ours_s:8.3f}s {c.theirs_s:8.3f}s {c.ratio:6.1f}x  {spread:12s} {rates}"


def _record(result: Comparison) -> None:
    record(result.name, asdict(result))


def record(name: str, row: dict[str, object]) -> None:
    """Put one result into the script's JSON, beside the machine and the versions.

    Args:
        name: what was measured, in a few words; an earlier result of this name is replaced.
        row: the numbers.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{Path(sys.argv[0]).stem or 'interactive'}.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    rows = {**content.get("rows", {}), name: row}
    body = {"environment": environment(), "peak_memory_mib": round(peak_memory_mib()), "rows": rows}
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(body, indent=2))
    scratch.replace(path)
