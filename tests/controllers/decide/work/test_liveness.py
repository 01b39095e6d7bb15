"""The patrol: who is silent, and who beats but gets nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import iteration, moment, running, session, usage
from tests.support.deciding import after, iteration_after, observed, status_after, stops

from rloop.actions import Nudge
from rloop.api.iteration import Reported, SessionStatus
from rloop.api.loop_status import LayerState, LayerStatus, WatchdogStatus
from rloop.decide.work import liveness
from rloop.observed import Beat, Repair, Watchdog

AGENT = "demo-i0001-s1-a1"
WATCH: dict[str, Any] = {"watchdog__heartbeatSeconds": 10, "watchdog__progressSeconds": 100, "watchdog__maxNudges": 2}


@pytest.mark.parametrize(
    ("own", "beat", "finished", "stopped", "nudged"),
    [
        pytest.param(session(), Beat(29, 3, 29), False, {}, 0, id="it beats"),
        pytest.param(session(), Beat(31, 3, 31), False, {AGENT: "HeartbeatMissed"}, 0, id="it missed three beats"),
        pytest.param(session(), Beat(1, 3, 101), False, {}, 1, id="alive is not progress: it is nudged"),
        pytest.param(session(nudges=1), Beat(1, 3, 150), False, {}, 0, id="after a nudge it has as much time again"),
        pytest.param(session(nudges=2), Beat(1, 3, 301), False, {AGENT: "NoProgress"}, 0, id="nudges are used up"),
        pytest.param(session(), Beat(29, 3, 500), True, {}, 0, id="one that is done may end in peace"),
        pytest.param(session(done_at=moment(41)), Beat(1, 3, 1), True, {}, 0, id="for so many seconds"),
        pytest.param(session(done_at=moment(40)), Beat(99, 3, 99), True, {AGENT: "Stopped"}, 0, id="but no longer"),
        pytest.param(session(done_at=moment(40)), Beat(1, 3, 1), True, {AGENT: "Stopped"}, 0, id="though it beats"),
        pytest.param(session("Pending"), Beat(999, 0, 999), False, {}, 0, id="one that has not started is not judged"),
    ],
)
def test_patrol(own: SessionStatus, beat: Beat, finished: bool, stopped: dict[str, str], nudged: int) -> None:
    reported = Reported(finished=["demo-i0001-s1"] if finished else [])
    seen = observed(running(**WATCH), iteration(1, own, reported=reported), beats={"demo-i0001-s1": beat})
    decision = after(liveness.check, seen)
    assert stops(decision) == stopped
    assert sum(isinstance(one, Nudge) for one in decision.actions) == nudged
    assert iteration_after(liveness.check, seen).status.sessions[0].nudges == own.nudges + nudged


@pytest.mark.parametrize(
    ("own", "waits", "round_age", "nudged", "stands"),
    [
        pytest.param(session(), True, 999, 0, (True, None), id="one that waits for its provider is left alone"),
        pytest.param(session(waiting=True), True, 999, 0, (True, None), id="for as long as it waits"),
        pytest.param(session(waiting=True), False, 999, 0, (False, moment(60)), id="then its time begins anew"),
        pytest.param(session(answered_at=moment(-41)), False, 999, 1, (False, moment(-41)), id="and is not for ever"),
        pytest.param(session(answered_at=moment(-41)), False, 5, 0, (False, moment(-41)), id="a round is a round"),
    ],
)
def test_no_round_is_missed_of_a_session_that_waits_for_its_provider(
    own: SessionStatus, waits: bool, round_age: float, nudged: int, stands: tuple[bool, Any]
) -> None:
    told = Reported(usage=[usage(waiting="HourCap" if waits else None)])
    seen = observed(running(**WATCH), iteration(1, own, reported=told), beats={own.name: Beat(1, 3, round_age)})
    decision = after(liveness.check, seen)
    assert sum(isinstance(one, Nudge) for one in decision.actions) == nudged
    assert stops(decision) == {}
    (found,) = iteration_after(liveness.check, seen).status.sessions
    assert (found.waiting, found.answered_at) == stands


def test_silence_is_death_also_while_a_session_waits_for_its_provider() -> None:
    told = Reported(usage=[usage(waiting="HourCap")])
    seen = observed(running(**WATCH), iteration(1, session(), reported=told), beats={"demo-i0001-s1": Beat(31, 3, 31)})
    assert stops(after(liveness.check, seen)) == {AGENT: "HeartbeatMissed"}


def test_a_session_that_finished_is_ended_within_thirty_seconds_also_without_any_beat() -> None:
    """One that beat was never ended: it cost a campaign eight minutes."""
    assert liveness.FINISH_SECONDS + 10 <= 30  # a cluster looks every five seconds; five more are the grace period
    reported = Reported(finished=["demo-i0001-s1"])
    seen = observed(running(), iteration(1, session(), reported=reported))
    (found,) = iteration_after(liveness.check, seen).status.sessions
    assert found.done_at == moment(60)
    later = observed(running(), iteration(1, found, reported=reported), now=moment(60 + liveness.FINISH_SECONDS))
    assert stops(after(liveness.check, later)) == {AGENT: "Stopped"}


def test_an_operator_that_ends_ends_its_sessions() -> None:
    seen = observed(running(), iteration(1, session()), beats={"demo-i0001-s1": Beat(1, 3, 1)}, draining=True)
    assert stops(after(liveness.check, seen)) == {AGENT: "Interrupted"}


def test_a_process_that_takes_its_time_to_end_fills_no_evidence() -> None:
    seen = observed(running(**WATCH), iteration(1, session()), beats={"demo-i0001-s1": Beat(31, 3, 31)})
    first = status_after(liveness.check, seen)
    again = seen.loop.model_copy(update={"status": first})
    later = observed(again, *seen.iterations.values(), beats={"demo-i0001-s1": Beat(32, 3, 32)})
    assert after(liveness.check, later).status is None


@pytest.mark.parametrize(
    ("sessions", "state"),
    [
        pytest.param([session()], "Alive", id="a running session that beats"),
        pytest.param([session("Finished")], "Absent", id="no session"),
    ],
)
def test_state_of_the_agent_layer(sessions: list[SessionStatus], state: str) -> None:
    seen = observed(running(), iteration(1, *sessions), beats={"demo-i0001-s1": Beat(1, 1, 1)})
    assert status_after(liveness.check, seen).watchdog.agent.state == state


@pytest.mark.parametrize(
    ("before", "seen", "after_"),
    [
        pytest.param("Absent", "Alive", "Alive", id="it appears"),
        pytest.param("Alive", "Silent", "Silent", id="it falls silent"),
        pytest.param("Alive", "Unknown", "Alive", id="what was not looked at for long changes nothing"),
        pytest.param("Alive", "Absent", "Absent", id="it is gone"),
    ],
)
def test_state_of_the_guard(before: LayerState, seen: LayerState, after_: LayerState) -> None:
    absent, alive = LayerStatus(state="Absent"), LayerStatus(state="Alive")
    stored = WatchdogStatus(agent=absent, patrol=alive, guard=LayerStatus(state=before))
    facts = observed(running(status={"watchdog": stored}), watchdog=Watchdog(guard=seen))
    status = after(liveness.check, facts).status
    assert (status is None) == (before == after_)
    assert (status or facts.loop.status).watchdog.guard.state == after_


def test_a_repair_is_noted_once_and_only_by_loops_that_lived_then() -> None:
    repairs = (Repair(moment(10), "guard restarted rloop-operator-0: it crashed"), Repair(moment(50), "patrol did it"))
    loop = running()
    loop = loop.model_copy(update={"metadata": loop.metadata.model_copy(update={"creation_timestamp": moment(20)})})
    facts = observed(loop, watchdog=Watchdog("Alive", repairs))
    status = status_after(liveness.check, facts)
    assert status.watchdog.evidence == ["2026-01-01T00:00:50Z patrol did it"]
    again = observed(loop.model_copy(update={"status": status}), watchdog=Watchdog("Alive", repairs))
    assert after(liveness.check, again).status is None
