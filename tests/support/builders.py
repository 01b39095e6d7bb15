"""Objects for tests: a good manifest, and small changes of it."""

from __future__ import annotations

import copy
from typing import Any

from rloop.api.researchloop import ResearchLoop

GOOD: dict[str, Any] = {
    "apiVersion": "rloop.dev/v1alpha1",
    "kind": "ResearchLoop",
    "metadata": {"name": "demo", "uid": "0" * 32},
    "spec": {
        "direction": "Find a better recipe.",
        "boundaries": {"editable": ["recipe.json"]},
        "task": {"path": "./task"},
        "objective": {"metric": "loss", "goal": "Minimize", "target": "-100", "minimumGain": "0"},
        "evaluation": {
            "code": {"path": "./evaluation"},
            "command": ["./score"],
            "repeats": 1,
            "baselineRuns": 5,
        },
        "experiment": {"job": {}, "command": ["./train"], "activeDeadlineSeconds": 60},
        "agent": {"policy": {"name": "random-search", "seed": 1}},
        "parallelism": 1,
    },
}


def manifest(**changes: Any) -> dict[str, Any]:
    """The good manifest with changes by dotted path of the spec, `__` for a dot: `budget__runs=3`."""
    document = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = document["spec"]
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return document


def loop(**changes: Any) -> ResearchLoop:
    """The good manifest's model, changed as `manifest` does."""
    return ResearchLoop.model_validate(manifest(**changes))
