"""The story in conditions, phase, counts and last results."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from tests.support.builders import baseline, condition, direction, experiment, iteration, loop, run, running, verdict
from tests.support.deciding import after, observed, status_after

from rloop.api.iteration import Reported
from rloop.decide.campaign import conditions

ACCEPTED = condition("Accepted")


@pytest.mark.parametrize(
    ("of", "phase", "expected"),
    [
        pytest.param(loop(), "Pending", {"Ready": "Unknown", "Stalled": "False"}, id="it was just applied"),
        pytest.param(running(status={"baseline": None}), "Baseline", {"Ready": "True"}, id="the baseline is measured"),
        pytest.param(running(), "Iterating", {"Ready": "True", "Progressing": "True"}, id="agents work"),
        pytest.param(
            running(suspend=True),
            "Iterating",
            {"Ready": "True", "Suspended": "True", "Progressing": "False"},
            id="a suspended loop is healthy, and says that it is suspended",
        ),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("Complete", reason="BudgetExhausted")]}),
            "Complete",
            {"Ready": "True", "Complete": "True", "Failed": "False", "Finished": "True", "Progressing": "False"},
            id="a campaign that ends without its target has completed",
        ),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("Failed", reason="BaselineFailed")]}),
            "Failed",
            {"Ready": "False", "Stalled": "True", "Finished": "True"},
            id="a failed one needs a person",
        ),
        pytest.param(
            running(status={"conditions": [condition("Accepted", "False", "InvalidSpec")], "sealed": None}),
            "Pending",
            {"Ready": "False", "Stalled": "True", "Degraded": "True", "Finished": "False"},
            id="so does a wrong spec",
        ),
        pytest.param(running(status={"pivots": 1}), "Iterating", {"PlateauDetected": "True"}, id="a pivot is demanded"),
    ],
)
def test_story(of: Any, phase: str, expected: dict[str, str]) -> None:
    status = status_after(conditions.fold, observed(of))
    assert status.phase == phase
    found = {one.type: one.status for one in status.conditions}
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(("end", "reason"), [("Complete", "BudgetExhausted"), ("Failed", "BaselineFailed")])
def test_one_condition_says_that_the_campaign_is_over_whatever_its_end(end: str, reason: str) -> None:
    of = running(status={"conditions": [ACCEPTED, condition(end, reason=reason)]})
    found = {one.type: (one.status, one.reason) for one in status_after(conditions.fold, observed(of)).conditions}
    assert found["Finished"] == ("True", reason)


def test_while_final_runs_are_made_it_concludes() -> None:
    assert status_after(conditions.fold, observed(running(), baseline(run("final")))).phase == "Concluding"


def test_an_answered_pivot_is_no_plateau() -> None:
    answered = iteration(2, reported=Reported(directions=[direction("demo-i0002-d1", pivot=1)]))
    status = status_after(conditions.fold, observed(running(status={"pivots": 1}), answered))
    assert next(one.status for one in status.conditions if one.type == "PlateauDetected") == "False"
    assert status.current_direction is not None
    assert status.current_direction.name == "demo-i0002-d1"


def test_transition_time_moves_only_with_the_status() -> None:
    first = running().model_copy(update={"status": status_after(conditions.fold, observed(running()))})
    assert after(conditions.fold, observed(first, now=observed(first).now.replace(hour=5))).status is None


def test_only_the_last_twenty_results_are_shown() -> None:
    many = [experiment(f"demo-i0001-e{n}", phase="Rejected", verdict=verdict(), folded=True) for n in range(1, 31)]
    status = status_after(conditions.fold, observed(running(), *many))
    assert len(status.recent) == 20
    assert status.experiments.rejected == 30


@pytest.mark.parametrize(
    ("seen", "inputs"),
    [
        pytest.param(None, 0, id="the first words are no change"),
        pytest.param("Other words.", 1, id="later ones are a directional input"),
        pytest.param("Find a better recipe.", 0, id="the same words are none"),
    ],
)
def test_directional_inputs(seen: str | None, inputs: int) -> None:
    of = running(status={"direction_sha256": seen and sha256(seen.encode()).hexdigest()})
    assert status_after(conditions.fold, observed(of)).directional_inputs == inputs


@pytest.mark.parametrize(
    ("of", "reasons"),
    [
        pytest.param(running(suspend=True), ["Suspended"], id="suspended"),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("Suspended")]}), ["Resumed"], id="resumed by its user"
        ),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("Suspended"), condition("Complete")]}),
            [],
            id="a finished one is neither",
        ),
        pytest.param(running(status={"direction_sha256": "0" * 64}), ["DirectionEdited"], id="new words"),
    ],
)
def test_what_the_director_did_is_told(of: Any, reasons: list[str]) -> None:
    assert [one.reason for one in after(conditions.fold, observed(of)).events] == reasons


def test_experiments_that_somebody_deleted_are_told_once() -> None:
    many = [experiment(f"demo-i0001-e{n}", phase="Rejected", verdict=verdict(), folded=True) for n in (1, 2, 3)]
    first = running().model_copy(update={"status": status_after(conditions.fold, observed(running(), *many))})
    decision = after(conditions.fold, observed(first, many[0]))
    assert [one.reason for one in decision.events] == ["ExperimentsMissing"]
    assert decision.status is not None
    assert "2 experiments of the campaign" in decision.status.watchdog.evidence[-1]
    later = first.model_copy(update={"status": decision.status})
    assert after(conditions.fold, observed(later, many[0])).events == ()
