"""Thresholds of the acceptance procedures, and how falseKeepRate selects among them.

Called by judge (through acceptance.procedure). Separate from acceptance.py because these numbers come from a
simulation, benchmarks/campaigns/acceptance_model.py, which also states the resulting rates: change both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Final, Literal

from scipy.special import ndtri

Acceptance = Literal["Standard", "Economy", "Provisional"]


@dataclass(frozen=True, slots=True)
class Procedure:
    """Thresholds of one acceptance procedure. A z is a normal quantile: 1.9 leaves 2.9 % above it."""

    screen_z: float
    """A challenger of a fresh incumbent continues with at least this z after its one screening run."""
    confirm_zs: tuple[float, ...]
    """Threshold after each confirming run, over all runs including the screen; a challenger below it is rejected."""
    audit_runs: int
    """Number of fresh runs, started together once all confirming runs are passed."""
    keep_z: float
    """Threshold of the Welch z over all runs after the screen."""
    incumbent_runs: int
    """Each confirming run adds one more run of the incumbent until it has this many."""
    baseline_runs: int
    """Runs of the unchanged task with which the simulation starts."""
    patience_z: float = 0.0
    """Added to screen_z for each challenger that got past the screen and was beaten by this incumbent."""
    patience_limit_z: float = 0.0
    """Upper bound of that addition."""
    provisional: bool = False
    """One run decides; what is kept is marked unconfirmed."""

    @property
    def post_screen_runs(self) -> int:
        """Number of runs after the screen of a kept challenger: its value, its interval and the next reference."""
        return len(self.confirm_zs) + self.audit_runs


STANDARD_KEEP_Z: Final = ((0.002, 2.88), (0.005, 2.3), (0.01, 1.9), (0.02, 1.3), (0.05, 0.9))
ECONOMY_KEEP_Z: Final = ((0.002, 2.6), (0.005, 1.9), (0.01, 1.5), (0.02, 1.1), (0.05, 0.7))
"""Rows (falseKeepRate, keep z). With normal and bimodal noise, the worst of nine families, the simulated rate stays
below falseKeepRate, including its 95 % bound. The gates bound it too, so rows above 0.02 gain little.
"""


def procedure(acceptance: Acceptance, false_keep_rate: float) -> Procedure:
    """The procedure for a requested rate of false keeps, per proposal that has no effect.

    Between two rows keep z is linear in log(rate). Above the last row (0.05) the last row applies, which is stricter
    than requested. Below the first (0.002) nothing was simulated, and keep z is the larger of the first row's and
    Phi^-1(1-rate): the nominal level of a Welch test of the runs after the screen alone, which the gates can only make
    smaller because they only remove challengers. A rate that is NaN or not positive is read as 1e-9, the strictest.
    """
    if acceptance == "Provisional":
        return Procedure(0.0, (), 0, 0.0, incumbent_runs=0, baseline_runs=3, provisional=True)
    if acceptance == "Economy":
        return Procedure(
            screen_z=0.6,
            confirm_zs=(1.2, 1.5),
            audit_runs=2,
            keep_z=_keep_z(ECONOMY_KEEP_Z, false_keep_rate),
            incumbent_runs=8,
            baseline_runs=3,
            patience_z=0.1,
            patience_limit_z=0.5,
        )
    return Procedure(
        screen_z=0.4,
        confirm_zs=(0.9, 1.2, 1.4),
        audit_runs=6,
        keep_z=_keep_z(STANDARD_KEEP_Z, false_keep_rate),
        incumbent_runs=12,
        baseline_runs=5,
        patience_z=0.1,
        patience_limit_z=0.6,
    )


def _keep_z(rows: tuple[tuple[float, float], ...], rate: float) -> float:
    """Threshold of the final test: see procedure()."""
    rate = max(1e-9, rate)  # in this order NaN becomes 1e-9
    first, strictest = rows[0]
    if rate <= first:
        return max(strictest, -float(ndtri(rate)))
    for (low, z_low), (high, z_high) in pairwise(rows):
        if rate <= high:
            return z_low + (z_high - z_low) * log(rate / low) / log(high / low)
    return rows[-1][1]
