"""Numbers as a person writes them."""

from __future__ import annotations

import math

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def round_to(value: float, digits: int = 3) -> str:
    """Return a number to so many significant digits, with a true minus sign.

    Thousands are set apart by commas; from a million on, and below a ten-thousandth, a power of
    ten is written out.

    >>> [round_to(v) for v in (0.123456, -0.5, 30_000.0, 147_499.0, 0.0)]
    ['0.123', '−0.5', '30,000', '147,000', '0']
    >>> round_to(377_379_369), round_to(-2.2e-5), round_to(-1e-12), round_to(999.7)
    ('3.77 × 10⁸', '−2.2 × 10⁻⁵', '−10⁻¹²', '1,000')
    >>> round_to(1234.5, 6), round_to(512, 1)
    ('1,234.5', '500')
    """
    if not math.isfinite(value):
        return f"{value}".replace("-", "−")
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if 1e-4 <= abs(rounded) < 1000:
        text = f"{rounded:.{max(digits, 3)}g}"
    elif 1000 <= abs(rounded) < 1e6:
        text = f"{rounded:,.{max(digits, 6)}g}"
    else:
        mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        raised = f"10{str(int(power)).translate(_RAISED)}"
        is_one = mantissa.lstrip("-") == "1"
        text = mantissa.replace("1", raised) if is_one else f"{mantissa} × {raised}"
    return text.replace("-", "−", 1)


def plus_minus(value: float, error: float, digits: int = 2) -> str:
    """Return a number and its error, which has so many significant digits, on one power of ten.

    >>> plus_minus(4.672e-5, 6.83e-6), plus_minus(2134, 611, 1), plus_minus(-0.9412, 0.031)
    ('(4.67 ± 0.68) × 10⁻⁵', '2,100 ± 600', '−0.941 ± 0.031')
    >>> plus_minus(1.5, 0.0), plus_minus(2.0, math.nan), plus_minus(0.0, 0.1)
    ('1.5', '2', '0.00 ± 0.10')
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return round_to(value)
    power = math.floor(math.log10(max(abs(value), error)))
    power = 0 if -4 <= power < 6 else power
    a, b = value / 10.0**power, error / 10.0**power
    places = digits - 1 - math.floor(math.log10(b))
    shown = max(places, 0)
    text = f"{round(a, places):,.{shown}f} ± {round(b, places):,.{shown}f}".replace("-", "−", 1)
    return f"({text}) × 10{str(power).translate(_RAISED)}" if power else text


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent.

    >>> percent(0.9), percent(0.9545, 1)
    ('90 %', '95.5 %')
    """
    return f"{100 * share:.{digits}f} %"


def count(n: float, thing: str) -> str:
    """Return how many of a thing there are, in words that take a plain plural.

    >>> count(1, "seed"), count(0, "run"), count(1_234_567, "weight")
    ('1 seed', '0 runs', '1,234,567 weights')
    """
    return f"{n:,.12g} {thing}" + ("" if n == 1 else "s")
