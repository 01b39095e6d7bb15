"""Drives a campaign on the simulated shell through deaths of the operator, conflicts and edits by its user.

Used by tests/sim. It is the benchmark's Campaign with another clockwork: time moves in small steps, so that hangs and
silence are seen, and every operator that dies is followed by a new one over the same store and runtime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import isclose
from random import Random
from typing import Any, cast

from tests.support.invariants import WatchedRuntime, WatchedStore
from tests.support.worlds import TASK, Deaths

from rloop import names
from rloop.actions import Event
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import finished
from rloop.verify.campaign import Verified, verify
from rloop_operator.beats import Beats
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, Files, Store
from rloop_operator.reconcile import Shell, reconcile
from rloop_operator.sim.campaign import SEED_KEYS, MakeWorld
from rloop_operator.sim.runtime import VirtualClock

PASSES_MAX = 300
STEP_SECONDS = 5.0
Edit = Callable[[ResearchLoop], ResearchLoop]


class Driven:
    """One campaign in a hostile world."""

    def __init__(self, loop: ResearchLoop, make_world: MakeWorld, random: Random, task: Files = TASK) -> None:
        self.clock = VirtualClock()
        self.store = WatchedStore(task)
        self.beats = Beats(self.clock.monotonic)
        self.gateway = Gateway(self.store, self.beats, now=self.clock.now, changed=lambda: None)
        self.runtime = WatchedRuntime(self.clock, make_world(self.gateway, self.store))
        self.runtime.store = self.store
        self.random = random
        self.deaths = Deaths(random)
        self.edits: list[Edit] = []
        """What the user does; one of them now and then."""
        self.loss = 0.0
        """Chance that a workload is lost in a step."""
        self.name = loop.metadata.name
        self.events: list[Event] = []
        self._loop = loop
        self._shell = self._new_shell()

    def _new_shell(self) -> Shell:
        """An operator as it starts: it remembers nothing."""
        self.beats = Beats(self.clock.monotonic)
        self.gateway._beats = self.beats
        store = cast("Store", self.deaths.around(self.store))
        runtime: Any = self.deaths.around(self.runtime)
        return Shell(store, runtime, self.beats, self.clock.now, SEED_KEYS, self._tell)

    async def _tell(self, _loop: str, event: Event) -> None:
        self.events.append(event)

    async def run(self, seconds: float = 1e6) -> ResearchLoop:
        """Until the campaign has ended and its workloads too; fails if that takes longer."""
        await self.store.create(self._loop)
        self.deaths.meanwhile = self._meanwhile
        while self.clock.seconds < seconds:
            await self.settle()
            if finished(self.store.loop()) and not self.runtime.live():
                return self.store.loop()
            await self.advance()
        raise AssertionError(f"{self.name} has not ended after {seconds} s: {self.store.loop().status}")

    async def settle(self) -> None:
        """Reconcile until nothing changes, whoever dies on the way."""
        for _ in range(PASSES_MAX):
            ends = self.runtime.ends
            dead = self.deaths.count
            try:
                changed = (await reconcile(self._shell, self.name)).changed
            except Exception:
                if self.deaths.count == dead:
                    raise
                self._shell = self._new_shell()
                continue
            if not changed and self.runtime.ends == ends:
                return
        raise AssertionError(f"{self.name}: a hot loop at {self.clock.seconds} s")

    async def advance(self) -> None:
        """A little time passes: workloads end or are lost, agents act, the user edits."""
        end = self.runtime.next_end()
        now = self.clock.seconds
        self.clock.seconds = min(max(now, end), now + STEP_SECONDS) if end is not None else now + STEP_SECONDS
        for name in await self.beats.read():
            await self.beats.record(Caller(name, "agent", self.name, name, name), 0)
        for name in self.runtime.live():
            if self.random.random() < self.loss:
                self.runtime.lose(name)
        if self.edits and self.random.random() < 0.05:
            self._edit()
        await self.runtime.end_due()

    async def _meanwhile(self) -> None:
        """Between two calls of the operator."""
        if self.edits and self.random.random() < 0.2:
            self._edit()
        self.clock.seconds += 1
        await self.runtime.end_due()

    def _edit(self) -> None:
        if finished(self.store.loop()):
            return  # a larger budget would continue it, and the promises are about one campaign
        self.store.edit(self.random.choice(self.edits)(self.store.loop()))


def drive(campaign: Driven, seconds: float = 1e6) -> ResearchLoop:
    """Run it to its end, then check what must hold of a whole campaign."""

    async def whole() -> ResearchLoop:
        loop = await campaign.run(seconds)
        campaign.deaths.chance = campaign.deaths.refusal = 0.0
        campaign.deaths.meanwhile = None
        await campaign.settle()
        writes = campaign.store.writes
        for _ in range(3):
            campaign.clock.seconds += 100
            assert not (await reconcile(campaign._shell, campaign.name)).changed, "a finished loop does something"
        assert campaign.store.writes == writes
        return campaign.store.loop() if loop else loop

    loop = asyncio.run(whole())
    check_whole(campaign, loop)
    return loop


def check_whole(campaign: Driven, loop: ResearchLoop) -> None:
    """What must hold once a campaign is over."""
    store, status = campaign.store, loop.status
    for obj in store.objects.values():
        assert type(obj).model_validate_json(obj.model_dump_json(by_alias=True)) == obj, "it cannot be read back"
    assert isinstance(
        found := verify(loop, {one.metadata.name: one for one in store.experiments()}, store.entries(campaign.name)),
        Verified,
    ), found
    entries = [key for key in store.ledger if key.startswith(f"{campaign.name}/experiment/")]
    undecided = {key.split("/")[2] for key in store.ledger if key.startswith(f"{campaign.name}/undecided/")}
    for tried in store.experiments():
        verdict, name = tried.status.verdict, tried.metadata.name
        waits = verdict is not None and verdict.reason == "BudgetExhausted" and tried.status.phase == "Withdrawn"
        assert entries.count(f"{campaign.name}/experiment/{name}") == (not waits), name
        assert (name in undecided) is (waits and tried.spec.kind != "Baseline"), name
    assert len(campaign.runtime.starts) == len(set(campaign.runtime.starts))
    for one in store.iterations():
        assert one.status.phase == "Settled", one.metadata.name
    for experiment in store.experiments():
        for run in experiment.status.runs:
            assert run.phase in ("Done", "Failed", "Withdrawn"), f"{experiment.metadata.name}-r{run.number}"
            assert not any(one.phase in ("Pending", "Running") for one in run.attempts), experiment.metadata.name
    check_standing(campaign)
    assert status.iteration == len(store.iterations()) or not store.iterations()


def check_standing(campaign: Driven) -> None:
    """What the loop's status says of counters and of the incumbent, worked out again from the objects."""
    store = campaign.store
    status = store.loop().status
    if status.baseline is None:
        return
    assert status.generation == store.keeps + status.pivots
    assert status.stale_count == store.stale
    for one in store.iterations():
        if one.status.outcome == "Neutral" and not finished(store.loop()):
            assert one.spec.generation < status.generation, one.metadata.name
    usages = [one for iteration in store.iterations() for one in iteration.status.reported.usage]
    if finished(store.loop()):
        tokens = sum(one.input_tokens + one.output_tokens + one.held_tokens for one in usages)
        assert status.budget.used.tokens == tokens
        assert isclose(status.budget.used.cost, 0.01 * len(usages))
    best = status.best
    assert best is not None
    incumbent = next(one for one in store.experiments() if one.metadata.name == best.experiment)
    verdict = incumbent.status.verdict
    assert (verdict.keep or 0 if verdict else 0) == store.keeps
    kinds = {"baseline", "confirm", "audit", "reference"}
    found = [run.value for run in incumbent.status.runs if run.kind in kinds and run.value is not None]
    assert abs(best.value - sum(found) / len(found)) < 1e-9, "its value is not that of the runs after the screen"
    assert best.n == len(found)


def iterations_of(campaign: Driven) -> list[ResearchIteration]:
    """All iterations, in order."""
    return sorted(campaign.store.iterations(), key=lambda one: one.spec.number)


def suspend(loop: ResearchLoop) -> ResearchLoop:
    """The user suspends or resumes."""
    return _spec(loop, suspend=not loop.spec.suspend)


def redirect(loop: ResearchLoop) -> ResearchLoop:
    """The director says something new."""
    return _spec(loop, direction=f"{loop.spec.direction[:100]} Or not ({loop.metadata.resource_version}).")


def widen(loop: ResearchLoop) -> ResearchLoop:
    """More runs at once, or one."""
    return _spec(loop, parallelism=1 + loop.spec.parallelism % 4)


def spend_more(loop: ResearchLoop) -> ResearchLoop:
    """A little more budget."""
    budget = loop.spec.budget
    return _spec(loop, budget=budget.model_copy(update={"runs": (budget.runs or 0) + 1}))


def demand_pivot(loop: ResearchLoop) -> ResearchLoop:
    """The director asks for another frame."""
    annotations = {names.ANNOTATION_PIVOT: f"at {loop.metadata.resource_version}"}
    return loop.model_copy(update={"metadata": loop.metadata.model_copy(update={"annotations": annotations})})


def _spec(loop: ResearchLoop, **changes: Any) -> ResearchLoop:
    spec = loop.spec.model_copy(update=changes)
    metadata = loop.metadata.model_copy(update={"generation": loop.metadata.generation + 1})
    return loop.model_copy(update={"spec": spec, "metadata": metadata})
