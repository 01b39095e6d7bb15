"""The story in as few conditions as tell it, the phase for columns, the counts and the last results.

Folds what the other steps left; decides nothing. Polarity and reasons after Kubernetes' conventions: Reconciling and
Stalled have kstatus' meaning, so GitOps tools show Healthy for a running and a finished loop.
"""

from __future__ import annotations

from hashlib import sha256

from rloop import standing
from rloop.api.experiment import TERMINAL_PHASES
from rloop.api.iteration import SessionUsage
from rloop.api.loop_status import RECENT_LIMIT, CurrentDirection, ExperimentCounts, LoopPhase, RecentResult
from rloop.decide import provider, runs, session
from rloop.decide.draft import Draft
from rloop.decide.verification import WAITING
from rloop.observed import NO_TROUBLE, Obstacle


def fold(draft: Draft) -> None:
    """Write conditions, phase, counts, the current direction and the last results."""
    _counts(draft)
    _direction(draft)
    newest = standing.newest(draft.iterations)
    draft.write(phase=_phase(draft), observed_generation=draft.loop.metadata.generation, iteration=newest)
    _terminal(draft)
    _plateau(draft)
    _degraded(draft)
    _progressing(draft)
    _ready(draft)


def _phase(draft: Draft) -> LoopPhase:
    if draft.is_true("Failed"):
        return "Failed"
    if draft.is_true("Complete"):
        return "Complete"
    if not draft.sealed:
        return "Pending"
    if draft.status.baseline is None:
        return "Baseline"
    if draft.ended:
        return "Reporting"
    concluding = any(run.kind == "final" and run.phase in runs.OPEN for _, run in draft.moving_runs())
    return "Concluding" if concluding else "Iterating"


def _terminal(draft: Draft) -> None:
    for type_ in ("Complete", "Failed"):
        if not draft.is_true(type_):
            draft.condition(type_, "False", "InProgress")


def _plateau(draft: Draft) -> None:
    if draft.ended:
        draft.condition("PlateauDetected", "False", "Finished")
    elif draft.pivot_demanded:
        told = "no experiment is admitted before a direction that changes the frame"
        draft.condition("PlateauDetected", "True", "PivotRequired", told)
    else:
        draft.condition("PlateauDetected", "False", "None")
    suspended = draft.suspended and not draft.finished
    if suspended != draft.is_true("Suspended") and not draft.finished:
        draft.tell(*(("Suspended", "nothing new starts") if suspended else ("Resumed", "the campaign goes on")))
    draft.condition("Suspended", "True" if suspended else "False", "SuspendedByUser" if suspended else "None")


def _degraded(draft: Draft) -> None:
    """What needs a person; told as an event when its reason changes, and when it is over."""
    before = next((one for one in draft.status.conditions if one.type == "Degraded"), None)
    reason, message = _trouble(draft) or ("None", "")
    draft.condition("Degraded", "False" if reason == "None" else "True", reason, message)
    if reason != "None" and (before is None or before.reason != reason):
        draft.tell(reason, message, warning=True)
    elif reason == "None" and before is not None and before.status == "True" and not draft.finished:
        draft.tell("Recovered", f"{before.reason} is over; the campaign goes on")


def _trouble(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of the first thing that is in the way."""
    if draft.finished:
        return None
    for one in _obstacles(draft):
        if one.reason not in NO_TROUBLE:
            return one.reason, f"{one.about}: {one.message}"
    unanswered = provider.waiting(draft)
    if unanswered is not None and unanswered.waiting in provider.NEEDS_A_PERSON:
        return unanswered.waiting, _of_provider(unanswered)
    if (given_up := session.given_up(draft)) is not None:
        return session.trouble(given_up)
    waiting = [
        run.verifications[-1]
        for _, run in draft.moving_runs()
        if run.phase == "Verifying" and run.verifications and run.verifications[-1].reason in WAITING
    ]
    if waiting:
        told = f"{waiting[0].message}; put it back as it was, and the campaign goes on by itself"
        return waiting[0].reason or "Unknown", told
    return None


def _of_provider(unanswered: SessionUsage) -> str:
    return f"{unanswered.session}: {unanswered.waiting_message or unanswered.waiting}"


def _obstacles(draft: Draft) -> list[Obstacle]:
    """All that is in the way, in an order that does not change from pass to pass."""
    states = draft.observed.workloads.values()
    found = [*draft.observed.obstacles, *(one.obstacle for one in states if one.obstacle is not None)]
    return sorted(found, key=lambda one: (one.reason, one.about))


def _progressing(draft: Draft) -> None:
    if draft.finished:
        draft.condition("Progressing", "False", "Finished")
    elif draft.suspended:
        draft.condition("Progressing", "False", "Suspended")
    elif (unanswered := provider.waiting(draft)) is not None:
        draft.condition("Progressing", "True", provider.WAITED, _of_provider(unanswered))
    elif waits := [one for one in _obstacles(draft) if one.reason in NO_TROUBLE]:
        draft.condition("Progressing", "True", waits[0].reason, f"{waits[0].about}: {waits[0].message}")
    elif any(run.phase in runs.LIVE for _, run in draft.moving_runs()):
        draft.condition("Progressing", "True", "ExperimentRunning")
    elif draft.sealed:
        draft.condition("Progressing", "True", "SessionRunning")
    else:
        draft.condition("Progressing", "False", "NotAccepted")


def _ready(draft: Draft) -> None:
    """Ready, Reconciling and Stalled: what kstatus and GitOps tools read."""
    draft.condition("Reconciling", "False", "UpToDate")
    accepted = next((one for one in draft.status.conditions if one.type == "Accepted"), None)
    failed = next((one for one in draft.status.conditions if one.type == "Failed" and one.status == "True"), None)
    if failed is not None:
        draft.condition("Ready", "False", failed.reason, failed.message)
        draft.condition("Stalled", "True", failed.reason, failed.message)
        return
    if accepted is not None and accepted.status == "False":
        draft.condition("Ready", "False", accepted.reason, accepted.message)
        draft.condition("Stalled", "True", accepted.reason, accepted.message)
        return
    draft.condition("Stalled", "False", "None")
    if draft.finished:
        draft.condition("Ready", "True", "Completed")
    elif draft.suspended:
        draft.condition("Ready", "True", "Suspended")
    elif draft.sealed:
        draft.condition("Ready", "True", "LoopOperating")
    else:
        draft.condition("Ready", "Unknown", "NotAccepted")


def _counts(draft: Draft) -> None:
    names = {
        "Queued",
        "Running",
        "Verifying",
        "Accepted",
        "Rejected",
        "Superseded",
        "Invalid",
        "Failed",
        "Withdrawn",
    }
    counted = dict.fromkeys((name.lower() for name in names), 0)
    finished = []
    for one in draft.experiments.values():
        if one.spec.kind != "Candidate":
            continue
        counted[one.status.phase.lower()] += 1
        if one.status.phase in TERMINAL_PHASES and one.status.verdict is not None:
            finished.append(one)
    counts = ExperimentCounts(**counted)
    if counts == draft.status.experiments:  # verdicts are final, so the last results are the same too
        return
    finished.sort(key=lambda one: (one.status.verdict.at if one.status.verdict else draft.now, one.metadata.name))
    recent = [
        RecentResult(
            experiment=one.metadata.name,
            phase=one.status.phase,
            value=one.status.verdict.value if one.status.verdict else None,
            gain=one.status.verdict.gain if one.status.verdict else None,
            reason=one.status.verdict.reason if one.status.verdict else "Unknown",
        )
        for one in finished[-RECENT_LIMIT:]
    ]
    draft.write(experiments=counts, recent=recent)


def _direction(draft: Draft) -> None:
    directions = standing.directions(draft.iterations)
    if directions:
        newest = directions[-1]
        current = draft.status.current_direction
        if current is None or current.name != newest.name:
            current = CurrentDirection(name=newest.name, title=newest.title, frame=newest.frame)
            draft.write(current_direction=current)
    words = sha256(draft.spec.direction.encode()).hexdigest()
    if words != draft.status.direction_sha256:
        changed = draft.status.direction_sha256 is not None
        inputs = draft.status.directional_inputs + changed
        draft.write(direction_sha256=words, directional_inputs=inputs)
        if changed:
            draft.tell("DirectionEdited", "the director's words changed; the next session is given the new ones")
