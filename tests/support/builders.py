"""Objects for tests: a good manifest, and small changes of it."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from rloop import names
from rloop.api.common import API_VERSION, Condition, ConditionStatus, ObjectMeta, OwnerReference
from rloop.api.experiment import (
    Attempt,
    ExperimentPhase,
    ResearchExperiment,
    ResearchExperimentSpec,
    ResearchExperimentStatus,
    Reservation,
    Run,
    RunKind,
    RunPhase,
    Verdict,
    Verification,
    WorkPhase,
)
from rloop.api.iteration import (
    Direction,
    Outcome,
    Reported,
    ResearchIteration,
    ResearchIterationSpec,
    ResearchIterationStatus,
    SessionPhase,
    SessionSpec,
    SessionStatus,
    SessionUsage,
)
from rloop.api.loop_status import Baseline, Clock, SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Exit, WorkloadState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEALED = SealedTask(task="a" * 64, evaluation="b" * 64)
BASELINE_VALUES = (1.0, 1.01, 0.99, 1.005, 0.995)

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


def owned(name: str) -> ObjectMeta:
    """Metadata of a stored child of the good manifest's loop."""
    owner = OwnerReference(api_version=API_VERSION, kind="ResearchLoop", name="demo", uid=GOOD["metadata"]["uid"])
    return ObjectMeta(name=name, labels={names.LABEL_LOOP: "demo"}, resource_version="1", owner_references=[owner])


# -- what stands in a running campaign -------------------------------------------------------------------------------


def moment(seconds: float = 0) -> datetime:
    """The time that tests start at, and later."""
    return NOW + timedelta(seconds=seconds)


def condition(type_: str, status: ConditionStatus = "True", reason: str = "Test") -> Condition:
    """A condition that was set at the start."""
    return Condition(type=type_, status=status, reason=reason, last_transition_time=NOW, observed_generation=1)


def running(
    *, annotations: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> ResearchLoop:
    """A loop that is Accepted and sealed, has a baseline of value 1.0 and runs since the start."""
    made = loop(**spec)
    stands: dict[str, Any] = {
        "observed_generation": made.metadata.generation,
        "conditions": [condition("Accepted")],
        "sealed": SEALED,
        "clock": Clock(active_since=NOW),
        "baseline": Baseline(experiment=names.baseline("demo"), value=1.0, stddev=0.01, n=5),
        **(status or {}),
    }
    metadata = made.metadata.model_copy(update={"annotations": annotations or {}})
    return made.model_copy(update={"metadata": metadata, "status": made.status.model_copy(update=stands)})


def attempt(phase: WorkPhase = "Pending", number: int = 1, **fields: Any) -> Attempt:
    """One try at a run."""
    return Attempt(number=number, phase=phase, **fields)


def scoring(value: float | None = None, repeat: int = 1, **fields: Any) -> Verification:
    """A scoring: Succeeded with this value, or Pending without one."""
    phase = "Pending" if value is None else "Succeeded"
    metrics = {} if value is None else {"loss": value}
    return Verification(**{"number": repeat, "repeat": repeat, "seed": 1, "phase": phase, "metrics": metrics, **fields})


def run(kind: RunKind = "screen", phase: RunPhase = "Queued", number: int = 1, **fields: Any) -> Run:
    """A run; one that is live or over has its reservation and an attempt that fits."""
    defaults: dict[str, Any] = {}
    if phase not in ("Queued", "Withdrawn"):
        ended: WorkPhase = {"Running": "Running", "Failed": "Failed"}.get(phase, "Succeeded")  # type: ignore[assignment]
        defaults = {"reservation": Reservation(), "attempts": [attempt(ended)]}
    return Run(**{"number": number, "seed": number, "kind": kind, "phase": phase, **defaults, **fields})


def done(kind: RunKind, *values: float, first: int = 1) -> list[Run]:
    """Finished runs of one kind with these values."""
    return [run(kind, "Done", number, value=value) for number, value in enumerate(values, start=first)]


def verdict(reason: str = "NotBetter", **fields: Any) -> Verdict:
    """A verdict given at the start."""
    return Verdict(reason=reason, at=NOW, **fields)


def experiment(
    name: str = "demo-i0001-e1", *runs: Run, phase: ExperimentPhase = "Queued", **fields: Any
) -> ResearchExperiment:
    """A candidate (or `demo-b01`, the baseline); iteration and sequence are read from the name."""
    kind = "Baseline" if name.endswith("-b01") else "Candidate"
    found = re.search(r"-i(\d+)(-s\d+)?-e(\d+)$", name)
    number, sequence = (int(found[1]), int(found[3])) if found else (0, 1)
    session = f"demo-i{number:04d}{(found[2] or '-s1')}" if found else None
    status = {key: fields.pop(key) for key in ("verdict", "folded") if key in fields}
    spec = {
        "loop_name": "demo",
        "iteration": number,
        "session": session,
        "sequence": sequence,
        "kind": kind,
        "title": name,
        "digest": sha256(name.encode()).hexdigest(),
        "incumbent": "demo-b01" if found else None,
        **fields,
    }
    return ResearchExperiment(
        metadata=owned(name),
        spec=ResearchExperimentSpec(**spec),
        status=ResearchExperimentStatus(phase=phase, runs=list(runs), **status),
    )


def baseline(*more: Run, values: tuple[float, ...] = BASELINE_VALUES, **fields: Any) -> ResearchExperiment:
    """The measured baseline, with more runs after its own."""
    numbered = [one.model_copy(update={"number": len(values) + index}) for index, one in enumerate(more, start=1)]
    return experiment(
        "demo-b01",
        *done("baseline", *values),
        *numbered,
        phase="Accepted",
        verdict=verdict("Baseline", value=1.0, n=len(values)),
        **{"folded": True, **fields},
    )


def kept(
    name: str = "demo-i0001-e1", *more: Run, keep: int = 1, mean: float = 0.5, **fields: Any
) -> ResearchExperiment:
    """A kept candidate: a screening run and nine runs after it, then more runs."""
    values = [mean + offset for offset in (-0.02, -0.015, -0.01, -0.005, 0.0, 0.005, 0.01, 0.015, 0.02)]
    own = [*done("screen", mean - 0.1), *done("confirm", *values[:3], first=2), *done("audit", *values[3:], first=5)]
    numbered = [one.model_copy(update={"number": 10 + index}) for index, one in enumerate(more, start=1)]
    told = verdict("Kept", keep=keep, value=mean, n=9, compared_with="demo-b01")
    return experiment(name, *own, *numbered, phase="Accepted", verdict=told, **{"folded": True, **fields})


def iteration(
    number: int = 1,
    *sessions: SessionStatus,
    outcome: Outcome | None = None,
    generation: int = 0,
    pivots: int = 0,
    reported: Reported | None = None,
    **fields: Any,
) -> ResearchIteration:
    """An iteration with one finished session, settled if it has an outcome."""
    name = names.iteration("demo", number)
    stands = list(sessions) or [SessionStatus(name=names.session(name, 1), phase="Finished")]
    specs = [SessionSpec(name=one.name, max_rounds=15, session_seconds=60, max_experiments=5) for one in stands]
    status = {
        "phase": "Settled" if outcome else "Open",
        "outcome": outcome,
        "settled_at": NOW if outcome else None,
        "sessions": stands,
        "reported": reported or Reported(),
        **fields,
    }
    return ResearchIteration(
        metadata=owned(name),
        spec=ResearchIterationSpec(
            loop_name="demo", number=number, generation=generation, pivots=pivots, sessions=specs
        ),
        status=ResearchIterationStatus(**status),
    )


LLM = {"llm": {"provider": "main", "model": "small-1", "maxTokensPerSession": 1000}}
"""A spec's agent that uses a language model."""


def usage(index: int = 1, number: int = 1, **fields: Any) -> SessionUsage:
    """What a session of iteration `number` spent of a language model."""
    return SessionUsage(session=names.session(names.iteration("demo", number), index), **fields)


def session(phase: SessionPhase = "Running", number: int = 1, index: int = 1, **fields: Any) -> SessionStatus:
    """A session of iteration `number`."""
    return SessionStatus(name=names.session(names.iteration("demo", number), index), phase=phase, **fields)


def direction(name: str = "demo-i0001-d1", pivot: int = 0, at: float = 0, **fields: Any) -> Direction:
    """An admitted direction."""
    made = {"title": name, "fields": {}, "session": name.split("-d", maxsplit=1)[0] + "-s1", **fields}
    return Direction(name=name, pivot=pivot, at=moment(at), **made)


def workload(name: str, exit_: Exit | None = None, *, step: int | None = None, step_age: float = 0) -> WorkloadState:
    """A workload as the runtime sees it."""
    return WorkloadState(name, NOW, exit_, step, step_age)


def exited(reason: str = "Completed", code: int | None = 0, **fields: Any) -> Exit:
    """How a workload ended."""
    return Exit(code=code, reason=reason, finished_at=NOW, **fields)


def report(value: float = 0.5, *, metric: str = "loss", **check: bool) -> str:
    """A verifier's report, with checks by name."""
    checks = [{"name": name, "passed": passed} for name, passed in check.items()]
    return json.dumps({"verdict": {"metrics": {metric: value}, "checks": checks}})
