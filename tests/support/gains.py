"""A small simulated campaign with keeps and rejected challengers, for tests of what is verified afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.support.builders import loop

from rloop import ledger_entry
from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest, FinishRequest
from rloop.ledger_entry import GENESIS, Entry, Ledger
from rloop.verify.campaign import Misfit, Verified, verify
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign, verdict
from rloop_operator.sim.runtime import Outcome, World


@dataclass(frozen=True)
class Stored:
    """What is stored of a campaign."""

    loop: ResearchLoop
    experiments: dict[str, ResearchExperiment]
    ledger: Ledger

    def verified(self) -> Verified | Misfit:
        return verify(self.loop, self.experiments, self.ledger)

    def told(self) -> str:
        """The sentence about what does not fit."""
        found = self.verified()
        assert isinstance(found, Misfit), found
        return found.told

    def put(self, experiment: ResearchExperiment) -> Stored:
        return replace(self, experiments=self.experiments | {experiment.metadata.name: experiment})

    def without(self, name: str) -> Stored:
        return replace(self, experiments={key: one for key, one in self.experiments.items() if key != name})

    def written_anew(self, *left_out: str) -> Stored:
        """With a consistent ledger of the experiments as they are now: what whoever can write everything can do."""
        entries: list[Entry] = []
        for old in self.ledger.entries:
            one = self.experiments.get(old.body.get("name", ""))
            if old.key in left_out:
                continue
            body = ledger_entry.of_experiment(one).body if one is not None else old.body
            entries.append(replace(old, previous=head(entries), body=body))
        return replace(self, ledger=Ledger(tuple(one.text for one in entries), head(entries)))


def head(entries: list[Entry]) -> str:
    return ledger_entry.digest(entries[-1].text) if entries else GENESIS


async def propose(gateway: Gateway, caller: Caller) -> None:
    if caller.session.endswith("i0001-s1"):
        await gateway.propose_direction(caller, DirectionRequest(title="deeper", fields={"method": "depth"}))
    for sequence in (1, 2, 3):
        files = {"recipe.json": f'{{"by": "{caller.session}-{sequence}"}}'}
        await gateway.propose_experiment(caller, ExperimentRequest(sequence=sequence, title="größer", files=files))
    await gateway.finish(caller, FinishRequest(handoff=""))


def played(acceptance: str = "Standard", **spec: Any) -> Stored:
    """The second proposal of each session is much better than all before; the others are a bit better by luck only."""
    return asyncio.run(_played(acceptance, spec))


async def _played(acceptance: str, spec: dict[str, Any]) -> Stored:
    random = Random(3)

    def make_world(gateway: Gateway, _: Store) -> World:
        def go(_: ResearchLoop, work: Workload) -> Outcome:
            if work.role == "agent":
                return Outcome(1.0, act=lambda caller: propose(gateway, caller))
            if work.role == "run":
                return Outcome(1.0, claims={"loss": random.random()})
            number = int(work.owner.split("-i")[1][:4]) if "-i" in work.owner else 1
            level = 10.0 * (1 - number - work.owner.endswith("-e2"))
            lucky = -2.0 if work.kind == "screen" else 0.0
            return verdict("loss", level + lucky + random.gauss(0, 1))

        return go

    given = {"budget__experiments": 9, "parallelism": 2, "evaluation__repeats": 2, "stall__pivotAfter": 9}
    of = loop(evaluation__acceptance=acceptance, stall__attentionAfter=99, **{**given, **spec})
    sim = Campaign(of, {"recipe.json": File(b"{}")}, make_world)
    ended = await sim.run(20_000)
    experiments = await sim.store.list(ResearchExperiment, sim.name)
    return Stored(ended, {one.metadata.name: one for one in experiments}, sim.store.entries(sim.name))
