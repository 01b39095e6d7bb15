"""The watchdog's patrol (layer 1): detects sessions that are silent, and sessions that are alive without progress.

Alive is not progress: both are judged, by the operator's own monotonic clock. The patrol restarts and nudges; it never
does the worker's work. A process that is slow to end is asked to stop again in every pass; `session.record` records the
action once, when the end of the process is observed.
"""

from __future__ import annotations

from datetime import timedelta

from rloop import names
from rloop.actions import Nudge, Stop
from rloop.api.iteration import ResearchIteration, SessionStatus
from rloop.api.loop_status import LayerState, LayerStatus
from rloop.decide.draft import Draft
from rloop.decide.queries import provider_waits
from rloop.observed import INTERRUPTED

FINISH_SECONDS = 20
"""Seconds from a session's call of finish until its process is stopped.

With the pause between two passes and the grace period after SIGTERM this makes at most 30 seconds.
"""


def check(draft: Draft) -> None:
    """Check every running session."""
    silent = False
    for iteration in list(draft.iterations.values()):
        for session in iteration.status.sessions:
            if session.phase == "Running":
                silent |= _look(draft, iteration, session)
    sessions = [one for it in draft.iterations.values() for one in it.status.sessions]
    restarts = sum(one.attempt - 1 for one in sessions)
    nudges = sum(one.nudges for one in sessions)
    running = any(one.phase == "Running" for one in sessions)
    agent: LayerState = "Silent" if silent else "Alive" if running else "Absent"
    old, guard = draft.status.watchdog, draft.observed.watchdog.guard
    new = old.changed(
        agent=LayerStatus(state=agent),
        patrol=LayerStatus(state="Alive"),
        guard=old.guard if guard == "Unknown" else LayerStatus(state=guard),
        restarts=restarts,
        nudges=nudges,
    )
    draft.write(watchdog=new)
    _outer_repairs(draft)


def _outer_repairs(draft: Draft) -> None:
    """Record once what guard and patrol did to the processes that serve this loop, since the loop exists."""
    born = draft.loop.metadata.creation_timestamp
    for repair in draft.observed.watchdog.repairs:
        told = f"{repair.at:%Y-%m-%dT%H:%M:%SZ} {repair.told}"
        if told not in draft.status.watchdog.evidence and (born is None or repair.at >= born):
            draft.evidence(told)


def _look(draft: Draft, iteration: ResearchIteration, session: SessionStatus) -> bool:
    """Act on one session. Returns whether it is silent."""
    watchdog = draft.spec.watchdog
    workload = names.agent(session.name, session.attempt)
    if draft.observed.draining:
        draft.act(Stop(workload, INTERRUPTED))
        return False
    if session.name in iteration.status.reported.finished:
        _hold_to_its_end(draft, iteration, session, workload)
        return False
    beat = draft.observed.beats.get(session.name)
    if beat is None:
        return False
    limit = watchdog.heartbeat_seconds * watchdog.missed_heartbeats
    if draft.older(beat.age_seconds, limit):
        draft.act(Stop(workload, "HeartbeatMissed"))
        return True
    waits = provider_waits.unanswered(iteration, session.name) is not None
    if waits != session.waiting:
        session = session.changed(waiting=waits, answered_at=None if waits else draft.now)
        draft.write_session(iteration.metadata.name, session)
    age = beat.round_age_seconds
    if session.answered_at is not None:
        age = min(age, (draft.now - session.answered_at).total_seconds())
    if not waits and draft.older(age, watchdog.progress_seconds * (session.nudges + 1)):
        _nudge(draft, iteration, session, workload, age)
    return False


def _hold_to_its_end(draft: Draft, iteration: ResearchIteration, session: SessionStatus, workload: str) -> None:
    """End the process of a session that called finish, even if it sends heartbeats or calls or waits for its model."""
    if session.done_at is None:
        draft.write_session(iteration.metadata.name, session.changed(done_at=draft.now))
    elif draft.passed(session.done_at + timedelta(seconds=FINISH_SECONDS)):
        draft.act(Stop(workload, "Stopped"))


def _nudge(draft: Draft, iteration: ResearchIteration, session: SessionStatus, workload: str, age: float) -> None:
    if session.nudges >= draft.spec.watchdog.max_nudges:
        draft.act(Stop(workload, "NoProgress"))
        return
    draft.act(Nudge(session.name, f"no round for {age:.0f} s: continue with the next proposal, or finish"))
    draft.write_session(iteration.metadata.name, session.changed(nudges=session.nudges + 1))
    draft.evidence(f"{workload}: no round for {age:.0f} s, nudged")
