"""Stops workloads that no record needs, and removes those whose result is stored.

Uses the stored objects and not the draft: a workload may be removed only when its result has really been written.
"""

from __future__ import annotations

from rloop import names
from rloop.actions import Remove, Start, Stop, Workload
from rloop.api.experiment import LIVE_RUN, OPEN_RUN, TERMINAL_PHASES
from rloop.api.iteration import SESSION_OVER
from rloop.api.loop_status import LayerStatus
from rloop.campaign_state import closing, finished
from rloop.decide.draft import Draft
from rloop.decide.ending import end_sessions, settle, withdraw_experiment
from rloop.decide.queries import finding_checks, iteration_work

OVER = frozenset({"Succeeded", "Failed"})


def clean(draft: Draft) -> None:
    """Stop running workloads that are not wanted, remove ended ones that are recorded; after the end, all of them."""
    # Requires a stored end: what is closed for an end that is then not written would stay closed.
    over = finished(draft.loop) and draft.finished
    if over or draft.loop.status.ending is not None:
        _withdraw(draft)
    if over:
        _close(draft)
    wanted, recorded = _stored(draft)
    for name, state in draft.observed.workloads.items():
        if state.exit is None:
            if name not in wanted:
                draft.act(Stop(name, "Withdrawn"))
        elif name in recorded:
            draft.act(Remove(name))
    _start_only_what_is_live(draft)


def _stored(draft: Draft) -> tuple[set[str], set[str]]:
    """Names of workloads that stored statuses want, and of ended ones that may be removed (recorded or not needed).

    The attempt of a withdrawn run is in neither set until its end is recorded, because its usage counts as spent.
    """
    wanted: set[str] = set()
    pending: set[str] = set()
    for one in draft.moving():
        experiment = draft.observed.experiments[one.metadata.name]
        for run in experiment.status.runs:
            live = run.phase in LIVE_RUN
            for attempt in run.attempts:
                if attempt.phase not in OVER:
                    name = names.attempt(experiment.metadata.name, run.number, attempt.number)
                    (wanted if live else pending).add(name)
            for scoring in run.verifications:
                if live and scoring.phase not in OVER:
                    wanted.add(names.verification(experiment.metadata.name, run.number, scoring.number))
    for iteration in draft.observed.iterations.values():
        for session in iteration.status.sessions:
            if session.phase not in SESSION_OVER:
                wanted.add(names.agent(session.name, session.attempt))
    return wanted, set(draft.observed.workloads) - wanted - pending


def _start_only_what_is_live(draft: Draft) -> None:
    """Drop starts that a later step of the same decision made pointless."""
    if draft.finished or (draft.ended and draft.loop.status.ending is None):
        draft.actions = [one for one in draft.actions if not isinstance(one, Start)]
        return
    live = {(one.metadata.name, run.number) for one, run in draft.moving_runs() if run.phase in LIVE_RUN}
    sessions = (one for it in draft.iterations.values() for one in it.status.sessions)
    pending = {names.agent(one.name, one.attempt) for one in sessions if one.phase == "Pending"}
    draft.actions = [
        one
        for one in draft.actions
        if not isinstance(one, Start)
        or (one.workload.name in pending if one.workload.role == "agent" else _of_run(one.workload) in live)
    ]


def _of_run(workload: Workload) -> tuple[str, int]:
    return workload.owner, workload.run


def _withdraw(draft: Draft) -> None:
    """Withdraw everything undecided, and end all sessions except the report's: after the end nothing is measured."""
    ending = draft.status.ending
    complete = (one.reason for one in draft.status.conditions if one.type == "Complete" and one.status == "True")
    how = ending.reason if ending is not None else next(complete, None)
    reason = "BudgetExhausted" if how == "BudgetExhausted" else "LoopFinished"
    for name, one in list(draft.experiments.items()):
        if one.status.phase not in TERMINAL_PHASES:
            # No larger budget brings a smoke test back: its session is over.
            why = finding_checks.LOOP_FINISHED if one.spec.kind == "Smoke" else reason
            withdraw_experiment(draft, name, why, "withdrawn: the campaign ended")
    for experiment, run in draft.moving_runs():
        if run.phase in OPEN_RUN:
            ended = run.changed(phase="Withdrawn", reason=reason)
            draft.write_run(experiment.metadata.name, ended)
    for name, iteration in list(draft.iterations.items()):
        if not draft.finished and closing(iteration):
            continue
        end_sessions(draft, name, finding_checks.LOOP_FINISHED)


def _close(draft: Draft) -> None:
    """After the report, settle every iteration and mark all watchdog layers as Absent."""
    for name, iteration in list(draft.iterations.items()):
        own = iteration_work.experiments_of(draft, iteration)
        if iteration.status.phase == "Open" and iteration_work.all_terminal(draft, own):
            settle(draft, name)
    absent = LayerStatus(state="Absent")
    draft.write(watchdog=draft.status.watchdog.changed(agent=absent, patrol=absent, guard=absent))
