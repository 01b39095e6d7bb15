"""Derives the conditions, the phase, the counts and the latest results of a loop.

Summarizes what the other steps left; decides nothing. Polarity and reasons follow the conventions of Kubernetes:
Reconciling and Stalled have the meaning of kstatus, so GitOps tools show Healthy for a running and a finished loop.
While a person must act (`rloop.reasons`) Ready is False, and Degraded and Stalled are True.
"""

from __future__ import annotations

from hashlib import sha256

from rloop import campaign_state
from rloop.api.common import Condition
from rloop.api.experiment import LIVE_RUN, OPEN_RUN, TERMINAL_PHASES, RecentResult
from rloop.api.iteration import SessionUsage
from rloop.api.loop_status import RECENT_LIMIT, CurrentDirection, ExperimentCounts, LoopPhase
from rloop.decide.draft import Draft
from rloop.decide.queries import failed_sessions, pauses, provider_waits
from rloop.observed import UNSCORABLE, Obstacle
from rloop.reasons import needs_person


def fold(draft: Draft) -> None:
    """Write conditions, phase, counts, the current direction and the latest results."""
    _counts(draft)
    _direction(draft)
    newest = campaign_state.newest(draft.iterations)
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
    concluding = any(run.kind == "final" and run.phase in OPEN_RUN for _, run in draft.moving_runs())
    return "Concluding" if concluding else "Iterating"


def _terminal(draft: Draft) -> None:
    """Set Complete, Failed, and Finished, the one condition to wait for in any case."""
    for type_ in ("Complete", "Failed"):
        if not draft.is_true(type_):
            draft.condition(type_, "False", "InProgress")
    end = _condition(draft, "Failed" if draft.is_true("Failed") else "Complete")
    assert end is not None  # both are set above
    draft.condition("Finished", end.status, end.reason, end.message)


def _plateau(draft: Draft) -> None:
    if draft.ended:
        draft.condition("PlateauDetected", "False", "Finished")
    elif draft.pivot_demanded:
        told = "experiments are rejected until a direction changes the frame"
        draft.condition("PlateauDetected", "True", "PivotRequired", told)
    else:
        draft.condition("PlateauDetected", "False", "None")
    suspended = draft.suspended and not draft.finished
    if suspended != draft.is_true("Suspended") and not draft.finished:
        draft.tell(*(("Suspended", "nothing new starts") if suspended else ("Resumed", "the campaign continues")))
    draft.condition("Suspended", "True" if suspended else "False", "SuspendedByUser" if suspended else "None")


def _degraded(draft: Draft) -> None:
    """Set Degraded: whether a person must act. An event reports each new reason, and the recovery."""
    before = _condition(draft, "Degraded")
    reason, message = _trouble(draft) or ("None", "")
    draft.condition("Degraded", "False" if reason == "None" else "True", reason, message)
    refused = (accepted := _condition(draft, "Accepted")) is not None and accepted.reason == reason  # done by `seal`
    if reason != "None" and (before is None or before.reason != reason) and not refused:
        draft.tell(reason, message, warning=True)
    elif reason == "None" and before is not None and before.status == "True" and not draft.finished:
        draft.tell("Recovered", f"{before.reason} is resolved; the campaign continues")


def _trouble(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of the first problem that needs a person."""
    if draft.finished:
        return None
    accepted = _condition(draft, "Accepted")
    if accepted is not None and accepted.status == "False":
        return accepted.reason, accepted.message
    for one in _obstacles(draft):
        if needs_person(one.reason):
            return one.reason, f"{one.about}: {one.message}"
    return (None if draft.suspended else _of_sessions(draft)) or _of_scorings(draft)


def _of_sessions(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of what keeps sessions from working. A suspended campaign opens no sessions."""
    unanswered = provider_waits.waiting(draft)
    if unanswered is not None and unanswered.waiting is not None and needs_person(unanswered.waiting):
        return unanswered.waiting, _of_provider(unanswered)
    if (given_up := failed_sessions.given_up(draft)) is not None:
        return failed_sessions.trouble(given_up)
    attention = _condition(draft, "NeedsAttention")
    if attention is not None and attention.status == "True" and needs_person(attention.reason):
        return attention.reason, attention.message
    return None


def _of_scorings(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of what the verifier waits for."""
    waiting = [
        run.verifications[-1]
        for _, run in draft.moving_runs()
        if run.phase == "Verifying" and run.verifications and run.verifications[-1].reason in UNSCORABLE
    ]
    if waiting:
        told = f"{waiting[0].message}; restore it, and the campaign continues by itself"
        return waiting[0].reason or "Unknown", told
    return None


def _of_provider(unanswered: SessionUsage) -> str:
    return f"{unanswered.session}: {unanswered.waiting_message or unanswered.waiting}"


def _obstacles(draft: Draft) -> list[Obstacle]:
    """All obstacles, in an order that does not change from pass to pass."""
    states = draft.observed.workloads.values()
    found = [*draft.observed.obstacles, *(one.obstacle for one in states if one.obstacle is not None)]
    return sorted(found, key=lambda one: (one.reason, one.about))


def _progressing(draft: Draft) -> None:
    if draft.finished:
        draft.condition("Progressing", "False", "Finished")
    elif draft.suspended:
        draft.condition("Progressing", "False", "Suspended")
    elif (unanswered := provider_waits.waiting(draft)) is not None:
        told = "; ".join(filter(None, (_of_provider(unanswered), _next_session(draft))))
        draft.condition("Progressing", "True", provider_waits.WAITED, told)
    elif waits := [one for one in _obstacles(draft) if not needs_person(one.reason)]:
        draft.condition("Progressing", "True", waits[0].reason, f"{waits[0].about}: {waits[0].message}")
    elif draft.is_true("Degraded") and draft.sealed and not _anything_runs(draft):
        trouble = _condition(draft, "Degraded")
        assert trouble is not None  # it is true
        draft.condition("Progressing", "False", trouble.reason, _next_session(draft) or trouble.message)
    elif any(run.phase in LIVE_RUN for _, run in draft.moving_runs()):
        draft.condition("Progressing", "True", "ExperimentRunning")
    elif draft.sealed:
        draft.condition("Progressing", "True", "SessionRunning")
    else:
        draft.condition("Progressing", "False", "NotAccepted")


def _next_session(draft: Draft) -> str:
    """When the next session opens, and what opens it at once; empty if the campaign does not pause."""
    at = pauses.next_opening(draft)
    if at is None or draft.passed(at) or any(one.status.phase != "Settled" for one in draft.iterations.values()):
        return ""
    opens = f"{campaign_state.NEXT_SESSION}{at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{opens}, or at once after an edit or a restart of the campaign"


def _anything_runs(draft: Draft) -> bool:
    return any(one.exit is None and one.started for one in draft.observed.workloads.values())


def _ready(draft: Draft) -> None:
    """Set Ready, Reconciling and Stalled, which kstatus and GitOps tools read."""
    draft.condition("Reconciling", "False", "UpToDate")
    stops = next(
        (one for one in draft.status.conditions if one.type in ("Failed", "Degraded") and one.status == "True"), None
    )
    if stops is not None:
        draft.condition("Ready", "False", stops.reason, stops.message)
        draft.condition("Stalled", "True", stops.reason, stops.message)
        return
    draft.condition("Stalled", "False", "None")
    if draft.finished:
        draft.condition("Ready", "True", "Completed")
    elif draft.suspended:
        draft.condition("Ready", "True", "Suspended")
    elif draft.sealed:
        draft.condition("Ready", "True", "LoopOperating")
    else:
        accepted, waits = _condition(draft, "Accepted"), next(iter(_obstacles(draft)), None)
        told = ("NotAccepted", "") if accepted is None else (accepted.reason, accepted.message)
        draft.condition(
            "Ready", "Unknown", *(told if waits is None else (waits.reason, f"{waits.about}: {waits.message}"))
        )


def _condition(draft: Draft, type_: str) -> Condition | None:
    return next((one for one in draft.status.conditions if one.type == type_), None)


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
    if counts == draft.status.experiments:  # verdicts are final, so the latest results are unchanged too
        return
    missing = sum(draft.status.experiments.model_dump().values()) - sum(counted.values())
    if missing > 0:
        told = f"{missing} experiments of the campaign were deleted; their verdicts no longer count"
        draft.tell("ExperimentsMissing", f"{told}, and are in the ledger only", warning=True)
        draft.evidence(told)
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
    directions = campaign_state.directions(draft.iterations)
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
            draft.tell("DirectionEdited", "spec.direction was edited; the next session reads the new text")
