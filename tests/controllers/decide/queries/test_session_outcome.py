"""Which sessions have played: verbs called x exit code x finish x what the proxy saw, as one table of rules."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import (
    LLM,
    baseline,
    direction,
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
from tests.support.deciding import after, iteration_after, observed, starts, status_after, the

from rloop.api.iteration import CallFailure, Finding, Reported, ResearchIteration, SessionUsage
from rloop.decide.campaign import conditions
from rloop.decide.chain import decide
from rloop.decide.queries import session_outcome
from rloop.decide.research import iteration as iterations
from rloop.decide.research import plateau
from rloop.decide.work import session as sessions
from rloop.observed import Exit

SESSION = "demo-i0001-s1"
AGENT = f"{SESSION}-a1"
BROKEN = ("StreamBroken", "AnswerEmpty")
FAILURES = (None, *sorted(session_outcome.PERMANENT), *BROKEN)
EXITS = (
    ("Completed", 0),
    ("Error", 1),
    ("Error", 143),
    ("Killed", None),
    ("DeadlineExceeded", None),
    ("NoProgress", None),
    ("Stopped", None),
    ("HeartbeatMissed", None),
    ("Lost", None),
)


def facts(
    reason: str, code: int | None, *, proposed: bool, finished: bool, failure: str | None
) -> session_outcome.Facts:
    told = None if failure is None else CallFailure(reason=failure, message=f"the proxy saw {failure}")
    lost = reason in sessions.LOST
    return session_outcome.Facts(proposed, finished, code, reason, lost=lost, failure=told, log_tail="a tail")


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("proposed", [False, True])
@pytest.mark.parametrize(("reason", "code"), EXITS)
def test_every_end_of_a_session(
    reason: str, code: int | None, proposed: bool, finished: bool, failure: str | None
) -> None:
    found = session_outcome.judge(facts(reason, code, proposed=proposed, finished=finished, failure=failure))
    expected: tuple[bool, bool, str | None]
    if finished and (proposed or failure is None):
        expected = (True, False, "Completed")
    elif failure in session_outcome.PERMANENT:  # a restart would meet it again
        expected = (True, not proposed, failure)
    elif finished:  # its model gave it nothing, and it said goodbye
        expected = (True, True, failure)
    elif reason in sessions.LOST:
        expected = (False, True, reason)
    elif code != 0 and reason not in session_outcome.OVERTIME:  # the process failed: a restart may help
        expected = (False, True, failure or reason)
    elif proposed:
        expected = (True, False, reason)
    else:
        expected = (True, True, failure or (reason if code is None else "NothingDone"))
    assert (found.end, found.failed, found.reason) == expected
    if found.failed and failure is not None and reason not in sessions.LOST:
        assert f"the proxy saw {failure}" in found.message, "the log's tail is the last resort"
    if found.failed and found.reason in session_outcome.REMEDIES:
        assert found.message.endswith(session_outcome.REMEDIES[found.reason])


def ended(
    usages: SessionUsage, end: Exit, *, of: ResearchIteration | None = None, **reported: Any
) -> ResearchIteration:
    own = of or iteration(1, session(), reported=Reported(usage=[usages], **reported))
    return iteration_after(sessions.record, observed(running(agent=LLM), own, workload(AGENT, end)))


@pytest.mark.parametrize(
    "reported",
    [
        pytest.param({"proposed": [SESSION]}, id="whatever became of its proposal"),
        pytest.param({"directions": [direction()]}, id="a direction"),
        pytest.param(
            {"findings": [Finding(name="f", statement="s", evidence=["e"], session=SESSION, at=moment())]},
            id="a finding",
        ),
        pytest.param(
            {
                "findings": [
                    Finding(name="f", statement="s", evidence=["e"], session="x", at=moment(), checked_by=SESSION)
                ]
            },
            id="a verdict on one",
        ),
    ],
)
def test_what_counts_as_a_proposal(reported: dict[str, Any]) -> None:
    (found,) = ended(usage(), exited(), **reported).status.sessions
    assert (found.phase, found.reason) == ("Finished", "Completed")


def test_an_experiment_counts_as_a_proposal() -> None:
    seen = observed(running(), iteration(1, session()), experiment(), workload(AGENT, exited()))
    assert iteration_after(sessions.record, seen).status.sessions[0].phase == "Finished"


@pytest.mark.parametrize("reason", [None, *FAILURES[1:]])
@pytest.mark.parametrize("code", [0, 1])
def test_a_session_that_did_not_play_is_void_and_costs_nothing(reason: str | None, code: int) -> None:
    """Four such sessions forced two pivots, and a person was told of a plateau."""
    failure = None if reason is None else CallFailure(reason=reason, message="why")
    attempt = 1 if code == 0 else 6
    own = iteration(1, session(attempt=attempt), reported=Reported(usage=[usage(failure=failure)]))
    loop = running(agent=LLM)
    end = workload(f"{SESSION}-a{attempt}", exited("Completed" if code == 0 else "Error", code))
    recorded = iteration_after(sessions.record, observed(loop, own, end))
    assert recorded.status.sessions[0].phase == "Failed"
    settled = iteration_after(iterations.settle, observed(loop, baseline(), recorded))
    assert settled.status.outcome == "Void"
    assert plateau.stale_count(_draft(loop, settled)) == 0
    told = the(after(conditions.fold, observed(loop, settled)), "Degraded")
    assert told.status == "True"
    assert told.reason == (reason or ("NothingDone" if code == 0 else "AgentFailing"))


@pytest.mark.parametrize("failure", sorted(session_outcome.PERMANENT))
@pytest.mark.parametrize("proposed", [True, False])
def test_what_a_restart_would_meet_again_is_not_restarted(failure: str, proposed: bool) -> None:
    """A spent allowance belongs to the session: five processes after the first one were told the same."""
    told = usage(failure=CallFailure(reason=failure, message="why"))
    recorded = ended(told, exited("Error", 1), proposed=[SESSION] if proposed else [])
    (found,) = recorded.status.sessions
    assert (found.attempt, found.reason) == (1, failure)
    assert found.phase == ("Finished" if proposed else "Failed")
    own = [experiment(phase="Rejected", verdict=verdict())] if proposed else []
    settled = iteration_after(iterations.settle, observed(running(agent=LLM), baseline(), *own, recorded))
    assert settled.status.outcome == ("Stale" if proposed else "Void")


@pytest.mark.parametrize("empty", [3, 5])
def test_three_void_iterations_call_a_person_with_the_cause(empty: int) -> None:
    failed = [
        iteration(n, session("Failed", n, reason="NothingDone", message="why and what to do"), outcome="Void")
        for n in range(2, 2 + empty)
    ]
    decision = after(plateau.count, observed(running(), iteration(1, outcome="Stale"), *failed))
    told = the(decision, "NeedsAttention")
    assert (told.status, told.reason) == ("True", "NothingDone")
    assert told.message.startswith(f"the last {empty} iterations produced no result; the newest: demo-i")
    assert told.message.endswith("why and what to do")
    assert [one.message for one in decision.events] == [f"the last {empty} iterations produced no result: NothingDone"]


def test_the_remedy_for_an_agent_that_does_nothing_suits_a_script_too() -> None:
    found = session_outcome.judge(session_outcome.Facts(False, False, 0, "Completed"))
    assert "POST $RLOOP_GATEWAY/v1/finish" in found.message
    assert "an MCP client must find the tools" in found.message


def test_a_client_that_does_nothing_is_not_told_of_http() -> None:
    loop = running(agent={"client": {"name": "codex"}, "llm": {"provider": "main", "model": "m"}})
    own = iteration(1, session(), reported=Reported(usage=[usage()]))
    (found,) = iteration_after(sessions.record, observed(loop, own, workload(AGENT, exited()))).status.sessions
    assert found.reason == "NothingDone"
    assert found.message is not None
    assert "the client must find the tools of the MCP server rloop" in found.message
    assert "docs/coding-agents.md" in found.message
    assert "POST" not in found.message


@pytest.mark.parametrize("empty", [1, 2, 5, 20])
def test_a_session_that_does_not_play_opens_no_hot_loop(empty: int) -> None:
    failed = [
        iteration(n, session("Failed", n, reason="NothingDone"), outcome="Void", settled_at=moment(60))
        for n in range(1, empty + 1)
    ]
    pause = min(300, 2 ** (empty - 1))
    for seconds, opened in ((pause - 0.5, False), (pause, True)):
        seen = observed(running(), baseline(), *failed, now=moment(60 + seconds))
        assert bool(after(iterations.open_next, seen).actions) is opened


@given(
    reason=st.sampled_from(EXITS),
    proposed=st.booleans(),
    finished=st.booleans(),
    failure=st.sampled_from(FAILURES),
    attempt=st.integers(1, 6),
)
def test_no_end_of_a_session_makes_a_stale_iteration_unless_it_played(
    reason: tuple[str, int | None], proposed: bool, finished: bool, failure: str | None, attempt: int
) -> None:
    told = None if failure is None else CallFailure(reason=failure)
    report = Reported(
        usage=[usage(failure=told)],
        proposed=[SESSION] if proposed else [],
        finished=[SESSION] if finished else [],
    )
    own = iteration(1, session(attempt=attempt), reported=report)
    loop = running(agent=LLM)
    seen = observed(loop, own, workload(f"{SESSION}-a{attempt}", exited(*reason)))
    recorded = iteration_after(sessions.record, seen)
    if recorded.status.sessions[0].phase not in ("Finished", "Failed"):
        return
    settled = iteration_after(iterations.settle, observed(loop, baseline(), recorded))
    if settled.status.outcome == "Stale":
        assert proposed or (finished and failure is None)
    else:
        assert settled.status.outcome == "Void"
        assert recorded.status.sessions[0].phase == "Failed"


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        pytest.param("a\nKeyError: 'x'\n", "; last output: KeyError: 'x'", id="a traceback"),
        pytest.param(
            'x\n{"type":"result","result":"Claude requested permissions","usage":{"service_tier":"standard"}}\n',
            "; last output: Claude requested permissions",
            id="an event of a client",
        ),
        pytest.param(
            'ed out","is_error":true,"result":"Prompt is \\"too\\" long","session_id":"a"}',
            '; last output: Prompt is "too" long',
            id="of which the beginning is cut off",
        ),
        pytest.param(
            '{"ts": "2026-01-02T03:04:05+00:00", "level": "info", "event": "client ended", "code": 0, "why": ""}\n',
            "; last output: client ended",
            id="an event of our agent without a text",
        ),
        pytest.param("\n\n", "", id="none"),
    ],
)
def test_last_words_are_words(tail: str, words: str) -> None:
    assert session_outcome.quoted(tail) == words


def test_all_reasons_are_words_of_a_status() -> None:
    for reason, code in EXITS:
        for proposed, finished, failure in itertools.product((False, True), (False, True), FAILURES):
            found = session_outcome.judge(facts(reason, code, proposed=proposed, finished=finished, failure=failure))
            session(reason=found.reason, message=found.message)
            CallFailure(reason=found.reason, message=found.message)


def test_a_message_with_a_long_cause_still_ends_with_its_remedy() -> None:
    told = CallFailure(reason="RequestRefused", message="x" * 1000)
    found = session_outcome.judge(session_outcome.Facts(False, False, 1, "Error", failure=told))
    assert len(found.message) <= 1024
    assert found.message.endswith(session_outcome.REMEDIES["RequestRefused"])


def test_a_restart_is_started_after_its_pause() -> None:
    own = ended(usage(failure=CallFailure(reason="StreamBroken")), exited("Error", 1))
    (found,) = own.status.sessions
    assert (found.phase, found.attempt, found.reason) == ("Pending", 2, "StreamBroken")
    assert starts(decide(observed(running(agent=LLM), baseline(), own, now=moment(62)))) == [f"{SESSION}-a2"]


def _draft(loop: Any, *objects: Any) -> Any:
    from rloop.decide.draft import Draft

    return Draft(observed(loop, *objects))


def test_stale_count_stays_while_nobody_plays() -> None:
    failed = [iteration(n, session("Failed", n, reason="NothingDone"), outcome="Void") for n in (1, 2, 3, 4)]
    found = status_after(plateau.count, observed(running(), *failed))
    assert found.stale_count == 0


def test_the_pause_after_an_empty_iteration_begins_when_it_is_settled() -> None:
    """The next one opened in the pass that saw its session end, one pause early."""
    failed = iteration(1, session("Failed", reason="NothingDone"))
    assert after(iterations.open_next, observed(running(), baseline(), failed)).actions == ()
