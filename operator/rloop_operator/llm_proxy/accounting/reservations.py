"""Checks and reservation before a call of a session, and the charge after it.

Called by `app` and `retries`. A check and its reservation happen without an await in between; the store is written
afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from rloop.api.iteration import CallFailure, ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import session_over
from rloop.errors import NotFound, RloopError
from rloop_operator.llm_proxy.accounting import caps
from rloop_operator.llm_proxy.accounting.accounts import Account
from rloop_operator.llm_proxy.accounting.books import Books
from rloop_operator.llm_proxy.accounting.call import Call, Session
from rloop_operator.llm_proxy.dialects import apis
from rloop_operator.llm_proxy.dialects.allowed.shapes import LeftOut
from rloop_operator.llm_proxy.dialects.apis import Dialect
from rloop_operator.llm_proxy.dialects.odd_answers import MESSAGE_MAX
from rloop_operator.llm_proxy.dialects.request_check import checked
from rloop_operator.llm_proxy.terms.denied import Denied
from rloop_operator.llm_proxy.terms.providers import ModelSettings, Provider, Providers
from rloop_operator.llm_proxy.terms.usage import NO_TOKENS, NOTHING, Amount, Tokens, cost, estimated_input
from rloop_operator.ports import Caller, Store

BLOCK_TOKENS = 16_384
"""Tokens stored ahead of a call's need, so that not every call waits for a write. Lost if the proxy dies."""
LOOK_SECONDS = 5.0
"""Seconds for which a loop and an iteration that were read are cached."""
FAREWELL_SECONDS = 15.0
"""Seconds after finish during which calls are admitted: a client asks its model once more to sum up, and a rejection
would make it retry and end with an error. The operator ends the process some seconds later.
"""
FAREWELL_CALLS = 4
FAILURES = {"session_spent": "AllowanceSpent", "budget_spent": "BudgetSpent"} | dict.fromkeys(
    ("malformed", "too_large", "model_unknown"), "RequestRefused"
)
"""Reason of the session's failure, for rejections by the proxy that a retry would repeat."""


class Calls:
    """Admits calls, and charges them."""

    def __init__(
        self, providers: Providers, books: Books, store_of: Callable[[str], Store], closing: Callable[[], bool]
    ) -> None:
        self._providers = providers
        self._books = books
        self._store_of = store_of
        self._closing = closing
        self._looks: dict[tuple[str, str, str], tuple[float, ResearchLoop, ResearchIteration]] = {}

    async def session(self, caller: Caller) -> Session:
        """The caller's session, if it is not over. Raises Denied (unauthorized, closed), RloopError."""
        if caller.role != "agent":
            raise Denied("unauthorized", "only an agent's session may call a model")
        loop, iteration = await self._look(caller)
        spec = next((one for one in iteration.spec.sessions if one.name == caller.session), None)
        if spec is None or session_over(loop, iteration, caller.session) or self._closing():
            raise Denied("closed", "this session is over: POST finish to the gateway and end")
        campaign, account = await self._books.open(caller, loop)
        account.lives()
        farewell = caller.session in iteration.status.reported.finished
        if farewell:
            _count_farewell(account)
        return Session(caller, loop, spec, campaign, account, farewell=farewell)

    def model(self, session: Session) -> tuple[Provider, ModelSettings]:
        """Provider and model that the session may use. Raises Denied."""
        llm = session.loop.spec.agent.llm
        if llm is None:
            raise Denied("provider_unknown", "this campaign names no provider in spec.agent.llm", blames_agent=True)
        provider = self._providers.find(llm.provider)
        if provider is None:
            told = f'provider "{llm.provider}" is unknown: correct spec.agent.llm.provider, or ask for it to be added'
            raise Denied("provider_unknown", told)
        if not provider.allows(session.caller.namespace):
            told = f'provider "{provider.name}" is not available to campaigns in namespace {session.caller.namespace}'
            raise Denied("provider_forbidden", told)
        model = provider.model(llm.model)
        if model is None:
            known = ", ".join(one.name for one in provider.models)
            told = (
                f'provider "{provider.name}" has no model "{llm.model}": correct spec.agent.llm.model; it has {known}'
            )
            raise Denied("model_unknown", told)
        return provider, model

    async def admit(self, session: Session, dialect: Dialect, content: bytes, left_out: LeftOut) -> Call:
        """The admitted call, with its reservation in the store. Raises Denied."""
        sent = await checked(dialect, content, left_out)
        request = sent.document
        provider, model = self.model(session)
        if request.get("model") != model.name:
            told = f'the model of this campaign is "{model.name}", not "{str(request.get("model"))[:256]}"'
            raise Denied("model_unknown", told, blames_agent=True)
        priced = provider.caps_cost(session.loop)
        if priced and model.prices is None:
            told = f'the price of "{model.name}" is unknown, but the cost is limited: ask the administrator for it'
            raise Denied("price_unknown", told)
        fallbacks = [one for name in model.fallback if (one := provider.model(name)) is not None]
        models = [model, *(one for one in fallbacks if one.prices is not None or not priced)]
        counting, _ = apis.with_usage(dialect, request)
        estimate = Tokens(input=estimated_input(len(sent.content), model))
        names = list(left_out.names)
        call = Call(session, provider, models, dialect, sent.content, request, counting, estimate, left_out=names)
        await self.reserve(call)
        return call

    def settle(self, call: Call, model: ModelSettings | None, taken: Tokens | None, pieces: int = 0) -> Amount:
        """Charge what the call used, and return it.

        Nothing is charged without a model. If `taken` is unknown, the reservation is charged, with at least `pieces`
        tokens of output.
        """
        if call.dialect.free:
            return NOTHING
        if model is None:
            taken, price = NO_TOKENS, Decimal(0)
        elif taken is None:
            taken = replace(call.estimate, output=max(call.estimate.output, pieces))
            price = max(call.reserved.cost, cost(taken, model.prices))
        else:
            price = cost(taken, model.prices)
        session = call.session
        session.campaign.settle(
            session.account, call.provider.name, call.reserved, call.worst, taken, price, time.monotonic()
        )
        call.reserved = call.worst = NOTHING
        return Amount(taken.total, price)

    async def answered(self, call: Call) -> None:
        """Store that the session no longer waits. Raise its bound if the call used more than was reserved."""
        session = call.session
        if session.farewell:
            return
        with suppress(RloopError):  # the next flush writes it
            await self._books.wait(session.campaign, session.account, None)
            await self._books.cover(session.campaign, session.account, NOTHING)

    async def failed(self, session: Session, failure: CallFailure) -> None:
        """Record that the session's newest call had no usable answer and will not be retried."""
        if not session.farewell:
            await self._books.failed(session.campaign, session.account, failure)

    async def reserve(self, call: Call) -> None:
        """Limit the answer to what the caps leave, and reserve what the call may use. Raises Denied, RloopError."""
        if call.dialect.free:
            return
        while (held := caps.bound(call)) is None:
            await call.session.campaign.settled.wait()
        await self._set_aside(call, held)

    async def wait(self, session: Session, denied: Denied) -> None:
        """Record why a call is denied: a reason to wait, the session's failure, or what its first call needs."""
        if denied.least is not None and session.account.calls == 0:
            await self._books.refused(session.campaign, session.account, denied.least)
        # A client may use a second model for small tasks. Once a call was answered, the rejection of that model is not
        # a failure of the session.
        helper = denied.code == "model_unknown" and session.account.calls > 0
        if denied.waiting is None and not helper and (reason := FAILURES.get(denied.code)) is not None:
            await self.failed(session, CallFailure(reason=reason, message=denied.message[:MESSAGE_MAX]))
        if denied.waiting is not None and not session.farewell:
            await self._books.wait(session.campaign, session.account, denied.waiting, denied.message)

    async def _set_aside(self, call: Call, held: list[caps.Cap]) -> None:
        session = call.session
        call.reserved = caps.amount(call, call.estimate)
        session.campaign.reserve(session.account, call.provider.name, call.reserved, call.worst)
        try:
            await self._books.cover(session.campaign, session.account, caps.half_left(call, held, BLOCK_TOKENS))
        except BaseException as error:
            self.settle(call, None, None)
            if isinstance(error, NotFound):
                raise Denied("closed", "this campaign was deleted") from error
            if isinstance(error, RloopError):
                told = "the token account of this session cannot be written at the moment; try again"
                raise Denied("provider_down", told, retry_after=5) from error
            raise

    async def _look(self, caller: Caller) -> tuple[ResearchLoop, ResearchIteration]:
        now = time.monotonic()
        self._looks = {key: look for key, look in self._looks.items() if now - look[0] < LOOK_SECONDS}
        key = (caller.namespace, caller.owner, caller.session)
        if key not in self._looks:
            store = self._store_of(caller.namespace)
            try:
                loop = await store.get(ResearchLoop, caller.loop)
                iteration = await store.get(ResearchIteration, caller.owner)
            except NotFound as error:
                raise Denied("closed", "this campaign was deleted") from error
            self._looks[key] = (now, loop, iteration)
        return self._looks[key][1:]


def _count_farewell(account: Account) -> None:
    """Count a call after finish, which is admitted within the grace period. Raises Denied(closed)."""
    now = time.monotonic()
    if account.finished_at is None:
        account.finished_at = now
    account.farewells += 1
    if now - account.finished_at > FAREWELL_SECONDS or account.farewells > FAREWELL_CALLS:
        raise Denied("closed", "this session has called finish and is over: end")
