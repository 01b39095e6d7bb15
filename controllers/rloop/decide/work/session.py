"""Sessions: starts and restarts their processes, and records how each session ended.

Step of the chain, before anything that uses the proposals of sessions. A dead process says nothing about its direction,
so it is replaced with growing pauses if a restart can help; `session_outcome` judges what its end means.
"""

from __future__ import annotations

import re

from rloop import campaign_state, names
from rloop.actions import Start, Workload
from rloop.api.iteration import SESSION_OVER, ResearchIteration, SessionSpec, SessionStatus
from rloop.decide.draft import Draft
from rloop.decide.queries import failed_sessions, finding_checks, pauses, provider_waits, session_outcome
from rloop.decide.work import deadlines
from rloop.observed import INTERRUPTED, PENDING_DEADLINE, Exit

GRACE_SECONDS = 30
"""Seconds that an agent's process may outlive its session, for the handoff, before it is ended from outside."""
LOST = frozenset({"Lost", "HeartbeatMissed", PENDING_DEADLINE})
_NUMBERS = re.compile(r"\d+")


def record(draft: Draft) -> None:
    """Bring every open session up to date with its process. A dead process is replaced within restartLimit."""
    for name in list(draft.iterations):
        if not draft.iterations[name].status.sessions:
            # A new object has no status: an API server drops the status in a create request.
            pending = [SessionStatus(name=one.name) for one in draft.iterations[name].spec.sessions]
            draft.write_iteration(name, sessions=pending)
            continue  # started once that is stored
        iteration = draft.iterations[name]
        for index, session in enumerate(iteration.status.sessions):
            if session.phase not in SESSION_OVER:
                _record_session(draft, iteration, session, iteration.spec.sessions[index])


def _record_session(draft: Draft, iteration: ResearchIteration, session: SessionStatus, spec: SessionSpec) -> None:
    name = iteration.metadata.name
    wanted = Workload(
        name=names.agent(session.name, session.attempt),
        role="agent",
        owner=name,
        deadline_seconds=spec.session_seconds + GRACE_SECONDS,
        session=session.name,
        number=session.attempt,
    )
    state = draft.observed.workloads.get(wanted.name)
    if state is None and session.phase == "Pending":
        # Without an Accepted loop no patrol would watch it.
        if not draft.finished and not draft.holding and draft.sealed and _rested(draft, session):
            draft.act(Start(wanted))
        return
    if state is not None and state.exit is None:
        if deadlines.waits(draft, state):
            return
        deadlines.hold_to_deadline(draft, wanted, state)
        if session.phase == "Pending":
            draft.write_session(
                name, session.changed(phase="Running", started_at=session.started_at or state.started_at)
            )
        return
    _record_end(draft, iteration, session, state.exit if state is not None else None)


def _record_end(draft: Draft, iteration: ResearchIteration, session: SessionStatus, exit_: Exit | None) -> None:
    """Handle the end of a session's process: the session is over, or its process is restarted."""
    name, reported = iteration.metadata.name, iteration.status.reported
    reason = exit_.reason if exit_ is not None else "Lost"
    tail = exit_.log_tail[-4096:] if exit_ is not None else ""
    lost = reason in LOST or (exit_ is not None and exit_.infrastructure)
    facts = session_outcome.Facts(
        proposed=session_outcome.proposed(session.name, reported, draft.experiments.values()),
        finished=session.name in reported.finished,
        code=exit_.code if exit_ is not None else None,
        reason=reason,
        lost=lost,
        failure=provider_waits.failure(iteration, session.name),
        waits=provider_waits.unanswered(iteration, session.name),
        log_tail=tail,
        client=draft.spec.agent.client is not None,
    )
    judged = session_outcome.judge(facts)
    ended = session.changed(
        phase="Failed" if judged.failed else "Finished",
        reason=judged.reason,
        message=judged.message,
        infrastructure=judged.infrastructure,
        finished_at=draft.now,
        log_tail=tail,
        waiting=False,
    )
    if facts.waits is None or campaign_state.closing(iteration):
        # A writer or checker that is done needs no second session. Why an explorer ended while the loop is held is
        # unknown.
        done = facts.finished and campaign_state.closing(iteration)
        if (draft.holding and not done) or reason == INTERRUPTED:
            held = ended.changed(phase="Finished", reason=finding_checks.HELD, message="", infrastructure=False)
            draft.write_session(name, held)
            return
    if not judged.end and session.attempt <= draft.spec.watchdog.restart_limit:
        _restart(draft, name, session, judged, tail)
        return
    if reason == "NoProgress":
        agent = names.agent(session.name, session.attempt)
        draft.evidence(f"{agent}: no progress after {session.nudges} nudges, stopped")
    if judged.failed and facts.waits is None:
        told = failed_sessions.trouble(ended)[1]
        if not _stands_already(draft, told):
            draft.tell("AgentFailed", told, about=name, warning=True)
            draft.evidence(told)
    draft.write_session(name, ended)


def _stands_already(draft: Draft, told: str) -> bool:
    """Whether Degraded already says this about an earlier session: only names, times and other numbers differ."""
    degraded = next((one.message for one in draft.status.conditions if one.type == "Degraded"), "")
    return _NUMBERS.sub("", degraded) == _NUMBERS.sub("", told)


def _restart(draft: Draft, name: str, session: SessionStatus, judged: session_outcome.Judgement, tail: str) -> None:
    again = session.changed(
        phase="Pending",
        attempt=session.attempt + 1,
        died_at=draft.now,
        reason=judged.reason,
        message=judged.message,
        log_tail=tail,
    )
    draft.write_session(name, again)
    told = f"{session.name}: {judged.reason}; replaced by {names.agent(session.name, session.attempt + 1)}"
    told += f": {judged.message}" if judged.message else ""
    draft.tell("AgentRestarted", told, about=name, warning=True)
    draft.evidence(told)


def _rested(draft: Draft, session: SessionStatus) -> bool:
    """Whether the pause after a process died is over, so that instant crashes do not use up all restarts at once."""
    return pauses.over(draft, session.died_at, session.attempt - 1, pauses.SESSION_SECONDS_MAX)
