"""Workloads that have not begun, and those that run on after their deadline."""

from typing import Any

import pytest
from tests.support.builders import attempt, experiment, iteration, loop, moment, run, running, scoring, session
from tests.support.deciding import after, experiment_after, iteration_after, observed, stops, told

from rloop.decide.campaign import conditions
from rloop.decide.work import attempt as attempts
from rloop.decide.work import session as sessions
from rloop.decide.work import verification
from rloop.observed import PENDING_DEADLINE, Exit, Obstacle, WorkloadState
from rloop.reasons import Reason

PENDING_SECONDS = loop().spec.experiment.pending_deadline_seconds
NAME = "demo-i0001-e1"
AGENT = "demo-i0001-s1-a1"
STEPS = [
    pytest.param(
        attempts.record,
        experiment(NAME, run("screen", "Running", attempts=[attempt("Pending")]), phase="Running"),
        "demo-i0001-e1-r1-a1",
        id="a run",
    ),
    pytest.param(
        verification.record,
        experiment(NAME, run("screen", "Verifying", verifications=[scoring(phase="Pending")]), phase="Running"),
        "demo-i0001-e1-r1-v1",
        id="a scoring",
    ),
    pytest.param(sessions.record, iteration(1, session("Pending")), AGENT, id="a session"),
]


def waiting(name: str, **fields: Any) -> WorkloadState:
    return WorkloadState(name, **{"started_at": moment(0), "started": False, **fields})


@pytest.mark.parametrize(("step", "child", "name"), STEPS)
def test_what_has_not_begun_stays_pending_and_uses_up_no_deadline(step: Any, child: Any, name: str) -> None:
    decision = after(step, observed(running(), child, waiting(name), now=moment(PENDING_SECONDS - 1)))
    assert (decision.experiments, decision.iterations, stops(decision)) == ((), (), {})


@pytest.mark.parametrize(("step", "child", "name"), STEPS)
def test_one_that_waits_too_long_is_ended(step: Any, child: Any, name: str) -> None:
    decision = after(step, observed(running(), child, waiting(name), now=moment(PENDING_SECONDS)))
    assert stops(decision) == {name: PENDING_DEADLINE}


@pytest.mark.parametrize(("step", "child", "name"), STEPS)
def test_whoever_stands_in_a_queue_keeps_its_place(step: Any, child: Any, name: str) -> None:
    state = waiting(name, obstacle=Obstacle(Reason.QUEUED, name, "no room yet"))
    assert stops(after(step, observed(running(), child, state, now=moment(10**6)))) == {}


@pytest.mark.parametrize(("step", "child", "name"), STEPS)
def test_one_that_runs_on_after_its_deadline_is_ended(step: Any, child: Any, name: str) -> None:
    state = WorkloadState(name, started_at=moment(0))
    decision = after(step, observed(running(), child, state, now=moment(10**6)))
    assert stops(decision)[name] == "DeadlineExceeded"


def test_an_attempt_that_never_began_is_made_anew_for_ever_without_growing_the_status() -> None:
    ended = Exit(None, PENDING_DEADLINE, moment(700), infrastructure=True)
    lost = [
        attempt("Failed", 41, reason=PENDING_DEADLINE, infrastructure=True),
        attempt("Failed", 42, reason="Lost", infrastructure=True),
    ]
    child = experiment(NAME, run("screen", "Running", attempts=[*lost, attempt("Pending", 43)]), phase="Running")
    state = WorkloadState("demo-i0001-e1-r1-a43", moment(0), ended, started=False)
    found = experiment_after(attempts.record, observed(running(), child, state)).status.runs[0]
    assert found.phase == "Running"
    assert [(one.number, one.reason) for one in found.attempts[:-1]] == [(42, "Lost")]
    assert (found.attempts[-1].number, found.attempts[-1].phase) == (44, "Pending")


def test_a_session_that_never_began_is_no_finished_one() -> None:
    ended = Exit(None, PENDING_DEADLINE, moment(700), infrastructure=True)
    state = WorkloadState(AGENT, moment(0), ended, started=False)
    found = iteration_after(sessions.record, observed(running(), iteration(1, session("Pending")), state))
    assert (found.status.sessions[0].phase, found.status.sessions[0].attempt) == ("Pending", 2)


def obstacle(about: str = "demo-b01") -> Obstacle:
    return Obstacle(Reason.QUOTA_EXCEEDED, about, "raise the quota")


def test_an_obstacle_is_told_once_and_its_end_too() -> None:
    first = after(conditions.fold, observed(running(), obstacles=(obstacle(about="z"), obstacle())))
    assert first.status is not None
    degraded = next(one for one in first.status.conditions if one.type == "Degraded")
    assert (degraded.status, degraded.reason) == ("True", "QuotaExceeded")
    assert degraded.message == "demo-b01: raise the quota"
    assert told(first) == ["QuotaExceeded"]
    stood = running().model_copy(update={"status": first.status})
    assert told(after(conditions.fold, observed(stood, obstacles=(obstacle(about="y"),)))) == []
    over = after(conditions.fold, observed(stood))
    assert told(over) == ["Recovered"]


@pytest.mark.parametrize("reason", [Reason.WAITING_FOR_CAPACITY, Reason.QUEUED])
def test_waiting_for_its_turn_is_no_trouble(reason: Reason) -> None:
    state = waiting(AGENT, obstacle=Obstacle(reason, AGENT, "0/1 nodes: Insufficient cpu."))
    decision = after(conditions.fold, observed(running(), state))
    assert decision.status is not None
    found = {one.type: (one.status, one.reason) for one in decision.status.conditions}
    assert found["Degraded"] == ("False", "None")
    assert found["Progressing"] == ("True", reason)
