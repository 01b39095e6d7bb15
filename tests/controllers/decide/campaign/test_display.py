"""The columns of kubectl get: short, and true."""

from typing import Any

import pytest
from tests.support.builders import condition, experiment, iteration, loop, running, verdict
from tests.support.deciding import after, experiment_after, observed, status_after

from rloop.api.loop_status import Best, BudgetStatus, Used
from rloop.decide.campaign import conditions, display
from rloop.decide.draft import Draft

ACCEPTED = condition("Accepted")


def fold_and_show(draft: Draft) -> None:
    conditions.fold(draft)
    display.show(draft)


@pytest.mark.parametrize(
    ("of", "phase"),
    [
        pytest.param(running(), "Iterating", id="nothing special"),
        pytest.param(loop(), "Pending", id="just applied"),
        pytest.param(
            running(status={"conditions": [condition("Accepted", "False", "InvalidSpec")], "sealed": None}),
            "Pending:InvalidSpec",
            id="refused",
        ),
        pytest.param(running(suspend=True), "Iterating:Suspended", id="suspended"),
        pytest.param(running(status={"pivots": 1}), "Iterating:PivotRequired", id="a pivot is demanded"),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("NeedsAttention", reason="Plateau")]}),
            "Iterating:NeedsAttention",
            id="a person should look",
        ),
        pytest.param(
            running(suspend=True, status={"conditions": [ACCEPTED, condition("Complete", reason="TargetMet")]}),
            "Complete:TargetMet",
            id="an end is the whole story",
        ),
        pytest.param(
            running(status={"conditions": [ACCEPTED, condition("Failed", reason="BaselineFailed")]}),
            "Failed:BaselineFailed",
            id="failed",
        ),
    ],
)
def test_the_phase_says_what_a_glance_must_not_miss(of: Any, phase: str) -> None:
    assert status_after(fold_and_show, observed(of, iteration(1))).display.phase == phase


@pytest.mark.parametrize(
    ("value", "unconfirmed", "told"),
    [
        pytest.param(0.016658888555555557, False, "0.01666", id="four digits"),
        pytest.param(0.016658888555555557, True, "0.01666?", id="one run is no claim"),
        pytest.param(123456.7, False, "123456.700", id="a large one"),
    ],
)
def test_numbers_are_short(value: float, told: str, *, unconfirmed: bool) -> None:
    best = Best(
        experiment="demo-i0001-e1",
        value=value,
        low=value,
        high=value,
        gain=value,
        n=1,
        unconfirmed=unconfirmed,
        verified_at=running().metadata.creation_timestamp or observed(running()).now,
    )
    shown = status_after(fold_and_show, observed(running(status={"best": best}))).display
    assert (shown.best, shown.gain) == (told, told.removesuffix("?"))


@pytest.mark.parametrize(
    ("limits", "used", "told"),
    [
        pytest.param({}, {"runs": 7}, "7 runs", id="no limit"),
        pytest.param({"budget__runs": 200}, {"runs": 97}, "97/200 runs", id="the only limit"),
        pytest.param(
            {"budget__runs": 200, "budget__activeSeconds": 900},
            {"runs": 20, "active_seconds": 625.4},
            "625/900 s",
            id="the nearest limit",
        ),
        pytest.param({"budget__runs": 0}, {}, "0/0 runs", id="nothing may be spent"),
        pytest.param({"budget__cost": "2.5"}, {"cost": 1.238}, "1.24/2.5 cost", id="money"),
        pytest.param({"budget__experiments": 1000000}, {"experiments": 3}, "3/1000000 experiments", id="many"),
    ],
)
def test_the_budget_is_told_by_its_nearest_limit(limits: dict[str, Any], used: dict[str, Any], told: str) -> None:
    status = {"budget": BudgetStatus(used=Used(**used))}
    assert status_after(display.show, observed(running(status=status, **limits))).display.budget == told


def test_an_experiment_is_told_once_it_has_a_verdict() -> None:
    def judge(draft: Draft) -> None:
        draft.write_experiment("demo-i0001-e1", verdict=verdict(value=0.37201234, gain=-0.000123456))
        display.show(draft)

    shown = experiment_after(judge, observed(running(), experiment())).status.display
    assert (shown.value, shown.gain) == ("0.3720", "-0.00012")
    assert after(display.show, observed(running(), experiment())).experiments == ()
