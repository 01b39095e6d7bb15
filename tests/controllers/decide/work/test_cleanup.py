"""Workloads that no record wants are ended, and forgotten once their end is stored; after the end all is closed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    attempt,
    condition,
    exited,
    experiment,
    iteration,
    kept,
    run,
    running,
    scoring,
    session,
    workload,
)
from tests.support.deciding import after, observed, stops

from rloop.actions import Remove
from rloop.decide.work import cleanup

RUN, SCORING, AGENT = "demo-i0001-e1-r1-a1", "demo-i0001-e1-r1-v1", "demo-i0001-s1-a1"
OVER = running(status={"conditions": [condition("Accepted"), condition("Complete", reason="BudgetExhausted")]})


@pytest.mark.parametrize(
    ("objects", "live", "ended"),
    [
        pytest.param([experiment("demo-i0001-e1", run(phase="Running"))], {}, [], id="what is wanted is left alone"),
        pytest.param(
            [experiment("demo-i0001-e1", run(phase="Withdrawn", attempts=[attempt("Running")]))],
            {RUN: "Withdrawn"},
            [],
            id="a withdrawn run is ended, and its end recorded before it is forgotten",
        ),
        pytest.param(
            [experiment("demo-i0001-e1", run(phase="Verifying"))],
            {RUN: "Withdrawn"},
            [RUN],
            id="a recorded attempt is forgotten",
        ),
        pytest.param([], {RUN: "Withdrawn"}, [RUN], id="nobody knows it"),
    ],
)
def test_workloads_of_runs(objects: list[Any], live: dict[str, str], ended: list[str]) -> None:
    assert stops(after(cleanup.clean, observed(running(), *objects, workload(RUN)))) == live
    decision = after(cleanup.clean, observed(running(), *objects, workload(RUN, exited())))
    assert [one.name for one in decision.actions if isinstance(one, Remove)] == ended


@pytest.mark.parametrize(
    ("phase", "scored", "expected"),
    [
        pytest.param("Verifying", None, {}, id="a scoring that is wanted"),
        pytest.param("Verifying", 0.5, {SCORING: "Withdrawn"}, id="one that has a result"),
        pytest.param("Withdrawn", None, {SCORING: "Withdrawn"}, id="one of a withdrawn run"),
    ],
)
def test_scorings(phase: Any, scored: float | None, expected: dict[str, str]) -> None:
    own = experiment("demo-i0001-e1", run(phase=phase, verifications=[scoring(scored)]))
    assert stops(after(cleanup.clean, observed(running(), own, workload(SCORING)))) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(session("Running"), {}, id="a running session"),
        pytest.param(session("Finished"), {AGENT: "Withdrawn"}, id="one that is over"),
        pytest.param(session("Running", attempt=2), {AGENT: "Withdrawn"}, id="a process that was replaced"),
    ],
)
def test_agents(own: Any, expected: dict[str, str]) -> None:
    assert stops(after(cleanup.clean, observed(running(), iteration(1, own), workload(AGENT)))) == expected


def test_after_the_end_everything_is_closed() -> None:
    own = experiment("demo-i0001-e1", run(phase="Running"), phase="Running")
    decision = after(cleanup.clean, observed(OVER, own, iteration(1, session("Running"))))
    (closed,) = decision.experiments
    assert (closed.status.phase, closed.status.runs[0].phase) == ("Withdrawn", "Withdrawn")
    assert closed.status.verdict is not None
    assert closed.status.verdict.reason == "BudgetExhausted"
    assert decision.iterations[0].status.sessions[0].phase == "Finished"


def test_an_iteration_is_closed_once_its_experiments_are_stored_as_closed() -> None:
    still_open = observed(OVER, experiment("demo-i0001-e1"), iteration(1))
    assert after(cleanup.clean, still_open).iterations == ()
    (closed,) = after(cleanup.clean, observed(OVER, experiment(phase="Withdrawn"), iteration(1))).iterations
    assert (closed.status.phase, closed.status.outcome) == ("Settled", "Neutral")


def test_the_baseline_is_closed_too() -> None:
    own = experiment("demo-b01", run("baseline", "Running"), phase="Running")
    assert after(cleanup.clean, observed(OVER, own)).experiments[0].status.phase == "Withdrawn"


def test_an_iteration_with_a_keep_ends_as_one() -> None:
    own = experiment("demo-i0001-e1", phase="Accepted", folded=True)
    assert after(cleanup.clean, observed(OVER, own, iteration(1))).iterations[0].status.outcome == "Keep"


def test_what_the_end_of_the_budget_withdraws_says_so_and_a_smoke_test_is_withdrawn_for_good() -> None:
    best = kept("demo-i0001-e1", run("final"), run("reference"))
    smoke = experiment("demo-i0001-e2", run("smoke"), kind="Smoke")
    found = {one.metadata.name: one.status for one in after(cleanup.clean, observed(OVER, best, smoke)).experiments}
    assert [one.reason for one in found["demo-i0001-e1"].runs if one.phase == "Withdrawn"] == ["BudgetExhausted"] * 2
    assert found["demo-i0001-e2"].verdict is not None
    assert found["demo-i0001-e2"].verdict.reason == "LoopFinished"
