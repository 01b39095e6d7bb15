"""Sessions that wait for results which cannot come: the gateway says why, and the wait ends at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benchmarks.campaigns.kuhn import InMemory
from tests.operator.gateway.protocols.test_app import ITERATION, SESSION, World
from tests.support.builders import condition, done, experiment, run, verdict

from rloop.api.loop_status import BudgetStatus, Ending
from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.scratch import Scratch
from rloop_agent.llm.tools.session_state import SessionState
from rloop_operator.ports import Caller

SUSPENDED = "this session is over, because the campaign is suspended: finish"
ENDED = "this session is over, because the campaign has ended: finish"
USED_UP = "spec.budget.runs is used up, and no further run starts: record your findings, then finish"
BUDGET = {"budget": BudgetStatus(blocked_by="runs")}


class Waited(World):
    """A session with one measured experiment and one without a verdict, and how long it waited."""

    def __init__(self, *runs: Any, then: dict[str, Any] | None = None, **spec: Any) -> None:
        super().__init__(**spec)
        self.seconds = 0.0
        self.then = then
        measured = experiment("demo-i0001-e1", *done("screen", 0.5), phase="Rejected", verdict=verdict())
        for one in (measured, experiment("demo-i0001-e2", *runs, phase="Running" if runs else "Queued")):
            asyncio.run(self.store.create(one))

    def wait(self, seconds: float) -> bool:
        self.seconds += seconds
        if self.seconds >= 3 and self.then is not None:
            self.decide(**self.then)
        return False


def waiting(of: Waited) -> str:
    """What the built-in agent's tool tells its model, and the tools of coding agents theirs."""
    gateway = InMemory(of.gateway, Caller(f"{SESSION}-a1", "agent", "demo", ITERATION, SESSION))
    context = gateway.context()
    scratch = Scratch(Path("unused"), gateway.task(), context.editable, {})
    state = SessionState(gateway, context, scratch, of.wait, lambda: False, lambda: 600.0)
    return registry.call(state, "wait_for_results", '{"seconds": 300}')


ENDING: dict[str, Any] = {"ending": Ending(reason="TargetReached", message="reached", active_seconds=1, generation=1)}
COMPLETE: dict[str, Any] = {"conditions": [condition("Complete")]}


@pytest.mark.parametrize(
    ("spec", "status", "why"),
    [
        pytest.param({"suspend": True}, {}, SUSPENDED, id="suspended"),
        pytest.param({}, ENDING, ENDED, id="the report is written"),
        pytest.param({"suspend": True}, COMPLETE, ENDED, id="complete"),
        pytest.param({}, BUDGET, USED_UP, id="the budget is used up"),
        pytest.param({}, {}, "", id="it will be measured"),
    ],
)
def test_an_experiment_that_cannot_go_on_says_why(spec: dict[str, Any], status: dict[str, Any], why: str) -> None:
    world = Waited(run(), **spec)
    world.decide(**status)
    shown = [world.get("experiments"), world.get("context")["results"]]
    assert [[one["blocked"] for one in each] for each in shown] == [["", why]] * 2
    assert world.get("experiments/demo-i0001-e2")["blocked"] == why
    told = waiting(world)
    assert world.seconds == (0 if why else 300)
    assert told == f"there is nothing to wait for: {why}" if why else "nothing has changed" in told


@pytest.mark.parametrize(("then", "why"), [(BUDGET, USED_UP), (ENDING, ENDED)])
def test_a_wait_that_becomes_useless_ends(then: dict[str, Any], why: str) -> None:
    world = Waited(run(phase="Running"), then=then)
    assert waiting(world) == f"there is nothing to wait for: {why}"
    assert world.seconds == 3
