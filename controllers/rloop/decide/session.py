"""Sessions: they start, die and are replaced, and how each of them ended.

Step of the chain, before anything that looks at what sessions proposed. A dead process says nothing about its
direction, so it is replaced, in pauses that grow; one that is given up is told with its last words.
"""

from __future__ import annotations

from rloop import names, standing
from rloop.actions import Start, Workload
from rloop.api.iteration import SESSION_OVER, Reported, ResearchIteration, SessionSpec, SessionStatus
from rloop.decide import findings, provider, waiting
from rloop.decide.draft import Draft
from rloop.observed import PENDING_DEADLINE

GRACE_SECONDS = 30
"""An agent's process may outlive its session's time by so much, to hand off, before it is ended from outside."""


def record(draft: Draft) -> None:
    """Bring every open session up to date with its process; a dead one is replaced within restartLimit."""
    for name in list(draft.iterations):
        if not draft.iterations[name].status.sessions:
            # A new object has no status: an API server drops what a create says of it.
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
    done = session.name in iteration.status.reported.finished
    if state is None and session.phase == "Pending":
        # Unsealed, nobody would watch it.
        if not draft.finished and not draft.holding and draft.sealed and _rested(draft, session):
            draft.act(Start(wanted))
        return
    if state is not None and state.exit is None:
        if waiting.waits(draft, state):
            return
        waiting.hold_to_deadline(draft, wanted, state)
        if session.phase == "Pending":
            begun = {"phase": "Running", "started_at": session.started_at or state.started_at}
            draft.write_session(name, session.model_copy(update=begun))
        return
    exit_ = state.exit if state is not None else None
    reason = exit_.reason if exit_ is not None else "Lost"
    tail = exit_.log_tail[-4096:] if exit_ is not None else ""
    ended = {"finished_at": draft.now, "log_tail": tail, "waiting": False}
    if provider.unanswered(iteration, session.name) is not None:
        # A writer or checker that a suspension ends has another turn, whether its provider answered or not.
        why = findings.HELD if draft.holding and standing.closing(iteration) else provider.WAITED
        lost_waiting = {**ended, "phase": "Finished", "reason": why, "infrastructure": True}
        draft.write_session(name, session.model_copy(update=lost_waiting))
        return
    in_order = done or (exit_ is not None and exit_.code == 0)
    if in_order or draft.holding or reason in ("DeadlineExceeded", "NoProgress"):
        # A writer that is done has no second turn; why an explorer is, nobody knows.
        held = draft.holding and not (done and standing.closing(iteration))
        why = findings.HELD if held else "Completed" if done else reason
        if why == "NoProgress":
            draft.evidence(f"{wanted.name}: no progress after {session.nudges} nudges, ended")
        draft.write_session(name, session.model_copy(update={**ended, "phase": "Finished", "reason": why}))
        return
    lost = reason in ("Lost", "HeartbeatMissed", PENDING_DEADLINE) or (exit_ is not None and exit_.infrastructure)
    _replace_or_fail(draft, name, session, reason, {**ended, "infrastructure": lost})


def _replace_or_fail(draft: Draft, name: str, session: SessionStatus, reason: str, ended: dict[str, object]) -> None:
    words = last_words(str(ended["log_tail"]))
    if session.attempt > draft.spec.watchdog.restart_limit:
        told = f"{session.name}: {reason}, and no restart is left{words}"
        draft.tell("AgentFailed", told, about=name, warning=True)
        draft.evidence(told)
        draft.write_session(name, session.model_copy(update={**ended, "phase": "Failed", "reason": reason}))
        return
    again = {
        "phase": "Pending",
        "attempt": session.attempt + 1,
        "died_at": draft.now,
        "reason": reason,
        "log_tail": ended["log_tail"],
    }
    draft.write_session(name, session.model_copy(update=again))
    told = f"{session.name}: {reason}; replaced by {names.agent(session.name, session.attempt + 1)}{words}"
    draft.tell("AgentRestarted", told, about=name, warning=True)
    draft.evidence(told)


def _rested(draft: Draft, session: SessionStatus) -> bool:
    """Whether the pause after its process died is over: what dies at once must not use up its restarts at once."""
    return session.died_at is None or waiting.paused(draft, session.died_at, session.attempt - 1)


def last_words(log_tail: str) -> str:
    """The last line that a process printed, as the end of a sentence."""
    words = log_tail.strip().rpartition("\n")[2]
    return f"; its last words: {words[-300:]}" if words else ""


def given_up(draft: Draft) -> SessionStatus | None:
    """A session of the newest iteration that tells something, if that is only that its agent's program fails."""
    for one in standing.newest_first(draft.iterations):
        explorers = findings.explorers(one)
        if explorers and all(each.phase == "Failed" and not each.infrastructure for each in explorers):
            return explorers[0]
        ended = any(each.phase in SESSION_OVER and each.reason != findings.HELD for each in explorers)
        if ended or one.status.reported != Reported():
            return None
    return None
