"""Records the scorings of a run's artifact, and derives the run's value from them.

The worker never judges its own work: a value comes only from the verifier's report, never from a claim or a printed
number.
"""

from __future__ import annotations

from pydantic import ValidationError

from rloop import names
from rloop.actions import Start, Workload
from rloop.api.experiment import ResearchExperiment, Run, Verification
from rloop.api.helpers import VerifierReport
from rloop.decide.draft import Draft
from rloop.decide.queries import certain_failure, pauses, runs
from rloop.decide.work import deadlines, retry
from rloop.observed import ARTIFACT_LOST, PENDING_DEADLINE, UNSCORABLE, Exit, WorkloadState

VERIFIER_RETRIES = 2
"""Maximum number of retries of one repeat after failed scorings. Lost ones do not count."""
INFRASTRUCTURE_LIMIT = 20
NOT_LOST = UNSCORABLE | {PENDING_DEADLINE}
"""Reasons of scorings that could not start. They say nothing about the machine, and count towards no limit."""


def record(draft: Draft) -> None:
    """Start scorings, record their reports, and give runs their values."""
    for experiment, run in draft.moving_runs():
        if run.phase == "Verifying":
            _record_run(draft, experiment, run)


def workload(draft: Draft, experiment: ResearchExperiment, run: Run, verification: Verification) -> Workload:
    """The workload of a scoring."""
    return Workload(
        name=names.verification(experiment.metadata.name, run.number, verification.number),
        role="verification",
        owner=experiment.metadata.name,
        # The verifier ends the scorer at timeoutSeconds and reports it; this deadline is for the verifier itself.
        deadline_seconds=draft.spec.evaluation.timeout_seconds + 30,
        run=run.number,
        number=verification.number,
        seed=verification.seed,
        place=draft.place(experiment.metadata.name, run),
        kind=run.kind,
    )


def _record_run(draft: Draft, experiment: ResearchExperiment, run: Run) -> None:
    updated = []
    for one in run.verifications:
        verification = one
        if one.phase in ("Pending", "Running"):
            verification = _observe(draft, experiment, run, one)
        updated.append(verification)
    lost = any(new.reason == ARTIFACT_LOST != old.reason for new, old in zip(updated, run.verifications, strict=True))
    if lost and not draft.ended:
        draft.write_run(experiment.metadata.name, _made_again(draft, experiment, run, updated))
        return
    run = _sealed(draft, experiment, run.changed(verifications=updated))
    run = run.changed(verifications=_pruned(run.verifications))
    run = _complete(draft, run) if not draft.ended else run.changed(phase="Withdrawn")
    if run.phase == "Verifying":
        run = run.changed(verifications=[*run.verifications, *_missing(draft, experiment, run)])
    draft.write_run(experiment.metadata.name, run)


def _sealed(draft: Draft, experiment: ResearchExperiment, run: Run) -> Run:
    """The run, in which scorings have failed that judged other bytes than the sealed artifact.

    In a cluster the artifact is sealed as its first scoring copied it.
    """
    judged = []
    for one in run.verifications:
        name = names.verification(experiment.metadata.name, run.number, one.number)
        state = draft.observed.workloads.get(name)
        found = state.exit.artifact_sha256 if state is not None and state.exit is not None else None
        if found is not None and run.artifact_sha256 is None:
            run = run.changed(artifact_sha256=found)
        changed = found is not None and found != run.artifact_sha256 and one.phase == "Succeeded"
        told = f"the artifact has the digest {found}; {run.artifact_sha256} was sealed"
        bad = _failed(one, "ArtifactChanged", told, infrastructure=False).changed(metrics={}, checks=[])
        judged.append(bad if changed else one)
    return run.changed(verifications=judged)


def _made_again(draft: Draft, experiment: ResearchExperiment, run: Run, scorings: list[Verification]) -> Run:
    """The run with a new attempt, because the artifact of the last one is lost.

    The scorings of the lost artifact become void.
    """
    void = [
        one.changed(
            phase="Failed",
            reason=ARTIFACT_LOST,
            infrastructure=True,
            metrics={},
            checks=[],
            finished_at=one.finished_at or draft.now,
        )
        for one in scorings
    ]
    told = "its artifact is missing in the workspace"
    lost = run.attempts[-1].changed(
        phase="Failed", reason=ARTIFACT_LOST, exit_code=None, infrastructure=True, log_tail=told
    )
    run = run.changed(
        phase="Running",
        attempts=[*run.attempts[:-1], lost],
        verifications=_pruned(void),
        artifact_sha256=None,
        claimed=None,
    )
    return retry.retried_or_failed(draft, experiment, run, lost)


def _observe(draft: Draft, experiment: ResearchExperiment, run: Run, verification: Verification) -> Verification:
    wanted = workload(draft, experiment, run, verification)
    state = draft.observed.workloads.get(wanted.name)
    if state is None:
        if verification.phase == "Pending":
            if not draft.ended and not (draft.suspended and draft.spec.suspend_policy == "Stop"):
                draft.act(Start(wanted))
            return verification
        gone = Exit(code=None, reason="Lost", finished_at=draft.now, infrastructure=True)
        state = WorkloadState(wanted.name, started_at=draft.now, exit=gone)
    if state.exit is None:
        if deadlines.waits(draft, state):
            return verification
        deadlines.hold_to_deadline(draft, wanted, state)
        return verification.changed(phase="Running", started_at=state.started_at)
    ended = verification.changed(
        started_at=verification.started_at or state.started_at, finished_at=state.exit.finished_at
    )
    return _result(draft, ended, state.exit)


def _result(draft: Draft, ended: Verification, exit_: Exit) -> Verification:
    """The scoring with its result, from the exit of its workload."""
    metric = draft.spec.objective.metric
    if not exit_.message:
        return _failed(ended, exit_.reason, exit_.log_tail[-500:], infrastructure=exit_.infrastructure)
    try:
        report = VerifierReport.model_validate_json(exit_.message)
    except ValidationError:
        return _failed(
            ended,
            "ReportMalformed",
            "the verifier's report has an unknown format; use the verifier image of the operator's version",
            infrastructure=False,
        )
    if report.verdict is None:
        return _failed(ended, report.reason or "VerdictMissing", report.message, infrastructure=report.infrastructure)
    metrics = report.verdict.metrics
    checks = report.verdict.checks
    if any(not check.passed for check in checks):
        return ended.changed(phase="Succeeded", metrics=metrics, checks=checks)
    if metric not in metrics:
        has = ", ".join(sorted(metrics))
        told = f'the verdict has no metric "{metric}" (spec.objective.metric); it has {has}'
        return _failed(ended, "MetricMissing", told, infrastructure=False)
    return ended.changed(phase="Succeeded", metrics=metrics, checks=checks)


def _failed(ended: Verification, reason: str, message: str, *, infrastructure: bool) -> Verification:
    return ended.changed(phase="Failed", reason=reason, message=message[:1024], infrastructure=infrastructure)


def _missing(draft: Draft, experiment: ResearchExperiment, run: Run) -> list[Verification]:
    """New scorings for the repeats that have neither a result nor a live scoring."""
    wanted: list[Verification] = []
    newest = max((one.number for one in run.verifications), default=0)
    for repeat in range(1, draft.spec.evaluation.repeats + 1):
        tries = [one for one in run.verifications if one.repeat == repeat]
        if any(one.phase != "Failed" for one in tries) or (tries and not _waited(draft, tries[-1])):
            continue
        number = newest + len(wanted) + 1
        seed = draft.scoring_seed(experiment.metadata.name, run.number, number)
        retry = tries[-1].retry + (tries[-1].reason not in NOT_LOST) if tries else 0
        wanted.append(Verification(number=number, repeat=repeat, seed=seed, retry=retry))
    return wanted


def _waited(draft: Draft, failed: Verification) -> bool:
    """Whether the pause after the last failure is over."""
    # A wait does not raise `retry`; numbers continue, although the records of lost scorings are dropped.
    failures = failed.number - failed.repeat if failed.reason in NOT_LOST else failed.retry
    return pauses.over(draft, failed.finished_at, failures, pauses.RETRY_SECONDS_MAX)


def _pruned(verifications: list[Verification]) -> list[Verification]:
    """The scorings without lost ones that were retried.

    Waiting for a missing input may take days and must not make the status grow.
    """
    newest = {one.repeat: one.number for one in verifications}
    return [
        one
        for one in verifications
        if not (one.phase == "Failed" and one.infrastructure and one.number < newest[one.repeat])
    ]


def _given_up(failures: list[Verification]) -> bool:
    """Whether scorings were lost too often. A missing input is waited for, because it is no fault of the candidate."""
    waits = bool(failures) and failures[-1].reason in NOT_LOST
    return bool(failures) and failures[-1].retry >= INFRASTRUCTURE_LIMIT and not waits


def _certain(failed: Verification) -> bool:
    """Whether the next scoring would fail in the same way: broken code of the scorer, or too large artifacts."""
    would = certain_failure.broken_code(failed.message) if failed.reason == "EvaluationFailed" else None
    return not failed.infrastructure and (failed.reason == certain_failure.TOO_LARGE or would is not None)


def _complete(draft: Draft, run: Run) -> Run:
    """The run with its value once every repeat has one; Failed if a repeat has no retries left."""
    repeats = draft.spec.evaluation.repeats
    done = [one for one in run.verifications if one.phase == "Succeeded"]
    for repeat in range(1, repeats + 1):
        failures = [one for one in run.verifications if one.repeat == repeat and one.phase == "Failed"]
        if sum(not one.infrastructure for one in failures) > VERIFIER_RETRIES or any(map(_certain, failures)):
            return run.changed(phase="Failed", reason=failures[-1].reason)
        if _given_up(failures):
            return run.changed(phase="Failed", reason="InfrastructureFailing")
    if len(done) < repeats:
        return run
    if any(not check.passed for one in done for check in one.checks):
        return run.changed(phase="Failed", reason="CheckFailed")
    return run.changed(phase="Done", value=runs.scored(run, draft.spec.objective.metric))
