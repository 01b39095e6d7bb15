"""Signs of life of the sessions, judged by our own monotonic clock, and the nudges that wait to be told.

Written by the gateway, read by reconcile. In memory only: after a restart of the operator every session gets a full
interval before silence means anything.
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
    """A monotonic clock that stands still while we are blind: that nobody was seen then says nothing about them."""

    def __init__(self, monotonic: Callable[[], float], longest_seconds: float) -> None:
        self._monotonic = monotonic
        self._longest = longest_seconds
        """Between two looks; with longer pauses we were blind."""
        self._looked_at = monotonic()
        self.seen = 0.0
        """Seconds that we could see, up to the last look."""
        self.returned_at = -math.inf
        """When we saw again after we had been blind, by this clock."""

    def look(self) -> None:
        """A look has succeeded: what it saw is now."""
        now = self._monotonic()
        pause, self._looked_at = now - self._looked_at, now
        self.seen += min(pause, self._longest)
        if pause > self._longest:
            self.returned_at = self.seen

    def __call__(self) -> float:
        """The time."""
        return self.seen + min(self._monotonic() - self._looked_at, self._longest)


@dataclass(slots=True)
class _Seen:
    loop: str
    beat_at: float
    round: int
    round_at: float
    signs: int = 0
    """Of the LLM proxy, as they were last seen."""


class Beats(Signs):
    """One board for all sessions, in memory. `monotonic` returns seconds and never goes back.

    `returned_at`: when we last saw again after we had been blind. Who could not beat then has a full interval to do so,
    as after a restart of ours.
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
        raise Refused("Forbidden", f"{caller.workload}: here progress is read from the run's own files")

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
