"""Configurations, times and sizes in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from erfbook.errors import UserError
from erfbook.records import plain

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST_S = 36_500 * 86_400.0  # a hundred years: chosen by us
_ABSENT = object()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings inside settings by their names joined with dots.

    >>> flatten({"recipe": {"lr": 0.1}, "channels": 16})
    {'recipe.lr': 0.1, 'channels': 16}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        inner = f"{prefix}{name}"
        flat |= flatten(value, f"{inner}.") if isinstance(value, Mapping) else {inner: value}
    return flat


def tell_apart(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return, for each configuration, what tells it from the others: its name, if that does.

    >>> tell_apart([{"name": "cpu", "lr": 0.1}, {"name": "paper", "lr": 0.2}])
    ['cpu', 'paper']
    >>> tell_apart([{"name": "cpu", "lr": 0.1}, {"name": "cpu", "lr": 0.2}])
    ['lr 0.1', 'lr 0.2']
    """
    called = [str(config.get("name", "")) for config in configs]
    if len(configs) > 1 and all(called) and len(set(called)) == len(called):
        return called
    return differences(configs)


def differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return, for each configuration, the settings in which they differ, in words.

    >>> differences([{"channels": 16, "lr": 0.1}, {"channels": 32, "lr": 0.1}])
    ['channels 16', 'channels 32']

    Where there is only one, its name or data set stand for it.

    >>> differences([{"channels": 16, "dataset": "patches32"}])
    ['dataset patches32']
    """
    flat = [flatten(config) for config in configs]
    names = list(dict.fromkeys(name for config in flat for name in config))
    differing = [name for name in names if len({_text(c.get(name, _ABSENT)) for c in flat}) > 1]
    if not differing:
        told = [n for n in ("name", "dataset") if any(config.get(n) for config in flat)]
        differing = told[:1]
    return [
        ", ".join(f"{name} {_text(c[name])}" for name in differing if name in c) or "as it is"
        for c in flat
    ]


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    >>> duration(0.25), duration(7.4), duration(185), duration(8000), duration(200_000)
    ('0.2 s', '7 s', '3 min 5 s', '2 h 13 min', '2 d 7 h')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    n = round(seconds)
    for size, small, (unit, below) in (
        (86_400, 3_600, ("d", "h")),
        (3_600, 60, ("h", "min")),
        (60, 1, ("min", "s")),
    ):
        if n >= size:
            rest = n % size // small
            return f"{n // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{n} s"


def parse_duration(text: str, name: str) -> float:
    """Return the seconds of a time such as ``9m``, ``1h30m``, ``90s`` or ``90``.

    Raises:
        UserError: it is none.

    >>> parse_duration("1h30m", "--budget"), parse_duration("90", "--budget")
    (5400.0, 90.0)
    """
    compressed = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", compressed):
        compressed += "s"
    if not re.fullmatch(r"(\d+(\.\d+)?[dhms])+", compressed):
        raise UserError(f"{name} must be a time such as 9m, 1h30m or 90s, not {text!r}")
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", compressed)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise UserError(f"{name} must be longer than {text!r}")
    if seconds > _LONGEST_S:
        shown = text if len(text) <= 20 else f"{text[:17]}..."
        raise UserError(f"{name} must be at most {duration(_LONGEST_S)}, not {shown!r}")
    return seconds


def size(n_bytes: int) -> str:
    """Return a number of bytes as a person says it.

    >>> size(900), size(12_345), size(48_000_000)
    ('900 B', '12.3 kB', '48.0 MB')
    """
    if n_bytes < 1000:
        return f"{n_bytes} B"
    return f"{n_bytes / 1e3:.1f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"


def ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers with runs of them drawn together.

    >>> ranges([3, 0, 1, 2, 7])
    '0-3, 7'
    """
    groups: list[list[int]] = []
    for n in sorted(set(numbers)):
        if groups and n == groups[-1][-1] + 1:
            groups[-1].append(n)
        else:
            groups.append([n])
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a head, columns aligned."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _text(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "absent" if value is _ABSENT else "none"
    return value if isinstance(value, str) else plain.dumps(plain.canonical(value)).strip('"')
