"""What the stored objects say in a few words: values, live work, how the campaign ended.

Called by the board, the story, the tables and the result, so that all of them tell the same. Nothing is decided
here: the numbers are the operator's.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from rloop import names, standing
from rloop.api.agent import Agent
from rloop.api.common import Condition
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import Direction
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cli import words
from rloop_operator.cli.snapshot import Snapshot

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


def agent(asked: Agent) -> str:
    """Who proposes, in a few words: a policy, a model, an image with its command."""
    if asked.policy is not None:
        return asked.policy.name
    own = f"{asked.image} {shlex.join(asked.command or [])}".rstrip() if asked.image is not None else ""
    return words.line(own or (asked.llm.model if asked.llm is not None else ""))


def condition(loop: ResearchLoop, type_: str) -> Condition | None:
    """The condition if it is True."""
    return next((one for one in loop.status.conditions if one.type == type_ and one.status == "True"), None)


def used_up(loop: ResearchLoop) -> bool:
    """Whether it ended because its budget was used up: a larger one goes on."""
    complete = condition(loop, "Complete")
    return complete is not None and complete.reason == "BudgetExhausted"


def exit_code(loop: ResearchLoop) -> int:
    """What `rloop run` says to the shell that started it."""
    complete = condition(loop, "Complete")
    if condition(loop, "Failed") is not None:
        return BAD_INPUT
    if complete is None:
        return INTERRUPTED if condition(loop, "Suspended") is None else NO_TARGET
    return TARGET_MET if complete.reason in ("TargetMet", "TargetMetByBaseline") else NO_TARGET


def measured(experiment: ResearchExperiment, snapshot: Snapshot) -> Measured | None:
    """Verified value, interval and runs: of the incumbent the freshest ones, of others the verdict's or their mean.

    The baseline's are its first runs, which gains are told over; the run that selected a candidate counts only where it
    has no other.
    """
    best, own = snapshot.loop.status.best, experiment.status.verdict
    if experiment.spec.kind == "Baseline" and own is not None and own.value is not None:
        return Measured(own.value, own.low, own.high, own.n)
    if best is not None and best.experiment == experiment.metadata.name:
        return Measured(best.value, best.low, best.high, best.n)
    if own is not None and own.value is not None:
        return Measured(own.value, own.low, own.high, own.n)
    made = [one for one in experiment.status.runs if one.value is not None and one.kind != "final"]
    after = [one for one in made if one.kind != "screen"]
    found = [one.value for one in after or made if one.value is not None]
    return Measured(fmean(found), None, None, len(found)) if found else None


def seconds(experiment: ResearchExperiment) -> float:
    """Wall time of all its runs together, failed attempts too."""
    return sum(one.usage.wall_seconds for run in experiment.status.runs for one in run.attempts)


def done_runs(experiment: ResearchExperiment) -> list[int]:
    """Numbers of the runs that left something, oldest first; a smoke test leaves nothing."""
    return [one.number for one in experiment.status.runs if one.phase == "Done" and one.kind != "smoke"]


def claimed(experiment: ResearchExperiment) -> float | None:
    """The mean of what its runs believed; of the runs behind its value only, as far as there are such."""
    made = [one for one in experiment.status.runs if one.claimed is not None]
    after = [one for one in made if one.kind not in ("screen", "final")]
    found = [one.claimed for one in after or made if one.claimed is not None]
    return fmean(found) if found else None


def best_direction(snapshot: Snapshot) -> Direction | None:
    """The direction that the best belongs to; None for the baseline, and before there is any."""
    best = snapshot.loop.status.best
    kept = snapshot.experiments.get(best.experiment) if best is not None else None
    wanted = kept.spec.direction if kept is not None else None
    return next((one for one in standing.directions(snapshot.iterations) if one.name == wanted), None)


def counts(snapshot: Snapshot) -> str:
    """`17: 2 accepted, 12 rejected, 3 withdrawn`."""
    found = snapshot.loop.status.experiments.model_dump()
    told = ", ".join(f"{found[phase]} {phase}" for phase in PHASES if found[phase])
    total = sum(found.values())
    none = "none" if standing.finished(snapshot.loop) else "none yet"
    return f"{total}: {told}" if total else none


def running(snapshot: Snapshot) -> list[str]:
    """What runs now: sessions, and runs with the step they are in."""
    return [told for told, live in _under_way(snapshot) if live]


def cut_off(snapshot: Snapshot) -> list[str]:
    """What is under way as its status says, and has no process any more: the next operator takes it up again."""
    return [told for told, live in _under_way(snapshot) if not live]


def _under_way(snapshot: Snapshot) -> Iterator[tuple[str, bool]]:
    """In words, and whether a process of it runs."""

    def live(*workloads: str) -> bool:
        return snapshot.live is None or not snapshot.live.isdisjoint(workloads)

    for iteration in snapshot.iterations.values():
        for session in iteration.status.sessions:
            if session.phase in LIVE_SESSION and iteration.status.phase == "Open":
                role = next((one.role for one in iteration.spec.sessions if one.name == session.name), "agent")
                workload = names.agent(session.name, session.attempt)
                yield f"{snapshot.short(session.name)} ({role.lower()})", live(workload)
    for experiment in snapshot.ordered():
        name = snapshot.short(experiment.metadata.name)
        for run in experiment.status.runs:
            if run.phase in ("Running", "Verifying"):
                doing = run.kind if run.phase == "Running" else f"{run.kind}, verifying"
                attempts = [names.attempt(experiment.metadata.name, run.number, one.number) for one in run.attempts]
                scorings = [
                    names.verification(experiment.metadata.name, run.number, one.number) for one in run.verifications
                ]
                yield f"{name} run {run.number} ({doing})", live(*attempts, *scorings)


def outcome(experiments: Iterable[ResearchExperiment]) -> str:
    """`5 experiments: 3 rejected, 2 failed (Error)`: a flood of verdicts in one phrase."""
    tried = [one for one in experiments if one.spec.kind != "Smoke"]
    told = []
    for phase in PHASES:
        own = [one for one in tried if one.status.phase.lower() == phase]
        reasons = Counter(one.status.verdict.reason for one in own if one.status.verdict is not None)
        why = f" ({', '.join(reasons)})" if phase in ("invalid", "failed", "withdrawn") and reasons else ""
        if own:
            told.append(f"{len(own)} {phase}{why}")
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
    """The gain that its verdict speaks of; the baseline is what others gain over."""
    verdict = experiment.status.verdict
    return None if verdict is None or experiment.spec.kind == "Baseline" else verdict.gain


def last_words(experiment: ResearchExperiment, only: int | None = None) -> tuple[str, str] | None:
    """The workload that failed last, or else ran last, and the end of its log; None if nothing was said.

    `only`: of the run with this number.
    """
    name = experiment.metadata.name
    failed: list[tuple[str, str]] = []
    said: list[tuple[str, str]] = []
    for run in experiment.status.runs:
        if only not in (None, run.number):
            continue
        # The newest that said something: the one that runs now has no end yet.
        for attempt in [one for one in run.attempts if one.log_tail.strip()][-1:]:
            told = names.attempt(name, run.number, attempt.number), attempt.log_tail
            (failed if attempt.phase == "Failed" else said).append(told)
        failed += [
            (names.verification(name, run.number, scoring.number), scoring.message)
            for scoring in run.verifications
            if scoring.phase == "Failed"
        ]
    return next((one for one in reversed(failed or said) if one[1].strip()), None)


def baseline(snapshot: Snapshot) -> str:
    """`loss 0.5012, noise between runs 0.0103 (5 runs)`; empty while it is not measured."""
    found = snapshot.loop.status.baseline
    if found is None:
        return ""
    value, noise = words.number(found.value, snapshot.noise), words.noise(found)
    seed = ": RLOOP_SEED may be unused" if found.deterministic else ""
    return f"{snapshot.loop.spec.objective.metric} {value}, {noise} ({words.counted(found.n, 'run')}){seed}"


def failure(experiment: ResearchExperiment, snapshot: Snapshot) -> str | None:
    """`i0004-e2 failed (Error): run 1: Error, exit code 1; its last words: …`; None for one that has not failed.

    The baseline's failure is told as an event, and that of a smoke test is its agent's own business.
    """
    verdict = experiment.status.verdict
    if experiment.spec.kind in ("Baseline", "Smoke") or experiment.status.phase != "Failed" or verdict is None:
        return None
    why = words.brief(verdict.message, snapshot.name)
    return f"{snapshot.short(experiment.metadata.name)} failed ({verdict.reason}){f': {why}' if why else ''}"


def what(experiment: ResearchExperiment, snapshot: Snapshot) -> str:
    """The change in words: its frame where that is not the first one, and its title."""
    frame = words.frame(experiment.spec.frame, snapshot.base_frame)
    title = words.line(experiment.spec.title, 100)
    return f"{frame}; {title}" if frame and frame not in title else title
