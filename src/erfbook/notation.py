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
    >>> round_to(1234.5, 6)
    '1,234.5'
    """
    if not math.isfinite(value):
        return f"{value}".replace("-", "−")
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if 1e-4 <= abs(rounded) < 1000:
        text = f"{rounded:.{digits}g}"
    elif 1000 <= abs(rounded) < 1e6:
        text = f"{rounded:,.{max(digits, 6)}g}"
    else:
        mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        raised = f"10{str(int(power)).translate(_RAISED)}"
        is_one = mantissa.lstrip("-") == "1"
        text = mantissa.replace("1", raised) if is_one else f"{mantissa} × {raised}"
    return text.replace("-", "−", 1)


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
