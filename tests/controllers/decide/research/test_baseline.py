"""The baseline: created once, measured with all its runs, and its failure is the end."""

from __future__ import annotations

import pytest
from tests.support.builders import (
    BASELINE_VALUES,
    attempt,
    done,
    exited,
    experiment,
    moment,
    run,
    running,
    scoring,
    workload,
)
from tests.support.deciding import after, experiment_after, observed, starts, status_after, the, told

from rloop.actions import Create
from rloop.api.experiment import Reservation, Usage
from rloop.decide.chain import decide
from rloop.decide.research import baseline

UNMEASURED = {"baseline": None}


def test_it_is_an_experiment_of_the_untouched_task() -> None:
    (action,) = after(baseline.measure, observed(running(status=UNMEASURED))).actions
    assert isinstance(action, Create)
    assert action.object.metadata.name == "demo-b01"
    assert action.object.spec.loop_name == "demo"


def test_it_gets_as_many_runs_as_the_spec_says_each_with_a_seed_of_its_own() -> None:
    seen = observed(running(status=UNMEASURED, evaluation__baselineRuns=4), experiment("demo-b01"))
    found = experiment_after(baseline.measure, seen, "demo-b01").status
    assert [(one.kind, one.phase) for one in found.runs] == [("baseline", "Queued")] * 4
    assert len({one.seed for one in found.runs}) == 4
    assert found.phase == "Running"


@pytest.mark.parametrize("phase", ["Queued", "Running", "Verifying"])
def test_it_waits_for_the_last_run(phase: str) -> None:
    last = run("baseline", phase, 5)  # type: ignore[arg-type]
    seen = observed(running(status=UNMEASURED), experiment("demo-b01", *done("baseline", 1, 2, 3, 4), last))
    assert status_after(baseline.measure, seen).baseline is None


@pytest.mark.parametrize(
    ("values", "spread", "deterministic"),
    [
        pytest.param((1.0, 2.0, 3.0, 4.0, 5.0), 1.5811, False, id="runs that differ give the noise between runs"),
        pytest.param((2.0,) * 5, 0.0, True, id="equal runs mean a deterministic task"),
    ],
)
def test_value_and_noise(values: tuple[float, ...], spread: float, deterministic: bool) -> None:
    seen = observed(running(status=UNMEASURED), experiment("demo-b01", *done("baseline", *values), phase="Running"))
    found = status_after(baseline.measure, seen)
    assert found.baseline is not None
    assert found.best is not None
    assert found.baseline.value == pytest.approx(sum(values) / 5)
    assert found.baseline.stddev == pytest.approx(spread, abs=1e-4)
    assert found.baseline.deterministic is deterministic
    assert (found.best.experiment, found.best.gain, found.best.n) == ("demo-b01", 0.0, 5)
    own = experiment_after(baseline.measure, seen, "demo-b01").status
    assert own.phase == "Accepted"
    (event,) = after(baseline.measure, seen).events
    for text in (event.message, own.verdict.message if own.verdict else ""):
        assert ("RLOOP_SEED may be unused" in text) is deterministic


@pytest.mark.parametrize("reason", ["Baseline", "BaselineFailed"])
def test_a_verdict_that_was_stored_before_the_status_of_the_loop_keeps_its_time(reason: str) -> None:
    """A crash between the two writes: the ledger may have the stored verdict already."""
    last = done("baseline", 3, first=3) if reason == "Baseline" else [run("baseline", "Failed", 3, reason="Error")]
    runs = [*done("baseline", 1, 2), *last]
    seen = observed(running(status=UNMEASURED, evaluation__baselineRuns=len(runs)), experiment("demo-b01", *runs))
    first = experiment_after(baseline.measure, seen, "demo-b01")
    assert first.status.verdict is not None
    assert first.status.verdict.reason == reason
    again = observed(running(status=UNMEASURED, evaluation__baselineRuns=len(runs)), first, now=moment(600))
    found = experiment_after(baseline.measure, again, "demo-b01")
    assert found.status == first.status


def test_a_run_that_fails_ends_the_campaign_and_says_why() -> None:
    broken = run("baseline", "Failed", 2, reason="Error", attempts=[attempt("Failed", exit_code=1, log_tail="boom")])
    own = experiment("demo-b01", *done("baseline", 1), broken, run("baseline", "Queued", 3), phase="Running")
    decision = decide(observed(running(status=UNMEASURED, evaluation__baselineRuns=3), own))
    assert the(decision, "Failed").reason == "BaselineFailed"
    assert "boom" in the(decision, "Failed").message
    assert starts(decision) == []
    assert "BaselineFailed" in told(decision)


def test_a_failed_check_of_the_untouched_task_is_named() -> None:
    checks = [{"name": "legal", "passed": False, "detail": "state 3 is missing"}]
    broken = run("baseline", "Failed", 1, reason="CheckFailed", verifications=[scoring(1.0, checks=checks)])
    own = experiment("demo-b01", broken, *done("baseline", 1, 1, first=2))
    decision = after(baseline.measure, observed(running(status=UNMEASURED, evaluation__baselineRuns=3), own))
    assert 'check "legal" failed: state 3 is missing' in the(decision, "Failed").message


def test_once_measured_it_is_left_alone() -> None:
    own = experiment("demo-b01", *done("baseline", *BASELINE_VALUES), phase="Accepted")
    decision = after(baseline.measure, observed(running(), own))
    assert decision.actions == ()
    assert decision.experiments == ()
    assert decision.status is None


@pytest.mark.parametrize("scored", [0, 1, 2, 4])
def test_what_was_withdrawn_is_measured_again_before_there_is_a_noise(scored: int) -> None:
    withdrawn = [run("baseline", "Withdrawn", number) for number in range(scored + 1, 6)]
    own = experiment("demo-b01", *done("baseline", *BASELINE_VALUES[:scored]), *withdrawn, phase="Running")
    decision = after(baseline.measure, observed(running(status=UNMEASURED), own))
    assert decision.status is None
    asked = [one.phase for one in decision.experiments[0].status.runs]
    assert (asked.count("Done"), asked.count("Queued")) == (scored, 5 - scored)


def test_a_run_whose_retry_the_budget_does_not_pay_is_no_failure_of_the_task() -> None:
    spent = {"reservation": Reservation(cpu_seconds=60), "attempts": [attempt("Succeeded", usage=Usage(cpu_seconds=5))]}
    measured = [one.model_copy(update=spent) for one in done("baseline", *BASELINE_VALUES[:4])]
    fifth = run("baseline", "Running", 5, reservation=Reservation(cpu_seconds=60))
    own = experiment("demo-b01", *measured, fifth, phase="Running")
    crash = workload("demo-b01-r5-a1", exited("Error", 1, usage=Usage(cpu_seconds=50)))
    seen = observed(running(status=UNMEASURED, budget__cpuSeconds=120), own, crash)
    decision = decide(seen)
    assert the(decision, "Failed").status == "False"
    assert (the(decision, "Complete").reason, told(decision)) == (
        "BudgetExhausted",
        ["AttemptFailed", "BudgetExhausted"],
    )
    assert "cpuSeconds" in the(decision, "Complete").message
