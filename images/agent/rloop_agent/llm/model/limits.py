"""What a session has used of its rounds, time and tokens, and the warnings about it.

Called by the session. Each limit has one warning at four fifths; the last round is for the handoff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rloop.api.session_context import SessionAllowance

WARNED_AT = 0.8
LAST_AT = 0.9
"""Share of the time after which the next round is the last: its answer also takes time."""
OVER_AT = 0.97
"""Share of the time at which every call of the model ends: the rest is for the last request to the gateway."""


@dataclass(slots=True)
class Used:
    """Use so far, counted by the session, and its allowance."""

    allowance: SessionAllowance
    clock: Callable[[], float]
    began: float
    rounds: int = 0
    tokens: int = 0
    last_call_tokens: int = 0
    _warned: set[str] = field(default_factory=set)

    def call(self, tokens: int) -> None:
        """Count one call of the model."""
        self.tokens += tokens
        self.last_call_tokens = tokens

    def seconds_left(self) -> float:
        """Seconds until calls of the model must end."""
        return OVER_AT * self.allowance.session_seconds - self._seconds()

    def over(self) -> str:
        """Why no further call is allowed; empty if one is."""
        if self.rounds >= self.allowance.max_rounds:
            return f"Its {self.allowance.max_rounds} rounds were used up."
        if self.seconds_left() <= 0:
            return "Its time was used up."
        if self.allowance.max_tokens and self.tokens >= self.allowance.max_tokens:
            return "Its tokens were used up."
        return ""

    def last(self) -> bool:
        """Whether the next round is the last."""
        spare = self.allowance.max_tokens - self.tokens
        return (
            self.rounds + 1 >= self.allowance.max_rounds
            or self._seconds() >= LAST_AT * self.allowance.session_seconds
            # Each call sends the whole history again, so it takes a little more than the call before.
            or (self.allowance.max_tokens > 0 and spare < 2 * self.last_call_tokens)
        )

    def warnings(self) -> Iterator[str]:
        """Warnings for limits that have passed four fifths since the last call."""
        for name, used, most in (
            ("rounds", self.rounds, self.allowance.max_rounds),
            ("seconds", self._seconds(), self.allowance.session_seconds),
            ("tokens", self.tokens, self.allowance.max_tokens),
        ):
            if most and used >= WARNED_AT * most and name not in self._warned:
                self._warned.add(name)
                yield f"{used:.0f} of {most} {name} are used. Bring it to an end: record what is known, then finish."

    def _seconds(self) -> float:
        return self.clock() - self.began
