"""A program for the tests: runs that are killed, interrupted, or find the disk full.

    python training_faults.py FOLDER

Each attempt is a fork of this process, so that PyTorch is imported once. Prints one JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from training_cases import outcome, recipe, run, small_net

from erfbook import training

LONG = recipe(epochs=15)  # 45 steps


def train_to(folder: Path, name: str, *, keep: bool = True, pause_s: float = 0.0) -> None:
    """Train, resumed if there is a checkpoint, and write what was computed."""

    def slowly(model, moment):
        time.sleep(pause_s)
        return {"sum": float(next(model.parameters()).sum().detach())}

    checkpoint = training.Checkpoint(folder / f"{name}.run", every_s=0) if keep else None
    model, history = run(
        small_net(), recipe=LONG, observe=slowly, observe_at=range(16), checkpoint=checkpoint
    )
    np.savez(folder / f"{name}.npz", **outcome(model, history), n_resumed=history.n_resumed)


def fork(work: Callable[[], None]) -> int:
    """Do ``work`` in a fork and return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except KeyboardInterrupt:
            code = 130
        except training.Paused:
            code = 3
        except Exception as error:
            print(type(error).__name__, error, file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def wait(pid: int) -> int:
    """Return the exit code of a fork, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at_random(folder: Path, n_kills: int, seed: int) -> int:
    """Kill a run at random moments, resume it each time, and return how many kills hit it.

    Moments are counted from the start, and in every second attempt from when something is kept: on
    a busy machine nothing may have been until then.
    """
    moments, hits = random.Random(seed), 0
    for attempt in range(n_kills):
        pid = fork(lambda: train_to(folder, "killed", pause_s=0.03))
        while attempt % 2 and not (folder / "killed.run").exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0.02, 0.2))
        os.kill(pid, signal.SIGKILL)
        hits += wait(pid) == -signal.SIGKILL
    assert wait(fork(lambda: train_to(folder, "killed"))) == 0
    return hits


def kill_while_writing(folder: Path) -> None:
    """Kill a run at each stage of its fifth checkpoint's write, then let it end."""

    def die_at(call: str, count: int) -> Callable[[], None]:
        calls = {"n": 0}

        def work() -> None:
            owner = os if call == "fsync" else Path
            before = getattr(owner, call)

            def counted(*arguments):
                calls["n"] += 1
                if calls["n"] == count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return before(*arguments)

            setattr(owner, call, counted)
            train_to(folder, "written")

        return work

    # Before the file's fsync and the folder's; before the old one's rename and the new one's.
    for call, count in (("fsync", 9), ("fsync", 10), ("replace", 9), ("replace", 10)):
        assert wait(fork(die_at(call, count))) == -signal.SIGKILL
    assert wait(fork(lambda: train_to(folder, "written"))) == 0


def interrupt(folder: Path) -> int:
    """Send Ctrl-C to a run under way, and return the code it ended with."""
    pid = fork(lambda: train_to(folder, "interrupted", pause_s=0.05))
    while not (folder / "interrupted.run").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(pid, signal.SIGINT)
    code = wait(pid)
    assert wait(fork(lambda: train_to(folder, "interrupted"))) == 0
    return code


def fill_the_disk(folder: Path) -> dict[str, int]:
    """After six pieces of a run, let no file grow beyond 1 kB."""

    def full(deadline: float | None) -> Callable[[], None]:
        def work() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            checkpoint = training.Checkpoint(folder / "full.run", every_s=0)
            run(small_net(), recipe=LONG, checkpoint=checkpoint, deadline=deadline)

        return work

    def begun() -> None:
        checkpoint = training.Checkpoint(folder / "full.run", every_s=0)
        run(small_net(), recipe=LONG, checkpoint=checkpoint, deadline=0)

    codes = {f"begun {i}": wait(fork(begun)) for i in range(6)}
    before = (folder / "full.run").read_bytes()
    codes["goes on"] = wait(fork(full(None)))
    codes["deadline"] = wait(fork(full(0.0)))
    codes["intact"] = int((folder / "full.run").read_bytes() == before)
    codes["parts"] = len(list(folder.glob("full*.part")))
    return codes


def main() -> None:
    """Make every fault and print what came of it."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)  # a fork has no worker threads
    logging.basicConfig(format="%(message)s")
    assert wait(fork(lambda: train_to(folder, "whole", keep=False))) == 0
    kill_while_writing(folder)
    found = {"kills": kill_at_random(folder, n_kills=8, seed=0), "interrupt": interrupt(folder)}
    print(json.dumps({**found, "full": fill_the_disk(folder)}))


if __name__ == "__main__":
    main()
