"""An agent that only finds new words for its old idea cannot spend an experiment once the frame must change."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
import yaml
from tests.support.builders import loop
from tests.support.campaigns import Driven
from tests.support.worlds import TASK

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest
from rloop.errors import Refused
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Files
from rloop_operator.sim.campaign import verdict
from rloop_operator.sim.runtime import Outcome, World
from rloop_operator.sim.store import MemoryStore

WORDS = ("rate", "cosine", "anneal", "smaller", "step", "the", "oscillation", "removes", "learning", "schedule")
SPACE = {
    "file": "recipe.json",
    "dimensions": [
        {"name": "level", "key": "level", "values": [0, 1], "default": 0, "structural": True, "field": "method"},
        {"name": "salt", "key": "salt", "low": 0, "high": 10_000, "default": 0},
    ],
}
WITH_SPACE = {
    **TASK,
    "recipe.json": File(b'{"level": 0, "salt": 0}'),
    "space.yaml": File(yaml.safe_dump(SPACE).encode()),
}


class Reworder:
    """One idea for ever, in ever new words; each experiment differs from the last in a number."""

    def __init__(self, gateway: Gateway, frame: dict[str, str]) -> None:
        self._gateway = gateway
        self._frame = frame
        self._random = Random(1)
        self._salt = 0
        self.after_pivot: list[str] = []
        self.refusals: list[str] = []

    def __call__(self, of: ResearchLoop, workload: Workload) -> Outcome:
        if workload.role == "verification":
            return verdict("loss", self._random.gauss(0, 1))
        return Outcome(5.0, act=self._session if workload.role == "agent" else None)

    async def _session(self, caller: Caller) -> None:
        context = await self._gateway.context(caller)
        for sequence in range(1, 6):
            try:
                words = self._random.sample(WORDS, len(WORDS))
                fields = {"hypothesis": " ".join(words), "method": " ".join(reversed(words))}
                title = f"{words[0]} {words[1]} {words[2]}"
                asked = DirectionRequest.model_validate({"title": title, "fields": fields, "frame": self._frame})
                await self._gateway.propose_direction(caller, asked)
            except Refused as refused:
                self.refusals.append(refused.reason)
            try:
                self._salt += 1
                files = {"recipe.json": f'{{"level": 0, "salt": {self._salt}}}'}
                request = ExperimentRequest(sequence=sequence, title="again", files=files)
                made = await self._gateway.propose_experiment(caller, request)
                if context.demand:
                    self.after_pivot.append(made.name)
            except Refused as refused:
                self.refusals.append(refused.reason)


@pytest.mark.parametrize(
    ("task", "frame", "refusal"),
    [
        pytest.param(TASK, {}, "NotNew", id="without a space its words are compared"),
        pytest.param(WITH_SPACE, {"level": "0"}, "NotNew", id="with a space its frame is"),
        pytest.param(WITH_SPACE, {"level": "1"}, "OutsideFrame", id="a frame that it only claims does not help"),
    ],
)
def test_a_reworder_spends_nothing_after_a_pivot(task: Files, frame: dict[str, str], refusal: str) -> None:
    agents: list[Reworder] = []

    def make(gateway: Gateway, store: MemoryStore) -> World:
        agents.append(Reworder(gateway, frame))
        return agents[0]

    of = loop(budget__activeSeconds=3000, objective__target=None)
    campaign = Driven(of, make, Random(0), task)
    asyncio.run(campaign.run())
    assert refusal in agents[0].refusals
    assert agents[0].after_pivot == []
    pivots = {one.spec.number: one.spec.pivots for one in campaign.store.iterations()}
    spent = {pivots[one.spec.iteration] for one in campaign.store.experiments() if one.spec.kind == "Candidate"}
    if refusal == "NotNew":
        assert campaign.store.loop().status.pivots == 1, "a demand that nobody answers is not repeated"
        assert spent == {0}, "only what was proposed before the plateau"
    else:
        assert spent == set()
