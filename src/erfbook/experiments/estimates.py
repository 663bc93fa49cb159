"""A number with its 95 % interval, and the two ways used here to get one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from erfbook.notation import round_to


@dataclass(frozen=True)
class Estimate:
    """A measured number, its 95 % interval, and the number of runs behind it.

    Args:
        value: what all runs together give.
        low, high: ends of the interval; both are ``value`` where nothing was sampled.
        n: runs.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def standard_error(self) -> float:
        """Half the interval over 1.96: the standard error if the estimate is normal."""
        return (self.high - self.low) / (2 * 1.96)

    def as_result(self) -> dict[str, float | int]:
        """Return the fields as a page's ``report`` takes them; no interval where none was drawn."""
        plain = {"value": self.value, "n": self.n}
        return plain if self.low == self.high else {**plain, "low": self.low, "high": self.high}

    def with_ends(self) -> dict[str, float | int]:
        """Return the same with both ends whenever there was more than one run.

        Prose that names the ends finds them even where all runs agree.
        """
        plain = {"value": self.value, "n": self.n}
        return {**plain, "low": self.low, "high": self.high} if self.n > 1 else plain

    def text(self, form: str = "{:.2f}") -> str:
        """Return value and interval as a table shows them; from 1000 on, three digits are enough.

        >>> Estimate(1.2345, 1.0, 1.5, 3).text(), Estimate(0.5, 0.5, 0.5, 1).text("{:+.1%}")
        ('1.23 [1.00, 1.50]', '+50.0%')
        >>> Estimate(math.nan, math.nan, math.nan, 0).text()
        '–'
        >>> Estimate(0.99, 0.0002, 5160.2, 2).text()
        '0.99 [0.00, 5,160]'
        """
        if math.isnan(self.value):
            return "–"
        ends = (self.value, self.low, self.high)
        value, low, high = (form.format(x) if abs(x) < 1000 else round_to(x) for x in ends)
        return value if self.n < 2 else f"{value} [{low}, {high}]"

    def z_score(self, expected: float) -> float:
        """Return how many standard errors the value lies above ``expected``."""
        difference = self.value - expected
        return difference / self.standard_error if self.standard_error else math.nan


def mean_text(values: Float[np.ndarray, " run"], digits: int = 1) -> str:
    """Return a mean and, of two runs or more, a standard deviation, as a table shows them.

    >>> mean_text(np.array([70.0, 72.0])), mean_text(np.array([70.04]))
    ('71.0 ± 1.4', '70.0')
    """
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def bootstrap(
    samples: Shaped[np.ndarray, "run ..."],
    statistic: Callable[[np.ndarray], float],
    *,
    n_resamples: int,
    seed: int,
) -> Estimate:
    """Return a statistic of the mean over runs with its percentile bootstrap interval.

    Runs are resampled with replacement, ``n_resamples`` times; resamples that give NaN, of which a
    statistic makes use where it does not exist, are left out.

    >>> draws = np.random.default_rng(0).normal(size=400)
    >>> e = bootstrap(draws, float, n_resamples=500, seed=1)
    >>> e.low < e.value < e.high, round(e.standard_error, 2)
    (True, 0.05)
    """
    value = float(statistic(samples.mean(0)))
    if len(samples) == 1:
        return Estimate(value, value, value, 1)
    counts = resample_counts(len(samples), n_resamples, seed)
    means = np.tensordot(counts / len(samples), samples, axes=(1, 0))
    low, high = np.nanpercentile([float(statistic(mean)) for mean in means], (2.5, 97.5))
    return Estimate(value, float(low), float(high), len(samples))


def resample_counts(n_runs: int, n_resamples: int, seed: int) -> Float[np.ndarray, "resample run"]:
    """Return how often each run is drawn in each resample of size ``n_runs``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=n_resamples).astype(float)


def wilson(successes: int, n: int) -> Estimate:
    """Return a proportion with its Wilson score interval, which also holds near 0 and 1.

    >>> e = wilson(0, 20)
    >>> e.value, e.low, round(e.high, 3)
    (0.0, 0.0, 0.161)
    """
    z, p = 1.96, successes / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Estimate(p, max(0.0, middle - half), min(1.0, middle + half), n)


def seed_for(seed: int, *words: object) -> int:
    """Return a seed of its own for each named part of an experiment.

    >>> seed_for(0, "relu", 20) == seed_for(0, "relu", 20) != seed_for(0, "relu", 40)
    True
    """
    return zlib.crc32(repr((seed, *words)).encode())
