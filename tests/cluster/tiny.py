"""The smallest campaign that does everything: a one-second shell task, scored exactly, in one manifest.

Used by the tests of lifecycle and of bad input, which need many campaigns and no research.
"""

from typing import Any

from tests.cluster.harness.cluster import Cluster

RUN = """#!/bin/sh
x=$(sed 's/[^0-9.]//g' recipe.json)
echo '{"step": 1}' >> "$RLOOP_ARTIFACTS/progress.jsonl"
sleep "${PAUSE:-0}"
echo "$x" > "$RLOOP_ARTIFACTS/x"
"""
SCORE = """#!/bin/sh
awk '{d = $1 - 3; printf "{\\"metrics\\": {\\"loss\\": %.6f}}", d < 0 ? -d : d}' "$RLOOP_ARTIFACTS/x" > "$RLOOP_VERDICT"
"""
SPACE = """
file: recipe.json
dimensions:
  - {name: x, key: x, low: 0.0, high: 10.0, default: 9.0}
"""


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap; a key's last `_` becomes a dot, for `run_sh` cannot be written otherwise."""
    files = {".".join(key.rsplit("_", 1)): text for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}


def task(name: str) -> dict[str, Any]:
    """The ConfigMap of the task."""
    return config_map(f"{name}-files", run_sh=RUN, space_yaml=SPACE, recipe_json='{"x": 9.0}')


def manifests(cluster: Cluster, name: str, *, runs: int = 8, pause: int = 0, **spec: Any) -> list[dict[str, Any]]:
    """All that it needs, the loop last: it ends when so many runs are spent. A spec's dicts are merged one level."""
    workspace = {"size": "1Gi"} | ({"storageClassName": cluster.storage_class} if cluster.storage_class else {})
    wanted: dict[str, Any] = {
        "direction": "Find a small loss.",
        "boundaries": {"editable": ["recipe.json"]},
        "task": {"configMap": {"name": f"{name}-files"}},
        "objective": {"metric": "loss", "goal": "Minimize", "minimumGain": "0.001"},
        "evaluation": {
            "code": {"configMap": {"name": f"{name}-scorer"}},
            "command": ["sh", "score.sh"],
            "repeats": 1,
            "baselineRuns": 3,
            "timeoutSeconds": 60,
        },
        "experiment": {
            "job": {},
            "image": cluster.base_image,
            "command": ["sh", "run.sh"],
            "env": [{"name": "PAUSE", "value": str(pause)}],
            "gracePeriodSeconds": 1,
            "activeDeadlineSeconds": 60,
        },
        "agent": {"policy": {"name": "random-search", "seed": 1}, "maxExperiments": 2, "sessionSeconds": 120},
        "parallelism": 2,
        "budget": {"runs": runs},
        "workspace": workspace,
    }
    for field, value in spec.items():
        old = wanted.get(field)
        wanted[field] = _given({**old, **value}) if isinstance(old, dict) and isinstance(value, dict) else value
    loop = {
        "apiVersion": "rloop.dev/v1alpha1",
        "kind": "ResearchLoop",
        "metadata": {"name": name},
        "spec": _given(wanted),
    }
    return [task(name), config_map(f"{name}-scorer", score_sh=SCORE), loop]


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what None takes away."""
    return {key: value for key, value in fields.items() if value is not None}
