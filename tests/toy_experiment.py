"""An experiment that only counts, so that sweeps can be tested: its steps go into a checkpoint."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.records.files import write_whole
from erfbook.training import Diverged, Paused

clock = time.monotonic  # tests put their own here


@dataclass(frozen=True)
class ToyConfig:
    """Settings of a run: its steps, what each takes, and where it tells of them."""

    name: str = "plain"
    n_steps: int = 6
    factor: float = 0.5
    step_s: float = 0.0
    journal: str = ""
    fails_at: int = -1


def advance(value: float, step: int, seed: int, factor: float) -> float:
    return value * factor + (seed + 1) / (step + 1)


def uninterrupted(config: ToyConfig, seed: int) -> float:
    """Return what a run comes to, computed without any of what is tested."""
    value = 0.0
    for step in range(config.n_steps):
        value = advance(value, step, seed, config.factor)
    return value


def run_toy(config: ToyConfig, seed: int, workspace: Workspace) -> Outcome:
    """Count, one checkpoint a step."""
    kept = workspace.checkpoint
    state = {"step": 0, "value": 0.0, "n_resumed": -1}
    if kept is not None and kept.exists():
        state = json.loads(kept.read_text())
    state["n_resumed"] += 1
    while state["step"] < config.n_steps:
        if workspace.deadline is not None and clock() >= workspace.deadline:
            raise Paused
        step = state["step"]
        if step == config.fails_at:
            raise Diverged(f"the loss is nan at step {step}; lower lr")
        time.sleep(config.step_s)
        state["value"] = advance(state["value"], step, seed, config.factor)
        state["step"] += 1
        if kept is not None:
            write_whole(kept, json.dumps(state).encode(), replace=True)
        tell(config.journal, f"{config.name} {seed} {step} {os.getpid()}")
    metrics = {"value": state["value"], "n_resumed": state["n_resumed"]}
    return Outcome(metrics, {"line": np.arange(4) * state["value"]})


def tell(journal: str, line: str) -> None:
    if journal:
        with Path(journal).open("a") as file:  # short lines are appended whole
            file.write(line + "\n")


def fingerprint(config: ToyConfig) -> str:
    return "toy-data"


def toy(journal: Path | str = "", **settings: object) -> Experiment:
    """Return the experiment with two configurations: three seeds of the first, two of the other."""
    first = replace(ToyConfig(journal=str(journal)), **settings)
    second = replace(first, name="steep", factor=0.25)
    plans = {
        "smoke": ((first, 1),),
        "laptop": ((first, 3), (second, 2)),
        "paper": ((first, 3), (second, 2)),
    }
    return Experiment("toy", 1, "counts", ToyConfig, plans, run_toy, fingerprint)


def chosen_in_environment() -> Experiment:
    """Return the toy as a test set it for another process."""
    return toy(**json.loads(os.environ.get("TOY_SETTINGS", "{}")))


EXPERIMENTS = {"toy": chosen_in_environment()}
