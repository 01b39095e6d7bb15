"""A whole campaign on the simulated shell: the production decisions, gateway and store rules in virtual time.

Used by property tests and benchmarks, never by a user's campaign: no result is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rloop.actions import Event
from rloop.api.helpers import VerifierReport
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import finished
from rloop.names import SeedKeys
from rloop_operator.beats import Beats
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, Files
from rloop_operator.reconcile import Shell, reconcile
from rloop_operator.sim.runtime import Outcome, SimRuntime, VirtualClock, World
from rloop_operator.sim.store import MemoryStore

SEED_KEYS = SeedKeys(b"simulated", b"simulated")
"""Constant, so that a simulated campaign is reproducible; no simulated agent tries to guess a seed."""
PASSES_MAX = 1000
IDLE_SECONDS = 1.0
"""Clock step in seconds while the campaign waits for an event that only a test can cause."""

MakeWorld = Callable[[Gateway, MemoryStore], World]


class Campaign:
    """One simulated campaign."""

    def __init__(self, loop: ResearchLoop, task: Files, make_world: MakeWorld) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(task)
        self.beats = Beats(self.clock.monotonic)
        self.gateway = Gateway(self.store, self.beats, now=self.clock.now, changed=lambda: None)
        self.runtime = SimRuntime(self.clock, make_world(self.gateway, self.store))
        self.events: list[Event] = []
        self.shell = Shell(self.store, self.runtime, self.beats, self.clock.now, SEED_KEYS, self._tell)
        self._look_again_at = math.inf
        self._loop = loop
        self.name = loop.metadata.name

    async def run(self, until_seconds: float = 1e9) -> ResearchLoop:
        """Run to the end, or until `until_seconds` of virtual time. Returns the final loop."""
        await self.begin()
        while self.clock.seconds < until_seconds:
            await self.settle()
            if await self.finished() and not self.runtime.live():
                break
            await self.advance()
        return await self.store.get(ResearchLoop, self.name)

    async def begin(self) -> None:
        """Apply the manifest."""
        await self.store.create(self._loop)

    async def settle(self) -> None:
        """Reconcile until nothing changes. Raises RuntimeError after PASSES_MAX passes: a hot loop is a defect."""
        for _ in range(PASSES_MAX):
            ends = self.runtime.ends
            done = await reconcile(self.shell, self.name)
            if not done.changed and self.runtime.ends == ends:
                self._look_again_at = math.inf if done.look_again is None else self.clock.seconds + done.look_again
                return
        message = f"{self.name}: still changing after {PASSES_MAX} passes at {self.clock.seconds} s"
        raise RuntimeError(message)

    async def advance(self) -> None:
        """Move the clock to the next end of a workload or the next due reconcile, and end the due workloads."""
        end = self.runtime.next_end()
        until = min(self._look_again_at, math.inf if end is None else end)
        self.clock.seconds = max(self.clock.seconds, until) if until < math.inf else self.clock.seconds + IDLE_SECONDS
        for name in await self.beats.read():
            await self.beats.record(Caller(name, "agent", self.name, name, name), 0)
        await self.runtime.end_due()

    async def finished(self) -> bool:
        """Whether the loop is Complete or Failed."""
        return finished(await self.store.get(ResearchLoop, self.name))

    async def _tell(self, _loop: str, event: Event) -> None:
        self.events.append(event)


def verdict(metric: str, value: float, seconds: float = 1.0) -> Outcome:
    """The outcome of a verification that measures this value."""
    message = VerifierReport.model_validate({"verdict": {"metrics": {metric: value}}}).model_dump_json(by_alias=True)
    return Outcome(seconds, message=message)
