"""Stores the accounts of all sessions: an upper bound before a call, what was spent every few seconds afterwards.

Used by `reservations` for each call; the server of the proxy runs `keep`. The proxy is the only writer of
`status.reported.usage`, so the accounts in memory are authoritative, and the store is read once per campaign.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

import structlog

from rloop.api.iteration import CallFailure, RefusedCall, ResearchIteration, SessionStatus
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Conflict, NotFound, RloopError
from rloop_operator.llm_proxy.accounting.accounts import HOUR, Account, Campaign, Window, restored
from rloop_operator.llm_proxy.terms.usage import NOTHING, Amount, decimal_text
from rloop_operator.ports import Caller, Store

log = structlog.get_logger("rloop.llm_proxy")
FLUSH_SECONDS = 5.0
IDLE_SECONDS = 10.0
"""Seconds after a session's last call until what is held for its next calls is released."""
WRITE_TRIES = 20
WAITING_CHARACTERS = 1000


class Books:
    """`store_of` returns the store of a namespace, `now` the current time."""

    def __init__(self, store_of: Callable[[str], Store], now: Callable[[], datetime]) -> None:
        self._store_of = store_of
        self._now = now
        self._campaigns: dict[str, Campaign] = {}
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self, caller: Caller, loop: ResearchLoop) -> tuple[Campaign, Account]:
        """The accounts of the campaign, and the account of the caller."""
        uid = loop.metadata.uid
        async with self._reading[uid]:
            if uid not in self._campaigns:
                self._campaigns[uid] = await self._read(caller, loop)
        campaign = self._campaigns[uid]
        return campaign, campaign.sessions.setdefault(caller.session, Account(caller.session, caller.owner))

    async def cover(self, campaign: Campaign, account: Account, block: Amount) -> None:
        """Make the stored bound cover what is spent and reserved, before a call. A new bound is `block` above that.

        Raises RloopError if the store cannot be written: then the call must not be made.
        """
        while account.used.exceeds(account.bound):
            await self._write(campaign, account, block)

    async def wait(self, campaign: Campaign, account: Account, reason: str | None, message: str = "") -> None:
        """Record why the session's calls are not answered; None: they are answered."""
        if account.waiting == reason and account.failure is None:
            return  # the same reason with another message is not written again
        account.waiting, account.waiting_message = reason, message[:WAITING_CHARACTERS]
        account.failure = None
        account.changed = True
        await self._tried(campaign, account, account.bound - account.used)

    async def failed(self, campaign: Campaign, account: Account, failure: CallFailure) -> None:
        """Record why the session's newest call had no usable answer, before its client sees it and may end."""
        if account.failure is not None and account.failure.reason == failure.reason:
            return
        account.failure, account.waiting, account.waiting_message = failure, None, ""
        account.changed = True
        await self._tried(campaign, account, account.bound - account.used)

    async def refused(self, campaign: Campaign, account: Account, least: Amount) -> None:
        """Record the minimum that the session's first call would have used; the smallest of several is kept."""
        if account.refused_call is not None and account.refused_call.tokens <= least.tokens:
            return
        account.refused_call = RefusedCall(tokens=least.tokens, cost=decimal_text(least.cost))
        account.changed = True
        await self._tried(campaign, account, NOTHING)

    async def flush(self, *, closing: bool = False) -> None:
        """Write changed accounts, and release what is held for idle sessions."""
        now = time.monotonic()
        for uid, campaign in list(self._campaigns.items()):
            for account in list(campaign.sessions.values()):
                if account.reserved != NOTHING:
                    account.lives()  # its client waits for an answer
                idle = closing or (account.reserved == NOTHING and now - account.last_call >= IDLE_SECONDS)
                ahead = account.bound - account.used
                if account.changed or (idle and ahead.exceeds(NOTHING)):
                    await self._tried(campaign, account, NOTHING if idle else ahead)
            idle = now - campaign.last_call > 2 * HOUR
            if idle and not any(one.changed or one.reserved != NOTHING for one in campaign.sessions.values()):
                del self._campaigns[uid]  # read again if it returns

    async def keep(self) -> None:
        """Flush every few seconds until cancelled; then flush once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush(closing=True)

    async def _read(self, caller: Caller, loop: ResearchLoop) -> Campaign:
        """Read all accounts of a campaign. Spending of the last hour is attributed to the current provider."""
        campaign = Campaign(caller.namespace, last_call=time.monotonic())
        spent: list[tuple[float, Amount]] = []
        for iteration in await self._store_of(caller.namespace).list(ResearchIteration, loop.metadata.name):
            statuses = {one.name: one for one in iteration.status.sessions}
            for usage in iteration.status.reported.usage:
                account = restored(usage, iteration.metadata.name)
                campaign.sessions[usage.session] = account
                age = self._age(statuses.get(usage.session))
                if age < HOUR:
                    spent.append((time.monotonic() - age, account.spent))
        if loop.spec.agent.llm is not None:
            hour = campaign.hours[loop.spec.agent.llm.provider] = Window()
            for at, amount in sorted(spent, key=lambda one: one[0]):
                hour.add(at, amount)
        return campaign

    def _age(self, status: SessionStatus | None) -> float:
        """Seconds since the session ended; it may have spent everything in its last moment. 0 if it has not ended."""
        ended = status.finished_at if status is not None else None
        return max(0.0, (self._now() - ended).total_seconds()) if ended is not None else 0.0

    async def _tried(self, campaign: Campaign, account: Account, ahead: Amount) -> None:
        try:
            await self._write(campaign, account, ahead)
        except NotFound:
            account.changed = False  # the campaign was deleted
        except RloopError as error:
            account.changed = True
            log.warning("usage_not_written", session=account.session, detail=str(error))

    async def _write(self, campaign: Campaign, account: Account, ahead: Amount) -> None:
        """Store the account with a bound of `ahead` above what is spent and reserved."""
        store = self._store_of(campaign.namespace)
        async with self._writing[account.session]:
            for _ in range(WRITE_TRIES):
                iteration = await store.get(ResearchIteration, account.iteration)
                reported = iteration.status.reported
                over = account.session in reported.finished and account.reserved == NOTHING
                bound = account.used if over else account.used + ahead.most(NOTHING)
                usage = account.usage(bound)
                others = [one for one in reported.usage if one.session != account.session]
                changed = reported.changed(usage=sorted([*others, usage], key=lambda one: one.session))
                # A lower bound applies before it is written, a higher one only afterwards.
                account.bound = Amount(min(account.bound.tokens, bound.tokens), min(account.bound.cost, bound.cost))
                account.changed = False
                try:
                    status = iteration.status.changed(reported=changed)
                    await store.apply_status(iteration.changed(status=status))
                except BaseException as error:
                    account.changed = True  # otherwise no flush would write it again
                    if isinstance(error, Conflict):
                        continue
                    raise
                account.bound = bound
                return
        raise Conflict(f"{account.iteration}: too many concurrent writers")
