"""Run folders as `rloop run` leaves them, made through the store, and a campaign that ends in seconds."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.builders import manifest

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import ResearchLoopStatus
from rloop.api.researchloop import ResearchLoop
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import File

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROPOSED = b'{"rate": 0.1}\n'
"""The changed file of an experiment."""
Rloop = Callable[..., subprocess.CompletedProcess[str]]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def condition(type_: str, reason: str, message: str = "", status: str = "True") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(60)}


STATUS: dict[str, Any] = {
    "phase": "Iterating",
    "conditions": [condition("Accepted", "SpecValid")],
    "clock": {"accumulatedSeconds": 30, "activeSince": at(0)},
    "iteration": 2,
    "staleCount": 1,
    "pivots": 1,
    "baseline": {"experiment": "demo-b01", "value": 0.5, "stddev": 0.02, "n": 5},
    "best": {
        "experiment": "demo-i0001-e1",
        "value": 0.25,
        "low": 0.24,
        "high": 0.26,
        "gain": 0.25,
        "claimed": 0.2,
        "n": 9,
        "verifiedAt": at(50),
    },
    "experiments": {"accepted": 1, "rejected": 1, "running": 1},
    "budget": {"used": {"runs": 12, "experiments": 3, "activeSeconds": 30}},
    "currentDirection": {"name": "demo-i0001-d1", "title": "averages", "frame": {"averaging": "none"}},
    "recent": [{"experiment": "demo-i0001-e2", "phase": "Rejected", "gain": -0.1, "reason": "BelowScreen"}],
}


def experiment(name: str, iteration: int, status: Mapping[str, Any], **spec: Any) -> ResearchExperiment:
    session = f"demo-i{iteration:04d}-s1" if iteration else None
    return ResearchExperiment.model_validate(
        {
            "metadata": {"name": name},
            "spec": {
                "loopName": "demo",
                "iteration": iteration,
                "session": session,
                "sequence": int(name[-1]),
                "kind": "Candidate" if iteration else "Baseline",
                "title": "the unchanged task",
                "digest": "0" * 64,
                **spec,
            },
            "status": status,
        }
    )


def run(number: int, kind: str, value: float | None, phase: str = "Done", **more: Any) -> dict[str, Any]:
    attempt = {"number": 1, "phase": "Succeeded", "startedAt": at(number), "finishedAt": at(number + 1)}
    return {
        "number": number,
        "seed": 1000 + number,
        "kind": kind,
        "phase": phase,
        "attempts": [attempt],
        "value": value,
        "claimed": 0.2,
        **more,
    }


def objects() -> tuple[list[ResearchIteration], list[ResearchExperiment]]:
    kept = {"reason": "Kept", "comparedWith": "demo-b01", "value": 0.25, "low": 0.24, "high": 0.26, "gain": 0.25}
    kept |= {"comparedRuns": [1, 2, 3, 4, 5]}
    failing = {"number": 1, "phase": "Failed", "exitCode": 1, "reason": "Error", "logTail": "no such \x1b[31mfile\n"}
    direction = {"pivot": 0, "session": "demo-i0001-s1", "at": at(5), "frame": {"averaging": "none"}}
    iterations = [
        ResearchIteration.model_validate(
            {
                "metadata": {"name": f"demo-i000{number}"},
                "spec": {
                    "loopName": "demo",
                    "number": number,
                    "generation": 0,
                    "pivots": number - 1,
                    "sessions": [
                        {
                            "name": f"demo-i000{number}-s1",
                            "maxRounds": 3,
                            "sessionSeconds": 60,
                            "maxExperiments": 5,
                        }
                    ],
                },
                "status": status,
            }
        )
        for number, status in (
            (
                1,
                {
                    "phase": "Settled",
                    "outcome": "Keep",
                    "settledAt": at(50),
                    "sessions": [
                        {
                            "name": "demo-i0001-s1",
                            "phase": "Finished",
                            "startedAt": at(5),
                            "finishedAt": at(9),
                        }
                    ],
                    "reported": {
                        "directions": [{"name": "demo-i0001-d1", "title": "äverages [red]", "fields": {}} | direction],
                        "findings": [
                            {
                                "name": "demo-i0001-f1",
                                "statement": "averaging helps",
                                "evidence": ["demo-i0001-e1"],
                                "session": "demo-i0001-s1",
                                "at": at(55),
                            }
                        ],
                    },
                },
            ),
            (2, {"sessions": [{"name": "demo-i0002-s1", "phase": "Running", "startedAt": at(60)}]}),
        )
    ]
    direction_name = {"direction": "demo-i0001-d1", "frame": {"averaging": "none"}}
    experiments = [
        experiment(
            "demo-b01",
            0,
            {
                "phase": "Accepted",
                "runs": [run(number, "baseline", 0.5) for number in range(1, 6)],
                "verdict": {"reason": "Baseline", "value": 0.5, "low": 0.48, "high": 0.52, "n": 5, "at": at(4)},
            },
        ),
        experiment(
            "demo-i0001-e1",
            1,
            {
                "phase": "Accepted",
                "runs": [run(1, "screen", 0.2), *(run(number, "audit", 0.25) for number in range(2, 11))],
                "verdict": kept | {"n": 9, "keep": 1, "at": at(50)},
            },
            title="rate \x1b]0;owned\x07=0.1 [bold]größer",
            files=[{"path": "recipe.json", "sha256": sha256(PROPOSED).hexdigest(), "size": len(PROPOSED)}],
            **direction_name,
        ),
        experiment(
            "demo-i0001-e2",
            1,
            {
                "phase": "Failed",
                "runs": [run(1, "screen", None, "Failed", attempts=[failing], claimed=None)],
                "verdict": {"reason": "Error", "message": "run 1", "at": at(40)},
            },
            title="rate=9",
            **direction_name,
        ),
        experiment("demo-i0002-e1", 2, {"phase": "Running", "runs": [run(1, "screen", None, "Running")]}, title="x"),
    ]
    return iterations, experiments


def write(folder: Path, status: Mapping[str, Any] = STATUS, **changes: Any) -> RunFolder:
    """A run folder with a campaign in it, as no living operator owns it."""

    async def story(store: LocalStore) -> None:
        loop = await store.create(ResearchLoop.model_validate(manifest(**changes)))
        given = ResearchLoopStatus.model_validate({**status})
        await store.apply_status(loop.model_copy(update={"status": given}))
        iterations, experiments = objects()
        for iteration in iterations:
            await store.create(iteration)
        for one in experiments:
            await store.create(one)
        await store.put_files("demo", "demo-task", {"recipe.json": File(b'{"rate": 1}\n'), "train.py": File(b"1\n")})
        await store.put_files("demo", "demo-i0001-e1", {"recipe.json": File(PROPOSED)})
        store.beat(START + timedelta(seconds=70))

    with closing(LocalStore(folder)) as store:
        asyncio.run(story(store))
    return RunFolder.at(folder)


@pytest.fixture
def layout(tmp_path: Path) -> RunFolder:
    return write(tmp_path / "runs" / "größe of a run")


@pytest.fixture
def rloop(tmp_path: Path) -> Rloop:
    """The command as another program calls it: no terminal, in a folder of its own."""

    def call(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rloop_operator.cli", *map(str, arguments)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env},
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return call


SPACE = {"file": "recipe.json", "dimensions": [{"name": "rate", "key": "rate", "low": 0.1, "high": 1.0, "default": 1}]}


SCORE = """#!/bin/sh
read -r loss <"$RLOOP_ARTIFACTS/loss"
echo "{\\"metrics\\": {\\"loss\\": $loss}}" >"$RLOOP_VERDICT"
"""


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., Path]:
    """A manifest whose task prints its loss at once; changes as in `builders.manifest`."""

    def make(train: str = 'echo "$RLOOP_SEED" >"$RLOOP_ARTIFACTS/loss"', **changes: Any) -> Path:
        base = tmp_path / "an exämple"
        for name, content in (
            ("task/train", f"#!/bin/sh\n{train}\n"),
            ("task/recipe.json", '{"rate": 1.0}\n'),
            ("task/space.yaml", yaml.safe_dump(SPACE)),
            ("evaluation/score", SCORE),
        ):
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            if path.suffix == "":
                path.chmod(0o755)
        document = manifest(**{"evaluation__baselineRuns": 3, "parallelism": 4, "budget__runs": 3} | changes)
        document["metadata"] = {"name": "demo"}
        file = base / "loop.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    return make
