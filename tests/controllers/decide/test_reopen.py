"""A campaign whose budget was used up goes on with a larger one, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import baseline, condition, done, experiment, iteration, run, running, session, verdict
from tests.support.deciding import after, observed, the

from rloop.decide import ledger, reopen
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
    "demo-i0001-e3", run("screen", "Failed"), phase="Withdrawn", verdict=verdict("BudgetExhausted"), folded=True
)
OVER = iteration(1, session("Finished"), phase="Settled", outcome="Neutral")


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
