"""Typed, validated parameters with one value for each profile: smoke, laptop and paper.

A set of parameters is a frozen dataclass whose fields are made by :func:`param`; everything a
reader, the command line and a page say about a parameter is read from that one declaration.
Plain dataclasses, so that a machine with nothing but PyTorch can import it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from erfbook.errors import UserError

PROFILES = ("smoke", "laptop", "paper")


class ParameterError(UserError):
    """A parameter or profile that cannot be used."""


def param(
    help: str,
    *,
    smoke: Any,
    laptop: Any,
    paper: Any,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple | None = None,
) -> Any:
    """Declare one parameter: what it is, its unit, its range and its value in each profile.

    Args:
        help: one line for a person.
        smoke, laptop, paper: the value under each profile.
        unit: unit of the value, in words or symbols; empty where it has none.
        low, high: inclusive range, applied to each element of a tuple.
        choices: the only values allowed, where there are only some.
    """
    meta = {
        "help": help,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": choices,
        "values": {"smoke": smoke, "laptop": laptop, "paper": paper},
    }
    return field(default=laptop, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Base of all parameter sets; a subclass becomes a frozen dataclass by itself."""

    notebook: ClassVar[str] = ""
    limits: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, kw_only=True)(cls)
        for profile in PROFILES:  # a declaration that contradicts itself fails at import
            cls.resolve(profile)

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field]:
        """Return the declared parameters by name, in the order of declaration."""
        return {f.name: f for f in dataclasses.fields(cls)}

    @classmethod
    def resolve(cls, profile: str, overrides: Mapping[str, Any] | None = None) -> Self:
        """Return the profile's values with ``overrides`` checked and put in their place.

        Raises:
            ParameterError: an unknown profile or name, a wrong type, or a value out of range.
        """
        check_profile(profile)
        values = {name: f.metadata["values"][profile] for name, f in cls.fields().items()}
        for name, value in (overrides or {}).items():
            if name not in values:
                owner = cls.notebook or cls.__name__
                raise ParameterError(f"{owner} has no parameter {name!r}{_nearest(name, values)}")
            values[name] = value
        hints = typing.get_type_hints(cls)
        return cls(**{n: _checked(n, v, hints[n], cls.fields()[n]) for n, v in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in self.fields()}


def check_profile(profile: str) -> str:
    """Return ``profile`` if there is such a profile.

    Raises:
        ParameterError: there is none of that name.
    """
    if profile not in PROFILES:
        raise ParameterError(
            f"profile must be one of {', '.join(PROFILES)}, not {profile!r}"
            f"{_nearest(str(profile), PROFILES)}"
        )
    return profile


def describe_type(hint: Any) -> str:
    """Return a type as a person writes it: ``int``, ``list of float``."""
    if typing.get_origin(hint) is tuple:
        return f"list of {typing.get_args(hint)[0].__name__}"
    return hint.__name__


def describe_range(f: dataclasses.Field) -> str:
    """Return a parameter's range or choices in words; empty where any value serves."""
    low, high, choices = (f.metadata[key] for key in ("low", "high", "choices"))
    if choices is not None:
        return " | ".join(str(c) for c in choices)
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""


def parse(text: str, hint: Any) -> Any:
    """Read a command-line word as the type ``hint``; what cannot be read is returned as it is.

    >>> parse("20", int), parse("1,2,4", tuple[int, ...]), parse("x", int)
    (20, (1, 2, 4), 'x')
    """
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(parse(word.strip(), inner) for word in text.strip("[]()").split(",") if word)
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return hint(text)
    except ValueError:
        return text


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}" if known else "; it takes none"


def _checked(name: str, value: Any, hint: Any, f: dataclasses.Field) -> Any:
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple) or not value:
            raise ParameterError(f"{name} must be a {describe_type(hint)}, not {value!r}")
        return tuple(_checked(name, v, inner, f) for v in value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    right = {
        int: is_whole,
        float: is_whole or (isinstance(value, float) and math.isfinite(value)),
        bool: isinstance(value, bool),
        str: isinstance(value, str),
    }[hint]
    if not right:
        raise ParameterError(f"{name} must be {_article(hint)}, not {value!r}")
    value = hint(value)
    low, high, choices = (f.metadata[key] for key in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        words = ", ".join(str(c) for c in choices)
        raise ParameterError(f"{name} must be one of {words}, not {value!r}")
    if (low is not None and value < low) or (high is not None and value > high):
        unit = f" {f.metadata['unit']}" if f.metadata["unit"] else ""
        raise ParameterError(f"{name} must be {describe_range(f)}{unit}, not {value!r}")
    return value


def _article(hint: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
