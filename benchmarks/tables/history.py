"""What a search claims, run by run; common to our campaigns and to other optimisers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.tables.data import Position, Table


@dataclass(slots=True)
class History:
    """One search on one table. A claim says that a configuration is better than the one that was reported before."""

    table: Table
    rng: np.random.Generator
    runs: int = 0
    claims: int = 0
    false: int = 0
    """Claims whose configuration is in truth not better than the one before."""
    reports: list[tuple[int, Position, float]] = field(default_factory=list)
    """(runs so far, reported configuration, its reported value), oldest first."""

    def run(self, position: Position) -> float:
        """One more run of a configuration."""
        self.runs += 1
        return self.table.run(position, self.rng)

    def report(self, position: Position, value: float) -> None:
        """Report a configuration; the first one claims nothing."""
        if self.reports:
            self.claims += 1
            self.false += self.table.true(position) <= self.table.true(self.reports[-1][1])
        self.reports.append((self.runs, position, value))

    def reported(self, runs: int) -> tuple[Position, float]:
        """What was reported after this number of runs."""
        _, position, value = [one for one in self.reports if one[0] <= runs][-1]
        return position, value
