"""The objects of a long campaign, made up: for what is derived from them, such as reports and files.

Used by `benchmarks.history` and by the tests that count operations. Each iteration has one direction and five
experiments, all rejected.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Observed
from rloop_operator.sim.campaign import SEED_KEYS

START = datetime(2026, 1, 1, tzinfo=UTC)
OF_AN_ITERATION = 5
NAME = "long"
LOOP = {
    "metadata": {"name": NAME, "uid": "0" * 32},
    "spec": {
        "direction": "Find a better recipe.",
        "boundaries": {"editable": ["recipe.json"]},
        "task": {"path": "./task"},
        "objective": {"metric": "loss", "goal": "Minimize"},
        "evaluation": {"code": {"path": "./evaluation"}, "command": ["./score"]},
        "experiment": {"job": {}, "command": ["./train"]},
        "agent": {"policy": {"name": "random-search"}},
    },
}


def history(experiments: int) -> Observed:
    """What a pass sees of a campaign with so many experiments."""
    count = experiments // OF_AN_ITERATION
    made = [_experiment(number, index) for number in range(1, count + 1) for index in range(1, OF_AN_ITERATION + 1)]
    iterations = [_iteration(number) for number in range(1, count + 1)]
    return Observed(
        now=_at(10 * count),
        loop=ResearchLoop.model_validate(LOOP),
        iterations={one.metadata.name: one for one in iterations},
        experiments={one.metadata.name: one for one in made},
        workloads={},
        seed_keys=SEED_KEYS,
    )


def _at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def _frame(number: int) -> dict[str, str]:
    return {"optimizer": f"kind-{number % 7}", "schedule": f"kind-{number % 5}"}


def _iteration(number: int) -> ResearchIteration:
    name = f"{NAME}-i{number:04d}"
    session = {"name": f"{name}-s1", "maxRounds": 15, "sessionSeconds": 60, "maxExperiments": OF_AN_ITERATION}
    direction = {
        "name": f"{name}-d1",
        "title": f"direction {number}",
        "pivot": 0,
        "fields": {"hypothesis": "so"},
        "frame": _frame(number),
        "session": f"{name}-s1",
        "at": _at(10 * number),
    }
    return ResearchIteration.model_validate(
        {
            "metadata": {"name": name, "resourceVersion": "1"},
            "spec": {"loopName": NAME, "number": number, "generation": 0, "pivots": 0, "sessions": [session]},
            "status": {
                "phase": "Settled",
                "outcome": "Stale",
                "settledAt": _at(10 * number + 9),
                "sessions": [{"name": f"{name}-s1", "phase": "Finished"}],
                "reported": {"directions": [direction]},
            },
        }
    )


def _experiment(number: int, index: int) -> ResearchExperiment:
    iteration = f"{NAME}-i{number:04d}"
    return ResearchExperiment.model_validate(
        {
            "metadata": {"name": f"{iteration}-e{index}", "resourceVersion": "1"},
            "spec": {
                "loopName": NAME,
                "iteration": number,
                "session": f"{iteration}-s1",
                "sequence": index,
                "kind": "Candidate",
                "title": f"try {index}",
                "digest": "0" * 64,
                "direction": f"{iteration}-d1",
                "frame": _frame(number),
            },
            "status": {
                "phase": "Rejected",
                "folded": True,
                "verdict": {"reason": "NotBetter", "value": 1.0, "gain": -0.1, "at": _at(10 * number + index)},
                "runs": [{"number": 1, "seed": 1, "kind": "screen", "phase": "Done", "value": 1.0}],
            },
        }
    )
