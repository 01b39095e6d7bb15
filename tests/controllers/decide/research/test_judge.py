"""Judging candidates: what is asked for, what is kept, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import attempt, baseline, condition, done, experiment, kept, run, running, scoring
from tests.support.deciding import after, experiment_after, observed, status_after, told

from rloop.api.experiment import MAX_RUNS, ResearchExperiment, Run, Usage
from rloop.decide.research import judge

GOOD = [*done("screen", 0.3), *done("confirm", 0.31, 0.3, 0.29, first=2), *done("audit", *[0.3, 0.31] * 3, first=5)]


def judged(of: Any, *own: Run, **fields: Any) -> ResearchExperiment:
    return experiment_after(judge.judge, observed(of, baseline(), experiment("demo-i0001-e1", *own, **fields)))


@pytest.mark.parametrize(
    ("own", "kinds"),
    [
        pytest.param([], ["screen"], id="a new candidate gets one screening run"),
        pytest.param(done("screen", 0.5), ["screen", "confirm"], id="a promising one gets a run to confirm it"),
        pytest.param(GOOD[:4], ["screen", *["confirm"] * 3, *["audit"] * 6], id="a confirmed one is audited"),
        pytest.param([run("screen", "Running")], ["screen"], id="what runs is waited for"),
    ],
)
def test_runs_are_asked_for_one_step_at_a_time(own: list[Run], kinds: list[str]) -> None:
    assert [one.kind for one in judged(running(), *own).status.runs] == kinds


def test_a_confirmation_brings_a_run_of_the_incumbent() -> None:
    seen = observed(running(), baseline(), experiment("demo-i0001-e1", *done("screen", 0.5)))
    found = experiment_after(judge.judge, seen, "demo-b01").status.runs
    assert [one.kind for one in found[5:]] == ["reference"]


def test_reference_runs_never_take_the_places_of_the_final_ones() -> None:
    full = baseline(*[run("reference", "Failed") for _ in range(MAX_RUNS - 8)])
    seen = observed(running(), full, experiment("demo-i0001-e1", *done("screen", 0.5)))
    assert len(experiment_after(judge.judge, seen, "demo-b01").status.runs) == MAX_RUNS - 3
    assert len(experiment_after(judge.judge, seen).status.runs) == 2


@pytest.mark.parametrize(
    ("spec", "own", "phase", "reason"),
    [
        pytest.param({}, done("screen", 1.2), "Rejected", "BelowScreen", id="a worse value is rejected at once"),
        pytest.param({}, GOOD, "Accepted", "Kept", id="a confirmed gain is kept"),
        pytest.param({"objective__goal": "Maximize"}, GOOD, "Rejected", "NotBetter", id="the goal has a direction"),
        pytest.param(
            {"objective__minimumGain": "0.9"}, GOOD, "Rejected", "BelowMinimumGain", id="a gain may be too small"
        ),
        pytest.param(
            {"objective__guardrails": [{"metric": "run.wallSeconds", "max": "1"}]},
            [one.model_copy(update={"attempts": [attempt("Succeeded", usage=Usage(wall_seconds=2))]}) for one in GOOD],
            "Rejected",
            "GuardrailBroken",
            id="a gain that breaks a guardrail is none",
        ),
        pytest.param(
            {"objective__guardrails": [{"metric": "size", "max": "1"}]},
            GOOD,
            "Rejected",
            "GuardrailBroken",
            id="a guardrail on a metric that the verdict lacks is broken",
        ),
        pytest.param(
            {}, done("screen", 0.3) + done("confirm", 0.3, first=2), "Invalid", "SeedIgnored", id="a fixed seed"
        ),
        pytest.param({}, [run("screen", "Failed", reason="Error")], "Failed", "Error", id="a run that failed"),
        pytest.param(
            {}, [run("screen", "Failed", reason="CheckFailed")], "Invalid", "CheckFailed", id="a failed check"
        ),
        pytest.param(
            {"evaluation__acceptance": "Provisional"},
            done("screen", 0.9),
            "Accepted",
            "Kept",
            id="provisional: one run",
        ),
    ],
)
def test_verdict(spec: dict[str, Any], own: list[Run], phase: str, reason: str) -> None:
    found = judged(running(**spec), *own).status
    assert found.verdict is not None
    assert (found.phase, found.verdict.reason) == (phase, reason)
    assert not any(one.phase in ("Queued", "Running", "Verifying") for one in found.runs)


def test_the_value_of_a_keep_leaves_the_screening_run_out() -> None:
    lucky = [*done("screen", -5.0), *GOOD[1:]]
    seen = observed(running(), baseline(), experiment("demo-i0001-e1", *lucky))
    status = status_after(judge.judge, seen)
    assert status.best is not None
    assert status.best.value == pytest.approx(sum(one.value or 0 for one in GOOD[1:]) / 9)
    assert (status.best.n, status.best.experiment) == (9, "demo-i0001-e1")
    assert status.best.gain == pytest.approx(1.0 - status.best.value)


def test_at_most_one_is_kept_in_a_decision() -> None:
    """Two writes may be torn apart by a crash: a second keep would stand without the first."""
    both = [experiment("demo-i0001-e1", *GOOD), experiment("demo-i0001-e2", *GOOD)]
    decision = after(judge.judge, observed(running(), baseline(), *both))
    assert [one.metadata.name for one in decision.experiments if one.status.phase == "Accepted"] == ["demo-i0001-e1"]
    assert told(decision) == ["BestUpdated"]


def test_a_gain_over_an_older_incumbent_that_does_not_beat_todays_is_superseded() -> None:
    seen = observed(running(), baseline(), kept(mean=0.1), experiment("demo-i0001-e2", *GOOD))
    assert experiment_after(judge.judge, seen, "demo-i0001-e2").status.phase == "Superseded"


def test_while_the_incumbent_concludes_it_stays_the_incumbent() -> None:
    seen = observed(running(), baseline(run("final", "Running")), experiment("demo-i0001-e1", *GOOD))
    found = experiment_after(judge.judge, seen).status
    assert (found.phase, found.verdict) == ("Running", None)


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        pytest.param([run()], "Queued", id="nothing has started"),
        pytest.param([run(phase="Running")], "Running", id="it runs"),
        pytest.param([run(phase="Verifying")], "Verifying", id="it is scored"),
        pytest.param([*done("screen", 0.5), run("confirm", number=2)], "Running", id="between two runs"),
    ],
)
def test_phase_of_an_open_candidate(own: list[Run], shown: str) -> None:
    assert judged(running(), *own).status.phase == shown


def test_when_one_audit_run_fails_the_others_are_withdrawn() -> None:
    own = [*GOOD[:4], run("audit", "Failed", 5, reason="Error"), run("audit", "Running", 6), run("audit", number=7)]
    found = judged(running(), *own).status
    assert [one.phase for one in found.runs[4:]] == ["Failed", "Withdrawn", "Withdrawn"]


def test_failed_checks_are_told() -> None:
    checks = [{"name": "legal", "passed": False, "detail": "no"}, {"name": "whole", "passed": False, "detail": ""}]
    own = run("screen", "Failed", reason="CheckFailed", verifications=[scoring(0.1, checks=checks)])
    verdict = judged(running(), own).status.verdict
    assert verdict is not None
    assert verdict.message == 'run 1: check "legal" failed: no; check "whole" failed'


def test_before_there_is_a_baseline_nothing_is_judged() -> None:
    of = running(status={"baseline": None, "conditions": [condition("Accepted")]})
    assert after(judge.judge, observed(of, experiment("demo-i0001-e1"))).experiments == ()
