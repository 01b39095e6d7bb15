"""Agents that never play: for many minutes nothing is spent, nothing is stale, and a person is told."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.support.builders import LLM, loop
from tests.support.campaigns import Driven, iterations_of
from tests.support.spending import spend
from tests.support.worlds import Chances, world

from rloop.actions import Workload
from rloop.api.iteration import CallFailure
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import FinishRequest
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller
from rloop_operator.sim.runtime import Outcome, World
from rloop_operator.sim.store import MemoryStore

SECONDS = 1000.0


@pytest.mark.parametrize(
    ("code", "failure", "finishes", "reason"),
    [
        pytest.param(0, None, False, "NothingDone", id="it may not call a tool"),
        pytest.param(1, None, False, "Error", id="its program fails"),
        pytest.param(1, "AllowanceSpent", False, "AllowanceSpent", id="its allowance is spent"),
        pytest.param(1, "ContextTooLong", False, "ContextTooLong", id="its context is too long"),
        pytest.param(0, "ContextTooLong", True, "ContextTooLong", id="which it says in its handoff"),
        pytest.param(0, "StreamBroken", False, "StreamBroken", id="its stream broke"),
        pytest.param(0, "AnswerEmpty", True, "AnswerEmpty", id="its answers are empty"),
    ],
)
def test_a_time_in_which_nobody_plays_costs_only_the_time(
    code: int, failure: str | None, finishes: bool, reason: str
) -> None:
    def make(gateway: Gateway, store: MemoryStore) -> World:
        played = world(Random(1), Chances())(gateway, store)

        async def session(caller: Caller) -> None:
            await gateway.context(caller)
            await gateway.task(caller)
            if failure is not None:
                told = CallFailure(reason=failure, message="the provider's words")
                await spend(store, caller.owner, caller.session, failure=told)
            if finishes:
                await gateway.finish(caller, FinishRequest(handoff="no answer"))

        def play(of: ResearchLoop, workload: Workload) -> Outcome:
            if workload.role != "agent":
                return played(of, workload)
            return Outcome(2.0, code, "Completed" if code == 0 else "Error", act=session)

        return play

    changes: dict[str, Any] = {"agent": LLM, "budget": {"experiments": 5, "runs": 100}, "objective__target": None}
    of = loop(**changes)
    campaign = Driven(of, make, Random(0))

    async def whole() -> None:
        await campaign.store.create(of)
        while campaign.clock.seconds < SECONDS:
            await campaign.settle()
            await campaign.advance()

    asyncio.run(whole())
    status, opened = campaign.store.loop().status, iterations_of(campaign)
    assert {one.status.outcome for one in opened if one.status.phase == "Settled"} == {"Void"}
    assert len(opened) <= 16, "the pauses grow"
    assert (status.stale_count, status.pivots, status.budget.used.experiments) == (0, 0, 0)
    assert status.budget.used.tokens == 0
    conditions = {one.type: one for one in status.conditions}
    assert conditions["Degraded"].reason == ("AgentFailing" if reason == "Error" else reason)
    assert conditions["Progressing"].message.startswith("the next session opens at 2026-01-01 00:"), "in the pause"
    assert conditions["NeedsAttention"].status == "True"
    restarts = [one.attempt for iteration in opened for one in iteration.status.sessions]
    assert max(restarts) == (6 if reason == "Error" else 1)
