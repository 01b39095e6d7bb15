"""The chain as a whole: the end is final, what is decided together fits together, an idle loop costs no write."""

from __future__ import annotations

import pytest
from tests.support.builders import (
    attempt,
    baseline,
    condition,
    done,
    experiment,
    iteration,
    kept,
    run,
    running,
    session,
    workload,
)
from tests.support.deciding import observed, starts, stops, the

from rloop.actions import Create
from rloop.api.experiment import ResearchExperiment
from rloop.decide.chain import decide
from rloop.observed import Observed

OVER = [condition("Accepted"), condition("Complete", reason="TargetMet")]


def settled(seen: Observed) -> Observed:
    """The world after as many decisions as it takes until nothing changes."""
    for _ in range(20):
        decision = decide(seen)
        if not (decision.status or decision.experiments or decision.iterations):
            return seen
        seen = observed(
            seen.loop.model_copy(update={"status": decision.status or seen.loop.status}),
            *{**seen.experiments, **{one.metadata.name: one for one in decision.experiments}}.values(),
            *{**seen.iterations, **{one.metadata.name: one for one in decision.iterations}}.values(),
            *seen.workloads.values(),
        )
    raise AssertionError("it never comes to rest")


def test_the_same_facts_give_the_same_decision() -> None:
    seen = observed(running(), baseline(), experiment("demo-i0001-e1"), iteration(1, outcome="Stale"))
    assert decide(seen) == decide(seen)


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(experiment(), id="an experiment that was admitted in the last moment"),
        pytest.param(experiment("demo-i0001-e1", run(phase="Running")), id="a run that was about to start"),
        pytest.param(experiment("demo-i0001-e1", run(phase="Verifying")), id="a run that was about to be scored"),
    ],
)
def test_a_finished_loop_starts_nothing_and_closes_what_is_open(own: ResearchExperiment) -> None:
    decision = decide(observed(running(status={"conditions": OVER}), baseline(), own, iteration(1, session("Pending"))))
    assert starts(decision) == []
    assert not any(isinstance(one, Create) for one in decision.actions)
    assert decision.experiments[0].status.phase == "Withdrawn"
    assert all(one.phase == "Withdrawn" for one in decision.experiments[0].status.runs)
    assert decision.iterations[0].status.sessions[0].phase == "Finished"


def test_a_finished_loop_stays_finished_when_its_budget_is_raised() -> None:
    seen = settled(observed(running(status={"conditions": OVER}, budget__runs=1000), baseline(), kept()))
    assert the(decide(observed(running(status={"conditions": OVER}), baseline())), "Complete").reason == "TargetMet"
    assert starts(decide(seen)) == []


def test_what_the_same_decision_withdraws_is_not_started() -> None:
    final = done("final", *[-200.0] * 5, first=11)
    pending = experiment("demo-i0002-e1", run(phase="Running", attempts=[attempt("Pending")]), phase="Running")
    decision = decide(observed(running(), baseline(), kept("demo-i0001-e1", *final), pending))
    assert the(decision, "Complete").reason == "TargetMet"
    assert starts(decision) == []


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(
            observed(running(), baseline(), iteration(1, session("Running")), workload("demo-i0001-s1-a1")),
            id="an agent thinks",
        ),
        pytest.param(
            observed(
                running(),
                baseline(),
                experiment("demo-i0001-e1", run(phase="Running"), phase="Running"),
                iteration(1, session("Running")),
                workload("demo-i0001-e1-r1-a1"),
                workload("demo-i0001-s1-a1"),
            ),
            id="a run runs",
        ),
        pytest.param(observed(running(suspend=True), baseline(), iteration(1, outcome="Stale")), id="it is suspended"),
        pytest.param(observed(running(status={"conditions": OVER}), baseline(), kept()), id="it is finished"),
    ],
)
def test_an_idle_loop_costs_no_write_and_no_action(seen: Observed) -> None:
    decision = decide(settled(seen))
    assert decision.actions == ()
    assert decision.events == ()


def test_a_pass_later_the_pivot_is_demanded_before_the_next_iteration_opens() -> None:
    seen = observed(running(), baseline(), iteration(1, outcome="Stale"), iteration(2, session("Finished", 2)))
    first = decide(seen)
    assert not any(isinstance(one, Create) for one in first.actions)
    assert first.iterations[0].status.outcome == "Stale"
    second = decide(
        observed(
            running(status=dict(first.status or seen.loop.status)),
            baseline(),
            iteration(1, outcome="Stale"),
            *first.iterations,
        )
    )
    assert second.status is not None
    assert second.status.pivots == 1
    assert not any(isinstance(one, Create) for one in second.actions)


def test_a_withdrawn_workload_is_ended() -> None:
    own = experiment("demo-i0001-e1", run(phase="Withdrawn", attempts=[attempt("Running")]), phase="Withdrawn")
    decision = decide(observed(running(), baseline(), own, workload("demo-i0001-e1-r1-a1")))
    assert stops(decision) == {"demo-i0001-e1-r1-a1": "Withdrawn"}
