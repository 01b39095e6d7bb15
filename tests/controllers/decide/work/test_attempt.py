"""Attempts: started after their intent is stored, recorded before they are forgotten, tried again within limits."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import attempt as a
from tests.support.builders import condition, exited, experiment, moment, run, running, workload
from tests.support.deciding import after, experiment_after, observed, starts, status_after, stops, told

from rloop.api.experiment import Attempt, Reservation, Run, RunKind, Usage
from rloop.api.helpers import curves_of
from rloop.decide.campaign import budget
from rloop.decide.work import attempt, schedule
from rloop.observed import Exit

NAME = "demo-i0001-e1-r1-a1"
LOST = exited("Lost", None, infrastructure=True)
CRASH = exited("Error", 1, log_tail="no such file")


@pytest.mark.parametrize(
    ("reason", "before", "phase"),
    [
        pytest.param("Lost", 3, "Running", id="lost four times in a row: perhaps it is the machine"),
        pytest.param("Lost", 4, "Failed", id="five times in a row: it is the run"),
        pytest.param("Disrupted", 18, "Running", id="preempted nineteen times, which happens on a spot node"),
        pytest.param("Disrupted", 20, "Failed", id="that has a limit too"),
    ],
)
def test_how_often_a_lost_attempt_is_tried_again_depends_on_the_cause(reason: str, before: int, phase: str) -> None:
    past = [a("Failed", n, reason=reason, infrastructure=True) for n in range(1, before + 1)]
    own = run(phase="Running", attempts=[*past, a("Running", before + 1)])
    gone = workload(f"demo-i0001-e1-r1-a{before + 1}", exited(reason, None, infrastructure=True))
    seen = observed(running(), experiment("demo-i0001-e1", own), gone)
    assert experiment_after(attempt.record, seen).status.runs[0].phase == phase


def test_what_every_further_attempt_would_meet_is_not_tried_again() -> None:
    for reason in ("PreflightFailed", "FilesLost"):
        seen = observed(
            running(), experiment("demo-i0001-e1", run(phase="Running")), workload(NAME, exited(reason, None))
        )
        found = experiment_after(attempt.record, seen).status.runs[0]
        assert (found.phase, found.reason, len(found.attempts)) == ("Failed", reason, 1)


def pending() -> Run:
    return run(phase="Running", attempts=[a("Pending")])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [NAME], id="a stored intent without a workload was never started, and is started"),
        pytest.param({"spec": {"suspend": True}}, [], id="not while the user suspends"),
        pytest.param({"seen": {"draining": True}}, [], id="not while the operator ends in order"),
        pytest.param(
            {"status": {"conditions": [condition("Accepted"), condition("Complete")]}}, [], id="not after the end"
        ),
    ],
)
def test_start(changes: dict[str, Any], expected: list[str]) -> None:
    of = running(status=changes.get("status"), **changes.get("spec", {}))
    seen = observed(of, experiment("demo-i0001-e1", pending()), **changes.get("seen", {}))
    assert starts(after(attempt.record, seen)) == expected


def test_a_workload_that_runs_is_not_started_again() -> None:
    seen = observed(running(), experiment("demo-i0001-e1", pending()), workload(NAME))
    assert starts(after(attempt.record, seen)) == []
    assert experiment_after(attempt.record, seen).status.runs[0].attempts[0].phase == "Running"


def test_success_hands_the_artifact_over_to_the_verifier() -> None:
    ended = exited(claims={"loss": 0.3, "other": 1.0}, artifact_sha256="d" * 64, usage=Usage(cpu_seconds=3))
    seen = observed(running(), experiment("demo-i0001-e1", run(phase="Running")), workload(NAME, ended))
    found = experiment_after(attempt.record, seen).status.runs[0]
    assert (found.phase, found.claimed, found.artifact_sha256) == ("Verifying", 0.3, "d" * 64)
    assert found.value is None
    assert found.attempts[0].usage.cpu_seconds == 3


@pytest.mark.parametrize(
    ("job", "gpu_seconds"), [({"job": {}}, 14), ({"pyTorchJob": {"replicas": 3, "procPerNode": 2}}, 42)]
)
def test_gpus_are_spent_while_they_are_held(job: dict[str, Any], gpu_seconds: float) -> None:
    asked = {"command": ["./train"], "resources": {"limits": {"nvidia.com/gpu": 2, "cpu": 4}}}
    ended = exited(usage=Usage(wall_seconds=7))
    of = running(experiment=asked | job)
    seen = observed(of, experiment("demo-i0001-e1", run(phase="Running")), workload(NAME, ended))
    assert experiment_after(attempt.record, seen).status.runs[0].attempts[0].usage.gpu_seconds == gpu_seconds


@pytest.mark.parametrize(
    ("before", "ended", "phase", "attempts"),
    [
        pytest.param([], CRASH, "Running", 2, id="a crash is tried again"),
        pytest.param([a("Failed")] * 2, CRASH, "Failed", 3, id="the third crash is one more than backoffLimit"),
        pytest.param(
            [a("Failed", infrastructure=True)] * 19,
            CRASH,
            "Running",
            21,
            id="attempts lost by the machine do not count against backoffLimit",
        ),
        pytest.param([a("Failed", infrastructure=True)] * 20, LOST, "Failed", 21, id="but they are not tried for ever"),
        pytest.param([], exited("PreflightFailed", 2), "Failed", 1, id="what the preflight refuses, it would again"),
        pytest.param([], exited("Error", 3), "Failed", 1, id="exit code 3 rules out a retry"),
        pytest.param([], exited("ArtifactTooLarge", 0), "Failed", 1, id="what was too large would be so again"),
        pytest.param([], exited("StartFailed", 127), "Failed", 1, id="a program that is not there"),
        pytest.param([], exited("Suspended", None), "Running", 2, id="a suspended attempt does not count"),
        pytest.param([], exited("Completed", 3), "Running", 2, id="an exit code is a failure, whatever the reason"),
    ],
)
def test_failure(before: list[Attempt], ended: Exit, phase: str, attempts: int) -> None:
    tried = [one.model_copy(update={"number": number}) for number, one in enumerate(before, start=1)]
    last = len(before) + 1
    own = run(phase="Running", attempts=[*tried, a("Running", last)])
    seen = observed(running(), experiment("demo-i0001-e1", own), workload(f"demo-i0001-e1-r1-a{last}", ended))
    found = experiment_after(attempt.record, seen).status.runs[0]
    assert (found.phase, len(found.attempts)) == (phase, attempts)
    assert found.attempts[last - 1].phase == "Failed"
    assert [one.number for one in found.attempts] == list(range(1, attempts + 1))


def test_a_run_that_is_not_tried_again_says_why_and_what_it_said_last() -> None:
    ended = exited("Error", 3, log_tail="step 1\nstopped: step 1: loss is nan\n")
    seen = observed(running(), experiment("demo-i0001-e1", run(phase="Running")), workload(NAME, ended))
    (event,) = after(attempt.record, seen).events
    assert event.message == (
        f"{NAME}: Error, exit code 3; not retried: exit code 3 means that a retry would fail in the same way; "
        "last output: stopped: step 1: loss is nan"
    )


def test_a_note_of_ours_below_the_log_is_no_last_word() -> None:
    notes = "[rloop] progress.jsonl: loss is NaN from step 3 on\n[rloop] claims.json: ignored loss: NaN\n"
    ended = exited("Error", 3, log_tail=f"RuntimeError: CUDA error\n{notes}")
    seen = observed(running(), experiment("demo-i0001-e1", run(phase="Running")), workload(NAME, ended))
    (event,) = after(attempt.record, seen).events
    assert "last output: RuntimeError: CUDA error" in event.message


def test_the_curve_of_an_attempt_that_died_is_kept() -> None:
    before = curves_of({"reward": [(1, 0.1), (30, 0.3), (31, 0.9)]})
    own = run(phase="Running", attempts=[a("Failed"), a("Running", 2)], curves=before)
    ended = exited(curves=curves_of({"reward": [(31, 0.4), (60, 0.6)]}))
    seen = observed(running(), experiment("demo-i0001-e1", own), workload("demo-i0001-e1-r1-a2", ended))
    (curve,) = experiment_after(attempt.record, seen).status.runs[0].curves
    assert (curve.steps, curve.values) == ([1, 30, 31, 60], [0.1, 0.3, 0.4, 0.6])


def test_a_run_that_vanished_is_lost_and_tried_again() -> None:
    seen = observed(running(), experiment("demo-i0001-e1", run(phase="Running")))
    first, second = experiment_after(attempt.record, seen).status.runs[0].attempts
    assert (first.reason, first.infrastructure, second.phase) == ("Lost", True, "Pending")


@pytest.mark.parametrize(
    ("lost", "since", "started"),
    [
        pytest.param(1, 0.5, False, id="half a second after the first loss it is too early"),
        pytest.param(1, 1.0, True, id="one second after the first loss it is time"),
        pytest.param(5, 15.0, False, id="the pause doubles with each loss"),
        pytest.param(15, 60.0, True, id="and is a minute at most"),
    ],
)
def test_pause_after_losses(lost: int, since: float, started: bool) -> None:
    tried = [a("Failed", number, infrastructure=True, finished_at=moment(60 - since)) for number in range(1, lost + 1)]
    own = run(phase="Running", attempts=[*tried, a("Pending", lost + 1)])
    assert bool(starts(after(attempt.record, observed(running(), experiment("demo-i0001-e1", own))))) is started


def test_a_hung_attempt_is_ended_and_noted_once() -> None:
    of = running(experiment__progressDeadlineSeconds=30)
    own = experiment("demo-i0001-e1", run(phase="Running"))
    asked = after(attempt.record, observed(of, own, workload(NAME, step_age=31)))
    assert stops(asked) == {NAME: "Hang"}
    assert asked.status is None
    ended = after(attempt.record, observed(of, own, workload(NAME, exited("Hang", None), step=31)))
    assert ended.status is not None
    assert ended.status.watchdog.evidence == [f"{NAME}: no step after step 31 within 30 s, stopped as hung"]
    assert told(ended) == ["AttemptFailed"]
    assert f"{NAME}: Hang, at step 31" in ended.events[0].message


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("Finish", {}, id="suspension lets runs finish"),
        pytest.param("Stop", {NAME: "Suspended"}, id="suspendPolicy Stop frees the machine"),
    ],
)
def test_suspension(policy: str, expected: dict[str, str]) -> None:
    of = running(suspend=True, suspendPolicy=policy)
    seen = observed(of, experiment("demo-i0001-e1", run(phase="Running")), workload(NAME))
    assert stops(after(attempt.record, seen)) == expected


@pytest.mark.parametrize("kind", ["baseline", "screen", "confirm", "audit", "reference", "final"])
def test_a_retry_that_does_not_fit_into_the_budget_waits_for_a_larger_one(kind: RunKind) -> None:
    own = run(kind, "Running", reservation=Reservation(cpu_seconds=60))
    ended = exited("Error", 1, usage=Usage(cpu_seconds=50))
    seen = observed(running(budget__cpuSeconds=100), experiment("demo-i0001-e1", own), workload(NAME, ended))
    decision = after(attempt.record, seen)
    (waits,) = decision.experiments[0].status.runs
    assert (waits.phase, waits.reason, len(waits.attempts)) == ("Queued", None, 1)
    assert told(decision) == ["AttemptFailed"]
    assert "retried once the budget allows it" in decision.events[0].message
    stored = experiment("demo-i0001-e1", waits, phase="Running")
    used = status_after(budget.account, observed(running(), stored)).budget.used
    assert (used.runs, used.cpu_seconds) == (0, 50), "its place is free, and what it used is spent"
    assert not after(schedule.schedule, observed(running(budget__cpuSeconds=109), stored)).experiments
    again = experiment_after(schedule.schedule, observed(running(budget__cpuSeconds=110), stored)).status.runs[0]
    assert [(one.number, one.phase) for one in again.attempts] == [(1, "Failed"), (2, "Pending")]


def test_nobody_waits_for_the_retry_of_a_smoke_test() -> None:
    own = run("smoke", "Running", reservation=Reservation(runs=0, cpu_seconds=60))
    ended = exited("Lost", None, infrastructure=True, usage=Usage(cpu_seconds=50))
    seen = observed(running(budget__cpuSeconds=100), experiment("demo-i0001-e1", own), workload(NAME, ended))
    found = experiment_after(attempt.record, seen).status.runs[0]
    assert (found.phase, found.reason) == ("Failed", "BudgetExhausted")


def test_what_a_withdrawn_run_used_until_its_end_is_recorded() -> None:
    own = run(phase="Withdrawn", reservation=Reservation(), attempts=[a("Running")])
    ended = exited("Withdrawn", None, usage=Usage(cpu_seconds=7))
    seen = observed(running(), experiment("demo-i0001-e1", own, phase="Withdrawn"), workload(NAME, ended))
    found = experiment_after(attempt.record, seen).status.runs[0]
    assert (found.phase, found.attempts[0].phase, found.attempts[0].usage.cpu_seconds) == ("Withdrawn", "Failed", 7)
