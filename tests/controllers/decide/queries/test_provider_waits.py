"""Whether the campaign waits for its provider of a language model, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import LLM, baseline, iteration, running, session, usage
from tests.support.deciding import after, observed, the

from rloop.api.iteration import Reported, ResearchIteration
from rloop.decide.campaign.conditions import fold
from rloop.decide.chain import decide
from rloop.decide.draft import Draft
from rloop.decide.queries import provider_waits

WAITS = usage(waiting="ProviderDown", waiting_message="main answers 503")
LOST = session("Failed", reason="ProviderDown", infrastructure=True)


def of(number: int, one: Any, told: Any, **fields: Any) -> ResearchIteration:
    told = told.model_copy(update={"session": one.name}) if told else None
    return iteration(number, one, reported=Reported(usage=[told] if told else []), **fields)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        pytest.param([], None, id="no session"),
        pytest.param([of(1, session(), None)], None, id="a session that has not called"),
        pytest.param([of(1, session(), usage(calls=3))], None, id="one that is answered"),
        pytest.param([of(1, session(), WAITS)], "demo-i0001-s1", id="one that is not"),
        pytest.param([of(1, session("Finished"), WAITS)], None, id="one that the pivot ended while it waited"),
        pytest.param([of(1, LOST, WAITS, outcome="Void")], "demo-i0001-s1", id="in the pause after a lost one"),
        pytest.param(
            [of(1, LOST, WAITS, outcome="Void"), of(2, session(number=2), None)],
            "demo-i0001-s1",
            id="the next one has not called yet",
        ),
        pytest.param(
            [of(1, LOST, WAITS, outcome="Void"), of(2, session(number=2), usage(calls=1))],
            None,
            id="the next one is answered",
        ),
        pytest.param(
            [of(1, LOST, WAITS, outcome="Void"), of(2, session("Finished", 2), None, outcome="Stale")],
            None,
            id="what came after it had its say",
        ),
    ],
)
def test_what_the_campaign_waits_for(iterations: list[ResearchIteration], expected: str | None) -> None:
    found = provider_waits.waiting(Draft(observed(running(agent=LLM), *iterations)))
    assert (found.session if found else None) == expected


def test_another_agent_waits_for_no_provider() -> None:
    assert provider_waits.waiting(Draft(observed(running(), of(1, session(), WAITS)))) is None


@pytest.mark.parametrize(("reason", "person"), [("ProviderDown", False), ("ProviderRefused", True)])
def test_the_pause_after_a_lost_session_says_when_it_ends(reason: str, person: bool) -> None:
    lost = [session("Failed", n, reason=reason, infrastructure=True) for n in range(1, 8)]
    waits = usage(waiting=reason, waiting_message="main answers 401")
    seen = [of(n, one, waits, outcome="Void") for n, one in enumerate(lost, 1)]
    decision = decide(observed(running(agent=LLM), baseline(), *seen))
    found = the(decision, "Progressing")
    assert found.message == (
        "demo-i0007-s1: main answers 401; the next session opens at 2026-01-01 00:01:04 UTC, or at once after an edit "
        "or a restart of the campaign"
    )
    assert (the(decision, "Degraded").status == "True") is person
    later = decide(observed(running(agent=LLM), baseline(), *seen, of(8, session(number=8), None)))
    assert the(later, "Progressing").message == "demo-i0007-s1: main answers 401"


def test_it_is_told_as_progress_that_waits() -> None:
    decision = decide(observed(running(agent=LLM), of(1, session(), WAITS)))
    found = the(decision, "Progressing")
    assert (found.status, found.reason) == ("True", "WaitingForLLM")
    assert found.message == "demo-i0001-s1: main answers 503"
    assert the(decision, "Degraded").status == "False"
    assert decision.status is not None
    assert decision.status.display.phase == "Iterating:WaitingForLLM"


@pytest.mark.parametrize(
    "reason", ["ProviderRefused", "ProviderUnknown", "ModelUnknown", "PriceUnknown", "CapTooSmall"]
)
def test_what_does_not_pass_by_itself_is_degraded(reason: str) -> None:
    told = usage(waiting=reason, waiting_message="401: the key of main is not accepted")
    decision = after(fold, observed(running(agent=LLM), of(1, session(), told)))
    found = the(decision, "Degraded")
    assert (found.status, found.reason, found.message) == ("True", reason, f"demo-i0001-s1: {told.waiting_message}")
    assert the(decision, "Progressing").reason == "WaitingForLLM"
