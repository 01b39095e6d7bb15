"""What a session is shown: not its siblings while they work, and as a checker only claims and facts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.builders import baseline, direction, done, experiment, iteration, kept, moment, running, verdict
from tests.support.builders import session as a_session

from rloop.api.iteration import Finding, Handoff, Reported, ResearchIteration, Role
from rloop.campaign_state import Situation
from rloop.session_view import context, visibility


def finding(name: str, *evidence: str, session: str = "demo-i0001-s1", **fields: Any) -> Finding:
    return Finding(
        name=name, statement=f"statement of {name}", evidence=list(evidence), session=session, at=moment(), **fields
    )


def with_roles(one: ResearchIteration, *roles: Role) -> ResearchIteration:
    specs = [spec.model_copy(update={"role": role}) for spec, role in zip(one.spec.sessions, roles, strict=True)]
    return one.model_copy(update={"spec": one.spec.model_copy(update={"sessions": specs})})


def seen(own: ResearchIteration, index: int, *objects: Any) -> Situation:
    iterations = [own, *(one for one in objects if isinstance(one, ResearchIteration))]
    whole = Situation(
        loop=running(),
        iteration=own,
        session=own.spec.sessions[index - 1],
        iterations={one.metadata.name: one for one in iterations},
        experiments={one.metadata.name: one for one in objects if not isinstance(one, ResearchIteration)},
    )
    return visibility.of_session(whole)


FIRST, SECOND = "demo-i0001-s1", "demo-i0001-s2"
BOTH = Reported(
    directions=[direction(session=FIRST), direction("demo-i0001-s2-d1", at=5, session=SECOND, pivot=1)],
    findings=[finding("demo-i0001-f1", "demo-b01"), finding("demo-i0001-s2-f1", "demo-b01", session=SECOND)],
    handoffs=[Handoff(session=SECOND, text="secret words")],
    finished=[SECOND],
)
THEIRS = [experiment("demo-i0001-e1"), kept("demo-i0001-s2-e1")]


def siblings(**fields: Any) -> ResearchIteration:
    return iteration(1, a_session(), a_session("Finished", index=2), reported=BOTH, **fields)


def test_a_sibling_is_not_seen_while_the_iteration_is_open() -> None:
    own = seen(siblings(), 1, baseline(), *THEIRS)
    assert [one.name for one in own.directions] == ["demo-i0001-d1"]
    assert sorted(own.experiments) == ["demo-b01", "demo-i0001-e1"]
    assert own.incumbent is not None
    assert own.incumbent.metadata.name == "demo-b01", "not the sibling's keep"
    assert own.hidden == 1
    told = context.build(own, space=None, incumbent_files={}).model_dump_json()
    assert "s2" not in told
    assert "secret words" not in told


def test_the_second_does_not_see_the_first_either() -> None:
    own = seen(siblings(), 2, baseline(), *THEIRS)
    assert sorted(own.experiments) == ["demo-b01", "demo-i0001-s2-e1"]
    assert [one.name for one in own.directions] == ["demo-i0001-s2-d1"]


def test_what_is_written_is_the_whole() -> None:
    assert len(seen(siblings(), 1).iteration.status.reported.directions) == 2


def test_each_explorer_answers_a_demand_to_pivot_itself() -> None:
    demanded = running(status={"pivots": 1})
    whole = [Situation(demanded, siblings(), one, {"demo-i0001": siblings()}, {}) for one in siblings().spec.sessions]
    assert [visibility.of_session(one).pivot_demanded for one in whole] == [True, False]


def test_later_sessions_see_all_of_a_settled_iteration_and_of_an_open_one_of_others() -> None:
    for before in (siblings(), siblings(outcome="Stale")):
        later = seen(iteration(2, a_session(number=2)), 1, before, baseline(), *THEIRS)
        assert len(later.directions) == 2
        assert len(later.experiments) == 3


CLAIMED = iteration(
    1,
    a_session("Finished"),
    reported=Reported(
        directions=[direction(title="our great hope")],
        findings=[finding("demo-i0001-f1", "demo-i0001-e1"), finding("demo-i0001-f2", "demo-b01", checked="Refuted")],
        handoffs=[Handoff(session=FIRST, text="I believe in it")],
    ),
)
CHECKING = with_roles(iteration(2, a_session(number=2), a_session(number=2, index=2)), "Investigate", "Check")
LEDGER = [
    baseline(),
    kept("demo-i0001-e2"),
    experiment(
        "demo-i0001-e1",
        *done("screen", 0.75),
        *done("confirm", 0.5, first=2),
        phase="Rejected",
        verdict=verdict(compared_with="demo-i0001-e2", gain=-0.1, n=2, value=0.5, low=0.4, high=0.6),
    ),
    experiment("demo-i0001-e3", phase="Rejected", verdict=verdict(gain=0.1)),
]


def test_a_checker_sees_the_claims_and_the_facts_they_rest_on_and_nothing_else() -> None:
    own = seen(CHECKING, 2, CLAIMED, *LEDGER)
    told = context.build(own, space=None, incumbent_files={"recipe.json": "{}"})
    (claim,) = told.claims
    assert (claim.name, claim.statement) == ("demo-i0001-f1", "statement of demo-i0001-f1")
    (fact,) = claim.evidence
    unit = context.noise_unit(LEDGER[0])
    assert unit > 0
    assert (fact.name, fact.compared_with, fact.phase, len(fact.values)) == (
        "demo-i0001-e1",
        "demo-i0001-e2",
        "Rejected",
        2,
    )
    assert [one.name for one in told.results] == ["demo-i0001-e2"], "what it was compared with"
    text = told.model_dump_json(by_alias=True)
    for hidden in ("our great hope", "I believe in it", "demo-i0001-e3", "recipe.json", "Find a better recipe"):
        assert hidden not in text, hidden
    document = json.loads(text)
    assert document["objective"]["goal"] == "Minimize"
    assert document["session"]["role"] == "Check"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(CLAIMED, ["demo-i0001-f1"], id="what nobody has checked"),
        pytest.param(
            CLAIMED.model_copy(update={"status": CLAIMED.status.model_copy(update={"phase": "Settled"})}),
            [],
            id="what is settled is settled",
        ),
    ],
)
def test_claims(before: ResearchIteration, expected: list[str]) -> None:
    assert [one.name for one in visibility.claims(seen(CHECKING, 2, before))] == expected


def test_nobody_checks_the_findings_of_its_own_iteration() -> None:
    own = CHECKING.model_copy(
        update={
            "status": CHECKING.status.model_copy(
                update={"reported": Reported(findings=[finding("demo-i0002-f1", "demo-b01")])}
            )
        }
    )
    assert visibility.claims(seen(own, 2)) == []


def test_an_explorer_is_shown_what_was_refuted_and_why() -> None:
    refuted = finding(
        "demo-i0001-f1", "demo-b01", checked="Refuted", reason="within the noise", checked_by="demo-i0002-s2"
    )
    before = iteration(1, outcome="Stale", reported=Reported(findings=[refuted]))
    told = context.build(seen(iteration(3, a_session(number=3)), 1, before), space=None, incumbent_files={})
    assert [(one.checked, one.reason) for one in told.findings] == [("Refuted", "within the noise")]
