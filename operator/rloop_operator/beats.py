"""Heartbeats of the sessions, aged by the operator's own monotonic clock, and nudges that wait for delivery.

Written by the gateway, read by reconcile. In memory only: after a restart of the operator every session gets a full
interval before a missing heartbeat counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from typing_extensions import override

from rloop.api.helpers import ProgressRequest
from rloop.errors import Refused
from rloop.observed import Beat
from rloop_operator.ports import Caller, Signs


class Sight:
    """A monotonic clock that stops while this process cannot observe, so that this time counts against no session."""

    def __init__(self, monotonic: Callable[[], float], longest_seconds: float) -> None:
        self._monotonic = monotonic
        self._longest = longest_seconds
        """Maximum seconds between two looks; a longer pause counts as time without observation."""
        self._looked_at = monotonic()
        self.seen = 0.0
        """Observed seconds up to the last look."""
        self.returned_at = -math.inf
        """Time on this clock of the last look after a pause without observation."""

    def look(self) -> None:
        """Record a successful look."""
        now = self._monotonic()
        pause, self._looked_at = now - self._looked_at, now
        self.seen += min(pause, self._longest)
        if pause > self._longest:
            self.returned_at = self.seen

    def __call__(self) -> float:
        """The current time of this clock in seconds."""
        return self.seen + min(self._monotonic() - self._looked_at, self._longest)


@dataclass(slots=True)
class _Seen:
    loop: str
    beat_at: float
    round: int
    round_at: float
    signs: int = 0
    """Last seen value of the LLM proxy's counter of the session's signs of life."""


class Beats(Signs):
    """Signs of life of all sessions, in memory. `monotonic` returns seconds and never decreases.

    `returned_at` returns when observation last resumed after a pause. From then on every session has a full interval to
    send a heartbeat, as after a restart of the operator.
    """

    def __init__(self, monotonic: Callable[[], float], returned_at: Callable[[], float] = lambda: -math.inf) -> None:
        self.monotonic = monotonic
        self._returned_at = returned_at
        self._seen: dict[str, _Seen] = {}
        self._nudges: dict[str, str] = {}

    @override
    async def expect(self, loop: str, sessions: Mapping[str, int]) -> None:
        now = self.monotonic()
        others = {name: one for name, one in self._seen.items() if one.loop != loop}
        own = {name: self._seen.get(name) or _Seen(loop, now, 0, now, signs) for name, signs in sessions.items()}
        self._seen = others | own
        for name, signs in sessions.items():
            if self._seen[name].signs != signs:
                self._seen[name].signs, self._seen[name].beat_at = signs, now
        self._nudges = {name: text for name, text in self._nudges.items() if name in self._seen}

    @override
    async def record(self, caller: Caller, round_: int) -> str | None:
        session = caller.session
        now = self.monotonic()
        seen = self._seen.setdefault(session, _Seen(caller.loop, now, round_, now))
        seen.beat_at = now
        if round_ != seen.round:
            seen.round, seen.round_at = round_, now
        return self._nudges.pop(session, None)

    @override
    async def called(self, caller: Caller) -> None:
        if (seen := self._seen.get(caller.session)) is not None:
            seen.beat_at = self.monotonic()

    @override
    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        raise Refused("Forbidden", f"{caller.workload}: progress is read from the run's own files, not from requests")

    @override
    async def nudge(self, session: str, message: str) -> None:
        self._nudges[session] = message

    @override
    async def read(self) -> dict[str, Beat]:
        now, returned_at = self.monotonic(), self._returned_at()
        return {
            name: Beat(now - max(one.beat_at, returned_at), one.round, now - one.round_at)
            for name, one in self._seen.items()
        }
