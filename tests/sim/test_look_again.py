"""No lost wake-up: a campaign that is passed over only by events and when its decision asked for it ends exactly as one
that is passed over at every tick besides.
"""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.test_random_worlds import EDITS, QUICK, chances, spec_of, specs
from tests.support import campaigns
from tests.support.builders import loop
from tests.support.campaigns import PASSES_MAX, Driven, Edit, check_whole
from tests.support.worlds import Chances, world
from typing_extensions import override

from rloop.campaign_state import finished
from rloop_operator.ports import Caller
from rloop_operator.reconcile import Shell, reconcile
from rloop_operator.sim.campaign import SEED_KEYS

TICK_SECONDS = 1.0
SUSPENDED_SECONDS = 40.0
"""A user who suspends resumes after so long."""
END_SECONDS = 30_000.0


class Woken(Driven):
    """Passed over by events and at `look_again`; with `every_tick` at each tick besides."""

    def __init__(self, *args: Any, every_tick: bool, mute: float, edits: float) -> None:
        super().__init__(*args)
        self._every_tick = every_tick
        self._mute = mute
        self._chance_of_edit = edits
        self._luck = Random(self.random.random())
        """Apart from the world's: how often it is asked depends on time alone."""
        self._suspended_at = math.inf
        self._look_again_at = 0.0
        self.passes = 0
        self.edits = [*EDITS]

    @override
    def _new_shell(self) -> Shell:
        return Shell(self.store, self.runtime, self.beats, self.clock.now, SEED_KEYS, self._tell)

    @override
    async def settle(self) -> None:
        for _ in range(PASSES_MAX):
            ends = self.runtime.ends
            self.passes += 1
            done = await reconcile(self._shell, self.name)
            if not done.changed and self.runtime.ends == ends:
                self._look_again_at = math.inf if done.look_again is None else self.clock.seconds + done.look_again
                at_rest = self.store.loop().spec.suspend and not self.runtime.live()
                assert done.look_again is not None or at_rest or finished(self.store.loop())
                return
        raise AssertionError(f"{self.name}: a hot loop at {self.clock.seconds} s")

    @override
    async def advance(self) -> None:
        """Time passes to the next event: an end, an edit, or what the last decision asked for."""
        while True:
            end = self.runtime.next_end()
            due = min(math.inf if end is None else end, self._look_again_at)
            tick = (self.clock.seconds // TICK_SECONDS + 1) * TICK_SECONDS
            # A moment is rounded to microseconds.
            self.clock.seconds = max(self.clock.seconds, due if due < tick + 1e-3 else tick)
            # Beats wake nobody.
            for name in await self.beats.read():
                if hash_share(name) >= self._mute:
                    await self.beats.record(Caller(name, "agent", self.name, name, name), 0)
            if self.clock.seconds >= due:
                await self.runtime.end_due()
                return
            if self._edits():
                return
            if self._every_tick:
                done = await reconcile(self._shell, self.name)
                assert not done.changed, f"a lost wake-up at {self.clock.seconds} s: {done.decision}"
                assert done.decision is not None
                assert done.decision.actions == ()
            if self.clock.seconds > END_SECONDS:
                return

    def _edits(self) -> bool:
        """Whether the user has just edited the loop: an event."""
        if self.store.loop().spec.suspend:
            self._suspended_at = min(self._suspended_at, self.clock.seconds)
            resumes = self.clock.seconds > self._suspended_at + SUSPENDED_SECONDS
            edit: Edit | None = campaigns.suspend if resumes else None
        else:
            self._suspended_at = math.inf
            edit = self._luck.choice(self.edits) if self._luck.random() < self._chance_of_edit else None
        if edit is None:
            return False
        self.store.edit(edit(self.store.loop()))
        return True


def hash_share(name: str) -> float:
    """A number between 0 and 1 that belongs to a session."""
    return Random(name).random()


def campaign(
    seed: int, luck: Chances, spec: dict[str, Any], mute: float, edits: float, *, every_tick: bool
) -> tuple[Woken, Any]:
    random = Random(seed)
    goal = spec["objective__goal"]
    made = Woken(loop(**spec), world(random, luck, goal), random, every_tick=every_tick, mute=mute, edits=edits)
    return made, asyncio.run(made.run(END_SECONDS))


watchdogs = st.fixed_dictionaries(
    {
        "watchdog__heartbeatSeconds": st.sampled_from([2, 30]),
        "watchdog__progressSeconds": st.sampled_from([5, 900]),
        "watchdog__maxNudges": st.integers(0, 2),
        "experiment__progressDeadlineSeconds": st.sampled_from([4, 12, None]),
        "agent__sessionSeconds": st.sampled_from([10, 60]),
    }
)


@given(
    st.integers(0, 2**32),
    chances,
    specs,
    watchdogs,
    st.sampled_from([None, -20.0, 4.0]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.02]),
)
@settings(QUICK, max_examples=15)
def test_events_and_look_again_are_enough(
    seed: int,
    luck: Chances,
    drawn: dict[str, Any],
    watchdog: dict[str, Any],
    target: float | None,
    mute: float,
    edits: float,
) -> None:
    spec = {**spec_of(drawn, target), **watchdog}
    woken, ended = campaign(seed, luck, spec, mute, edits, every_tick=False)
    ticked, the_same = campaign(seed, luck, spec, mute, edits, every_tick=True)
    assert ended == the_same
    assert woken.store.objects == ticked.store.objects
    assert woken.store.ledger == ticked.store.ledger
    assert woken.runtime.starts == ticked.runtime.starts
    check_whole(woken, ended)
