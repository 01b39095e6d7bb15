"""Other optimisers on a table: Optuna's TPE and CMA-ES, Nevergrad, random and greedy search.

Used by `benchmarks.search`. Each is used as its documentation says, with its own defaults, one run a proposal, and
reports the best single value that it has seen: that is what a user of it reads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables.data import Position, Table
from benchmarks.tables.history import History

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

TOP, AGAIN = 5, 5
"""optuna-tpe-top5 keeps 25 runs for its five best configurations."""


def random(history: History, budget: int) -> None:
    """Independent draws."""
    best = -np.inf
    while history.runs < budget:
        position = history.table.any(history.rng)
        best = _seen(history, position, history.run(position), best)


def greedy(history: History, budget: int) -> None:
    """Change one dimension of the best so far; keep the change if one run of it is better than one run before."""
    position = history.table.any(history.rng)
    best = _seen(history, position, history.run(position), -np.inf)
    while history.runs < budget:
        at = int(history.rng.integers(len(position)))
        size = len(list(history.table.choices.values())[at])
        value = (position[at] + int(history.rng.integers(1, size))) % size
        changed = (*position[:at], value, *position[at + 1 :])
        found = history.run(changed)
        if found > best:
            best, position = found, changed
            history.report(changed, found)


def optuna_tpe(history: History, budget: int) -> None:
    """TPESampler."""
    from optuna.samplers import TPESampler

    _optuna(history, budget, TPESampler(seed=_seed(history)))


def optuna_tpe_top5(history: History, budget: int) -> None:
    """TPESampler, and at the end further runs of the five best; the report is their best mean."""
    from optuna.samplers import TPESampler

    values = _optuna(history, budget - TOP * AGAIN, TPESampler(seed=_seed(history)))
    top = sorted(values, key=lambda one: max(values[one]), reverse=True)[:TOP]
    means = {one: float(np.mean([history.run(one) for _ in range(AGAIN)])) for one in top}
    best = max(means, key=lambda one: means[one])
    history.report(best, means[best])


def optuna_cma_es(history: History, budget: int) -> None:
    """CmaEsSampler; lists without an order are left to its independent sampler."""
    from optuna.samplers import CmaEsSampler

    _optuna(history, budget, CmaEsSampler(seed=_seed(history), warn_independent_sampling=False))


def nevergrad(history: History, budget: int) -> None:
    """NGOpt, the optimiser that Nevergrad recommends."""
    import nevergrad as ng

    table = history.table
    parameters: dict[str, Any] = {}
    for name, values in table.choices.items():
        last = len(values) - 1
        scale = ng.p.Scalar(init=last / 2, lower=0, upper=last).set_integer_casting()
        parameters[name] = scale if table.ordered[name] else ng.p.Choice(list(range(last + 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parametrisation = ng.p.Dict(**parameters)
        parametrisation.random_state.seed(_seed(history))
        optimiser = ng.optimizers.NGOpt(parametrization=parametrisation, budget=budget)
        best = -np.inf
        while history.runs < budget:
            candidate = optimiser.ask()
            position = tuple(int(candidate.value[name]) for name in table.choices)
            found = history.run(position)
            optimiser.tell(candidate, -found)
            best = _seen(history, position, found, best)


PEERS: dict[str, Callable[[History, int], None]] = {
    "random": random,
    "greedy": greedy,
    "optuna-tpe": optuna_tpe,
    "optuna-cma-es": optuna_cma_es,
    "nevergrad": nevergrad,
    "optuna-tpe-top5": optuna_tpe_top5,
}


def _optuna(history: History, budget: int, sampler: BaseSampler) -> dict[Position, list[float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    values: dict[Position, list[float]] = {}
    best = -np.inf
    while history.runs < budget:
        trial = study.ask()
        position = _suggested(history.table, trial)
        found = history.run(position)
        study.tell(trial, found)
        values.setdefault(position, []).append(found)
        best = _seen(history, position, found, best)
    return values


def _suggested(table: Table, trial: Any) -> Position:
    return tuple(
        trial.suggest_int(name, 0, len(values) - 1)
        if table.ordered[name]
        else trial.suggest_categorical(name, list(range(len(values))))
        for name, values in table.choices.items()
    )


def _seen(history: History, position: Position, value: float, best: float) -> float:
    if value > best:
        history.report(position, value)
    return max(value, best)


def _seed(history: History) -> int:
    return int(history.rng.integers(2**31))
