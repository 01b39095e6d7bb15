"""Who writes the report, who checks it, and when nobody does: the campaign is Complete in any case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.controllers.decide.queries.test_finding_checks import claimed, roles
from tests.support.builders import (
    LLM,
    baseline,
    condition,
    done,
    experiment,
    iteration,
    kept,
    moment,
    run,
    running,
    session,
    usage,
    verdict,
    workload,
)
from tests.support.deciding import after, observed, starts, the

from rloop.actions import Create
from rloop.api.iteration import RefusedCall, Reported, ResearchIteration, Role, SessionStatus
from rloop.api.loop_status import Clock, Ending
from rloop.decide.campaign import reopen, report
from rloop.decide.chain import decide
from rloop.decide.work import session as sessions
from rloop.observed import Exit, Observed

ENDING = {"ending": Ending(reason="TargetMet", message="it is")}
OVER: dict[str, Any] = {"agent": LLM, "status": ENDING}


def last(number: int, role: Role, *sessions: SessionStatus, reported: Reported | None = None) -> ResearchIteration:
    """One of the last iterations."""
    own = iteration(number, *sessions, reported=reported or Reported())
    specs = [one.model_copy(update={"role": role, "max_experiments": 0}) for one in own.spec.sessions]
    return own.model_copy(update={"spec": own.spec.model_copy(update={"sessions": specs})})


def written(**fields: Any) -> ResearchIteration:
    return last(2, "Report", session(**{"phase": "Finished", "number": 2, **fields}))


def checked(**fields: Any) -> ResearchIteration:
    return last(3, "Check", session(**{"phase": "Finished", "number": 3, **fields}))


COMPLETE = [("Complete", 0)]
POLICY = {"policy": {"name": "random-search"}}


@pytest.mark.parametrize(
    ("given", "before", "expected"),
    [
        pytest.param({}, [iteration()], [("Report", 0)], id="first it is written"),
        pytest.param({}, [claimed(), written()], [("Check", 0)], id="then what is unchecked is checked"),
        pytest.param({}, [claimed("Supported"), written()], COMPLETE, id="if there is something"),
        pytest.param({}, [claimed(), written(), checked()], COMPLETE, id="once, whatever comes of it"),
        pytest.param({}, [written(phase="Running")], None, id="one after the other"),
        pytest.param({}, [claimed(), written(), checked(phase="Pending")], None, id="and nothing before both are over"),
        pytest.param({}, [iteration(1, session("Running"))], None, id="an explorer ends first"),
        pytest.param({"budget__tokens": 1}, [written(phase="Running")], None, id="a turn that takes the rest is whole"),
        pytest.param({"agent": POLICY}, [written(phase="Running")], None, id="and no edit ends it"),
        pytest.param({"agent": POLICY}, [claimed(), written()], COMPLETE, id="but what it edits away is not opened"),
        pytest.param({"status": {**ENDING, "conditions": []}}, [iteration()], None, id="nor is what a bad edit stops"),
        pytest.param({"suspend": True}, [iteration()], None, id="not while it is suspended"),
        pytest.param({}, [written(reason="Held")], [("Report", 0)], id="who was held has another turn"),
        pytest.param(
            {"agent": {**LLM, "explorers": ["Investigate", "Refute", "Analogy"]}, "budget__tokens": 1001},
            [iteration(1, reported=Reported(usage=[usage(refused_call=RefusedCall(tokens=400, cost="0"))]))],
            [("Report", 0)],
            id="it needs tokens for one session, not for all explorers",
        ),
        pytest.param({}, [claimed(), written(phase="Failed", reason="Error")], [("Check", 0)], id="a writer that died"),
        pytest.param(
            {},
            [claimed(), written(reason="ProviderDown", infrastructure=True)],
            COMPLETE,
            id="no result waits for a provider",
        ),
        pytest.param({"agent": POLICY}, [], COMPLETE, id="a policy writes none"),
        pytest.param({"agent": {**LLM, "image": "mine"}}, [], COMPLETE, id="nor somebody else's agent"),
        pytest.param({"budget__tokens": 1}, [], COMPLETE, id="without tokens there is none"),
        pytest.param({"budget__cost": "0.1"}, [], COMPLETE, id="nor without money"),
        pytest.param({"budget__runs": 1, "budget__activeSeconds": 10}, [], COMPLETE, id="nor without time"),
        pytest.param({"budget__runs": 1}, [], [("Report", 0)], id="but what it does not spend may be used up"),
    ],
)
def test_the_last_sessions(
    given: dict[str, Any], before: list[ResearchIteration], expected: list[tuple[str, int]] | None
) -> None:
    spent = iteration(0, reported=Reported(usage=[usage(number=0, output_tokens=1, cost="0.1")]))
    decision = after(report.write, seen(given, *before, spent))
    if expected == COMPLETE:
        complete = the(decision, "Complete")
        assert (complete.status, complete.reason, complete.message) == ("True", "TargetMet", "it is")
        assert decision.status is not None
        assert decision.status.ending is None
    elif expected is None:
        assert replace(decision, look_again=None) == after(lambda _: None, seen(given, *before, spent))
    else:
        assert roles(decision) == expected


def seen(given: dict[str, Any], *iterations: ResearchIteration) -> Observed:
    return observed(running(**{**OVER, **given}), baseline(), kept(), *iterations, now=moment(20))


def test_a_campaign_in_which_nothing_was_proposed_has_nothing_to_report() -> None:
    assert the(after(report.write, observed(running(**OVER), baseline())), "Complete").status == "True"


@pytest.mark.parametrize(
    ("limits", "at", "expected"),
    [
        pytest.param({"budget__tokens": 5}, 39, None, id="tokens held for an explorer that just ended may come back"),
        pytest.param({"budget__tokens": 5}, 41, COMPLETE, id="not for ever"),
        pytest.param({"budget__cost": "1"}, 39, None, id="money too"),
        pytest.param({"budget__tokens": 6, "budget__cost": "2"}, 39, [("Report", 0)], id="there is enough beside them"),
        pytest.param({"budget__tokens": 5, "budget__activeSeconds": 9}, 39, COMPLETE, id="time does not"),
    ],
)
def test_what_the_proxy_may_give_back_is_waited_for(
    limits: dict[str, Any], at: float, expected: list[tuple[str, int]] | None
) -> None:
    held = Reported(usage=[usage(held_tokens=5, held_cost="1")])
    explored = iteration(1, session("Finished", finished_at=moment(10)), reported=held)
    decision = after(report.write, observed(running(**{**OVER, **limits}), kept(), explored, now=moment(at)))
    if expected is None:
        assert (decision.actions, decision.status) == ((), None)
    elif expected == COMPLETE:
        assert the(decision, "Complete").status == "True"
    else:
        assert roles(decision) == expected


@pytest.mark.parametrize("last_one", [iteration(), written(phase="Running")], ids=["refused", "at work"])
@pytest.mark.parametrize(("at", "complete"), [(89, False), (90, True)])
def test_no_report_keeps_the_result_for_longer_than_its_sessions_may_take(
    last_one: ResearchIteration, at: float, complete: bool
) -> None:
    """Both of them, with the wait for their places; the campaign's clock counts, so that a suspension does not."""
    spec: dict[str, Any] = {"agent": {**LLM, "sessionSeconds": 30}, "experiment__pendingDeadlineSeconds": 10}
    ending = Ending(reason="TargetMet", message="it is", active_seconds=10)
    decision = after(
        report.write, observed(running(**spec, status={"ending": ending}), kept(), last_one, now=moment(at))
    )
    assert (decision.status is not None) is complete
    if complete:
        assert the(decision, "Complete").reason == "TargetMet"


@pytest.mark.parametrize(("finished", "reason"), [(["demo-i0002-s1"], "Completed"), ([], "Held")])
def test_a_writer_that_was_done_when_it_was_suspended_has_no_second_turn(finished: list[str], reason: str) -> None:
    own = last(2, "Report", session(number=2), reported=Reported(finished=finished))
    ended = workload("demo-i0002-s1-a1", Exit(0, "Completed", moment(19)))
    (recorded,) = after(sessions.record, observed(running(**OVER, suspend=True), kept(), own, ended)).iterations
    assert recorded.status.sessions[0].reason == reason


def test_the_time_without_an_operator_is_none_of_the_reports() -> None:
    """The clock is turned before the outcome is drawn."""
    of = running(agent=LLM, objective__target="0.6", status={"clock": Clock(active_since=moment(0))})
    met = kept("demo-i0001-e1", *done("final", 0.5, 0.5, 0.5, 0.5, 0.5))
    seen_now = observed(of, baseline(), met, iteration(1), now=moment(172_800), down_since=moment(60))
    status = decide(seen_now).status
    assert status is not None
    assert status.ending is not None
    assert status.ending.active_seconds == 60


@pytest.mark.parametrize(("draining", "reason"), [(True, "Held"), (False, "ProviderDown")])
def test_a_writer_that_the_operators_end_took_has_another_turn_though_its_provider_was_down(
    draining: bool, reason: str
) -> None:
    waiting = Reported(usage=[usage(number=2, waiting="ProviderDown")])
    own = last(2, "Report", session(number=2), reported=waiting)
    ended = workload("demo-i0002-s1-a1", Exit(0, "Completed", moment(19)))
    seen_now = observed(running(**OVER), kept(), own, ended, draining=draining)
    (recorded,) = after(sessions.record, seen_now).iterations
    assert recorded.status.sessions[0].reason == reason


def test_what_was_never_measured_is_no_reason_for_a_report() -> None:
    withdrawn = experiment("demo-i0001-e1", run("screen", "Withdrawn"), phase="Withdrawn", verdict=verdict("Withdrawn"))
    decision = after(report.write, observed(running(**OVER), baseline(), withdrawn))
    assert the(decision, "Complete").status == "True"
    assert not decision.events, "nothing was reported"


def test_before_the_report_everything_else_ends() -> None:
    """What runs is withdrawn, explorers are over, and only then a session starts."""
    live = kept("demo-i0001-e1", run("reference", "Running"))
    first = decide(observed(running(**OVER), baseline(), live, iteration(1, session("Running"))))
    assert [one.phase for one in first.experiments[0].status.runs if one.kind == "reference"] == ["Withdrawn"]
    assert [one.reason for one in first.iterations[0].status.sessions] == ["LoopFinished"]
    assert not starts(first)
    assert not [one for one in first.actions if isinstance(one, Create)]
    second = decide(observed(running(**OVER), baseline(), *first.experiments, *first.iterations))
    assert roles(second) == [("Report", 0)]


def test_the_sessions_of_the_report_are_started_and_watched() -> None:
    pending = last(2, "Report", session("Pending", 2))
    assert starts(decide(seen({}, pending))) == ["demo-i0002-s1-a1"]
    assert starts(after(sessions.record, seen({"status": {**ENDING, "conditions": []}}, pending))) == []
    of = running(**OVER)
    status = decide(observed(of, baseline(), kept(), written(phase="Running"), workload("demo-i0002-s1-a1"))).status
    assert status is not None
    assert (status.phase, status.watchdog.agent.state) == ("Reporting", "Alive")


def test_what_is_to_be_checked_stays_open_until_the_end_is_stored() -> None:
    last_pass = decide(seen({}, claimed(), written(), checked()))
    assert [one.metadata.name for one in last_pass.iterations] == []
    complete = running(agent=LLM, status={"conditions": [condition("Accepted"), condition("Complete")]})
    found = decide(observed(complete, baseline(), kept(), claimed("Supported"), written(), checked())).iterations
    outcomes = {one.metadata.name: one.status.outcome for one in found}
    assert outcomes == {"demo-i0001": "Keep", "demo-i0002": "Neutral", "demo-i0003": "Neutral"}


def test_a_second_end_has_a_report_of_its_own_though_nobody_explored_in_between() -> None:
    """The end of the budget came in the middle of the conclusion; one of the first report's sessions is still open."""
    ended = condition("Complete", reason="BudgetExhausted")
    of = running(agent=LLM, status={"conditions": [condition("Accepted"), ended]})
    edited = of.model_copy(update={"metadata": of.metadata.model_copy(update={"generation": 2})})
    reports = [written(), last(3, "Check", session("Running", 3))]
    live = kept("demo-i0001-e1", run("final", "Running"))
    on = after(reopen.reopen, observed(edited, baseline(), live, iteration(outcome="Stale"), *reports))
    assert [(one.metadata.name, one.status.phase) for one in on.iterations] == [
        ("demo-i0002", "Settled"),
        ("demo-i0003", "Settled"),
    ]
    assert on.iterations[1].status.sessions[0].phase == "Finished"
    decision = after(report.write, observed(running(**OVER), baseline(), kept(), iteration(), *on.iterations))
    assert roles(decision) == [("Report", 0)]
    again = last(4, "Report", session("Finished", 4))
    complete = after(report.write, observed(running(**OVER), baseline(), kept(), iteration(), *on.iterations, again))
    assert the(complete, "Complete").status == "True"
