"""Who checks a finding, when an iteration stops waiting for it, and what a checked one counts for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from tests.support.builders import (
    LLM,
    baseline,
    experiment,
    iteration,
    kept,
    moment,
    running,
    session,
    usage,
    verdict,
)
from tests.support.deciding import after, iteration_after, observed

from rloop.actions import Append, Create
from rloop.api.iteration import Finding, RefusedCall, Reported, ResearchIteration, SessionUsage
from rloop.decide.chain import decide
from rloop.decide.research import iteration as decide_iteration

OF_LLM: dict[str, Any] = {"agent": LLM}
OF_OWN: dict[str, Any] = {"agent": {"image": "mine", "command": ["./agent"]}}
OF_OWN_LLM: dict[str, Any] = {"agent": {**OF_OWN["agent"], **LLM}}


def claimed(checked: Literal["Supported", "Refuted"] | None = None) -> ResearchIteration:
    one = Finding(
        name="demo-i0001-f1",
        statement="so",
        evidence=["demo-b01"],
        session="demo-i0001-s1",
        at=moment(),
        checked=checked,
        checked_by=None if checked is None else "demo-i0002-s2",
    )
    return iteration(1, reported=Reported(findings=[one]))


def checking(
    checker: dict[str, Any], explorer: str = "Finished", usages: Sequence[SessionUsage] = ()
) -> ResearchIteration:
    check = session(**{"phase": "Finished", "number": 2, "index": 2, **checker})
    own = iteration(2, session(explorer, 2), check, reported=Reported(usage=list(usages)))  # type: ignore[arg-type]
    first, second = own.spec.sessions
    specs = [first, second.model_copy(update={"role": "Check", "max_experiments": 0})]
    return own.model_copy(update={"spec": own.spec.model_copy(update={"sessions": specs})})


def roles(decision: Any) -> list[tuple[str, int]]:
    (created,) = (one.object for one in decision.actions if isinstance(one, Create))
    assert isinstance(created, ResearchIteration)
    return [(one.role, one.max_experiments) for one in created.spec.sessions]


REFUSED = RefusedCall(tokens=500, cost="0")
EXPLORER = ("Investigate", 5)
CHECKER = ("Check", 0)


@pytest.mark.parametrize(
    ("given", "before", "expected"),
    [
        pytest.param(OF_LLM, [], [EXPLORER], id="there is nothing to check"),
        pytest.param(OF_LLM, [claimed()], [EXPLORER, CHECKER], id="a finding is checked beside the next explorers"),
        pytest.param(OF_LLM, [claimed("Refuted")], [EXPLORER], id="once"),
        pytest.param(OF_LLM, [claimed(), checking({})], [EXPLORER], id="a checker that said nothing had its time"),
        pytest.param(
            OF_LLM,
            [claimed(), checking({"reason": "ProviderDown", "infrastructure": True})],
            [EXPLORER, CHECKER],
            id="its provider was down",
        ),
        pytest.param(
            OF_LLM,
            [claimed(), checking({"phase": "Failed", "infrastructure": True})],
            [EXPLORER, CHECKER],
            id="its machine was lost",
        ),
        pytest.param(
            OF_LLM,
            [claimed(), checking({}, usages=[usage(number=2, calls=1), usage(2, 2, refused_call=REFUSED)])],
            [EXPLORER, CHECKER],
            id="it could not pay for a word",
        ),
        pytest.param(
            OF_LLM, [claimed(), checking({"reason": "PivotDemanded"})], [EXPLORER, CHECKER], id="a pivot ended it"
        ),
        pytest.param({}, [claimed()], [EXPLORER], id="a policy cannot check"),
        pytest.param(OF_OWN, [claimed()], [EXPLORER], id="nor do we ask it of an agent that we do not know"),
        pytest.param(OF_OWN_LLM, [claimed()], [EXPLORER], id="whatever it thinks with"),
    ],
)
def test_the_next_iteration_brings_a_checker_where_one_is_needed(
    given: dict[str, Any], before: list[ResearchIteration], expected: list[tuple[str, int]]
) -> None:
    # An iteration that only checked is settled before the next one opens.
    over = {"phase": "Settled", "outcome": "Stale", "settled_at": moment()}
    settled = [
        one if one.status.reported.findings else one.model_copy(update={"status": one.status.model_copy(update=over)})
        for one in before
    ]
    seen = observed(running(**given), baseline(), *settled)
    assert roles(after(decide_iteration.open_next, seen)) == expected


@pytest.mark.parametrize(
    ("given", "first", "second", "outcome"),
    [
        pytest.param(OF_LLM, claimed(), [], None, id="it waits for its check"),
        pytest.param(OF_LLM, claimed(), [checking({"phase": "Running"})], None, id="while the checker works"),
        pytest.param(OF_LLM, claimed("Supported"), [], "Finding", id="a supported finding is one"),
        pytest.param(OF_LLM, claimed("Refuted"), [], "Stale", id="a refuted one is none"),
        pytest.param(OF_LLM, claimed(), [checking({})], "Stale", id="nor is one to which nobody said a word"),
        pytest.param({}, claimed(), [], "Stale", id="a policy's campaign is as it was"),
        pytest.param(OF_OWN_LLM, claimed(), [], "Stale", id="and so is that of somebody else's agent"),
    ],
)
def test_outcome(
    given: dict[str, Any], first: ResearchIteration, second: list[ResearchIteration], outcome: str | None
) -> None:
    seen = observed(running(**given), baseline(), first, *second)
    assert iteration_after(decide_iteration.settle, seen).status.outcome == outcome


def test_a_verdict_counts_once_it_is_stored() -> None:
    """The end of a checker that this very pass sees may be older than its last verdict."""
    seen = observed(running(**OF_LLM), baseline(), claimed(), checking({"phase": "Running"}))
    decision = decide(seen)
    assert all(one.status.outcome is None for one in decision.iterations)


def test_a_kept_iteration_waits_too_so_that_the_ledger_has_the_verdict() -> None:
    of = running(**OF_LLM, status={"generation": 1})
    assert iteration_after(decide_iteration.settle, observed(of, baseline(), kept(), claimed())).status.phase == "Open"
    decision = decide(observed(of, baseline(), kept(), claimed("Supported")))
    (told,) = (one.body for one in decision.actions if isinstance(one, Append) and one.kind == "finding")
    assert (told["checked"], told["checkedBy"]) == ("Supported", "demo-i0002-s2")


def test_a_gain_is_more_than_a_finding() -> None:
    of = running(**OF_LLM, status={"generation": 1})
    found = iteration_after(decide_iteration.settle, observed(of, baseline(), kept(), claimed("Supported")))
    assert found.status.outcome == "Keep"


@pytest.mark.parametrize(
    ("checker", "outcome"),
    [({"reason": "ProviderDown", "infrastructure": True}, "Stale"), ({"phase": "Failed"}, "Stale")],
)
def test_a_checkers_fate_is_not_the_iterations(checker: dict[str, Any], outcome: str) -> None:
    proposed = experiment("demo-i0002-e1", phase="Rejected", verdict=verdict())
    seen = observed(running(**OF_LLM), baseline(), proposed, checking(checker))
    assert iteration_after(decide_iteration.settle, seen, 2).status.outcome == outcome


def test_a_campaign_that_ends_does_not_wait_for_a_check() -> None:
    of = running(**OF_LLM, budget__runs=5)
    complete = decide(observed(of, baseline(), claimed()))
    assert complete.status is not None
    ended = of.model_copy(update={"status": complete.status})
    closed = decide(observed(ended, baseline(), claimed()))
    assert [one.status.outcome for one in closed.iterations] == ["Neutral"]


def test_tokens_are_shared_with_the_checker() -> None:
    of = running(agent=LLM, budget__tokens=1000)
    decision = after(decide_iteration.open_next, observed(of, baseline(), claimed()))
    (created,) = (one.object for one in decision.actions if isinstance(one, Create))
    assert isinstance(created, ResearchIteration)
    assert [one.max_tokens for one in created.spec.sessions] == [500, 500]
