"""A quota that is full once the outcome is drawn: the campaign is Complete all the same, in its time."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.support.builders import LLM, loop
from tests.support.campaigns import Driven, iterations_of
from tests.support.worlds import Chances, world

from rloop.campaign_state import closing, finished
from rloop.errors import Blocked
from rloop.reasons import Reason


def test_a_quota_that_refuses_the_reports_sessions_keeps_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"agent": {**LLM, "sessionSeconds": 60}, "experiment__pendingDeadlineSeconds": 30}
    of = loop(**spec, budget={"experiments": 3, "runs": 100}, objective__target=None)
    campaign = Driven(of, world(Random(1), Chances(agent_crash=0, lazy=0)), Random(0))
    create = campaign.store.create
    drawn: list[float] = []

    async def refused(obj: Any) -> Any:
        if campaign.store.loop().status.ending is not None:
            drawn.append(campaign.clock.seconds)
            raise Blocked(Reason.QUOTA_EXCEEDED, obj.metadata.name, "raise the quota")
        return await create(obj)

    async def whole() -> None:
        await create(of)
        monkeypatch.setattr(campaign.store, "create", refused)
        while not finished(campaign.store.loop()):
            await campaign.settle()
            await campaign.advance()

    asyncio.run(whole())
    status = campaign.store.loop().status
    assert next(one.reason for one in status.conditions if one.type == "Complete") == "BudgetExhausted"
    assert 170 <= drawn[-1] - drawn[0] <= 180, "twice the time of a session and of the wait for its place"
    assert not any(closing(one) for one in iterations_of(campaign))
    assert [one.reason for one in campaign.events].count("QuotaExceeded") == 1
