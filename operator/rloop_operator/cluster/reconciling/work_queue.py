"""Queue of loops that wait for a pass: each loop once, fair across namespaces, changed specs first.

Filled by the operator's watches, its patrol and timers; emptied by the workers of `passes`. kopf's own queue is not
used for this: its limit includes sleeping workers, and it has no order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from rloop_operator.cluster.telemetry.progress import Key

URGENT_IN_A_ROW = 3
"""After this many urgent keys in a row an ordinary one is taken, so that many edits cannot block the campaigns."""

Lane = dict[str, dict[Key, float]]
"""Namespaces in the order in which they are served -> keys in the order of arrival -> time of arrival."""


class WorkQueue:
    """See the module. `namespace_limit` is the maximum number of keys of one namespace in work at the same time."""

    def __init__(self, namespace_limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = namespace_limit
        self._monotonic = monotonic
        self._urgent: Lane = {}
        self._ordinary: Lane = {}
        self._urgent_in_a_row = 0
        self._in_work: dict[Key, bool | None] = {}
        """Key in work -> None if it was not added again meanwhile, otherwise whether that was urgent."""
        self._busy: Counter[str] = Counter()
        self._rests_until: dict[Key, float] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._added = asyncio.Event()

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Request a pass. An urgent one precedes all ordinary ones and does not wait for the end of a pause."""
        if key in self._in_work:
            self._in_work[key] = urgent or bool(self._in_work[key])
            return
        rest = self._rests_until.get(key, 0.0) - self._monotonic()
        if rest > 0 and not urgent:
            self.add_after(key, rest)
            return
        self._rests_until.pop(key, None)
        self._stop_timer(key)
        since = _remove(self._ordinary, key) if urgent else None
        if _has(self._urgent, key):
            return
        lane = self._urgent if urgent else self._ordinary
        lane.setdefault(key[0], {}).setdefault(key, since if since is not None else self._monotonic())
        self._added.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Request a pass after this many seconds, unless an earlier one is requested."""
        timer = self._timers.get(key)
        loop = asyncio.get_running_loop()
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._stop_timer(key)
        self._timers[key] = loop.call_later(seconds, self._timer_ends, key)

    async def take(self) -> Key:
        """The next key; no other worker gets it until `done`."""
        while True:
            key = self._next()
            if key is not None:
                self._in_work[key] = None
                self._busy[key[0]] += 1
                self._stop_timer(key)
                return key
            self._added.clear()
            await self._added.wait()

    def done(self, key: Key, *, rest_seconds: float = 0.0, again_after: float | None = None) -> None:
        """End a pass. The next ordinary one starts after `rest_seconds` at the earliest; one is requested after
        `again_after` seconds even if nothing happens.

        Without both the key is forgotten, unless it was added again.
        """
        again = self._in_work.pop(key, None)
        self._busy[key[0]] -= 1
        self._added.set()
        if rest_seconds > 0:
            self._rests_until[key] = self._monotonic() + rest_seconds
        if again is not None:
            self.add(key, urgent=again)
        if again_after is not None:
            self.add_after(key, max(rest_seconds, again_after))

    def depth(self) -> int:
        """Number of keys that wait for a worker."""
        return sum(len(keys) for lane in (self._urgent, self._ordinary) for keys in lane.values())

    def oldest_seconds(self) -> float:
        """Seconds for which the oldest waiting key has waited."""
        now = self._monotonic()
        added = (at for lane in (self._urgent, self._ordinary) for keys in lane.values() for at in keys.values())
        return now - min(added, default=now)

    def _timer_ends(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _stop_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _next(self) -> Key | None:
        order = (self._urgent, self._ordinary)
        if self._urgent_in_a_row >= URGENT_IN_A_ROW:
            order = (self._ordinary, self._urgent)
        for lane in order:
            key = self._first(lane)
            if key is not None:
                self._urgent_in_a_row = self._urgent_in_a_row + 1 if lane is self._urgent else 0
                return key
        return None

    def _first(self, lane: Lane) -> Key | None:
        """Take the oldest key of the next namespace, which then moves to the end of the lane."""
        namespace = next((one for one in lane if self._busy[one] < self._limit), None)
        if namespace is None:
            return None
        keys = lane.pop(namespace)
        key = next(iter(keys))
        del keys[key]
        if keys:
            lane[namespace] = keys
        return key


def _has(lane: Lane, key: Key) -> bool:
    return key in lane.get(key[0], {})


def _remove(lane: Lane, key: Key) -> float | None:
    """Remove the key. Returns when it was added; None if the lane does not contain it."""
    keys = lane.get(key[0], {})
    since = keys.pop(key, None)
    if since is not None and not keys:
        del lane[key[0]]
    return since
