"""Records the outcome of attempts at runs; `retry` decides what follows a failed one.

The intent of an attempt is in the stored status before its workload is started, and its result before the workload is
removed. So a Pending attempt without a workload was never started, and is started now.
"""

from __future__ import annotations

from rloop import names
from rloop.actions import Start, Stop, Workload
from rloop.api.curves import is_step, is_usable
from rloop.api.experiment import Attempt, ResearchExperiment, Run, RunPhase
from rloop.api.helpers import joined
from rloop.decide.draft import Draft
from rloop.decide.queries import pauses
from rloop.decide.queries.accounts import deadline_seconds
from rloop.decide.work import deadlines, retry
from rloop.observed import DISRUPTED, PENDING_DEADLINE, Exit, WorkloadState

NOT_ITS_FAULT = frozenset({"Suspended", "Interrupted", "Lost", DISRUPTED, PENDING_DEADLINE})
"""Reasons of ends that we, or the machine, caused."""


def record(draft: Draft) -> None:
    """Bring the newest attempt of every started run up to date with its workload."""
    for experiment, run in draft.moving_runs():
        if run.phase == "Running":
            _record_run(draft, experiment, run)
        elif run.phase == "Withdrawn" and run.attempts and run.attempts[-1].phase in ("Pending", "Running"):
            _record_withdrawn(draft, experiment, run)


def workload(draft: Draft, experiment: ResearchExperiment, run: Run, attempt: Attempt) -> Workload:
    """The workload of an attempt."""
    return Workload(
        name=names.attempt(experiment.metadata.name, run.number, attempt.number),
        role="run",
        owner=experiment.metadata.name,
        deadline_seconds=deadline_seconds(draft.spec.experiment, run.kind),
        run=run.number,
        number=attempt.number,
        seed=run.seed,
        place=draft.place(experiment.metadata.name, run),
        kind=run.kind,
    )


def _record_run(draft: Draft, experiment: ResearchExperiment, run: Run) -> None:
    attempt = run.attempts[-1]
    wanted = workload(draft, experiment, run, attempt)
    state = draft.observed.workloads.get(wanted.name)
    if state is None:
        if attempt.phase == "Pending":
            if not draft.ended and not draft.holding and _waited(draft, run):
                draft.act(Start(wanted))
            return
        state = _vanished(draft, wanted)
    if state.exit is None:
        _still_running(draft, experiment, run, attempt, wanted, state)
        return
    ended = _ended(draft, attempt, state, state.exit)
    curves = joined(run.curves, state.exit.curves)
    run = run.changed(attempts=[*run.attempts[:-1], ended], curves=curves)
    if ended.phase == "Succeeded":
        succeeded: RunPhase = "Done" if run.kind == "smoke" else "Verifying"
        claimed = state.exit.claims.get(draft.spec.objective.metric)
        run = run.changed(
            phase=succeeded, artifact_sha256=state.exit.artifact_sha256, claimed=claimed if is_usable(claimed) else None
        )
    else:
        if ended.reason == "Hang":
            limit = draft.spec.experiment.progress_deadline_seconds
            since = f" after step {ended.step}" if ended.step is not None else ""
            draft.evidence(f"{wanted.name}: no step{since} within {limit} s, stopped as hung")
        run = retry.retried_or_failed(draft, experiment, run, ended)
    draft.write_run(experiment.metadata.name, run)


def _record_withdrawn(draft: Draft, experiment: ResearchExperiment, run: Run) -> None:
    """Record the end of a withdrawn run's attempt, which `cleanup` stops. What it used until then counts as spent."""
    attempt = run.attempts[-1]
    wanted = workload(draft, experiment, run, attempt)
    state = draft.observed.workloads.get(wanted.name) or _vanished(draft, wanted)
    if state.exit is not None:
        ended = _ended(draft, attempt, state, state.exit)
        draft.write_run(experiment.metadata.name, run.changed(attempts=[*run.attempts[:-1], ended]))


def _waited(draft: Draft, run: Run) -> bool:
    """Whether the pause after the last lost attempt is over, so that a dead node cannot use up all attempts."""
    lost = [one for one in run.attempts if one.phase == "Failed" and one.infrastructure]
    return pauses.over(draft, lost[-1].finished_at if lost else None, len(lost), pauses.RETRY_SECONDS_MAX)


def _still_running(
    draft: Draft, experiment: ResearchExperiment, run: Run, attempt: Attempt, wanted: Workload, state: WorkloadState
) -> None:
    if draft.suspended and draft.spec.suspend_policy == "Stop":
        draft.act(Stop(state.name, "Suspended"))
    if deadlines.waits(draft, state):
        return
    deadlines.hold_to_deadline(draft, wanted, state)
    deadline = draft.spec.experiment.progress_deadline_seconds
    if deadline is not None and draft.older(state.step_age_seconds, deadline):
        draft.act(Stop(state.name, "Hang"))
    if attempt.phase == "Pending":
        begun = attempt.changed(phase="Running", started_at=state.started_at)
        draft.write_run(experiment.metadata.name, run.changed(attempts=[*run.attempts[:-1], begun]))


def _vanished(draft: Draft, wanted: Workload) -> WorkloadState:
    """The state of a running workload that the runtime no longer knows (somebody deleted it)."""
    gone = Exit(code=None, reason="Lost", finished_at=draft.now, infrastructure=True)
    return WorkloadState(wanted.name, started_at=draft.now, exit=gone)


def _ended(draft: Draft, attempt: Attempt, state: WorkloadState, exit_: Exit) -> Attempt:
    success = exit_.code == 0 and exit_.reason == "Completed"
    # GPUs that were held count as used: nobody else could use them.
    gpu_seconds = exit_.usage.wall_seconds * draft.spec.experiment.gpus
    return attempt.changed(
        phase="Succeeded" if success else "Failed",
        started_at=attempt.started_at or state.started_at,
        finished_at=exit_.finished_at,
        exit_code=exit_.code,
        reason=exit_.reason,
        infrastructure=exit_.infrastructure or exit_.reason in NOT_ITS_FAULT,
        step=state.step if is_step(state.step) else None,
        log_tail=exit_.log_tail[-4096:],
        usage=exit_.usage.changed(gpu_seconds=gpu_seconds),
    )
