"""Signs of life of the sessions, judged by our own monotonic clock, and the nudges that wait to be told.

Written by the gateway, read by reconcile. In memory only: after a restart of the operator every session gets a full
interval before silence means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from typing_extensions import override

from rloop.api.helpers import ProgressRequest
from rloop.errors import Refused
from rloop.observed import Beat
from rloop_operator.ports import Caller, Signs


@dataclass(slots=True)
class _Seen:
    beat_at: float
    round: int
    round_at: float
    signs: int = 0
    """Of the LLM proxy, as they were last seen."""


class Beats(Signs):
    """One board for all sessions, in memory. `monotonic` returns seconds and never goes back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._nudges: dict[str, str] = {}

    @override
    async def expect(self, sessions: Mapping[str, int]) -> None:
        now = self._monotonic()
        self._seen = {name: self._seen.get(name) or _Seen(now, 0, now, signs) for name, signs in sessions.items()}
        for name, signs in sessions.items():
            if self._seen[name].signs != signs:
                self._seen[name].signs, self._seen[name].beat_at = signs, now
        self._nudges = {name: text for name, text in self._nudges.items() if name in self._seen}

    @override
    async def record(self, caller: Caller, round_: int) -> str | None:
        session = caller.session
        now = self._monotonic()
        seen = self._seen.setdefault(session, _Seen(now, round_, now))
        seen.beat_at = now
        if round_ != seen.round:
            seen.round, seen.round_at = round_, now
        return self._nudges.pop(session, None)

    @override
    async def called(self, caller: Caller) -> None:
        if (seen := self._seen.get(caller.session)) is not None:
            seen.beat_at = self._monotonic()

    @override
    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        raise Refused("Forbidden", f"{caller.workload}: here progress is read from the run's own files")

    @override
    async def nudge(self, session: str, message: str) -> None:
        self._nudges[session] = message

    @override
    async def read(self) -> dict[str, Beat]:
        now = self._monotonic()
        return {name: Beat(now - one.beat_at, one.round, now - one.round_at) for name, one in self._seen.items()}
