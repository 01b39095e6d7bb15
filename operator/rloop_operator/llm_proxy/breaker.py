"""The circuit breaker of one endpoint: what has failed several times in a row is left alone for a while.

Asked and told by `upstream`. Closed: calls pass. Open: none does. Half-open: one may try, and its outcome decides.
"""

from __future__ import annotations

from typing import Literal

FAILURES = 5
"""In a row, until it opens."""
OPEN_SECONDS = 20.0

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Times are the caller's, by a monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self.why = ""
        """The last failure."""

    def state(self, now: float) -> State:
        """As it is shown."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if now - self._opened_at >= OPEN_SECONDS else "open"

    def wait(self, now: float) -> float:
        """Seconds until a call may pass; 0: now."""
        if self._opened_at is None:
            return 0.0
        if self._probing:
            return 1.0
        return max(0.0, self._opened_at + OPEN_SECONDS - now)

    def enter(self) -> None:
        """A call passes, after `wait` said 0. Exactly one of the three below follows."""
        self._probing = self._opened_at is not None

    def succeeded(self) -> None:
        """It was answered."""
        self._failures, self._opened_at, self._probing = 0, None, False

    def failed(self, now: float, why: str) -> None:
        """It was not."""
        self.why = why
        self._failures += 1
        self._probing = False
        if self._opened_at is not None or self._failures >= FAILURES:
            self._opened_at = now

    def left(self) -> None:
        """Nobody knows: the client went away, or the answer says nothing about the endpoint's health."""
        self._probing = False
