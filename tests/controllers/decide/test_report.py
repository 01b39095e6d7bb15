"""Who writes the report, who checks it, and when nobody does: the campaign is Complete in any case."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.decide.test_findings import claimed, roles
from tests.support.builders import (
    LLM,
    baseline,
    condition,
    iteration,
    kept,
    moment,
    run,
    running,
    session,
    usage,
    workload,
)
from tests.support.deciding import after, observed, starts, the

from rloop.actions import Create
from rloop.api.iteration import Reported, ResearchIteration, Role, SessionStatus
from rloop.api.loop_status import Ending
from rloop.decide import report
from rloop.decide.chain import decide
from rloop.observed import Observed

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
        pytest.param({"suspend": True}, [iteration()], None, id="not while it is suspended"),
        pytest.param({}, [written(reason="Held")], [("Report", 0)], id="who was held has another turn"),
        pytest.param({}, [claimed(), written(phase="Failed", reason="Error")], [("Check", 0)], id="a writer that died"),
        pytest.param({}, [claimed(), written(reason="WaitingForLLM")], COMPLETE, id="no result waits for a provider"),
        pytest.param({"agent": {"policy": {"name": "random-search"}}}, [], COMPLETE, id="a policy writes none"),
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
    spent = iteration(9, reported=Reported(usage=[usage(number=9, output_tokens=1, cost="0.1")]))
    decision = after(report.write, seen(given, *before, spent))
    if expected == COMPLETE:
        complete = the(decision, "Complete")
        assert (complete.status, complete.reason, complete.message) == ("True", "TargetMet", "it is")
        assert decision.status is not None
        assert decision.status.ending is None
    elif expected is None:
        assert decision == after(lambda _: None, seen(given, *before, spent))
    else:
        assert roles(decision) == expected


def seen(given: dict[str, Any], *iterations: ResearchIteration) -> Observed:
    return observed(running(**{**OVER, **given}), baseline(), kept(), *iterations, now=moment(20))


def test_a_campaign_in_which_nothing_was_proposed_has_nothing_to_report() -> None:
    assert the(after(report.write, observed(running(**OVER), baseline())), "Complete").status == "True"


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
