"""A budget that ends anywhere and is raised then leads where the larger one would have led at once."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.builders import loop

from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment, Usage
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest, FinishRequest
from rloop.verify.campaign import Verified, verify
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign, verdict
from rloop_operator.sim.runtime import Outcome, World

USED = Usage(cpu_seconds=10)


async def propose(gateway: Gateway, caller: Caller) -> None:
    await gateway.propose_direction(caller, DirectionRequest(title="deeper", fields={"method": "depth"}))
    files = {"recipe.json": f'{{"by": "{caller.session}"}}'}
    await gateway.propose_experiment(caller, ExperimentRequest(sequence=1, title="deeper", files=files))
    await gateway.finish(caller, FinishRequest(handoff=""))


def make_world(gateway: Gateway, _: Store) -> World:
    """A candidate is much better than the task, and the first attempt at every third run crashes."""

    def go(_: ResearchLoop, work: Workload) -> Outcome:
        if work.role == "agent":
            return Outcome(1.0, act=lambda caller: propose(gateway, caller))
        if work.role == "run":
            crashes = work.run % 3 == 0 and work.number == 1
            return Outcome(1.0, int(crashes), "Error" if crashes else "Completed", usage=USED)
        level = 0.0 if work.owner.endswith("-b01") else -200.0
        return verdict("loss", level + 0.1 * (work.run % 4))

    return go


async def raise_budget(sim: Campaign) -> None:
    stored = await sim.store.get(ResearchLoop, sim.name)
    budget = stored.spec.budget.model_copy(update={"runs": 1000, "cpu_seconds": 100_000})
    spec = stored.spec.model_copy(update={"budget": budget})
    metadata = stored.metadata.model_copy(update={"generation": stored.metadata.generation + 1})
    sim.store._put(stored.model_copy(update={"spec": spec, "metadata": metadata}), stored.metadata.uid)


RUNS = [({"runs": n, "cpuSeconds": 100_000}, 1) for n in (1, 2, 4, 5, 6, 7, 9, 15, 16, 18, 19, 22)]
CPU_SECONDS = [({"runs": 1000, "cpuSeconds": n}, slots) for n in range(10, 300, 40) for slots in (1, 3)]


@pytest.mark.parametrize(("limit", "slots"), [*RUNS, *CPU_SECONDS], ids=str)
def test_the_end_is_the_same(limit: dict[str, int], slots: int) -> None:
    of = loop(budget=limit, parallelism=slots, experiment__cpuSeconds=10, experiment__backoffLimit=1)

    async def whole() -> None:
        sim = Campaign(of, {"recipe.json": File(b"{}")}, make_world)
        assert _end(await sim.run()) == "BudgetExhausted"
        await raise_budget(sim)
        await sim.settle()
        while not await sim.finished():
            await sim.advance()
            await sim.settle()
        last = await sim.store.get(ResearchLoop, sim.name)
        assert (_end(last), last.status.misses) == ("TargetMet", 0)
        assert last.status.baseline is not None
        assert last.status.final is not None
        assert (last.status.baseline.n, last.status.final.n) == (5, 5)
        runs = [run for one in await sim.store.list(ResearchExperiment, sim.name) for run in one.status.runs]
        assert not [run for run in runs if run.phase == "Failed"]
        assert next(iter(sim.store.ledger)) == "demo/experiment/demo-b01"
        stored = {one.metadata.name: one for one in await sim.store.list(ResearchExperiment, sim.name)}
        found = verify(last, stored, sim.store.entries(sim.name))
        assert isinstance(found, Verified), found

    asyncio.run(whole())


def _end(of: ResearchLoop) -> str:
    return next(one.reason for one in of.status.conditions if one.type == "Complete")
