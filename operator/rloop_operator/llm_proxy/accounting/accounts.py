"""Accounts of what sessions and campaigns spend, in memory, without files and without a clock of its own.

Called by `books`, which writes them to the store. At any time spent + reserved of a session is at most its `bound`,
which is in the store; so if the proxy dies, everything that may have been spent has been charged. A reservation is
checked and made without an await in between, so that concurrent calls cannot exceed a limit together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from rloop.api.iteration import CallFailure, RefusedCall, SessionUsage
from rloop_operator.llm_proxy.terms.usage import NO_TOKENS, NOTHING, Amount, Tokens, decimal_text

HOUR = 3600.0


@dataclass(slots=True)
class Window:
    """What was spent within the last hour."""

    entries: deque[tuple[float, Amount]] = field(default_factory=deque)
    total: Amount = NOTHING

    def add(self, now: float, amount: Amount) -> None:
        self.entries.append((now, amount))
        self.total += amount

    def used(self, now: float) -> Amount:
        while self.entries and now - self.entries[0][0] >= HOUR:
            self.total -= self.entries.popleft()[1]
        return self.total

    def frees_after(self, now: float) -> float:
        """Seconds until the oldest entry leaves the window; 1 if it is empty."""
        return self.entries[0][0] + HOUR - now if self.entries else 1.0


@dataclass(slots=True)
class Account:
    """Account of one session."""

    session: str
    iteration: str
    calls: int = 0
    taken: Tokens = NO_TOKENS
    cost: Decimal = Decimal(0)
    lost: Amount = NOTHING
    """Reserved when an earlier proxy died: charged, because it is unknown whether it was spent."""
    reserved: Amount = NOTHING
    """Estimated use of the calls in progress."""
    worst: Amount = NOTHING
    """Upper bound of what these calls can use."""
    bound: Amount = NOTHING
    """Stored upper bound, spent plus held: spent + reserved never exceeds it."""
    waiting: str | None = None
    waiting_message: str = ""
    failure: CallFailure | None = None
    """Failure of the newest call that was not a farewell."""
    signs: int = 0
    """Signs of life: incremented by each call, and regularly while one is in progress."""
    finished_at: float | None = None
    """When the proxy first saw that the session had called finish."""
    farewells: int = 0
    """Calls since then."""
    refused_call: RefusedCall | None = None
    changed: bool = False
    """True if it has changed since it was written."""
    last_call: float = 0.0

    @property
    def spent(self) -> Amount:
        return Amount(self.taken.total, self.cost) + self.lost

    @property
    def used(self) -> Amount:
        """Spent plus reserved."""
        return self.spent + self.reserved

    def usage(self, bound: Amount) -> SessionUsage:
        """The account as it is stored; the rest up to `bound` counts as held."""
        held = bound - Amount(self.taken.total, self.cost)
        return SessionUsage(
            session=self.session,
            calls=self.calls,
            input_tokens=self.taken.input,
            cached_tokens=self.taken.cached,
            output_tokens=self.taken.output,
            cost=decimal_text(self.cost),
            held_tokens=held.tokens,
            held_cost=decimal_text(held.cost),
            waiting=self.waiting,
            waiting_message=self.waiting_message,
            failure=self.failure,
            signs=self.signs,
            refused_call=self.refused_call,
        )

    def lives(self) -> None:
        """Count a sign of life: the client has called, or waits for an answer."""
        self.signs += 1
        self.changed = True


def restored(usage: SessionUsage, iteration: str) -> Account:
    """The account of a session that an earlier proxy served. Everything that was held is charged."""
    account = Account(
        usage.session,
        iteration,
        usage.calls,
        Tokens(usage.input_tokens, usage.cached_tokens, usage.output_tokens),
        Decimal(usage.cost),
        lost=Amount(usage.held_tokens, Decimal(usage.held_cost)),
        waiting=usage.waiting,
        waiting_message=usage.waiting_message,
        failure=usage.failure,
        signs=usage.signs,
        refused_call=usage.refused_call,
    )
    account.bound = account.spent
    return account


@dataclass(slots=True)
class Campaign:
    """Accounts of a loop's sessions, and its spending of the last hour by provider."""

    namespace: str
    sessions: dict[str, Account] = field(default_factory=dict)
    hours: dict[str, Window] = field(default_factory=dict)
    under_way: dict[str, tuple[Amount, Amount]] = field(default_factory=dict)
    """By provider: the reservations of calls in progress, and their upper bound."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by a new event, when a call ends."""
    last_call: float = 0.0

    def hour(self, provider: str, now: float) -> Amount:
        """What was spent with this provider within the last hour."""
        return self.hours.setdefault(provider, Window()).used(now)

    def reserve(self, account: Account, provider: str, amount: Amount, worst: Amount) -> None:
        """Reserve this amount for one call. `settle` follows exactly once."""
        self._move(account, provider, amount, worst)

    def settle(
        self,
        account: Account,
        provider: str,
        reserved: Amount,
        worst: Amount,
        taken: Tokens,
        cost: Decimal,
        now: float,
    ) -> None:
        """Replace the reservation of an ended call by what it used. Without tokens it counts as not answered."""
        self._move(account, provider, NOTHING - reserved, NOTHING - worst)
        account.changed = True
        account.last_call = self.last_call = now
        if taken.total:
            account.calls += 1
            account.taken += taken
            account.cost += cost
            self.hours.setdefault(provider, Window()).add(now, Amount(taken.total, cost))
        self.settled.set()
        self.settled = asyncio.Event()

    def _move(self, account: Account, provider: str, reserved: Amount, worst: Amount) -> None:
        account.reserved += reserved
        account.worst += worst
        before = self.under_way.get(provider, (NOTHING, NOTHING))
        self.under_way[provider] = (before[0] + reserved, before[1] + worst)
