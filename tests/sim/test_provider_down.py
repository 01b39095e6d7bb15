"""A provider of a language model that is down for hours: the campaign waits, loses nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
from random import Random

from tests.support.builders import LLM, loop
from tests.support.campaigns import Driven, iterations_of
from tests.support.spending import spend
from tests.support.worlds import Chances, world

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import finished
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.sim.runtime import Outcome, World
from rloop_operator.sim.store import MemoryStore

DOWN_SECONDS = 3 * 3600


def test_a_provider_that_is_down_for_hours_costs_only_the_time() -> None:
    def make(gateway: Gateway, store: MemoryStore) -> World:
        answered = world(Random(1), Chances(agent_crash=0, lazy=0, gain=0))(gateway, store)

        def play(of: ResearchLoop, workload: Workload) -> Outcome:
            waits = workload.role == "agent" and campaign.clock.seconds < DOWN_SECONDS
            return Outcome(1e9) if waits else answered(of, workload)

        return play

    of = loop(
        agent={**LLM, "sessionSeconds": 600},
        watchdog={"progressSeconds": 60},
        budget={"experiments": 5, "runs": 100},
        objective__target=None,
    )
    campaign = Driven(of, make, Random(0))
    reasons: set[str] = set()

    async def proxy() -> None:
        for one in iterations_of(campaign):
            for session in one.status.sessions:
                if session.phase == "Running":
                    await spend(campaign.store, one.metadata.name, session.name, waiting="ProviderDown")

    async def whole() -> ResearchLoop:
        await campaign.store.create(of)
        while campaign.clock.seconds < DOWN_SECONDS:
            await campaign.settle()
            await proxy()
            await campaign.settle()
            found = {one.type: one.reason for one in campaign.store.loop().status.conditions}
            if campaign.clock.seconds > 300:
                reasons.add(found["Progressing"])
            await campaign.advance()
        lost = iterations_of(campaign)
        status = campaign.store.loop().status
        assert reasons == {"WaitingForLLM"}, "also in the pauses, and before the next session has called"
        assert {one.status.outcome for one in lost[:-1]} == {"Void"}
        assert 8 <= len(lost) <= 18, "each is opened again after a pause, which grows"
        assert (status.stale_count, status.pivots, status.watchdog.nudges, status.watchdog.restarts) == (0, 0, 0, 0)
        assert status.budget.used.experiments == 0
        assert not any(one.type == "NeedsAttention" and one.status == "True" for one in status.conditions)
        while not finished(campaign.store.loop()):
            await campaign.settle()
            await campaign.advance()
        return campaign.store.loop()

    ended = asyncio.run(whole())
    assert next(one.reason for one in ended.status.conditions if one.type == "Complete") == "BudgetExhausted"
    assert ended.status.budget.used.experiments == 5
