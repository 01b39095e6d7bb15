"""A campaign whose budget was used up goes on with a larger one, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from tests.support.builders import (
    BASELINE_VALUES,
    NOW,
    attempt,
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
    verdict,
)
from tests.support.deciding import after, observed, the

from rloop.actions import Append
from rloop.api.experiment import ResearchExperiment, Reservation, Run, RunKind
from rloop.api.loop_status import Best
from rloop.decide.campaign import ledger, reopen
from rloop.decide.chain import decide
from rloop.observed import Observed

WAITS = experiment(
    "demo-i0001-e1",
    *done("screen", 0.5),
    run("confirm", "Withdrawn", 2, reason="BudgetExhausted"),
    phase="Withdrawn",
    verdict=verdict("BudgetExhausted"),
    folded=True,
)
LOST = experiment("demo-i0001-e2", *done("screen", 2.0), phase="Rejected", verdict=verdict(), folded=True)
FAILED = experiment(
    "demo-i0001-e3",
    run("screen", "Failed"),
    run("confirm", "Withdrawn", 2, reason="BudgetExhausted"),
    phase="Withdrawn",
    verdict=verdict("BudgetExhausted"),
    folded=True,
)
OVER = iteration(1, session("Finished"), phase="Settled", outcome="Neutral")
OVER_AT = moment(1)
BEST = Best(experiment="demo-i0001-e1", value=0.5, low=0.5, high=0.5, gain=0.5, n=9, verified_at=NOW)


def ended(reason: str = "BudgetExhausted", generation: int = 2, **spec: Any) -> Observed:
    loop = running(status={"conditions": [condition("Accepted"), condition("Complete", reason=reason)]}, **spec)
    edited = loop.model_copy(update={"metadata": loop.metadata.model_copy(update={"generation": generation})})
    return observed(edited, baseline(), WAITS, LOST, FAILED, OVER)


@pytest.mark.parametrize(
    ("seen", "goes_on"),
    [
        pytest.param(ended(budget__runs=20), True, id="raised"),
        pytest.param(ended(budget__runs=20, generation=1), False, id="not edited"),
        pytest.param(ended(budget__runs=6), False, id="edited, and still used up"),
        pytest.param(ended("TargetMet", budget__runs=20), False, id="its target is met"),
        pytest.param(ended("SpaceExhausted", budget__runs=20), False, id="a budget gives no new points"),
    ],
)
def test_what_goes_on(seen: Observed, *, goes_on: bool) -> None:
    decision = after(reopen.reopen, seen)
    assert bool(decision.status) is goes_on
    if goes_on:
        assert the(decision, "Complete").status == "False"
        assert [one.reason for one in decision.events] == ["BudgetRaised"]


def test_what_was_undecided_comes_back_and_nothing_else() -> None:
    back = {one.metadata.name: one.status for one in after(reopen.reopen, ended(budget__runs=20)).experiments}
    assert set(back) == {"demo-i0001-e1"}
    (told,) = after(reopen.reopen, ended(budget__runs=20)).events
    assert told.message.endswith("continues with 1 undecided experiment")
    status = back["demo-i0001-e1"]
    assert (status.verdict, status.folded) == (None, False)
    assert [(one.kind, one.phase, one.reason) for one in status.runs] == [
        ("screen", "Done", None),
        ("confirm", "Queued", None),
    ]


def test_the_same_decision_goes_on_measuring() -> None:
    decision = decide(ended(budget__runs=20))
    assert decision.status is not None
    assert decision.status.phase == "Iterating"
    waiting = next(one for one in decision.experiments if one.metadata.name == "demo-i0001-e1")
    assert waiting.status.verdict is None
    assert waiting.status.runs[1].phase == "Running"


def test_the_ledger_has_an_entry_for_each_verdict() -> None:
    unfolded = WAITS.model_copy(update={"status": WAITS.status.model_copy(update={"folded": False})})
    seen = observed(running(), baseline(), unfolded)
    (first,) = after(ledger.append, seen).actions
    decided = unfolded.model_copy(
        update={"status": unfolded.status.model_copy(update={"phase": "Rejected", "verdict": verdict()})}
    )
    (second,) = after(ledger.append, observed(running(), baseline(), decided)).actions
    assert first != second
    assert getattr(first, "key", "").startswith("undecided/demo-i0001-e1/")
    assert getattr(second, "key", "") == "experiment/demo-i0001-e1"


def ended_for_its_budget(seen: Observed) -> Observed:
    """The world after so many passes that nothing changes any more."""
    for _ in range(20):
        decision = decide(seen)
        changed = {one.metadata.name: one for one in decision.experiments}
        iterations = {one.metadata.name: one for one in decision.iterations}
        status = decision.status or seen.loop.status
        if not changed and not iterations and status == seen.loop.status:
            break
        seen = replace(
            seen,
            loop=seen.loop.model_copy(update={"status": status}),
            experiments={**seen.experiments, **changed},
            iterations={**seen.iterations, **iterations},
        )
    (complete,) = (one for one in seen.loop.status.conditions if one.type == "Complete")
    assert (complete.status, complete.reason) == ("True", "BudgetExhausted")
    assert not any(run.phase == "Queued" for one in seen.experiments.values() for run in one.status.runs)
    return seen


def raised(seen: Observed) -> Observed:
    """The user pays for a thousand runs."""
    spec = seen.loop.spec.model_copy(update={"budget": seen.loop.spec.budget.model_copy(update={"runs": 1000})})
    metadata = seen.loop.metadata.model_copy(update={"generation": seen.loop.metadata.generation + 1})
    return replace(seen, loop=seen.loop.model_copy(update={"spec": spec, "metadata": metadata}))


def candidate(*runs: Run) -> ResearchExperiment:
    return experiment("demo-i0001-e2", *runs, phase="Running")


QUEUED: dict[RunKind, ResearchExperiment] = {
    "baseline": experiment("demo-b01", *done("baseline", 1.0, 1.1), *[run("baseline", number=n) for n in (3, 4, 5)]),
    "screen": candidate(run("screen")),
    "confirm": candidate(*done("screen", 0.1), run("confirm", number=2)),
    "audit": candidate(*done("screen", 0.1), *done("confirm", 0.1, 0.2, 0.1, first=2), run("audit", number=5)),
    "reference": kept("demo-i0001-e1", run("reference"), run("reference")),
    "final": kept("demo-i0001-e1", *done("final", 0.5, 0.4), *[run("final")] * 3),
    "smoke": experiment("demo-i0001-e2", run("smoke"), kind="Smoke"),
}


@pytest.mark.parametrize("tried", [False, True], ids=["new", "tried before"])
@pytest.mark.parametrize("kind", get_args(RunKind))
def test_a_larger_budget_brings_every_kind_of_run_back_as_it_was(kind: RunKind, *, tried: bool) -> None:
    own = QUEUED[kind]
    if tried:  # and its next attempt was not paid for
        before = {"attempts": [attempt("Failed", finished_at=OVER_AT)], "reservation": Reservation(runs=0)}
        runs = [one.model_copy(update=before) if one.phase == "Queued" else one for one in own.status.runs]
        own = own.model_copy(update={"status": own.status.model_copy(update={"runs": runs})})
    of = running(budget__runs=1, status={"baseline": None} if kind == "baseline" else None)
    first = [] if kind == "baseline" else [baseline()]
    best = [] if kind in ("baseline", "reference", "final") else [kept("demo-i0001-e1")]
    seen = observed(of, *first, *best, own, OVER)
    after_the_end = ended_for_its_budget(seen)
    back = {one.metadata.name: one for one in after(reopen.reopen, raised(after_the_end)).experiments}
    if kind == "smoke":
        assert not back, "its session is over"
        return
    assert set(back) == {own.metadata.name}
    found = back[own.metadata.name].status
    assert found.runs == own.status.runs
    assert found.verdict == own.status.verdict
    assert found.folded is own.status.folded or kind in ("reference", "final")


def test_a_baseline_that_comes_back_is_measured_with_all_its_runs_and_begins_the_ledger() -> None:
    of = running(budget__runs=2, status={"baseline": None})
    queued = [run("baseline", number=n) for n in (3, 4, 5)]
    own = experiment("demo-b01", *done("baseline", *BASELINE_VALUES[:2]), *queued, phase="Running")
    over = ended_for_its_budget(observed(of, own))
    on = decide(raised(over))
    assert on.status is not None
    assert (on.status.phase, on.status.baseline) == ("Baseline", None)
    assert not [one for one in on.actions if isinstance(one, Append)]
    (back,) = on.experiments
    assert [one.phase for one in back.status.runs] == ["Done", "Done", "Running", "Queued", "Queued"]


def test_an_incumbent_whose_final_runs_come_back_has_missed_nothing() -> None:
    of = running(budget__runs=5, objective__target="0.6", status={"best": BEST})
    over = ended_for_its_budget(observed(of, baseline(), kept("demo-i0001-e1"), OVER))
    on = decide(raised(over))
    assert on.status is not None
    assert (on.status.phase, on.status.misses, on.status.ending) == ("Concluding", 0, None)
    (own,) = on.experiments
    assert [one.phase for one in own.status.runs if one.kind == "final"] == ["Running", *["Queued"] * 4]
