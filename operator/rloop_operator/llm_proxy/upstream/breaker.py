"""Circuit breaker of one endpoint: after several failures in a row it is not called for a while.

Used by `retries`. Closed: calls pass. Open: no call passes. Half-open: one call may pass, and its outcome decides.
"""

from __future__ import annotations

from typing import Literal

FAILURES = 5
"""Failures in a row that open the breaker."""
OPEN_SECONDS = 20.0

State = Literal["closed", "open", "half-open"]


class Breaker:
    """State of one endpoint. Times are passed by the caller, from a monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self.why = ""
        """Reason of the last failure."""

    def state(self, now: float) -> State:
        """The state as shown in metrics."""
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
        """Let a call pass, after `wait` returned 0. Exactly one of the three methods below follows."""
        self._probing = self._opened_at is not None

    def succeeded(self) -> None:
        """The call was answered."""
        self._failures, self._opened_at, self._probing = 0, None, False

    def failed(self, now: float, why: str) -> None:
        """The call was not answered."""
        self.why = why
        self._failures += 1
        self._probing = False
        if self._opened_at is not None or self._failures >= FAILURES:
            self._opened_at = now

    def left(self) -> None:
        """The outcome is unknown: the client disconnected, or the response does not show the endpoint's health."""
        self._probing = False
