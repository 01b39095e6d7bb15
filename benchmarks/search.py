"""`python -m benchmarks.search`: true regret of our policies and of other optimisers on 15 real tables.

Needs `make bench-search`, which installs the tables and Nevergrad. All runs count: our baseline, confirmations, audits
and reference runs too. Regret is the distance of the reported configuration's true value from the table's best, in % of
the distance between the best and the median. A claim says that a configuration is better than the one reported before
(for ours a keep, for the others a new best value); it is false if it is in truth not better.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import mean, median
from typing import Any, Final

import numpy as np

from benchmarks.report import Goal, Report, emit
from benchmarks.tables import data, ours, peers
from benchmarks.tables.history import History

OURS: Final = ("tpe", "cma-es", "coordinate-search", "random-search")
RIVALS: Final = ("random", "greedy", "optuna-tpe", "optuna-cma-es", "nevergrad")
"""The peers of the goal. optuna-tpe-top5 is shown beside them: a user who knows of noise would work like this."""
WANTED: Final = 12


@dataclass(frozen=True, slots=True)
class Searched:
    """One search on one table with one seed."""

    method: str
    table: str
    regret: float
    overshoot: float
    """Reported minus true value."""
    claims: int
    false: int


def searched(method: str, name: str, seed: int, runs: int) -> Searched:
    """Run one search. Our campaigns and the peers have the same chance for each table and seed."""
    table = data.table(name)
    history = History(table, np.random.default_rng([seed, *name.encode()]))
    if method in peers.PEERS:
        peers.PEERS[method](history, runs)
    else:
        ours.search(method, history, runs, seed)
    assert history.runs <= runs
    position, value = history.reported(runs)
    return Searched(method, name, table.regret(position), value - table.true(position), history.claims, history.false)


def report(methods: list[str], tables: list[str], seeds: int, runs: int, workers: int) -> Report:
    """Search on every table with every method and seed."""
    # One table after the other: a worker holds those that it has read.
    work = [(method, name, seed) for name, method, seed in product(tables, methods, range(seeds))]
    with ProcessPoolExecutor(workers) as pool:
        columns = zip(*work, strict=True)
        found = list(pool.map(partial(searched, runs=runs), *columns, chunksize=max(1, seeds // 2)))
    regrets = {
        name: {
            method: round(mean(one.regret for one in found if (one.table, one.method) == (name, method)), 2)
            for method in methods
        }
        for name in tables
    }
    figures: dict[str, Any] = {"runs": runs, "seeds": seeds, "regret": regrets}
    figures["methods"] = {method: _summary([one for one in found if one.method == method]) for method in methods}
    return Report("search", figures, list(_goals(methods, regrets)))


def _summary(found: list[Searched]) -> dict[str, float]:
    values = [one.regret for one in found]
    claims = sum(one.claims for one in found)
    return {
        "meanRegret": round(mean(values), 2),
        "standardError": round(float(np.std(values, ddof=1) / len(values) ** 0.5), 2) if len(values) > 1 else 0.0,
        "medianRegret": round(median(values), 2),
        "claims": claims,
        "falseClaims": sum(one.false for one in found),
        "falseShare": round(sum(one.false for one in found) / claims, 4) if claims else 0.0,
    }


def _goals(methods: list[str], regrets: dict[str, dict[str, float]]) -> Any:
    rivals = [one for one in RIVALS if one in methods]
    for method in (one for one in OURS[:2] if one in methods and rivals):
        good = sum(row[method] <= min(row[one] for one in rivals) for row in regrets.values())
        name = f"{method}: tables on which its mean regret is at most that of the best peer"
        yield Goal(name, good, f">= {WANTED} of {len(regrets)}", good >= WANTED)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="True regret on real tables, at equal numbers of runs.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--runs", type=int, default=100, help="runs of each search, all of them counted")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one for each CPU)")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *peers.PEERS], choices=[*OURS, *peers.PEERS])
    parser.add_argument("--tables", nargs="+", default=list(data.NAMES), choices=data.NAMES)
    chosen = parser.parse_args()
    found = report(chosen.methods, chosen.tables, chosen.seeds, chosen.runs, chosen.workers)
    emit(found, as_json=chosen.json, check=chosen.check)


if __name__ == "__main__":
    main()
