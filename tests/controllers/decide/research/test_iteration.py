"""Iterations: when one is settled, and with which outcome; when the next one opens, and with which sessions."""

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
from tests.support.deciding import after, iteration_after, observed, told

from rloop.actions import Create
from rloop.api.iteration import Reported, ResearchIteration
from rloop.decide.research import iteration as decide_iteration

AGENT = "demo-i0001-s1-a1"
STALE = [iteration(1, outcome="Stale"), iteration(2, outcome="Stale")]
OWN = {"image": "registry.example/agent:1"}


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


@pytest.mark.parametrize(
    ("proposed", "outcome"),
    [([], "Void"), ([experiment(phase="Rejected", verdict=verdict())], "Stale")],
    ids=["a broken program says nothing of its direction", "what it proposed before does"],
)
def test_sessions_that_were_all_given_up(proposed: list[Any], outcome: str) -> None:
    own = iteration(1, session("Failed"), session("Failed", index=2))
    found = iteration_after(decide_iteration.settle, observed(running(), baseline(), *proposed, own)).status
    assert found.outcome == outcome


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
    assert (
        opens(baseline(), *settled, seen={"now": moment(since)}, stall__pivotAfter=9, stall__attentionAfter=9)
        is expected
    )


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        pytest.param({"status": {"observed_generation": 0}}, {}, id="an edit of the spec"),
        pytest.param({}, {"down_since": moment(0)}, id="a new start of rloop run"),
    ],
)
def test_a_person_ends_the_pause(given: dict[str, Any], seen: dict[str, Any]) -> None:
    void = [iteration(n, outcome="Void") for n in range(1, 9)]
    assert not opens(baseline(), *void, seen={"now": moment(100)})
    assert opens(baseline(), *void, seen={"now": moment(100)} | seen, **given)


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
