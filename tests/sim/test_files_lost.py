"""Files of experiments that somebody deletes, and artifacts that go with their volume: told, and the campaign ends."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.support.builders import loop
from tests.support.campaigns import Driven
from tests.support.worlds import Chances, world

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import finished
from rloop.errors import Unstartable


def test_an_experiment_without_its_files_has_failed_and_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    of = loop(budget={"experiments": 4, "runs": 60}, objective__target=None)
    campaign = Driven(of, world(Random(3), Chances(agent_crash=0, lazy=0, crash=0, hang=0, lost=0)), Random(0))
    start = campaign.runtime.start
    refused: list[str] = []

    async def started(loop: ResearchLoop, workload: Workload) -> None:
        if workload.role == "run" and "-e" in workload.owner:
            refused.append(workload.name)
            raise Unstartable(f'the ConfigMap "{workload.owner}" was deleted')
        await start(loop, workload)

    monkeypatch.setattr(campaign.runtime, "start", started)

    async def whole() -> None:
        await campaign.store.create(of)
        while not finished(campaign.store.loop()):
            await campaign.settle()
            await campaign.advance()

    asyncio.run(whole())
    assert refused
    assert len(refused) == len(set(refused)), "none is tried again"
    found = [one for one in campaign.store.experiments() if one.spec.kind == "Candidate"]
    assert found
    for one in found:
        runs: list[Any] = [run for run in one.status.runs if run.attempts]
        assert [run.reason for run in runs] == ["FilesLost"] * len(runs)
    assert "RunFailed" in {one.reason for one in campaign.events}
    assert not any(one.reason == "FilesLost" for one in campaign.store.loop().status.conditions)
