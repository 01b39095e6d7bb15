"""How a measured value is written wherever a person reads it: four significant digits, everywhere the same.

Used by the decisions in their messages and by the command line, so that the end of a campaign does not say 0.0282526
beside 0.0283.
"""

from __future__ import annotations

import math

SIGNIFICANT = 4
DECIMALS_MAX = 9
"""Beyond them, and from a million on, a power of ten is shorter."""
LARGE = 1e6


def number(value: float) -> str:
    """`0.02734`, `0.2500`, `1235`, `3.000e-09`; `0` for nothing at all."""
    return fixed(value, decimals(value))


def decimals(value: float) -> int | None:
    """Digits behind the point that show four significant ones; None where a power of ten must be written."""
    if value == 0:
        return 0
    if not math.isfinite(value):
        return None
    rounded = abs(float(f"{value:.{SIGNIFICANT - 1}e}"))  # 0.99996 is 1.000, which has a digit less behind the point
    wanted = SIGNIFICANT - 1 - math.floor(math.log10(rounded))
    return None if wanted > DECIMALS_MAX or rounded >= LARGE else max(0, wanted)


def fixed(value: float, places: int | None) -> str:
    """The value with so many digits behind the point; None: as a power of ten."""
    if places is None:
        return f"{value:.{SIGNIFICANT - 1}e}"
    told = f"{value:.{places}f}"
    return told.removeprefix("-") if float(told) == 0 else told
