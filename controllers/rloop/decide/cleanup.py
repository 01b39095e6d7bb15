"""Workloads that no record wants: end them, and forget those whose result is stored.

Looks at the stored objects and not at the draft: a workload may be forgotten only when its result is really written.
"""

from __future__ import annotations

from rloop import names
from rloop.actions import Remove, Stop
from rloop.api.loop_status import LayerStatus
from rloop.decide import runs
from rloop.decide.draft import Draft
from rloop.decide.plateau import withdraw_experiment

OVER = frozenset({"Succeeded", "Failed"})


def clean(draft: Draft) -> None:
    """Stop what runs without being wanted, remove what has ended and is recorded; after the end, everything."""
    if draft.finished:
        _close(draft)
    wanted, recorded = _stored(draft)
    for name, state in draft.observed.workloads.items():
        if state.exit is None:
            if name not in wanted:
                draft.act(Stop(name, "Withdrawn"))
        elif name in recorded or name not in wanted:
            draft.act(Remove(name))


def _stored(draft: Draft) -> tuple[set[str], set[str]]:
    """Names of the workloads that stored statuses want, and of those whose end they record."""
    wanted: set[str] = set()
    recorded: set[str] = set()
    for experiment in draft.observed.experiments.values():
        for run in experiment.status.runs:
            live = run.phase in runs.LIVE
            for attempt in run.attempts:
                name = names.attempt(experiment.metadata.name, run.number, attempt.number)
                (wanted if live and attempt.phase not in OVER else recorded).add(name)
            for one in run.verifications:
                name = names.verification(experiment.metadata.name, run.number, one.number)
                (wanted if live and one.phase not in OVER else recorded).add(name)
    for iteration in draft.observed.iterations.values():
        for session in iteration.status.sessions:
            over = session.phase in ("Finished", "Failed")
            for attempt_number in range(1, session.attempt + 1):
                last = attempt_number == session.attempt
                name = names.agent(session.name, attempt_number)
                (wanted if last and not over else recorded).add(name)
    return wanted, recorded


def _close(draft: Draft) -> None:
    """After the end nothing is open: what was not decided is withdrawn, and sessions are over."""
    for one in draft.open_candidates():
        withdraw_experiment(draft, one.metadata.name, "LoopFinished", "withdrawn: the campaign ended")
    for experiment, run in draft.runs():
        if run.phase in runs.OPEN:
            ended = run.model_copy(update={"phase": "Withdrawn", "reason": "LoopFinished"})
            draft.write_run(experiment.metadata.name, ended)
    for name, iteration in list(draft.iterations.items()):
        for session in iteration.status.sessions:
            if session.phase in ("Pending", "Running"):
                ended_session = {"phase": "Finished", "reason": "LoopFinished", "finished_at": draft.now}
                draft.write_session(name, session.model_copy(update=ended_session))
        if iteration.status.phase == "Open":
            draft.write_iteration(name, phase="Settled", outcome="Neutral", settled_at=draft.now)
    layers = {"agent": LayerStatus(state="Absent"), "patrol": LayerStatus(state="Absent")}
    draft.write(watchdog=draft.status.watchdog.model_copy(update=layers))
