"""The ledger: what is final, once, and only after it is stored."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, direction, done, experiment, iteration, run, running, verdict
from tests.support.deciding import after, observed

from rloop.actions import Append
from rloop.api.iteration import Finding, Reported
from rloop.decide.campaign import ledger
from rloop.decide.draft import Decision, Draft

OVER = experiment("demo-i0001-e1", *done("screen", 2.0), phase="Rejected", verdict=verdict())


def keys(decision: Decision) -> list[str]:
    return [one.key for one in decision.actions if isinstance(one, Append)]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(OVER, ["experiment/demo-i0001-e1"], id="a stored verdict is final"),
        pytest.param(experiment("demo-i0001-e1", phase="Rejected", folded=True), [], id="it is told once"),
        pytest.param(experiment("demo-i0001-e1", run(phase="Running"), phase="Running"), [], id="an open one is not"),
        pytest.param(experiment("demo-i0001-e1", run(), phase="Accepted"), [], id="nor one with an open run"),
    ],
)
def test_experiments(own: Any, expected: list[str]) -> None:
    decision = after(ledger.append, observed(running(), own))
    assert keys(decision) == expected
    assert [one.status.folded for one in decision.experiments] == [True] * len(expected)


def test_directions_and_findings_follow_as_their_iteration_settles() -> None:
    finding = Finding(name="demo-i0001-f1", statement="so", evidence=["demo-i0001-e1"], session="demo-i0001-s1", at=NOW)
    own = iteration(1, reported=Reported(directions=[direction()], findings=[finding]))
    draft = Draft(observed(running(), own))
    ledger.append(draft)
    assert keys(draft.decision()) == []
    draft.write_iteration("demo-i0001", phase="Settled", outcome="Stale")
    ledger.append(draft)
    assert keys(draft.decision()) == ["direction/demo-i0001-d1", "finding/demo-i0001-f1"]


def test_an_unmeasured_baseline_is_no_entry_because_every_ledger_begins_with_its_value() -> None:
    ended = experiment("demo-b01", run("baseline", "Withdrawn"), phase="Withdrawn", verdict=verdict("BudgetExhausted"))
    assert keys(after(ledger.append, observed(running(), ended))) == []
    measured = experiment("demo-b01", *done("baseline", 1.0), phase="Accepted", verdict=verdict("Baseline"))
    assert keys(after(ledger.append, observed(running(), measured))) == ["experiment/demo-b01"]


def test_what_comes_back_in_this_pass_is_not_marked_as_told() -> None:
    ended = experiment("demo-i0001-e1", phase="Withdrawn", verdict=verdict("BudgetExhausted"))
    draft = Draft(observed(running(), ended))
    draft.write_experiment("demo-i0001-e1", phase="Queued", verdict=None)
    ledger.append(draft)
    (back,) = draft.decision().experiments
    assert not back.status.folded
