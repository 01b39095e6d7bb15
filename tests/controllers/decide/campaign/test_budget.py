"""The budget: what counts as spent, what still fits, and the end when nothing does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.controllers.decide.queries.test_finding_checks import claimed
from tests.support.builders import (
    LLM,
    attempt,
    baseline,
    done,
    experiment,
    iteration,
    moment,
    run,
    running,
    session,
    usage,
)
from tests.support.deciding import after, observed, starts, status_after, the

from rloop.api.experiment import ResearchExperiment, Reservation, Run, Usage
from rloop.api.iteration import RefusedCall, Reported, ResearchIteration
from rloop.api.loop_status import BudgetStatus, Clock, Used
from rloop.decide.campaign import budget
from rloop.decide.chain import decide
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts

CPU = Reservation(cpu_seconds=60)
USED = Usage(cpu_seconds=20)


@pytest.mark.parametrize(
    ("own", "cpu", "count"),
    [
        pytest.param(run(), 0, 0, id="a queued run has spent nothing"),
        pytest.param(run(phase="Running", reservation=CPU), 60, 1, id="a live attempt counts with its reservation"),
        pytest.param(
            run(phase="Running", reservation=CPU, attempts=[attempt("Failed", usage=USED), attempt("Pending", 2)]),
            80,
            1,
            id="a second attempt adds to what the first one used, and is no second run",
        ),
        pytest.param(
            run(phase="Done", reservation=CPU, attempts=[attempt("Succeeded", usage=USED)]),
            20,
            1,
            id="a finished run counts with what it used",
        ),
        pytest.param(
            run(phase="Withdrawn", reservation=CPU, attempts=[attempt("Running")]),
            60,
            1,
            id="a withdrawn run counts with its reservation until its end is recorded",
        ),
    ],
)
def test_use(own: Run, cpu: float, count: int) -> None:
    used = status_after(budget.account, observed(running(), experiment("demo-i0001-e1", own))).budget.used
    assert (used.cpu_seconds, used.runs) == (cpu, count)


def test_tokens_and_cost_of_all_sessions_count_with_what_is_held_for_them() -> None:
    first = usage(input_tokens=100, cached_tokens=90, output_tokens=10, cost="0.1")
    second = usage(2, input_tokens=1, output_tokens=2, held_tokens=50, cost="0.1", held_cost="0.1")
    explored = iteration(1, session(), session(index=2), reported=Reported(usage=[first, second]))
    later = iteration(2, reported=Reported(usage=[usage(number=2, output_tokens=7)]))
    used = status_after(budget.account, observed(running(), explored, later)).budget.used
    assert (used.tokens, used.cost) == (170, 0.3)


def test_only_what_agents_propose_counts_as_an_experiment() -> None:
    seen = observed(running(), baseline(), experiment("demo-i0001-e1"), experiment("demo-i0001-e2"))
    assert status_after(budget.account, seen).budget.used.experiments == 2


@pytest.mark.parametrize(
    ("spec", "clock", "down", "expected"),
    [
        pytest.param({}, Clock(active_since=moment(0)), None, (0, moment(0)), id="a running clock is left alone"),
        pytest.param({}, Clock(accumulated_seconds=5), None, (5, moment(60)), id="the clock starts after a suspension"),
        pytest.param({"suspend": True}, Clock(active_since=moment(20)), None, (40, None), id="a suspension stops it"),
        pytest.param(
            {},
            Clock(active_since=moment(0)),
            moment(10),
            (10, moment(60)),
            id="the time without an operator is not active time",
        ),
    ],
)
def test_clock(
    spec: dict[str, Any], clock: Clock, down: datetime | None, expected: tuple[float, datetime | None]
) -> None:
    found = status_after(budget.account, observed(running(status={"clock": clock}, **spec), down_since=down)).clock
    assert (found.accumulated_seconds, found.active_since) == expected


def test_time_alone_costs_no_write_even_when_the_limit_is_reached() -> None:
    of = running(budget__activeSeconds=30)
    assert after(budget.account, observed(of, now=moment(60))).status is None


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param({}, None, id="no limit is never reached"),
        pytest.param({"budget__runs": 2}, None, id="room for a run"),
        pytest.param({"budget__runs": 1}, "runs", id="no room for a run"),
        pytest.param({"budget__experiments": 1}, "experiments", id="no room for an experiment"),
        pytest.param({"budget__activeSeconds": 60}, "activeSeconds", id="the time is over"),
        pytest.param({"budget__cpuSeconds": 20}, "cpuSeconds", id="the CPU time is spent"),
        pytest.param({"budget__tokens": 301}, None, id="room for a token"),
        pytest.param({"budget__tokens": 300}, "tokens", id="the tokens are spent"),
        pytest.param({"budget__cost": "0.31"}, None, id="some money is left"),
        pytest.param({"budget__cost": "0.3"}, "cost", id="three tenths are spent, exactly"),
    ],
)
def test_exhausted(limits: dict[str, Any], expected: str | None) -> None:
    spent = run(phase="Done", reservation=CPU, attempts=[attempt("Succeeded", usage=USED)])
    llm = iteration(1, reported=Reported(usage=[usage(output_tokens=100, cost="0.1")] * 3))
    seen = observed(running(**limits), experiment("demo-i0001-e1", spent), llm)
    assert accounts.exhausted(Draft(seen)) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param({"budget__cpuSeconds": 80}, True, id="exactly what is left fits"),
        pytest.param({"budget__cpuSeconds": 79}, False, id="one second more does not"),
        pytest.param({"budget__runs": 1}, False, id="a run too many does not"),
        pytest.param({"budget__activeSeconds": 60}, False, id="nothing starts after the time is over"),
    ],
)
def test_affordable(limits: dict[str, Any], expected: bool) -> None:
    spent = run(phase="Done", reservation=CPU, attempts=[attempt("Succeeded", usage=USED)])
    draft = Draft(observed(running(**limits), experiment("demo-i0001-e1", spent)))
    assert accounts.affordable(draft, CPU) is expected


OPEN = experiment("demo-i0001-e1", *done("screen", 0.5), run("confirm", number=2), phase="Running")


def refused(number: int, tokens: int = 0, cost: str = "0", **fields: Any) -> ResearchIteration:
    """An iteration whose session's first call would have taken at least so much, and was refused."""
    told = usage(number=number, refused_call=RefusedCall(tokens=tokens, cost=cost), **fields)
    return iteration(number, reported=Reported(usage=[told]))


SPENT = iteration(1, reported=Reported(usage=[usage(calls=9, output_tokens=900, cost="0.9")]))
SINCE = iteration(2, reported=Reported(usage=[usage(number=2, calls=9, output_tokens=900)]))


@pytest.mark.parametrize(
    ("limits", "more", "expected"),
    [
        pytest.param({}, (OPEN,), None, id="what is queued can be afforded"),
        pytest.param(
            {"budget__runs": 6},
            (OPEN,),
            "spec.budget.runs is used up",
            id="what is queued cannot be afforded: it ends in the middle of a confirmation",
        ),
        pytest.param({"budget__experiments": 1}, (OPEN,), None, id="the last experiment is still confirmed"),
        pytest.param(
            {"budget__experiments": 1},
            (experiment("demo-i0001-e1", *done("screen", 2.0), phase="Rejected"),),
            "spec.budget.experiments is used up",
            id="nothing is queued and nothing more may be proposed",
        ),
        pytest.param(
            {"budget__runs": 6},
            (experiment("demo-i0001-e1", run(phase="Running"), phase="Running"),),
            None,
            id="what runs is waited for",
        ),
        pytest.param({"budget__runs": 5}, (iteration(1, session("Running")),), None, id="so is a session"),
        pytest.param(
            {"budget__tokens": 9},
            (iteration(1, reported=Reported(usage=[usage(output_tokens=9)])),),
            "spec.budget.tokens is used up",
            id="the tokens are spent",
        ),
        pytest.param(
            {"budget__cost": "1"},
            (iteration(1, reported=Reported(usage=[usage(cost="0.5", held_cost="0.5")])),),
            "spec.budget.cost is used up",
            id="the money is spent, or nobody knows",
        ),
        pytest.param(
            {"agent": LLM, "budget__tokens": 1000},
            (SPENT, refused(2, 101)),
            "spec.budget.tokens is used up: 100 are left for a session, but its first call needs at least 101",
            id="the rest pays for no session",
        ),
        pytest.param(
            {"agent": LLM, "budget__cost": "1"},
            (SPENT, refused(2, cost="0.11")),
            "spec.budget.cost is used up: 0.1 are left for a session, but its first call needs at least 0.11",
            id="nor does the money",
        ),
        pytest.param(
            {"agent": LLM, "budget__tokens": 1000}, (SPENT, refused(2, 100)), None, id="it comes back, or rose"
        ),
        pytest.param({"agent": LLM, "budget__cost": "1"}, (SPENT, refused(2, cost="0.1")), None, id="money too"),
        pytest.param(
            {"agent": {**LLM, "explorers": ["Investigate", "Refute"]}, "budget__tokens": 1000},
            (SPENT, refused(2, 51)),
            "spec.budget.tokens is used up: 50 are left for a session, but its first call needs at least 51",
            id="two sessions share it",
        ),
        pytest.param(
            {"agent": LLM, "budget__tokens": 1000},
            (claimed(), SINCE, refused(3, 51)),
            "spec.budget.tokens is used up: 50 are left for a session, but its first call needs at least 51",
            id="with a checker, where one is needed",
        ),
        pytest.param(
            {"agent": LLM, "budget__tokens": 1000},
            (SPENT, refused(2, 1001)),
            None,
            id="a call that no session may make is not the budget's fault",
        ),
        pytest.param({"agent": LLM, "budget__tokens": 1000}, (refused(1, 101), SINCE), None, id="answered since"),
        pytest.param(
            {"agent": LLM, "budget__tokens": 1000},
            (SPENT, refused(2, 101, calls=1)),
            None,
            id="a smaller call was answered",
        ),
        pytest.param({"budget__runs": 5, "suspend": True}, (), None, id="a suspended campaign does not end"),
        pytest.param(
            {"budget__cpuSeconds": 10},
            (OPEN,),
            "spec.budget.cpuSeconds is used up",
            id="a reservation that never fits ends it, although the limit is not reached",
        ),
    ],
)
def test_end(
    limits: dict[str, Any], more: tuple[ResearchExperiment | ResearchIteration, ...], expected: str | None
) -> None:
    status = status_after(budget.end, observed(running(**limits), baseline(), *more))
    assert (status.ending.message if status.ending else None) == expected


@pytest.mark.parametrize(
    ("held", "ended", "expected"),
    [
        pytest.param({"held_tokens": 5}, 31, False, id="held for a session that has just ended: it may come back"),
        pytest.param({"held_cost": "1"}, 31, False, id="money too"),
        pytest.param({"held_tokens": 5}, 30, True, id="not for ever"),
        pytest.param({"output_tokens": 5, "cost": "1"}, 59, True, id="what is spent does not"),
    ],
)
def test_a_campaign_does_not_end_for_what_the_proxy_may_give_back(
    held: dict[str, Any], ended: float, expected: bool
) -> None:
    over = iteration(1, session("Finished", finished_at=moment(ended)), reported=Reported(usage=[usage(**held)]))
    limits: dict[str, Any] = {"budget__tokens": 5, "budget__cost": "1"}
    status = status_after(budget.end, observed(running(**limits), baseline(), over, now=moment(60)))
    assert (status.ending is not None) is expected


def test_a_budget_that_cannot_pay_one_baseline_run_ends_the_campaign() -> None:
    of = running(status={"baseline": None}, budget__cpuSeconds=10)
    decision = decide(observed(of, experiment("demo-b01", *[run("baseline", number=n) for n in range(1, 6)])))
    assert the(decision, "Complete").reason == "BudgetExhausted"
    assert starts(decision) == []


@pytest.mark.parametrize(("limit", "affordable"), [(3600 * 4, True), (3600 * 4 - 1, False)])
def test_a_run_sets_its_gpus_aside_for_the_whole_deadline(limit: int, affordable: bool) -> None:
    resources = {"limits": {"nvidia.com/gpu": 2}}
    job = {"command": ["./train"], "pyTorchJob": {"replicas": 2}, "resources": resources}
    of = running(experiment=job | {"activeDeadlineSeconds": 3600}, budget={"gpuSeconds": limit})
    draft = Draft(observed(of))
    reserved = accounts.reservation(draft)
    assert reserved.gpu_seconds == 3600 * 4
    assert accounts.affordable(draft, reserved) is affordable


QUEUED = experiment("demo-i0001-e1", run())


@pytest.mark.parametrize(
    ("limits", "more", "expected"),
    [
        pytest.param({}, (QUEUED,), None, id="it fits"),
        pytest.param({"budget__runs": 5}, (QUEUED,), "runs", id="it does not fit"),
        pytest.param({"budget__runs": 5}, (), None, id="nothing is queued"),
        pytest.param({"budget__runs": 5}, (experiment("demo-i0001-e1"),), "runs", id="it was just proposed"),
        pytest.param(
            {"budget__cpuSeconds": 10},
            (QUEUED, experiment("demo-i0001-e2", run(phase="Running"), phase="Running")),
            None,
            id="what runs may use less than it reserved",
        ),
        pytest.param(
            {"budget__runs": 5},
            (QUEUED, experiment("demo-i0001-e2", run("smoke"), kind="Smoke")),
            None,
            id="a smoke test still fits",
        ),
        pytest.param({"budget__activeSeconds": 60}, (QUEUED,), "activeSeconds", id="the time is over"),
    ],
)
def test_blocked_by(limits: dict[str, Any], more: tuple[ResearchExperiment, ...], expected: str | None) -> None:
    status = status_after(budget.account, observed(running(**limits), baseline(), *more))
    assert status.budget.blocked_by == expected


def test_a_budget_that_is_raised_blocks_no_more() -> None:
    blocked = BudgetStatus(used=Used(runs=5), blocked_by="runs")
    of = running(budget__runs=6, status={"budget": blocked})
    assert status_after(budget.account, observed(of, baseline(), QUEUED)).budget.blocked_by is None
