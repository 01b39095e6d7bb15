"""Signs of life of several loops on one board: the passes of one loop do not touch the sessions of another."""

from __future__ import annotations

import asyncio

from rloop_operator.beats import Beats
from rloop_operator.ports import Caller


def caller(loop: str) -> Caller:
    session = f"{loop}-i0001-s1"
    return Caller(f"{session}-a1", "agent", loop, f"{loop}-i0001", session)


def test_silence_is_noticed_although_another_loop_is_passed_over_in_between() -> None:
    now = 1000.0

    async def test() -> None:
        nonlocal now
        beats = Beats(lambda: now)
        await beats.expect("silent", {"silent-i0001-s1": 0})
        await beats.expect("busy", {"busy-i0001-s1": 0})
        for _ in range(10):
            now += 10
            await beats.expect("busy", {"busy-i0001-s1": 0})
            await beats.record(caller("busy"), 1)
            await beats.expect("silent", {"silent-i0001-s1": 0})
        found = await beats.read()
        assert found["silent-i0001-s1"].age_seconds == 100
        assert found["busy-i0001-s1"].age_seconds == 0
        await beats.expect("silent", {})
        assert set(await beats.read()) == {"busy-i0001-s1"}

    asyncio.run(test())
