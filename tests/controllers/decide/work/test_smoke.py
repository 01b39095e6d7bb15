"""Smoke tests: they get one short run, are never scored, and count for nothing but their time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    attempt,
    baseline,
    condition,
    exited,
    experiment,
    iteration,
    run,
    running,
    session,
    workload,
)
from tests.support.deciding import after, experiment_after, observed, starts, status_after

from rloop.actions import Start
from rloop.api.experiment import ResearchExperiment, Reservation, Run
from rloop.decide.campaign import budget
from rloop.decide.chain import decide
from rloop.decide.research import iteration as decide_iteration
from rloop.decide.research import judge
from rloop.decide.work import attempt as decide_attempt
from rloop.decide.work import schedule, smoke

NAME = "demo-i0001-e1"


def a_smoke(*runs: Run, **fields: Any) -> ResearchExperiment:
    return experiment(NAME, *runs, kind="Smoke", **fields)


def live(**fields: Any) -> Run:
    return run("smoke", "Running", **{"reservation": Reservation(runs=0), "attempts": [attempt("Pending")], **fields})


def test_it_gets_one_run_of_its_own_kind() -> None:
    found = experiment_after(smoke.look, observed(running(), baseline(), a_smoke())).status
    assert [(one.kind, one.phase) for one in found.runs] == [("smoke", "Queued")]


@pytest.mark.parametrize(("whole", "expected"), [(60, 60), (86_400, 300)])
def test_it_has_a_short_deadline(whole: int, expected: int) -> None:
    of = running(experiment__activeDeadlineSeconds=whole)
    decision = after(decide_attempt.record, observed(of, a_smoke(live(), phase="Running")))
    (started,) = (one.workload for one in decision.actions if isinstance(one, Start))
    assert (started.kind, started.deadline_seconds) == ("smoke", expected)


def test_a_run_that_ends_well_is_not_scored() -> None:
    ended = workload(f"{NAME}-r1-a1", exited(artifact_sha256="a" * 64))
    seen = observed(running(), baseline(), a_smoke(live(), phase="Running"), ended)
    found = experiment_after(decide_attempt.record, seen).status.runs[0]
    assert (found.phase, found.value, found.verifications) == ("Done", None, [])


def test_one_that_fails_is_not_tried_again() -> None:
    failed = workload(f"{NAME}-r1-a1", exited("Error", 2, log_tail="no such module"))
    of = running(experiment__backoffLimit=2)
    found = experiment_after(decide_attempt.record, observed(of, a_smoke(live(), phase="Running"), failed)).status
    assert (found.runs[0].phase, found.runs[0].reason, found.runs[0].attempts[0].log_tail) == (
        "Failed",
        "Error",
        "no such module",
    )


def test_one_that_the_machine_lost_is() -> None:
    lost = workload(f"{NAME}-r1-a1", exited("Lost", None, infrastructure=True))
    found = experiment_after(decide_attempt.record, observed(running(), a_smoke(live(), phase="Running"), lost)).status
    assert (found.runs[0].phase, len(found.runs[0].attempts)) == ("Running", 2)


@pytest.mark.parametrize(
    ("own", "phase", "reason"),
    [
        pytest.param(run("smoke", "Done"), "Passed", "Ran", id="it ran to its end"),
        pytest.param(
            run("smoke", "Failed", reason="Error", attempts=[attempt("Failed", exit_code=2)]),
            "Failed",
            "Error",
            id="it failed",
        ),
        pytest.param(run("smoke", "Running"), "Running", None, id="it runs"),
    ],
)
def test_verdict(own: Run, phase: str, reason: str | None) -> None:
    found = experiment_after(smoke.look, observed(running(), baseline(), a_smoke(own, phase="Running"))).status
    assert (found.phase, found.verdict.reason if found.verdict else None) == (phase, reason)


@pytest.mark.parametrize(
    ("session_phase", "own", "phase"),
    [
        pytest.param("Finished", [run("smoke")], "Withdrawn", id="unstarted, and its session is over"),
        pytest.param("Finished", [live()], "Running", id="what has started ends in its time"),
        pytest.param("Running", [run("smoke")], "Running", id="its session waits for it"),
    ],
)
def test_nobody_is_kept_waiting_by_a_test_that_nobody_waits_for(session_phase: Any, own: list[Run], phase: str) -> None:
    seen = observed(running(), baseline(), a_smoke(*own, phase="Running"), iteration(1, session(session_phase)))
    assert experiment_after(smoke.look, seen).status.phase == phase


def test_it_is_no_run_of_the_budget_but_its_time_counts() -> None:
    job = {"resources": {"limits": {"nvidia.com/gpu": 1}}, "activeDeadlineSeconds": 3600}
    of = running(experiment={"job": {}, "command": ["./train"], **job}, budget={"runs": 5, "gpuSeconds": 1000})
    seen = observed(of, baseline(), a_smoke(run("smoke")), iteration(1, session()))
    found = experiment_after(schedule.schedule, seen).status.runs[0]
    assert found.phase == "Running", "though the budget's five runs were the baseline's"
    assert found.reservation == Reservation(runs=0, gpu_seconds=300)
    stored = observed(of, baseline(), a_smoke(found, phase="Running"))
    used = status_after(budget.account, stored).budget.used
    assert (used.runs, used.experiments, used.gpu_seconds) == (5, 0, 300), "five of the baseline"


def test_it_runs_before_what_explores_and_confirms() -> None:
    others = [experiment("demo-i0001-e2", run("confirm"), phase="Running"), experiment("demo-i0001-e3", run())]
    decision = after(schedule.schedule, observed(running(), baseline(), *others, a_smoke(run("smoke"))))
    assert [one.metadata.name for one in decision.experiments] == [NAME]


def test_an_iteration_does_not_wait_for_it_and_is_stale_with_nothing_else() -> None:
    seen = observed(running(), baseline(), a_smoke(run("smoke", "Running"), phase="Running"), iteration(1))
    settled = after(decide_iteration.settle, seen).iterations[0]
    assert settled.status.outcome == "Stale"
    assert after(judge.judge, seen).experiments == (), "nobody judges it"


def test_it_is_withdrawn_when_the_campaign_ends() -> None:
    over = running(status={"conditions": [condition("Accepted"), condition("Complete", reason="BudgetExhausted")]})
    decision = decide(observed(over, baseline(), a_smoke(run("smoke"))))
    assert starts(decision) == []
    assert decision.experiments[0].status.phase == "Withdrawn"
