"""Short facts from the stored objects: values, running work, how the campaign ended.

Called by the board, the story, the tables and the result, so that all of them show the same. Nothing is decided
here: the numbers come from the operator.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator

from rloop import campaign_state, figures, names
from rloop.api.agent import Agent
from rloop.api.common import Condition
from rloop.api.experiment import LIVE_RUN, TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import Direction, ResearchIteration, SessionStatus
from rloop.api.loop_status import Best
from rloop.api.researchloop import ResearchLoop
from rloop.figures import Figure
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words

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
"""Phases of experiments, in the order in which they are shown."""

MUST_ACT = "a person must act: "
"""Begins a text about a wait that only a person can end."""
TARGET_MET, BAD_INPUT, NO_TARGET, INTERRUPTED = 0, 2, 3, 130
"""Exit codes."""


def agent(asked: Agent) -> str:
    """The agent in a few words: a policy, a model, a client, or an image with its command."""
    model = asked.llm.model if asked.llm is not None else ""
    own = f"{asked.image} {shlex.join(asked.command or [])}".rstrip() if asked.image is not None else ""
    client = f"{asked.client.name} ({model or 'own login'})" if asked.client is not None else ""
    policy = asked.policy.name if asked.policy is not None else ""
    return words.line(" with ".join(filter(None, [own or client or model, policy])))


def condition(loop: ResearchLoop, type_: str) -> Condition | None:
    """The condition if it is True."""
    return next((one for one in loop.status.conditions if one.type == type_ and one.status == "True"), None)


def must_act(snapshot: Snapshot) -> str:
    """What a person must do so that the campaign continues; empty if it continues by itself."""
    found = condition(snapshot.loop, "Degraded")
    return "" if found is None else f"{MUST_ACT}{words.brief(found.message or found.reason, snapshot.name)}"


def stale(snapshot: Snapshot) -> str:
    """`stale 1 of 2`: the stale iterations since the last keep, and how many force a pivot.

    Only the first number where no pivot can be forced, because the space has one frame, and where one was forced.
    """
    status, limit = snapshot.loop.status, snapshot.loop.spec.stall.pivot_after
    one_frame = status.sealed is not None and status.sealed.one_frame
    told = f"stale {status.stale_count}"
    return told if one_frame or status.stale_count > limit else f"{told} of {limit}"


def used_up(loop: ResearchLoop) -> bool:
    """Whether it ended because its budget was used up. With a larger budget it continues."""
    complete = condition(loop, "Complete")
    return complete is not None and complete.reason == "BudgetExhausted"


def exit_code(loop: ResearchLoop) -> int:
    """The exit code of `rloop run`."""
    complete = condition(loop, "Complete")
    if condition(loop, "Failed") is not None:
        return BAD_INPUT
    if complete is None:
        return INTERRUPTED if condition(loop, "Suspended") is None else NO_TARGET
    return TARGET_MET if complete.reason in ("TargetMet", "TargetMetByBaseline") else NO_TARGET


def later(experiment: ResearchExperiment, snapshot: Snapshot) -> Figure | None:
    """Its later value, with an interval for the present incumbent; None if no run was added after the verdict."""
    found, best = figures.later(experiment), snapshot.loop.status.best
    if found is not None and best is not None and best.experiment == experiment.metadata.name:
        return Figure(best.value, best.low, best.high, best.n)
    return found


def of_best(best: Best, snapshot: Snapshot) -> tuple[Figure, Figure | None]:
    """The best's value, and its later value if runs were added after its keep."""
    newest = Figure(best.value, best.low, best.high, best.n)
    experiment = snapshot.experiments.get(best.experiment)
    value = figures.value(experiment) if experiment is not None else None
    return (newest, None) if experiment is None or value is None else (value, later(experiment, snapshot))


def figure(found: Figure, snapshot: Snapshot) -> str:
    """A figure with its number of runs: `0.02611 [0.02342, 0.02880] over 9 runs`."""
    return f"{interval(found, snapshot)} over {words.counted(found.runs, 'run')}"


def interval(found: Figure, snapshot: Snapshot) -> str:
    """A figure and its interval; everywhere with the same digits."""
    return words.interval(found.value, found.low, found.high, snapshot.noise)


def without_interval(found: Figure, snapshot: Snapshot) -> str:
    """The value of a figure alone, with the digits that it has beside its interval."""
    return interval(found, snapshot).partition(" ")[0]


def over_baseline(value: float, snapshot: Snapshot) -> str:
    """The gain of a value over the baseline: `gain 0.1180 (81 %) over the baseline`; empty before it is measured."""
    baseline = snapshot.loop.status.baseline
    if baseline is None:
        return ""
    sign = 1 if snapshot.loop.spec.objective.goal == "Maximize" else -1
    won = words.gain(sign * (value - baseline.value), baseline.value, snapshot.noise)
    return f"gain {won} over the baseline"


def over_incumbent(experiment: ResearchExperiment, snapshot: Snapshot) -> str:
    """The gain in its verdict: `gain 0.1143 over the incumbent b01 (9 runs)`; empty if it has none."""
    gain, verdict = figures.gain(experiment), experiment.status.verdict
    if gain is None or verdict is None:
        return ""
    over = words.inside(figures.over(verdict), snapshot.name)
    return f"gain {words.number(gain, snapshot.noise)} {over}".rstrip()


def seconds(experiment: ResearchExperiment) -> float:
    """Total wall time in seconds of all its runs, including failed attempts."""
    return sum(one.usage.wall_seconds for run in experiment.status.runs for one in run.attempts)


def done_runs(experiment: ResearchExperiment) -> list[int]:
    """Numbers of the finished runs with artifacts, oldest first. A smoke test leaves no artifacts."""
    return [one.number for one in experiment.status.runs if one.phase == "Done" and one.kind != "smoke"]


def artifacts(experiment: ResearchExperiment) -> tuple[int, str] | None:
    """The run whose artifacts are named, and a note about those of its other runs; None without any."""
    done = done_runs(experiment)
    if not done:
        return None
    others = f" (of run {done[0]}; those of {words.counted(len(done) - 1, 'more run')} lie beside it)"
    return done[0], others if len(done) > 1 else ""


def best_direction(snapshot: Snapshot) -> Direction | None:
    """The direction of the best experiment; None for the baseline, and before any is known."""
    best = snapshot.loop.status.best
    kept = snapshot.experiments.get(best.experiment) if best is not None else None
    wanted = kept.spec.direction if kept is not None else None
    return next((one for one in campaign_state.directions(snapshot.iterations) if one.name == wanted), None)


def counts(snapshot: Snapshot) -> str:
    """The number of experiments by phase: `17: 2 accepted, 12 rejected, 3 withdrawn`."""
    found = snapshot.loop.status.experiments.model_dump()
    told = ", ".join(f"{found[phase]} {phase}" for phase in PHASES if found[phase])
    total = sum(found.values())
    none = "none" if campaign_state.finished(snapshot.loop) else "none yet"
    return f"{total}: {told}" if total else none


def running(snapshot: Snapshot) -> list[str]:
    """The running sessions, and the running runs with their kind and whether they are being verified."""
    return [told for told, live in _under_way(snapshot) if live]


def cut_off(snapshot: Snapshot) -> list[str]:
    """Sessions and runs in progress according to their status but without a process. The next operator resumes them."""
    return [told for told, live in _under_way(snapshot) if not live]


def in_progress(snapshot: Snapshot) -> tuple[int, int]:
    """The number of sessions and the number of runs in progress."""
    runs = [run for one in snapshot.experiments.values() for run in one.status.runs]
    return len(list(_sessions(snapshot))), sum(run.phase in LIVE_RUN for run in runs)


def _sessions(snapshot: Snapshot) -> Iterator[tuple[ResearchIteration, SessionStatus]]:
    """The sessions in progress."""
    for iteration in snapshot.iterations.values():
        if iteration.status.phase == "Open":
            yield from ((iteration, one) for one in iteration.status.sessions if one.phase in LIVE_SESSION)


def _under_way(snapshot: Snapshot) -> Iterator[tuple[str, bool]]:
    """Each session and run in progress as text, and whether a process of it runs."""

    def live(*workloads: str) -> bool:
        return snapshot.live is None or not snapshot.live.isdisjoint(workloads)

    for iteration, session in _sessions(snapshot):
        role = next((one.role for one in iteration.spec.sessions if one.name == session.name), "agent")
        workload = names.agent(session.name, session.attempt)
        yield f"{snapshot.short(session.name)} ({role.lower()})", live(workload)
    for experiment in snapshot.ordered():
        name = snapshot.short(experiment.metadata.name)
        for run in experiment.status.runs:
            if run.phase in LIVE_RUN:
                doing = run.kind if run.phase == "Running" else f"{run.kind}, verifying"
                attempts = [names.attempt(experiment.metadata.name, run.number, one.number) for one in run.attempts]
                scorings = [
                    names.verification(experiment.metadata.name, run.number, one.number) for one in run.verifications
                ]
                yield f"{name} run {run.number} ({doing})", live(*attempts, *scorings)


def outcome(experiments: Iterable[ResearchExperiment]) -> str:
    """A summary of many verdicts: `5 experiments: 3 rejected, 2 failed (Error)`."""
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
    """The experiment with the largest gain among those that were not kept; None if none has a gain."""
    lost = [
        one
        for one in experiments
        if one.status.phase in TERMINAL_PHASES
        and one.status.verdict is not None
        and one.status.verdict.gain is not None
        and not campaign_state.kept_number(one)
    ]
    return max(lost, key=lambda one: figures.gain(one) or 0.0, default=None)


def last_words(experiment: ResearchExperiment, only: int | None = None) -> tuple[str, str] | None:
    """The workload that failed last, or else ran last, and the end of its log; None if all logs are empty.

    `only`: consider only the run with this number.
    """
    name = experiment.metadata.name
    failed: list[tuple[str, str]] = []
    said: list[tuple[str, str]] = []
    for run in experiment.status.runs:
        if only not in (None, run.number):
            continue
        # The newest attempt with a log: a running attempt has no log tail yet.
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
    """The baseline: `0.5012 over 5 runs, noise between runs 0.0103`; empty before it is measured."""
    found = snapshot.loop.status.baseline
    if found is None:
        return ""
    value = words.number(found.value, snapshot.noise)
    seed = ": RLOOP_SEED may be unused" if found.deterministic else ""
    return f"{value} over {words.counted(found.n, 'run')}, {words.noise(found)}{seed}"


def failure(experiment: ResearchExperiment, snapshot: Snapshot) -> str | None:
    """`i0004-e2 failed (Error): run 1: Error, exit code 1; last output: …`; None if it has not failed.

    Also None for the baseline, whose failure is reported by an event, and for a smoke test, which only its agent needs.
    """
    verdict = experiment.status.verdict
    if experiment.spec.kind in ("Baseline", "Smoke") or experiment.status.phase != "Failed" or verdict is None:
        return None
    why = words.brief(verdict.message, snapshot.name)
    return f"{snapshot.short(experiment.metadata.name)} failed ({verdict.reason}){f': {why}' if why else ''}"


def what(experiment: ResearchExperiment, snapshot: Snapshot) -> str:
    """A description of the change: the difference of its frame from the first frame, and its title."""
    frame = words.frame(experiment.spec.frame, snapshot.base_frame)
    title = words.line(experiment.spec.title, 100)
    return f"{frame}; {title}" if frame and frame not in title else title
