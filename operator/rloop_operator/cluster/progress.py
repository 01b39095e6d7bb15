"""Whether the operator gets on: what its tasks note as they go round, and what that says about its health.

Written by the operator's tasks, read by its health endpoint and by the canary's echo. That a task lives proves nothing:
a watch can be silent for ever, and a pass can hang in a call that never ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rloop_operator.cluster.health import Part, late

Key = tuple[str, str]
"""Namespace and name of a loop."""
PASS_SECONDS = 300.0
"""A pass over one loop makes many requests of at most 30 s each; longer than this, it hangs."""
PATROLS = 3
"""So many patrols may fail before anybody hears of it."""
SLACK_SECONDS = 60.0


class Progress:
    """See the module. `monotonic` returns seconds and never goes back."""

    def __init__(self, patrol_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._allowed = PATROLS * patrol_seconds + SLACK_SECONDS
        self._passes: dict[Key, float] = {}
        self._delivered: dict[Key, tuple[str, float]] = {}
        self._listed: dict[Key, str] = {}
        self._listed_at = self._tried_at = self._patrolled_at = self._echoed_at = monotonic()
        self._missed = 0

    def begin(self, key: Key) -> None:
        """A pass over this loop begins."""
        self._passes[key] = self._monotonic()

    def end(self, key: Key) -> None:
        """And ends, well or not."""
        self._passes.pop(key, None)

    def delivered(self, key: Key, version: str) -> None:
        """The watch told of this version of the loop."""
        self._delivered[key] = (version, self._monotonic())

    def tried(self) -> None:
        """A patrol ended, well or not."""
        self._tried_at = self._monotonic()

    def patrolled(self, begun: float, loops: Iterable[dict[str, Any]]) -> None:
        """A patrol that began then has listed these loops.

        What the patrol before has listed, the watch had one patrol's time to deliver: that version, or a later one.
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

    def echoed(self) -> None:
        """The guard's canary was answered, or had no question."""
        self._echoed_at = self._monotonic()

    def patrol_age(self) -> float:
        """Seconds since the last patrol that saw every loop."""
        return self._monotonic() - self._patrolled_at

    def echo_age(self) -> float:
        """Seconds since the canary had its answer."""
        return self._monotonic() - self._echoed_at

    def parts(self) -> list[Part]:
        """What has to work for an echo."""
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
        # Once may be chance: a change between the two.
        return f"it missed what {self._missed} patrols saw change" if self._missed > 1 else ""
