"""Plateau and pivot: what counts as stale, when the frame must change, and what that ends."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import SEALED, baseline, direction, experiment, iteration, kept, run, running, session
from tests.support.deciding import after, experiment_after, iteration_after, observed, status_after, the, told

from rloop.api.iteration import Reported, ResearchIteration
from rloop.decide.research import plateau
from rloop.names import ANNOTATION_PIVOT

ASKED = {"annotations": {ANNOTATION_PIVOT: "now"}}


@pytest.mark.parametrize(
    ("iterations", "keeps", "expected"),
    [
        pytest.param([iteration(1, outcome="Stale"), iteration(2, outcome="Stale")], 0, 2, id="stale ones add up"),
        pytest.param([iteration(1, outcome="Stale"), iteration(2, outcome="Neutral")], 0, 1, id="neutral ones do not"),
        pytest.param([iteration(1, outcome="Stale"), iteration(2, outcome="Void")], 0, 1, id="void ones do not"),
        pytest.param([iteration(1, outcome="Stale")], 1, 0, id="a keep sets the count to 0 at once"),
        pytest.param([iteration(2, outcome="Stale", keeps_at_settlement=1)], 1, 1, id="after it they count again"),
    ],
)
def test_stale_count(iterations: list[ResearchIteration], keeps: int, expected: int) -> None:
    best = [kept()] if keeps else []
    status = status_after(plateau.count, observed(running(), baseline(), *best, *iterations))
    assert (status.stale_count, status.generation) == (expected, keeps)


STALE = [iteration(1, outcome="Stale"), iteration(2, outcome="Stale")]


@pytest.mark.parametrize(
    ("given", "iterations", "pivots"),
    [
        pytest.param({}, STALE, 1, id="two stale iterations force a pivot"),
        pytest.param({}, STALE[:1], 0, id="one does not"),
        pytest.param({"stall__pivotAfter": 1}, STALE[:1], 1, id="unless the spec says so"),
        pytest.param({"status": {"pivots": 1}}, STALE, 1, id="a pivot is not demanded twice for the same plateau"),
        pytest.param(
            {"status": {"pivots": 1}},
            [*STALE, iteration(3, outcome="Stale", generation=1)],
            1,
            id="nor while the first demand is not answered",
        ),
        pytest.param(
            {"status": {"pivots": 1}},
            [*STALE, iteration(3, outcome="Stale", generation=1, reported=Reported(directions=[direction(pivot=1)]))],
            2,
            id="a frame that was tried in vain is left again",
        ),
        pytest.param(ASKED, [], 1, id="the director may ask for one"),
        pytest.param({**ASKED, "status": {"phase": "Concluding"}}, [], 0, id="not while the target is confirmed"),
        pytest.param({"status": {"baseline": None}, **ASKED}, [], 0, id="not before there is a baseline"),
    ],
)
def test_pivot(given: dict[str, Any], iterations: list[ResearchIteration], pivots: int) -> None:
    decision = after(plateau.pivot, observed(running(**given), baseline(), *iterations))
    before = (given.get("status") or {}).get("pivots", 0)
    assert (decision.status.pivots if decision.status else before) == pivots
    assert told(decision) == (["PivotForced"] if pivots > before else [])


ONE_FRAME = {"sealed": SEALED.changed(one_frame=True)}


def test_in_a_space_with_one_frame_a_plateau_forces_no_pivot() -> None:
    assert after(plateau.pivot, observed(running(status=ONE_FRAME), baseline(), *STALE)).status is None
    stuck = [iteration(number, outcome="Stale") for number in range(1, 5)]
    conditions = status_after(plateau.count, observed(running(status=ONE_FRAME), baseline(), *stuck)).conditions
    assert next(one.status for one in conditions if one.type == "NeedsAttention") == "True"


def test_there_a_request_is_answered_and_has_no_effect() -> None:
    decision = after(plateau.pivot, observed(running(**ASKED, status=ONE_FRAME), baseline()))
    assert decision.status is not None
    assert (decision.status.pivots, decision.status.last_handled.pivot) == (0, "now")
    assert told(decision) == ["PivotImpossible"]


def test_a_request_is_told_as_yours() -> None:
    decision = after(plateau.pivot, observed(running(**ASKED), baseline()))
    assert decision.events[0].message == "pivot 1: requested by the user; the next direction must change the frame"


def test_one_request_of_the_director_is_one_pivot() -> None:
    first = status_after(plateau.pivot, observed(running(**ASKED), baseline()))
    again = running(**ASKED).model_copy(update={"status": first})
    assert after(plateau.pivot, observed(again, baseline())).status is None


def test_a_pivot_ends_sessions_and_unstarted_screens_of_before() -> None:
    seen = observed(
        running(status={"pivots": 1}),
        baseline(),
        iteration(1, session("Running")),
        experiment("demo-i0001-e1", run()),
        experiment("demo-i0001-e2", run(phase="Running"), phase="Running"),
    )
    assert iteration_after(plateau.withdraw, seen).status.sessions[0].reason == "PivotDemanded"
    assert experiment_after(plateau.withdraw, seen).status.phase == "Withdrawn"
    assert experiment_after(plateau.withdraw, seen, "demo-i0001-e2").status.phase == "Running"


def test_what_opened_after_the_pivot_goes_on() -> None:
    of, own = running(status={"pivots": 1}), experiment("demo-i0001-e1", run())
    decision = after(plateau.withdraw, observed(of, own, iteration(1, session("Running"), pivots=1)))
    assert decision.experiments == ()
    assert decision.iterations == ()


@pytest.mark.parametrize(
    ("iterations", "reason"),
    [
        pytest.param([iteration(n, outcome="Stale") for n in (1, 2, 3)], "None", id="three stale ones are not enough"),
        pytest.param([iteration(n, outcome="Stale") for n in (1, 2, 3, 4)], "Plateau", id="four call for a person"),
        pytest.param(
            [iteration(n, outcome="Void") for n in (1, 2, 3)], "InfrastructureFailing", id="so do three lost ones"
        ),
        pytest.param(
            [
                iteration(n, session("Failed", n, reason="ProviderDown", infrastructure=True), outcome="Void")
                for n in (1, 2, 3)
            ],
            "None",
            id="a provider that is down is another story",
        ),
        pytest.param(
            [iteration(1, outcome="Void"), iteration(2, outcome="Stale"), iteration(3, outcome="Void")],
            "None",
            id="lost ones must follow each other",
        ),
    ],
)
def test_attention(iterations: list[ResearchIteration], reason: str) -> None:
    assert the(after(plateau.count, observed(running(), baseline(), *iterations)), "NeedsAttention").reason == reason
