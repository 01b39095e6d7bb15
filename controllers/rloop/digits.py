"""How a measured value is written wherever a person reads it: with the digits that its noise leaves meaning to.

Used by the decisions in their messages and by the command line, so that the end of a campaign does not say 0.0282526
beside 0.0283.
"""

from __future__ import annotations

import math

SIGNIFICANT = 4
NOISE_LEAST, NOISE_MOST = 2, 4
"""Significant digits of the noise that a value shows at least, and at most."""
DECIMALS_MAX = 9
"""Beyond them, and from a million on, a power of ten is shorter."""
LARGE = 1e6


def number(value: float, noise: float = 0.0) -> str:
    """`0.02734`, `0.2500`, `1235`, `3.000e-09`; `-1234566.98` where the noise is 0.51. See `decimals`."""
    return fixed(value, decimals(value, noise))


def decimals(value: float, noise: float = 0.0) -> int:
    """Digits behind the point that show four significant ones of the value; negative: how many before it are rounded.

    With a noise (a standard deviation or half an interval, in the value's unit) never fewer than show two significant
    digits of it, and never more than show four.
    """
    if not math.isfinite(value):
        return 0
    known = math.isfinite(noise) and noise > 0
    if value == 0:
        return _places(noise, NOISE_LEAST) if known else 0
    wanted = _places(value, SIGNIFICANT)
    return min(max(wanted, _places(noise, NOISE_LEAST)), _places(noise, NOISE_MOST)) if known else wanted


def fixed(value: float, places: int) -> str:
    """The value with so many digits behind the point, or as a power of ten with the digits that these places have."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and (places > DECIMALS_MAX or (places < 0 and abs(value) >= LARGE)):
        return f"{value:.{max(0, math.floor(math.log10(abs(value))) + places)}e}"
    told = f"{value:.{min(max(0, places), DECIMALS_MAX)}f}"
    return told.removeprefix("-") if float(told) == 0 else told


def _places(value: float, significant: int) -> int:
    rounded = abs(float(f"{value:.{significant - 1}e}"))  # 0.99996 is 1.000, which has a digit less behind the point
    return significant - 1 - math.floor(math.log10(rounded)) if 0 < rounded < math.inf else 0
