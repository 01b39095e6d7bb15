"""Whose turn it is: each loop once, no namespace before all others, changed specs first, pauses kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rloop_operator.cluster.reconciling.work_queue import URGENT_IN_A_ROW, WorkQueue
from rloop_operator.cluster.telemetry.progress import Key

LIMIT = 3


def storm(namespace: str, count: int = 1000) -> list[Key]:
    return [(namespace, f"loop-{number}") for number in range(count)]


def run(test: Callable[[WorkQueue], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test(WorkQueue(LIMIT))

    asyncio.run(whole())


async def take(queue: WorkQueue) -> Key:
    async with asyncio.timeout(1):
        return await queue.take()


async def served(queue: WorkQueue, count: int) -> list[Key]:
    """The next keys, each done before the next is taken."""
    found = []
    for _ in range(count):
        found.append(await take(queue))
        queue.done(found[-1])
    return found


@pytest.mark.parametrize("urgent", [False, True])
def test_a_storm_in_one_namespace_delays_no_other(urgent: bool) -> None:
    async def test(queue: WorkQueue) -> None:
        for key in storm("noisy"):
            queue.add(key, urgent=urgent)
        await served(queue, 10)
        queue.add(("quiet", "one"), urgent=urgent)
        queue.add(("calm", "one"), urgent=urgent)
        assert {("quiet", "one"), ("calm", "one")} <= set(await served(queue, 3))

    run(test)


def test_a_changed_spec_comes_first_and_stops_no_campaign() -> None:
    async def test(queue: WorkQueue) -> None:
        for key in storm("busy"):
            queue.add(key)
        for key in storm("new"):
            queue.add(key, urgent=True)
        found = await served(queue, 4 * (URGENT_IN_A_ROW + 1))
        assert [one[0] for one in found] == [*["new"] * URGENT_IN_A_ROW, "busy"] * 4
        queue.add(("busy", "loop-999"), urgent=True)
        assert ("busy", "loop-999") in await served(queue, 2)

    run(test)


def test_slow_passes_of_one_namespace_leave_workers_to_others() -> None:
    async def test(queue: WorkQueue) -> None:
        for key in storm("slow"):
            queue.add(key)
        for _ in range(LIMIT):
            assert (await take(queue))[0] == "slow"
        queue.add(("other", "one"))
        assert await take(queue) == ("other", "one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await queue.take()
        queue.done(("slow", "loop-0"))
        assert (await take(queue))[0] == "slow"

    run(test)


def test_a_key_is_in_one_hand_only_and_what_comes_meanwhile_is_not_lost() -> None:
    async def test(queue: WorkQueue) -> None:
        key = ("a", "one")
        for _ in range(3):
            queue.add(key)
        assert await take(queue) == key
        assert queue.depth() == 0
        queue.add(key)
        queue.add(key)
        assert queue.depth() == 0
        queue.done(key)
        assert queue.depth() == 1

    run(test)


def test_a_pause_is_kept_but_for_a_changed_spec() -> None:
    async def test(queue: WorkQueue) -> None:
        key = ("a", "one")
        queue.add(key)
        await take(queue)
        queue.add(key)
        queue.done(key, rest_seconds=0.1, again_after=0.1)
        queue.add(key)
        assert queue.depth() == 0
        begun = asyncio.get_running_loop().time()
        assert await take(queue) == key
        assert asyncio.get_running_loop().time() - begun > 0.08
        queue.done(key, rest_seconds=60)
        queue.add(key, urgent=True)
        assert await take(queue) == key

    run(test)


def test_the_next_look_comes_by_itself_and_an_event_comes_before_it() -> None:
    async def test(queue: WorkQueue) -> None:
        key = ("a", "one")
        queue.add(key)
        await take(queue)
        queue.done(key, again_after=0.05)
        assert await take(queue) == key
        queue.done(key, again_after=60)
        queue.add_after(key, 0.05)
        assert await take(queue) == key
        queue.done(key, again_after=60)
        queue.add(key)
        assert await take(queue) == key
        queue.done(key)
        await asyncio.sleep(0.1)
        assert queue.depth() == 0, "nothing is left of the earlier timers"

    run(test)


def test_how_long_the_oldest_waits_is_shown() -> None:
    async def test(queue: WorkQueue) -> None:
        assert queue.oldest_seconds() == 0
        queue.add(("a", "one"))
        await asyncio.sleep(0.05)
        queue.add(("a", "two"))
        queue.add(("a", "one"), urgent=True)
        assert 0.05 <= queue.oldest_seconds() < 1
        assert queue.depth() == 2

    run(test)
