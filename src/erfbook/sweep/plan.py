"""Which runs a sweep has to make, in which order, and what time they will take."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from erfbook.errors import UserError
from erfbook.experiments.registry import Experiment
from erfbook.records import Record, Spec, Store, UnderWay
from erfbook.records.plain import canonical, dumps, to_plain
from erfbook.records.words import differences, duration, flatten, tell_apart


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Args:
        config, seed: what the experiment is called with.
        label: the settings in which it differs from the sweep's others, and the seed, in words.
        spec: what identifies it; None where its data are not on this machine.
        is_done: whether its record is there.
        spent_s: time that went into its checkpoint so far.
        total_s: time that it takes in all, as far as records tell; None where they don't.
        problem: why it cannot be made here; empty if it can.
    """

    config: Any
    seed: int
    label: str
    spec: Spec | None
    is_done: bool = False
    spent_s: float = 0.0
    total_s: float | None = None
    problem: str = ""

    @property
    def left_s(self) -> float | None:
        """Time it will still take; None if no record tells."""
        return None if self.total_s is None else max(0.0, self.total_s - self.spent_s)

    @property
    def state(self) -> str:
        """One or two words on it."""
        if self.is_done or self.problem:
            return "done" if self.is_done else "no data"
        return f"under way, {duration(self.spent_s)}" if self.spent_s else "missing"


def lay_out(
    experiment: Experiment,
    profile: str,
    store: Store,
    device_name: str,
    *,
    only: Sequence[str] = (),
    n_seeds: int | None = None,
) -> list[Run]:
    """Return a profile's runs in order of value: each configuration's first seed, then seconds.

    Args:
        experiment, profile: what is to be made.
        store: where records and unfinished runs are looked for.
        device_name: what will compute; only its own records tell how long a run takes.
        only: words that a configuration's differences, or its name, must contain; any of them.
        n_seeds: seeds of each configuration; the plan's own numbers if None.

    Raises:
        UserError: no such profile, or no configuration that ``only`` asks for.
    """
    if profile not in experiment.plans:
        known = ", ".join(experiment.plans)
        raise UserError(f"{experiment.name} has no profile {profile!r}; it has {known}")
    labels = _label(experiment, profile, only)
    times = _Times(store.select(experiment.name), experiment.version, device_name)
    runs = []
    for config, seed in experiment.pairs(profile, n_seeds):
        settings = _settings(config)
        if settings not in labels:
            continue
        label = f"{labels[settings]}, seed {seed}"
        try:
            spec = experiment.spec(config, seed)
        except UserError as error:
            runs.append(Run(config, seed, label, None, problem=str(error)))
            continue
        is_done = store.holds(spec)
        spent = 0.0 if is_done else UnderWay(store.folder, spec).seconds()
        runs.append(Run(config, seed, label, spec, is_done, spent, times.expect(spec)))
    return runs


def read_again(runs: Sequence[Run], store: Store) -> list[Run]:
    """Return runs with those done whose records have come since, by other sweeps perhaps."""
    return [
        dataclasses.replace(
            run, is_done=run.is_done or (run.spec is not None and store.holds(run.spec))
        )
        for run in runs
    ]


def time_left(runs: Sequence[Run]) -> tuple[float, int]:
    """Return the time that the missing runs will take, and how many of them no record tells of."""
    missing = [run for run in runs if not run.is_done and not run.problem]
    known = [run.left_s for run in missing if run.left_s is not None]
    return sum(known), len(missing) - len(known)


class _Times:
    """How long runs took on one device."""

    def __init__(self, records: Any, version: int, device_name: str) -> None:
        self._by_config: dict[str, list[float]] = defaultdict(list)
        for record in records:
            seconds = _seconds_on(record, device_name)
            if record.spec.version == version and seconds is not None:
                self._by_config[dumps(canonical(record.spec.config))].append(seconds)

    def expect(self, spec: Spec) -> float | None:
        """Return the mean over the same configuration; another one's time would tell nothing."""
        own = self._by_config.get(dumps(canonical(spec.config)))
        return fmean(own) if own else None


def _seconds_on(record: Record, device_name: str) -> float | None:
    about = record.provenance
    is_same = about.get("device") == device_name
    return float(about["seconds"]) if is_same and "seconds" in about else None


def _label(experiment: Experiment, profile: str, only: Sequence[str]) -> dict[str, str]:
    """Return the wanted configurations' differences in words, by their settings."""
    configs = [config for config, _ in experiment.plans[profile]]
    plain = [to_plain(dataclasses.asdict(config), "config") for config in configs]
    words = tell_apart(plain)
    names = {_name(config) for config in configs}
    chosen = {
        _settings(config): word
        for config, word, all_words in zip(configs, words, differences(plain), strict=True)
        if not only or any(_matches(wish, config, all_words, names) for wish in only)
    }
    if not chosen:
        raise UserError(
            f"no configuration of {experiment.name} ({profile}) is called {' or '.join(only)}; "
            f"there are: {'; '.join(words)}"
        )
    return chosen


def _matches(wish: str, config: Any, words: str, names: set[str]) -> bool:
    """Tell whether a configuration is meant: by its name, ``setting=value``, or words of it.

    A wish that is some configuration's name means that one alone, though others may contain it.
    """
    wish = wish.strip().casefold()
    if wish in names:
        return wish == _name(config)
    flat = flatten(to_plain(dataclasses.asdict(config), "config"))
    pairs = {f"{name}={_value(value)}".casefold() for name, value in flat.items()}
    return wish in pairs or (bool(wish) and wish in words.casefold())


def _name(config: Any) -> str:
    return str(getattr(config, "name", "")).casefold()


def _value(value: Any) -> str:
    return value if isinstance(value, str) else dumps(canonical(value))


def _settings(config: Any) -> str:
    return dumps(canonical(to_plain(dataclasses.asdict(config), "config")))
