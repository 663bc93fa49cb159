"""The ledger: what a paper says, our number, the bound, and a verdict computed from the two.

``data/claims.yml`` holds the claims and never a verdict. A claim has checks; a check asks one
result of one notebook (``notebook:result``) whether it lies within a bound. All checks pass:
reproduced; some: partly; none: not reproduced; no result, or from a profile too small to decide:
not tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from erfbook.errors import UserError
from erfbook.notation import round_to
from erfbook.profiles import PROFILES

VERDICTS = ("reproduced", "partly", "not reproduced", "not tested")
SOURCES = ("luo", "distill", "position", "avendano")
Number = bool | int | float | str


class ClaimsError(UserError):
    """A row of the ledger that cannot be used."""


@dataclass(frozen=True)
class Result:
    """One named outcome of an executed notebook, with its 95 % interval where it has one."""

    notebook: str
    name: str
    value: Number
    profile: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""

    @property
    def query(self) -> str:
        return f"{self.notebook}:{self.name}"


@dataclass(frozen=True)
class Bound:
    """What a result must be: inside ``[min, max]``, or exactly ``is``."""

    min: float | None = None
    max: float | None = None
    is_: Number | None = None

    def holds(self, value: Number) -> bool:
        """Return whether ``value`` satisfies the bound; NaN never does."""
        if self.is_ is not None:
            return value == self.is_
        if isinstance(value, str):
            return False
        above = self.min is None or value >= self.min
        below = self.max is None or value <= self.max
        return above and below and value == value

    def __str__(self) -> str:
        if self.is_ is not None:
            if isinstance(self.is_, bool):  # 1 == True, yet it is a number
                return "yes" if self.is_ else "no"
            return str(self.is_)
        low, high = (None if v is None else round_to(v, 6) for v in (self.min, self.max))
        if low is None or high is None:
            return f"≤ {high}" if low is None else f"≥ {low}"
        return f"{low} to {high}"


@dataclass(frozen=True)
class Check:
    """One question to one result: the bound, and why that bound and no other."""

    query: str
    bound: Bound
    why: str

    @property
    def notebook(self) -> str:
        return self.query.split(":")[0]

    @property
    def name(self) -> str:
        return self.query.split(":")[1]


@dataclass(frozen=True)
class Claim:
    """One statement of a source and how it is checked.

    ``takes`` says what a run needs to decide it, where not every run does: data, or hours.
    """

    id: str
    where: str
    statement: str
    paper: Mapping[str, Any]
    checks: tuple[Check, ...] = ()
    needs: str = "smoke"
    figure: str = ""
    equation: str = ""
    untested: str = ""
    takes: str = ""
    headline: bool = False
    ours: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return self.id.split(".")[0]

    @property
    def notebooks(self) -> tuple[str, ...]:
        """Return the notebooks that answer the claim, each once, in order."""
        return tuple(dict.fromkeys(check.notebook for check in self.checks))


@dataclass(frozen=True)
class Outcome:
    """A check with the result it found; ``passed`` is None where there is none to judge."""

    check: Check
    result: Result | None = None
    passed: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """A claim judged: one of :data:`VERDICTS`, and for what is not tested the reason.

    ``ours`` are the results that stand beside the paper's number where the checks ask for
    something else, such as a distance in standard errors.
    """

    claim: Claim
    outcomes: tuple[Outcome, ...]
    word: str
    reason: str = ""
    ours: tuple[Result, ...] = ()


def load(path: Path) -> tuple[Claim, ...]:
    """Read the ledger.

    Raises:
        ClaimsError: the file is missing or not YAML, or a row has a field missing, unknown, of
            the wrong kind, or an id already taken.
    """
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["claims"]
    except OSError as error:
        raise ClaimsError(f"cannot read the ledger {path}: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError) as error:
        word = str(error).splitlines()[0]
        raise ClaimsError(f"{path} is not a YAML list under 'claims': {word}") from None
    claims = tuple(_claim(row, position) for position, row in enumerate(rows, start=1))
    seen: set[str] = set()
    for claim in claims:
        if claim.id in seen:
            raise ClaimsError(f"claim {claim.id}: the id stands twice in the ledger")
        seen.add(claim.id)
    return claims


def judge(claims: Iterable[Claim], results: Iterable[Result]) -> tuple[Verdict, ...]:
    """Return a verdict for each claim, from the results alone."""
    by_query = {result.query: result for result in results}
    return tuple(
        replace(_judge(c, by_query), ours=tuple(by_query[q] for q in c.ours if q in by_query))
        for c in claims
    )


def count(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many verdicts there are of each word, every word present."""
    words = [verdict.word for verdict in verdicts]
    return {word: words.count(word) for word in VERDICTS}


def _judge(claim: Claim, results: Mapping[str, Result]) -> Verdict:
    if claim.untested:
        return Verdict(claim, tuple(Outcome(c) for c in claim.checks), "not tested", claim.untested)
    outcomes, reason = [], ""
    for check in claim.checks:
        result = results.get(check.query)
        if result is None:
            need = f"no run here decides it; it takes {claim.takes}" if claim.takes else ""
            reason = reason or need or f"{check.query} has not been run"
            outcomes.append(Outcome(check))
        elif PROFILES.index(result.profile) < PROFILES.index(claim.needs):
            reason = f"the {result.profile} profile is too small; it needs {claim.needs}"
            outcomes.append(Outcome(check, result))
        else:
            outcomes.append(Outcome(check, result, check.bound.holds(result.value)))
    passed = [outcome.passed for outcome in outcomes]
    if reason or not passed:
        return Verdict(claim, tuple(outcomes), "not tested", reason or "no check is written yet")
    word = "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    return Verdict(claim, tuple(outcomes), word)


def _claim(row: Any, position: int) -> Claim:
    known = {"id", "where", "statement", "paper", "checks"}
    known |= {"needs", "figure", "equation", "untested", "takes", "headline", "ours"}
    name = f"claim {row.get('id', position)}" if isinstance(row, dict) else f"claim {position}"
    if not isinstance(row, dict):
        raise ClaimsError(f"{name}: a row must be a mapping, not {row!r}")
    for key in sorted(row.keys() - known):
        raise ClaimsError(f"{name}: unknown field {key!r}; a row has {', '.join(sorted(known))}")
    for key in ("id", "where", "statement", "paper"):
        if not row.get(key):
            raise ClaimsError(f"{name}: the field {key!r} is missing")
    if str(row["id"]).split(".")[0] not in SOURCES:
        raise ClaimsError(f"{name}: the id must start with one of {', '.join(SOURCES)}")
    if row.get("needs", "smoke") not in PROFILES:
        raise ClaimsError(f"{name}: needs must be one of {', '.join(PROFILES)}")
    if not isinstance(row["paper"], dict):
        raise ClaimsError(f"{name}: paper must be a mapping with value or text")
    if bool(row.get("checks")) == bool(row.get("untested")):
        raise ClaimsError(f"{name}: give either checks or untested, with a reason")
    checks = tuple(_check(check, name) for check in row.get("checks") or ())
    return Claim(**{**row, "checks": checks, "ours": tuple(row.get("ours") or ())})


def _check(row: Any, name: str) -> Check:
    if not isinstance(row, dict) or set(row) != {"query", "bound", "why"}:
        raise ClaimsError(f"{name}: a check has exactly query, bound and why, not {row!r}")
    if str(row["query"]).count(":") != 1:
        raise ClaimsError(f"{name}: query must be notebook:result, not {row['query']!r}")
    bound = row["bound"]
    if not isinstance(bound, dict) or not bound or bound.keys() - {"min", "max", "is"}:
        raise ClaimsError(f"{name}: bound must hold min, max or is, not {bound!r}")
    for key in bound.keys() & {"min", "max"}:
        if isinstance(bound[key], bool) or not isinstance(bound[key], int | float):
            remedy = "write 1.0e-9, not 1e-9, which YAML reads as text"
            raise ClaimsError(f"{name}: {key} must be a number, not {bound[key]!r}; {remedy}")
    values = {"is_" if key == "is" else key: value for key, value in bound.items()}
    return Check(row["query"], Bound(**values), str(row["why"]))
