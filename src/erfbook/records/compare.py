"""Whether two records of the same run say the same, and where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from erfbook.errors import RunError
from erfbook.records import plain
from erfbook.records.record import Record, is_weights

_SPEEDS = ("seconds", "_per_s", "n_resumed")  # endings of metrics that tell of time, not of result
_N_NAMED = 4  # differences that a message spells out


@dataclass(frozen=True)
class Difference:
    """One result that two records of the same run disagree on.

    Args:
        name: of the metric or array; a metric inside others by dots.
        here, there: the two values, in words.
    """

    name: str
    here: str
    there: str

    def __str__(self) -> str:
        return f"{self.name} {self.here} here, {self.there} there"


class Conflict(RunError):
    """Two records of the same run hold other results; the one that was there first is kept.

    Args:
        here: the record that is there.
        there: the one that was to be put beside it.
        differences: what they disagree on.
    """

    def __init__(self, here: Record, there: Record, differences: list[Difference]) -> None:
        self.here, self.there, self.differences = here, there, differences
        named = "; ".join(str(d) for d in differences[:_N_NAMED])
        more = len(differences) - _N_NAMED
        rest = f"; {more} more" if more > 0 else ""
        spec = here.spec
        super().__init__(
            f"two results of {spec.experiment} {spec.key}, seed {spec.seed}: {named}{rest} "
            f"(here: {_origin(here)}; there: {_origin(there)})"
        )

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.here, self.there, self.differences)


def find_differences(here: Record, there: Record) -> list[Difference]:
    """Return what two records' metrics and arrays disagree on; provenance does not count.

    A published record may have been left without its network's weights: where one of the two has
    none of them, they are not compared.

    Numbers are compared exactly: a run that is repeated on the same device gives the same ones.
    NaN equals NaN. Metrics whose names end in ``seconds``, ``_per_s`` or ``n_resumed`` tell of
    time and are not compared.
    """
    return [*_metrics(here.metrics, there.metrics), *_arrays(here, there)]


def _metrics(here: Any, there: Any, name: str = "") -> Iterator[Difference]:
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted(here.keys() | there.keys()):
            if key.endswith(_SPEEDS):
                continue
            inner = f"{name}.{key}" if name else key
            if key in here and key in there:
                yield from _metrics(here[key], there[key], inner)
            else:
                yield Difference(inner, _shown(here.get(key)), _shown(there.get(key)))
    elif plain.dumps(plain.canonical(here)) != plain.dumps(plain.canonical(there)):
        yield Difference(name, _shown(here), _shown(there))


def _arrays(here: Record, there: Record) -> Iterator[Difference]:
    names = here.arrays.keys() | there.arrays.keys()
    if not all(any(map(is_weights, record.arrays)) for record in (here, there)):
        names = {name for name in names if not is_weights(name)}
    for name in sorted(names):
        a, b = here.arrays.get(name), there.arrays.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            yield Difference(name, _outline(a), _outline(b))
        elif not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            far = np.abs(a.astype(float) - b.astype(float))
            at = np.unravel_index(np.argmax(np.nan_to_num(far, nan=np.inf)), a.shape)
            place = ",".join(str(i) for i in at)
            yield Difference(f"{name}[{place}]", _shown(a[at].item()), _shown(b[at].item()))


def _outline(array: np.ndarray | None) -> str:
    if array is None:
        return "absent"
    return f"{array.dtype} {'x'.join(str(n) for n in array.shape) or 'number'}"


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _origin(record: Record) -> str:
    about = record.provenance
    words = [about.get("device"), about.get("commit"), about.get("date")]
    return ", ".join(str(word) for word in words if word) or "of unknown origin"
