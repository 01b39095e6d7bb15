"""Iterations: sessions that start and are replaced, when an iteration is settled, when the next one opens."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    LLM,
    baseline,
    done,
    exited,
    experiment,
    iteration,
    kept,
    moment,
    run,
    running,
    session,
    usage,
    verdict,
    workload,
)
from tests.support.deciding import after, iteration_after, observed, starts, told

from rloop.actions import Create
from rloop.api.iteration import Reported, ResearchIteration
from rloop.decide import iteration as decide_iteration
from rloop.observed import Exit

AGENT = "demo-i0001-s1-a1"
STALE = [iteration(1, outcome="Stale"), iteration(2, outcome="Stale")]
OWN = {"image": "registry.example/agent:1"}


def test_a_stored_session_is_started() -> None:
    seen = observed(running(), iteration(1, session("Pending")))
    assert starts(after(decide_iteration.record, seen)) == [AGENT]
    assert (
        starts(after(decide_iteration.record, observed(running(suspend=True), iteration(1, session("Pending"))))) == []
    )


@pytest.mark.parametrize(
    ("ended", "finished", "attempt", "phase", "number"),
    [
        pytest.param(exited(), False, 1, "Finished", 1, id="its process ended in order"),
        pytest.param(exited("Error", 1), False, 1, "Pending", 2, id="a crashed one is replaced"),
        pytest.param(exited("Error", 1), True, 1, "Finished", 1, id="not if it had said that it was done"),
        pytest.param(exited("DeadlineExceeded", None), False, 1, "Finished", 1, id="its time was over"),
        pytest.param(exited("NoProgress", None), False, 1, "Finished", 1, id="it got nowhere"),
        pytest.param(exited("HeartbeatMissed", None), False, 1, "Pending", 2, id="a silent one is replaced"),
        pytest.param(None, False, 1, "Pending", 2, id="a vanished one is replaced"),
        pytest.param(exited("Error", 1), False, 6, "Failed", 6, id="until restartLimit"),
    ],
)
def test_end_of_a_process(ended: Exit | None, finished: bool, attempt: int, phase: str, number: int) -> None:
    reported = Reported(finished=["demo-i0001-s1"] if finished else [])
    own = iteration(1, session("Running", attempt=attempt), reported=reported)
    workloads = [workload(f"demo-i0001-s1-a{attempt}", ended)] if ended else []
    found = iteration_after(decide_iteration.record, observed(running(), own, *workloads)).status.sessions[0]
    assert (found.phase, found.attempt) == (phase, number)


@pytest.mark.parametrize("ended", [exited("Error", 1), exited("Error", 143), exited("HeartbeatMissed", None), None])
def test_however_a_session_ends_while_the_loop_is_held_it_is_no_failure(ended: Exit | None) -> None:
    """An agent that was told to end may not know how."""
    seen = observed(running(suspend=True), iteration(1, session()), *([workload(AGENT, ended)] if ended else []))
    decision = after(decide_iteration.record, seen)
    (found,) = decision.iterations[0].status.sessions
    assert (found.phase, found.reason, found.attempt) == ("Finished", "Held", 1)
    assert not decision.events


@pytest.mark.parametrize("attempt", [1, 6])
def test_a_crash_is_told_with_its_last_words(attempt: int) -> None:
    crashed = Exit(1, "Error", moment(60), log_tail="Traceback …\nRuntimeError: oops\n")
    own = iteration(1, session("Running", attempt=attempt))
    decision = after(decide_iteration.record, observed(running(), own, workload(f"demo-i0001-s1-a{attempt}", crashed)))
    (event,) = decision.events
    assert event.message.endswith("; its last words: RuntimeError: oops")


@pytest.mark.parametrize(
    ("ended", "finished"),
    [
        pytest.param(exited("DeadlineExceeded", None), False, id="its time was over"),
        pytest.param(exited("HeartbeatMissed", None), False, id="the watchdog ended it"),
        pytest.param(exited("Error", 1), False, id="it crashed for want of an answer"),
        pytest.param(exited(), True, id="it gave up in order"),
        pytest.param(None, False, id="it vanished"),
    ],
)
def test_a_session_that_ends_while_it_waits_for_its_provider_says_nothing(ended: Exit | None, finished: bool) -> None:
    told = Reported(finished=["demo-i0001-s1"] if finished else [], usage=[usage(waiting="ProviderDown")])
    own = iteration(1, session("Running", waiting=True), reported=told)
    workloads = [workload(AGENT, ended)] if ended else []
    recorded = iteration_after(decide_iteration.record, observed(running(agent=LLM), own, *workloads))
    (found,) = recorded.status.sessions
    assert (found.phase, found.reason, found.attempt) == ("Finished", "WaitingForLLM", 1)
    assert (found.infrastructure, found.waiting) == (True, False)
    proposed = experiment(phase="Rejected", verdict=verdict())
    settled = iteration_after(decide_iteration.settle, observed(running(agent=LLM), baseline(), proposed, recorded))
    assert settled.status.outcome == "Void"


@pytest.mark.parametrize(
    ("own", "pivots", "outcome"),
    [
        pytest.param([], 0, "Stale", id="no proposal at all is stale"),
        pytest.param([experiment(phase="Rejected", verdict=verdict())], 0, "Stale", id="no gain is stale"),
        pytest.param([experiment(phase="Failed", verdict=verdict("Error"))], 0, "Stale", id="only crashes are stale"),
        pytest.param([experiment(phase="Rejected", verdict=verdict())], 1, "Neutral", id="of an older generation"),
        pytest.param([kept()], 0, "Keep", id="a keep"),
        pytest.param([experiment(phase="Superseded", verdict=verdict())], 0, "Finding", id="a verified finding"),
        pytest.param(
            [experiment(phase="Failed", verdict=verdict("InfrastructureFailing"))],
            0,
            "Void",
            id="only the machine failed",
        ),
        pytest.param([experiment(phase="Running")], 0, None, id="an open experiment is waited for"),
    ],
)
def test_outcome(own: list[Any], pivots: int, outcome: str | None) -> None:
    generation = pivots + (outcome == "Keep")
    seen = observed(running(status={"pivots": pivots, "generation": generation}), baseline(), *own, iteration(1))
    found = iteration_after(decide_iteration.settle, seen).status
    assert (found.outcome, found.phase) == (outcome, "Settled" if outcome else "Open")


def test_a_keep_counts_once_it_is_stored() -> None:
    seen = observed(running(), baseline(), kept(), iteration(1))
    assert iteration_after(decide_iteration.settle, seen).status.phase == "Open"


def test_an_end_counts_once_it_is_stored() -> None:
    """The session's last experiment may have come after the experiments were read."""
    draft_end = observed(running(), baseline(), iteration(1, session("Running")), workload(AGENT, exited()))
    assert iteration_after(decide_iteration.settle, draft_end).status.phase == "Open"


def opens(*objects: Any, seen: dict[str, Any] | None = None, **given: Any) -> bool:
    decision = after(decide_iteration.open_next, observed(running(**given), *objects, **(seen or {})))
    return any(isinstance(one, Create) for one in decision.actions)


@pytest.mark.parametrize(
    ("objects", "given", "expected"),
    [
        pytest.param([baseline()], {}, True, id="the baseline is measured"),
        pytest.param([baseline()], {"status": {"baseline": None}}, False, id="before that no agent works"),
        pytest.param([baseline()], {"suspend": True}, False, id="not while suspended"),
        pytest.param([baseline()], {"budget__experiments": 0}, False, id="not without a budget"),
        pytest.param([baseline(), iteration(1, session())], {}, False, id="one at a time"),
        pytest.param([baseline(), experiment("demo-i0001-e1", run())], {}, False, id="the queue is long enough"),
        pytest.param(
            [baseline(), experiment("demo-i0001-e1", run())],
            {"parallelism": 2},
            True,
            id="it is too short for two slots",
        ),
        pytest.param(
            [baseline(), experiment("demo-i0001-e1", run(phase="Running"))], {}, True, id="it need not wait for runs"
        ),
        pytest.param([baseline(run("final"))], {}, False, id="not while the incumbent concludes"),
        pytest.param([baseline(), *STALE], {}, False, id="a pivot that is due comes first"),
        pytest.param([baseline(), kept()], {}, False, id="a keep is stored first"),
        pytest.param([baseline(), kept()], {"status": {"generation": 1}}, True, id="then it opens"),
    ],
)
def test_open_next(objects: list[Any], given: dict[str, Any], expected: bool) -> None:
    assert opens(*objects, **given) is expected


@pytest.mark.parametrize(
    ("settled", "since", "expected"),
    [
        pytest.param([iteration(1, outcome="Stale")], 0.5, False, id="a session that proposed nothing is paused after"),
        pytest.param([iteration(1, outcome="Stale")], 1.0, True, id="for a second"),
        pytest.param([iteration(n, outcome="Neutral") for n in (1, 2, 3)], 3.0, False, id="and longer each time"),
        pytest.param([iteration(n, outcome="Neutral") for n in (1, 2, 3)], 4.0, True, id="twice as long"),
    ],
)
def test_pause(settled: list[ResearchIteration], since: float, expected: bool) -> None:
    assert opens(baseline(), *settled, seen={"now": moment(since)}, stall__pivotAfter=9) is expected


def test_a_new_iteration_carries_generation_and_allowances() -> None:
    own = experiment("demo-i0001-e1", *done("screen", 2), phase="Rejected", verdict=verdict(), folded=True)
    of = running(
        status={"pivots": 2, "generation": 2}, budget__experiments=4, agent__explorers=["Investigate", "Refute"]
    )
    decision = after(decide_iteration.open_next, observed(of, baseline(), own))
    (created,) = (one.object for one in decision.actions if isinstance(one, Create))
    assert isinstance(created, ResearchIteration)
    assert (created.spec.generation, created.spec.pivots, created.spec.pivot_demanded) == (2, 2, True)
    assert [one.max_experiments for one in created.spec.sessions] == [2, 2]
    assert told(decision) == ["IterationOpened"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, [0], id="a policy uses none"),
        pytest.param({"agent": OWN}, [0], id="nor does an agent of the user's own without an llm"),
        pytest.param({"agent": {**OWN, **LLM}}, [1000], id="with one it has what ours has"),
        pytest.param({"agent": LLM}, [1000], id="no budget: what the spec gives a session"),
        pytest.param({"agent": LLM, "budget__tokens": 5000}, [1000], id="enough is left"),
        pytest.param({"agent": LLM, "budget__tokens": 500}, [200], id="what the budget has left"),
        pytest.param(
            {"agent": {**LLM, "explorers": ["Investigate", "Refute"]}, "budget__tokens": 500},
            [100, 100],
            id="in equal shares",
        ),
    ],
)
def test_tokens_of_a_session(given: dict[str, Any], expected: list[int]) -> None:
    before = iteration(1, outcome="Neutral", reported=Reported(usage=[usage(output_tokens=200, held_tokens=100)]))
    decision = after(decide_iteration.open_next, observed(running(**given), baseline(), before))
    (created,) = (one.object for one in decision.actions if isinstance(one, Create))
    assert isinstance(created, ResearchIteration)
    assert [one.max_tokens for one in created.spec.sessions] == expected
