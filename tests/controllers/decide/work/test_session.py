"""Sessions: they start, die and are replaced in pauses, and what is said of those that are given up."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    LLM,
    baseline,
    exited,
    experiment,
    iteration,
    moment,
    running,
    session,
    usage,
    verdict,
    workload,
)
from tests.support.deciding import after, iteration_after, observed, starts, the

from rloop.api.iteration import CallFailure, Reported
from rloop.decide.campaign import conditions
from rloop.decide.chain import decide
from rloop.decide.queries import session_outcome
from rloop.decide.research import iteration as iterations
from rloop.decide.work import session as sessions
from rloop.observed import Exit

AGENT = "demo-i0001-s1-a1"


def test_a_stored_session_is_started() -> None:
    seen = observed(running(), iteration(1, session("Pending")))
    assert starts(after(sessions.record, seen)) == [AGENT]
    assert starts(after(sessions.record, observed(running(suspend=True), iteration(1, session("Pending"))))) == []


@pytest.mark.parametrize(
    ("ended", "finished", "attempt", "phase", "number"),
    [
        pytest.param(exited(), True, 1, "Finished", 1, id="its process ended in order"),
        pytest.param(exited(), False, 1, "Failed", 1, id="it did nothing, which a restart would not mend"),
        pytest.param(exited("Error", 1), False, 1, "Pending", 2, id="a crashed one is replaced"),
        pytest.param(exited("Error", 1), True, 1, "Finished", 1, id="not if it had said that it was done"),
        pytest.param(exited("DeadlineExceeded", None), True, 1, "Finished", 1, id="its time was over"),
        pytest.param(exited("DeadlineExceeded", None), False, 1, "Failed", 1, id="its time was over, for nothing"),
        pytest.param(exited("NoProgress", None), False, 1, "Failed", 1, id="it got nowhere"),
        pytest.param(exited("HeartbeatMissed", None), False, 1, "Pending", 2, id="a silent one is replaced"),
        pytest.param(None, False, 1, "Pending", 2, id="a vanished one is replaced"),
        pytest.param(exited("Error", 1), False, 6, "Failed", 6, id="until restartLimit"),
    ],
)
def test_end_of_a_process(ended: Exit | None, finished: bool, attempt: int, phase: str, number: int) -> None:
    reported = Reported(finished=["demo-i0001-s1"] if finished else [])
    own = iteration(1, session("Running", attempt=attempt), reported=reported)
    workloads = [workload(f"demo-i0001-s1-a{attempt}", ended)] if ended else []
    found = iteration_after(sessions.record, observed(running(), own, *workloads)).status.sessions[0]
    assert (found.phase, found.attempt) == (phase, number)


@pytest.mark.parametrize("ended", [exited("Error", 1), exited("Error", 143), exited("HeartbeatMissed", None), None])
def test_however_a_session_ends_while_the_loop_is_held_it_is_no_failure(ended: Exit | None) -> None:
    """An agent that was told to end may not know how."""
    seen = observed(running(suspend=True), iteration(1, session()), *([workload(AGENT, ended)] if ended else []))
    decision = after(sessions.record, seen)
    (found,) = decision.iterations[0].status.sessions
    assert (found.phase, found.reason, found.attempt) == ("Finished", "Held", 1)
    assert not decision.events


@pytest.mark.parametrize("attempt", [1, 6])
def test_a_crash_is_told_with_its_last_words(attempt: int) -> None:
    crashed = Exit(1, "Error", moment(60), log_tail="Traceback …\nRuntimeError: oops\n")
    own = iteration(1, session("Running", attempt=attempt))
    decision = after(sessions.record, observed(running(), own, workload(f"demo-i0001-s1-a{attempt}", crashed)))
    (event,) = decision.events
    assert event.message.endswith("; last output: RuntimeError: oops")
    told = iteration_after(sessions.record, observed(running(), own, workload(f"demo-i0001-s1-a{attempt}", crashed)))
    assert told.status.sessions[0].message.endswith("; last output: RuntimeError: oops")


MISSING = "Traceback …\nModuleNotFoundError: No module named 'requestz'\n"


@pytest.mark.parametrize(
    ("ended", "cause"),
    [
        pytest.param(exited("Error", 1, log_tail=MISSING), 'Python finds no module "requestz"', id="a missing module"),
        pytest.param(exited("Error", 1, log_tail="SyntaxError: invalid syntax"), "cannot be parsed", id="no Python"),
        pytest.param(exited("Error", 127, log_tail="sh: 1: ./a: not found"), "a program was not found", id="127"),
        pytest.param(exited("StartFailed", 126, log_tail="[rloop] no"), "cannot be executed", id="126"),
    ],
)
@pytest.mark.parametrize("proposed", [False, True])
def test_a_program_that_cannot_work_is_not_started_again(ended: Exit, cause: str, proposed: bool) -> None:
    """Five more processes in 28 seconds ended alike, and only then was a person told."""
    own = iteration(1, session(), reported=Reported(proposed=["demo-i0001-s1"] if proposed else []))
    seen = observed(running(), baseline(), own, workload(AGENT, ended))
    (found,) = iteration_after(sessions.record, seen).status.sessions
    assert (found.phase, found.attempt, found.reason) == ("Failed", 1, ended.reason)
    assert cause in found.message
    assert ended.log_tail.splitlines()[-1] in found.message
    assert found.message.endswith(session_outcome.MEND)
    decision = decide(seen)
    for type_, status in (("Degraded", "True"), ("Ready", "False"), ("Stalled", "True")):
        told = the(decision, type_)
        assert (told.status, told.reason) == (status, "AgentFailing")
        assert told.message == f"demo-i0001-s1 failed: {ended.reason}: {found.message}"


@pytest.mark.parametrize(
    ("ended", "failure"),
    [
        pytest.param(exited("Error", 3), None, id="exit code 3 is a word of runs only"),
        pytest.param(exited("Error", 1, log_tail=MISSING), "StreamBroken", id="it stumbled over a broken answer"),
        pytest.param(exited("StartFailed", 127, infrastructure=True), None, id="its place was lost"),
        pytest.param(exited("HeartbeatMissed", None, log_tail=MISSING), None, id="it was silent"),
    ],
)
def test_where_a_restart_may_help_there_is_one(ended: Exit, failure: str | None) -> None:
    told = usage(failure=CallFailure(reason=failure)) if failure else usage()
    seen = observed(
        running(agent=LLM), iteration(1, session(), reported=Reported(usage=[told])), workload(AGENT, ended)
    )
    (found,) = iteration_after(sessions.record, seen).status.sessions
    assert (found.phase, found.attempt) == ("Pending", 2)


@pytest.mark.parametrize(
    ("tail", "told"),
    [
        pytest.param("12:00:07 nothing to do", [], id="only the time differs"),
        pytest.param("12:00:07 no tools", ["AgentFailed"], id="something else is wrong"),
    ],
)
def test_a_failure_that_stands_already_is_told_again_only_when_it_changes(tail: str, told: list[str]) -> None:
    first = observed(
        running(), baseline(), iteration(1, session()), workload(AGENT, exited(log_tail="12:00:01 nothing to do"))
    )
    decision = decide(first)
    assert decision.status is not None
    assert "AgentFailed" in [one.reason for one in decision.events]
    after_it = running().model_copy(update={"status": decision.status})
    end = workload("demo-i0002-s1-a1", exited(log_tail=tail))
    objects = (baseline(), decision.iterations[0], iteration(2, session(number=2)), end)
    again = decide(observed(after_it, *objects))
    warned = [one.reason for one in again.events if one.type == "Warning"]
    assert warned == told
    assert again.status is not None
    assert len(again.status.watchdog.evidence) == 1 + len(told)
    assert the(again, "Degraded").message.startswith("demo-i0002-s1 failed: NothingDone: ")
    assert tail in the(again, "Degraded").message


@pytest.mark.parametrize(("attempt", "pause"), [(2, 1), (3, 2), (6, 16), (60, 300)])
def test_between_the_processes_of_a_session_lie_pauses_that_grow(attempt: int, pause: int) -> None:
    own = iteration(1, session("Pending", attempt=attempt, died_at=moment(60)))
    for seconds, expected in ((pause - 0.1, []), (pause, [f"demo-i0001-s1-a{attempt}"])):
        assert starts(after(sessions.record, observed(running(), own, now=moment(60 + seconds)))) == expected


CRASHED = session("Failed", 2, attempt=6, reason="Error", message="last output: KeyError: 'model'")


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([iteration(2, CRASHED)], True, id="the program fails"),
        pytest.param([iteration(2, CRASHED), iteration(3, session("Pending", 3))], True, id="the next has yet to show"),
        pytest.param(
            [iteration(2, CRASHED), iteration(3, session(number=3), reported=Reported(proposed=["demo-i0003-s1"]))],
            False,
            id="the next one says something",
        ),
        pytest.param([iteration(2, CRASHED), iteration(3, session("Finished", 3))], False, id="or ends in order"),
        pytest.param(
            [iteration(2, CRASHED), iteration(3, session("Finished", 3, reason="Held"))],
            True,
            id="but not for being held",
        ),
        pytest.param([iteration(2, CRASHED, session("Finished", 2, index=2))], False, id="so does one beside it"),
        pytest.param(
            [iteration(2, CRASHED.model_copy(update={"infrastructure": True}))],
            False,
            id="lost nodes are not it",
        ),
    ],
)
def test_an_agent_whose_program_fails_is_told_until_one_works(objects: list[Any], expected: bool) -> None:
    found = the(after(conditions.fold, observed(running(), iteration(1, session("Finished")), *objects)), "Degraded")
    assert (found.reason == "AgentFailing") is expected
    if expected:
        told = "demo-i0002-s1 failed after 6 processes: Error: last output: KeyError: 'model'"
        assert found.message == told


@pytest.mark.parametrize(
    ("ended", "finished"),
    [
        pytest.param(exited("DeadlineExceeded", None), False, id="its time was over"),
        pytest.param(exited("HeartbeatMissed", None), False, id="the watchdog ended it"),
        pytest.param(exited("Error", 1), False, id="it crashed for want of an answer"),
        pytest.param(exited(), True, id="it gave up in order"),
        pytest.param(None, False, id="it vanished"),
    ],
)
def test_a_session_that_ends_while_it_waits_for_its_provider_says_nothing(ended: Exit | None, finished: bool) -> None:
    told = Reported(finished=["demo-i0001-s1"] if finished else [], usage=[usage(waiting="ProviderDown")])
    own = iteration(1, session("Running", waiting=True), reported=told)
    workloads = [workload(AGENT, ended)] if ended else []
    recorded = iteration_after(sessions.record, observed(running(agent=LLM), own, *workloads))
    (found,) = recorded.status.sessions
    assert (found.phase, found.reason, found.attempt) == ("Failed", "ProviderDown", 1)
    assert (found.infrastructure, found.waiting) == (True, False)
    proposed = experiment(phase="Rejected", verdict=verdict())
    settled = iteration_after(iterations.settle, observed(running(agent=LLM), baseline(), proposed, recorded))
    assert settled.status.outcome == "Void"
