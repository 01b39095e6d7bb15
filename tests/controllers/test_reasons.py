"""Every reason to wait says who ends the wait, and Ready, Degraded and Stalled follow from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import loop, running, workload
from tests.support.deciding import after, observed
from tests.support.kstatus import kstatus

from rloop.decide.campaign import conditions
from rloop.decide.chain import decide
from rloop.observed import Obstacle
from rloop.reasons import Reason, needs_person

PERSON = sorted(reason for reason in Reason if reason.ended_by == "Person")
TIME = sorted(reason for reason in Reason if reason.ended_by == "Time")


def seen(of: object, decision: object) -> str:
    """What kstatus says after the decision is written."""
    status = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)  # type: ignore[attr-defined]
    return kstatus({"metadata": {"generation": of.metadata.generation}, "status": status})  # type: ignore[attr-defined]


@pytest.mark.parametrize("reason", PERSON)
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
def test_while_a_person_must_act_the_loop_is_not_ready(reason: Reason, accepted: bool) -> None:
    of = running() if accepted else loop()
    facts = observed(of, obstacles=(Obstacle(reason, "demo-b01", "do this"),), sealed=of.status.sealed)
    decision = after(conditions.fold, facts)
    assert decision.status is not None
    found = {one.type: (one.status, one.reason, one.message) for one in decision.status.conditions}
    told = (reason, "demo-b01: do this")
    assert found["Ready"] == ("False", *told)
    assert found["Degraded"] == found["Stalled"] == ("True", *told)
    assert seen(of, decision) == "Failed"
    if accepted:
        assert found["Progressing"] == ("False", *told)


@pytest.mark.parametrize("reason", TIME)
def test_what_passes_by_itself_leaves_the_loop_ready(reason: Reason) -> None:
    of = running()
    decision = after(conditions.fold, observed(of, obstacles=(Obstacle(reason, "demo-b01", "wait"),)))
    assert decision.status is not None
    found = {one.type: (one.status, one.reason) for one in decision.status.conditions}
    assert (found["Ready"][0], found["Degraded"][0], found["Stalled"][0]) == ("True", "False", "False")
    assert found["Progressing"] == ("True", reason)
    assert seen(of, decision) == "Current"


@given(st.text("abcXYZ", min_size=1).filter(lambda reason: reason not in frozenset(Reason)))
def test_an_unknown_reason_asks_for_a_person(reason: str) -> None:
    assert needs_person(reason)


def test_beside_what_still_runs_progress_is_told_too() -> None:
    of = running()
    facts = observed(
        of, workload("demo-b01-r1-a1"), obstacles=(Obstacle(Reason.QUOTA_EXCEEDED, "demo-b01", "raise it"),)
    )
    found = {one.type: one.status for one in after(conditions.fold, facts).status.conditions}  # type: ignore[union-attr]
    assert (found["Ready"], found["Progressing"]) == ("False", "True")


def test_the_trouble_is_over_when_its_cause_is() -> None:
    of = running()
    blocked = decide(observed(of, obstacles=(Obstacle(Reason.QUOTA_EXCEEDED, "demo-b01", "raise it"),)))
    assert blocked.status is not None
    later = of.model_copy(update={"status": blocked.status})
    decision = decide(observed(later))
    assert seen(later, decision) == "Current"
