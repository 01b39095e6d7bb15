"""Signs of life of several loops on one board: the passes of one loop do not touch the sessions of another."""

from __future__ import annotations

import asyncio

from rloop_operator.beats import Beats, Sight
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


def test_what_could_not_be_seen_is_no_silence() -> None:
    now = 1000.0

    async def test() -> None:
        nonlocal now
        sight = Sight(lambda: now, 10)
        beats = Beats(sight, lambda: sight.returned_at)

        async def later(seconds: float, *, seen: bool = True) -> tuple[float, float]:
            """Ages of the beat and of the round."""
            nonlocal now
            for _ in range(round(seconds)):
                now += 1
                if seen:
                    sight.look()
            sight.look()
            await beats.expect("one", {"one-i0001-s1": 0})
            found = (await beats.read())["one-i0001-s1"]
            return found.age_seconds, found.round_age_seconds

        assert await later(1) == (0, 0)
        await beats.record(caller("one"), 1)
        assert await later(60) == (60, 60)
        # The API server is away for an hour: the gateway can write no beat, and all of it is no round either.
        assert await later(3600, seen=False) == (0, 70)
        assert await later(89) == (89, 159)
        # So short a pause is none.
        assert await later(10, seen=False) == (99, 169)

    asyncio.run(test())
