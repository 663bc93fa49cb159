"""Strict JSON: what a record's head may hold, and how a number that JSON lacks is written.

JSON has no NaN and no infinity, and readers disagree on what to do with them; a record writes
``{"$float": "nan"}`` instead. Everything else is plain JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MARK = "$float"
_NAMES = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_plain(value: Any, where: str) -> Any:
    """Return ``value`` made of dicts, lists, texts, numbers, truth values and None alone.

    NumPy's scalars become Python's, tuples become lists; so a result is the same before it was
    written and after.

    Args:
        value: what to look through.
        where: its name, for the message.

    Raises:
        ValueError: something in it is none of these; the message says where.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str) or key == MARK]
        if wrong:
            raise ValueError(f"{where} has the name {wrong[0]!r}; names are texts, not {MARK!r}")
        return {str(key): to_plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return to_plain(value.item(), where)
    raise ValueError(
        f"{where} is {_article(value)}, which JSON cannot hold; "
        "give numbers, texts, lists and dicts of them, and arrays as arrays"
    )


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return plain ``value`` as strict JSON, names in the order they are in."""
    return json.dumps(_marked(value), allow_nan=False, ensure_ascii=False, indent=indent)


def loads(text: str | bytes) -> Any:
    """Return what :func:`dumps` wrote.

    Raises:
        ValueError: not strict JSON.
    """
    return json.loads(text, object_hook=_unmarked, parse_constant=_refuse)


def canonical(value: Any) -> Any:
    """Return plain ``value`` as it is compared: names sorted, and 1.0 as 1."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _marked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return {MARK: str(value)} if is_odd else value


def _unmarked(found: dict[str, Any]) -> Any:
    return _NAMES[found[MARK]] if set(found) == {MARK} else found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
