"""Formatting of measured values for people, with only those digits that are significant given the noise.

Used by the decisions in their messages and by the command line, so that the end of a campaign does not show 0.0282526
next to 0.0283.
"""

from __future__ import annotations

import math

SIGNIFICANT = 4
NOISE_LEAST, NOISE_MOST = 2, 4
"""Minimum and maximum number of significant digits of the noise that a value shows."""
DECIMALS_MAX = 9
"""Beyond it, and for values from LARGE on that are rounded before the point, scientific notation is shorter."""
LARGE = 1e6


def number(value: float, noise: float = 0.0) -> str:
    """The value as text: `0.02734`, `0.2500`, `1235`, `3.000e-09`; `-1234566.98` with noise 0.51. See `decimals`."""
    return fixed(value, decimals(value, noise))


def decimals(value: float, noise: float = 0.0) -> int:
    """Number of decimals that show four significant digits of the value; negative: digits before the point to round.

    With a noise (a standard deviation or half an interval, in the value's unit) at least two and at most four
    significant digits of the noise are shown.
    """
    if not math.isfinite(value):
        return 0
    known = math.isfinite(noise) and noise > 0
    if value == 0:
        return _places(noise, NOISE_LEAST) if known else 0
    wanted = _places(value, SIGNIFICANT)
    return min(max(wanted, _places(noise, NOISE_LEAST)), _places(noise, NOISE_MOST)) if known else wanted


def fixed(value: float, places: int) -> str:
    """The value with `places` decimals, or in scientific notation with the same digits."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and (places > DECIMALS_MAX or (places < 0 and abs(value) >= LARGE)):
        return f"{value:.{max(0, math.floor(math.log10(abs(value))) + places)}e}"
    told = f"{value:.{min(max(0, places), DECIMALS_MAX)}f}"
    return told.removeprefix("-") if float(told) == 0 else told


def _places(value: float, significant: int) -> int:
    rounded = abs(float(f"{value:.{significant - 1}e}"))  # 0.99996 rounds to 1.000, which has one decimal less
    return significant - 1 - math.floor(math.log10(rounded)) if 0 < rounded < math.inf else 0
