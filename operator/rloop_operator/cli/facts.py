"""What the stored objects say in a few words: values, live work, how the campaign ended.

Called by the board, the story, the tables and the result, so that all of them tell the same. Nothing is decided
here: the numbers are the operator's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from rloop import standing
from rloop.api.common import Condition
from rloop.api.experiment import TERMINAL_PHASES, Attempt, ResearchExperiment, Run, Verification
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cli import words
from rloop_operator.cli.reading import Snapshot

LIVE_SESSION = frozenset({"Pending", "Running"})
PHASES = (
    "accepted",
    "running",
    "verifying",
    "queued",
    "superseded",
    "rejected",
    "invalid",
    "failed",
    "withdrawn",
)
"""Of experiments, in the order in which they interest a reader."""

TARGET_MET, BAD_INPUT, NO_TARGET, INTERRUPTED = 0, 2, 3, 130
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The value of an experiment, as far as it is known."""

    value: float
    low: float | None
    high: float | None
    runs: int


def condition(loop: ResearchLoop, type_: str) -> Condition | None:
    """The condition if it is True."""
    return next((one for one in loop.status.conditions if one.type == type_ and one.status == "True"), None)


def exit_code(loop: ResearchLoop) -> int:
    """What `rloop run` says to the shell that started it."""
    complete = condition(loop, "Complete")
    if condition(loop, "Failed") is not None:
        return BAD_INPUT
    if complete is None:
        return INTERRUPTED
    return TARGET_MET if complete.reason in ("TargetMet", "TargetMetByBaseline") else NO_TARGET


def measured(experiment: ResearchExperiment, snapshot: Snapshot) -> Measured | None:
    """Verified value, interval and runs: of the incumbent the freshest ones, of others the verdict's or their mean."""
    best = snapshot.loop.status.best
    if best is not None and best.experiment == experiment.metadata.name:
        return Measured(best.value, best.low, best.high, best.n)
    verdict = experiment.status.verdict
    if verdict is not None and verdict.value is not None:
        return Measured(verdict.value, verdict.low, verdict.high, verdict.n)
    found = [one.value for one in experiment.status.runs if one.value is not None and one.kind != "final"]
    return Measured(fmean(found), None, None, len(found)) if found else None


def claimed(experiment: ResearchExperiment) -> float | None:
    """The mean of what its runs believed."""
    found = [one.claimed for one in experiment.status.runs if one.claimed is not None]
    return fmean(found) if found else None


def best_of(experiments: Iterable[ResearchExperiment], snapshot: Snapshot) -> Measured | None:
    """The best kept value; the best mean of what was measured where nothing was kept."""
    tried = list(experiments)
    kept = [one for one in tried if standing.kept_number(one)]
    found = [value for value in (measured(one, snapshot) for one in kept or tried) if value is not None]
    sign = 1 if snapshot.loop.spec.objective.goal == "Maximize" else -1
    return max(found, key=lambda one: sign * one.value, default=None)


def counts(snapshot: Snapshot) -> str:
    """`17: 2 accepted, 12 rejected, 3 withdrawn`."""
    found = snapshot.loop.status.experiments.model_dump()
    told = ", ".join(f"{found[phase]} {phase}" for phase in PHASES if found[phase])
    total = sum(found.values())
    return f"{total}: {told}" if total else "none yet"


def running(snapshot: Snapshot) -> list[str]:
    """What runs now: sessions, and runs with the step they are in."""
    found = []
    for iteration in snapshot.iterations.values():
        for session in iteration.status.sessions:
            if session.phase in LIVE_SESSION and iteration.status.phase == "Open":
                role = next((one.role for one in iteration.spec.sessions if one.name == session.name), "agent")
                found.append(f"{snapshot.short(session.name)} ({role.lower()})")
    for experiment in snapshot.ordered():
        name = snapshot.short(experiment.metadata.name)
        for run in experiment.status.runs:
            if run.phase in ("Running", "Verifying"):
                doing = run.kind if run.phase == "Running" else f"{run.kind}, verifying"
                found.append(f"{name} run {run.number} ({doing})")
    return found


def outcome(experiments: Iterable[ResearchExperiment]) -> str:
    """`5 experiments: 3 rejected, 2 failed (Error)`: a flood of verdicts in one phrase."""
    tried = list(experiments)
    phases = Counter(one.status.phase for one in tried)
    told = []
    for phase in PHASES:
        count = phases.get(phase.capitalize(), 0)  # type: ignore[call-overload]
        if not count:
            continue
        own = [one for one in tried if one.status.phase == phase.capitalize()]
        reasons = Counter(one.status.verdict.reason for one in own if one.status.verdict is not None)
        why = f" ({', '.join(reasons)})" if phase in ("invalid", "failed", "withdrawn") and reasons else ""
        told.append(f"{count} {phase}{why}")
    total = words.counted(len(tried), "experiment")
    return f"{total}: {', '.join(told)}" if told else total


def closest(experiments: Iterable[ResearchExperiment]) -> ResearchExperiment | None:
    """Of those that were not kept, the one with the largest gain."""
    lost = [
        one
        for one in experiments
        if one.status.phase in TERMINAL_PHASES
        and one.status.verdict is not None
        and one.status.verdict.gain is not None
        and not standing.kept_number(one)
    ]
    return max(lost, key=lambda one: verdict_gain(one) or 0.0, default=None)


def verdict_gain(experiment: ResearchExperiment) -> float | None:
    """The gain that its verdict speaks of."""
    verdict = experiment.status.verdict
    return None if verdict is None else verdict.gain


def last_failure(experiment: ResearchExperiment) -> tuple[Run, Attempt | Verification] | None:
    """The newest failed attempt or verification, and its run."""
    for run in reversed(experiment.status.runs):
        for one in (*reversed(run.verifications), *reversed(run.attempts)):
            if one.phase == "Failed":
                return run, one
    return None
