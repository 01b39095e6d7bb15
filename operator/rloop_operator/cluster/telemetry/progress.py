"""Progress of the operator: what its tasks record, and the health parts derived from it.

Written by the operator's tasks, read by its health endpoint and by the patrol before it answers a ping. A task that is
alive proves nothing: a watch can be silent without an error, and a pass can hang in a call that never returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rloop_operator.cluster.telemetry.health import Part, late

Key = tuple[str, str]
"""Namespace and name of a loop."""
PASS_SECONDS = 300.0
"""Seconds after which a pass over one loop is considered hanging. It makes many requests of at most 30 s each."""
PATROLS = 3
"""Patrol intervals without a successful patrol before this is a problem."""
SLACK_SECONDS = 60.0


class Progress:
    """Records of the operator's tasks. `monotonic` returns seconds and never decreases."""

    def __init__(self, patrol_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._allowed = PATROLS * patrol_seconds + SLACK_SECONDS
        self._passes: dict[Key, float] = {}
        self._delivered: dict[Key, tuple[str, float]] = {}
        self._listed: dict[Key, str] = {}
        self._listed_at = self._tried_at = self._patrolled_at = self._answered_at = monotonic()
        self._missed = 0

    def begin(self, key: Key) -> None:
        """Record that a pass over this loop begins."""
        self._passes[key] = self._monotonic()

    def end(self, key: Key) -> None:
        """Record that the pass ended, successful or not."""
        self._passes.pop(key, None)

    def delivered(self, key: Key, version: str) -> None:
        """Record that the watch delivered this version of the loop."""
        self._delivered[key] = (version, self._monotonic())

    def tried(self) -> None:
        """Record that a patrol ended, successful or not."""
        self._tried_at = self._monotonic()

    def patrolled(self, begun: float, loops: Iterable[dict[str, Any]]) -> None:
        """Record a successful patrol that began at `begun` and listed these loops.

        By now the watch must have delivered each version that the previous patrol listed, or a later one.
        """
        listed = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): str(one["metadata"]["resourceVersion"])
            for one in loops
        }
        self._delivered = {key: told for key, told in self._delivered.items() if key in listed or told[1] >= begun}
        behind = [key for key, version in self._listed.items() if key in listed and not self._has(key, version)]
        self._missed = self._missed + 1 if behind else 0
        self._listed, self._listed_at = listed, begun
        self._patrolled_at = self._monotonic()

    def _has(self, key: Key, version: str) -> bool:
        delivered, at = self._delivered.get(key, ("", float("-inf")))
        return delivered == version or at >= self._listed_at

    def answered(self) -> None:
        """Record that the guard's ping was answered, or needed no answer."""
        self._answered_at = self._monotonic()

    def patrol_age(self) -> float:
        """Seconds since the last patrol that listed every loop."""
        return self._monotonic() - self._patrolled_at

    def answer_age(self) -> float:
        """Seconds since a ping was last answered."""
        return self._monotonic() - self._answered_at

    def parts(self) -> list[Part]:
        """The health parts that must work before a ping is answered."""
        return [
            Part("patrol-task", lambda: late(self._monotonic() - self._tried_at, self._allowed, "a patrol ended")),
            Part("patrol", lambda: late(self.patrol_age(), self._allowed, "it saw every loop"), curable=False),
            Part("reconcile", self._hanging),
            Part("watch", self._unwatched),
        ]

    def _hanging(self) -> str:
        now = self._monotonic()
        found = sorted((begun, key) for key, begun in self._passes.items() if now - begun > PASS_SECONDS)
        return f"a pass over {'/'.join(found[0][1])} began {now - found[0][0]:.0f} s ago" if found else ""

    def _unwatched(self) -> str:
        # A single miss may be chance: a change between listing and delivery.
        return f"it missed changes that {self._missed} patrols saw" if self._missed > 1 else ""
