"""HTTP API of the LLM proxy: what the LLM clients of agents call instead of a provider.

Served by the local shell on loopback, and by the proxy process in a cluster. A handler admits a call, requests an
answer, passes it on unchanged and charges it. If a client disconnects, its call is cancelled.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from rloop.api.iteration import CallFailure
from rloop.errors import RloopError
from rloop_operator.llm_proxy.accounting.books import Books
from rloop_operator.llm_proxy.accounting.call import Call, Session
from rloop_operator.llm_proxy.accounting.reservations import Calls
from rloop_operator.llm_proxy.dialects import apis, error_bodies
from rloop_operator.llm_proxy.dialects.allowed.headers import passed_on
from rloop_operator.llm_proxy.dialects.allowed.shapes import LeftOut
from rloop_operator.llm_proxy.dialects.apis import Dialect
from rloop_operator.llm_proxy.dialects.odd_answers import CUT
from rloop_operator.llm_proxy.terms.denied import Denied
from rloop_operator.llm_proxy.terms.keys import Redactor
from rloop_operator.llm_proxy.terms.providers import ModelSettings, Providers
from rloop_operator.llm_proxy.terms.usage import NO_TOKENS, Amount, Tokens, decimal_text
from rloop_operator.llm_proxy.upstream.answers import Counted
from rloop_operator.llm_proxy.upstream.exchange import Answer
from rloop_operator.llm_proxy.upstream.retries import Upstream
from rloop_operator.llm_proxy.upstream.streaming import Passing, disconnected
from rloop_operator.ports import Caller, Identity, Store

log = structlog.get_logger("rloop.llm_proxy")
BODY_BYTES = 8 * 1024 * 1024
LONGEST_RETRY_AFTER = 3600
TOLD_MAX = 10_000
ROUTES = (
    ("/chat/completions", apis.CHAT),
    ("/responses", apis.RESPONSES),
    ("/messages", apis.MESSAGES),
    ("/messages/count_tokens", apis.COUNT),
)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Record:
    """One finished call, for metrics."""

    provider: str
    model: str
    code: str
    """answered, error (inside a stream), broken, gone, request_refused, or the code of the refusal."""
    seconds: float
    tokens: Tokens
    charged: Amount


class _Gone(Exception):
    """The client disconnected."""


class Proxy:
    """The proxy's parts, its ASGI application and its background task."""

    def __init__(
        self,
        providers: Providers,
        identity: Identity,
        store_of: Callable[[str], Store],
        *,
        now: Callable[[], datetime],
        closing: Callable[[], bool] = lambda: False,
        tell: Callable[[Record], None] = lambda _: None,
    ) -> None:
        self.books = Books(store_of, now)
        self._redactor = Redactor()
        self._told: dict[tuple[str, str], None] = {}
        """Parts left out of a session's requests that were logged already, as (session, name)."""
        self._identity = identity
        self._tell = tell
        self._calls = Calls(providers, self.books, store_of, closing)
        self.upstream = Upstream(self._calls, self._redactor)

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [Route(f"/v1{path}", self._endpoint(path, dialect), methods=["POST"]) for path, dialect in ROUTES]
        return Starlette(routes=[*routes, Route("/v1/models", self._models)])

    async def keep(self) -> None:
        """Write the accounts to the store until cancelled; then close all connections."""
        try:
            await self.books.keep()
        finally:
            await self.upstream.close()

    def _endpoint(self, path: str, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._guarded(self._serve(request, path, dialect), dialect)

        return endpoint

    async def _models(self, request: Request) -> Response:
        """GET models: the one model that the session may use."""

        async def listed() -> Response:
            session = await self._session(request)
            _, model = self._calls.model(session)
            one = {
                "id": model.name,
                "object": "model",
                "created": 0,
                "owned_by": "rloop",
                "context_window": model.context_tokens,
                "max_output_tokens": model.max_output_tokens,
            }
            return JSONResponse({"object": "list", "data": [one]})

        return await self._guarded(listed(), apis.CHAT)

    async def _guarded(self, work: Coroutine[Any, Any, Response], dialect: Dialect) -> Response:
        try:
            return await work
        except Denied as denied:
            return self._refusal(denied, dialect)
        except _Gone:
            return Response(status_code=499)
        except RloopError as error:  # the store or the API server is unavailable
            log.warning("llm_call_failed", detail=self._redactor.text(str(error)))
            down = Denied("provider_down", "the proxy cannot identify the caller at the moment", retry_after=5)
            return self._refusal(down, dialect)

    async def _session(self, request: Request) -> Session:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        peer = request.client.host if request.client else ""
        caller: Caller | None = await self._identity.caller(token, peer) if token else None
        if caller is None:
            raise Denied("unauthorized", "the token belongs to no live session of this loop")
        return await self._calls.session(caller)

    async def _serve(self, request: Request, path: str, dialect: Dialect) -> Response:
        session = await self._session(request)
        caller = session.caller
        structlog.contextvars.bind_contextvars(namespace=caller.namespace, loop=caller.loop, session=caller.session)
        try:
            content = await _body(request)
            left_out = LeftOut()
            headers = passed_on(request.headers, left_out)
            call = await _unless_gone(request.receive, self._calls.admit(session, dialect, content, left_out))
            self._tell_left_out(call)
            try:
                answer = await _unless_gone(request.receive, self.upstream.ask(call, path, headers))
            except Denied as denied:
                self._over(call, denied.code, None, None)
                raise
            except BaseException:
                # The client disconnected, or this process ends: the attempt in progress may be billed.
                self._over(call, "gone", call.asking, None)
                raise
        except Denied as denied:
            denied.message = self._redactor.text(denied.message)
            await self._calls.wait(session, denied)
            raise
        return await self._passed_on(call, answer)

    async def _passed_on(self, call: Call, answer: Answer) -> Response:
        headers = {**answer.headers, "x-rloop-model": answer.model.name}
        if call.left_out:
            headers["x-rloop-left-out"] = ", ".join(call.left_out)
        if answer.rest is not None:
            return Passing(call, answer, headers, self._redactor, self._streamed)
        if answer.good:
            await self._ended(call, answer, "answered", answer.tokens, answer.answered_by)
        else:
            self._over(call, "request_refused", None, None)
        if answer.failure is not None:
            await self._failed(call, answer.failure)
        return Response(self._redactor.answer(answer.content), answer.status, headers)

    async def _streamed(self, call: Call, answer: Answer, code: str, counted: Counted) -> None:
        """Settle a stream of which all or a part was passed on, and record a failure if it was not a usable answer."""
        tokens = counted.tokens if code in ("answered", "error") else None
        await self._ended(call, answer, code, tokens, counted.model, free=counted.free, pieces=counted.pieces)
        failure = None if code == "gone" else CUT if code == "broken" else counted.failure
        if failure is not None:
            await self._failed(call, failure)

    async def _failed(self, call: Call, failure: CallFailure) -> None:
        """Record the failure. Keys are removed from its message, which quotes the provider."""
        told = self._redactor.text(failure.message)
        await self._calls.failed(call.session, failure.changed(message=told))

    async def _ended(
        self,
        call: Call,
        answer: Answer,
        code: str,
        tokens: Tokens | None,
        answered_by: str | None,
        *,
        free: bool = False,
        pieces: int = 0,
    ) -> None:
        """Settle an answer of which all or a part was passed on. An empty answer without a token count is free."""
        model = answer.model
        free = tokens is None and code in ("answered", "error") and (free or answer.failure is not None)
        self._over(call, code, None if free else model, tokens, pieces)
        if code == "broken":
            self.upstream.broke(call, model, "its stream broke off")
        if code == "answered":
            await self._calls.answered(call)
        if answered_by is not None and not answered_by.startswith(model.name):
            # Usually a full name for a short one; otherwise another model answered, at another price.
            log.warning("llm_other_model", provider=call.provider.name, model=model.name, answered_by=answered_by[:256])

    def _over(self, call: Call, code: str, model: ModelSettings | None, tokens: Tokens | None, pieces: int = 0) -> None:
        """Settle the call and report it to the log and to `tell`.

        Nothing is charged without a model. Without a token count the reservation is charged, with at least as many
        output tokens as `pieces`.
        """
        charged = self._calls.settle(call, model, tokens, pieces)
        record = Record(
            provider=call.provider.name,
            model=(model or call.models[0]).name,
            code=code,
            seconds=time.monotonic() - call.began,
            tokens=tokens or NO_TOKENS,
            charged=charged,
        )
        self._tell(record)
        log.info(
            "llm_call",
            provider=record.provider,
            model=record.model,
            code=code,
            seconds=round(record.seconds, 3),
            input=record.tokens.input,
            cached=record.tokens.cached,
            output=record.tokens.output,
            charged=charged.tokens,
            cost=decimal_text(charged.cost),
        )

    def _tell_left_out(self, call: Call) -> None:
        """Log what was left out, once for each session."""
        session = call.session.caller.session
        new = [name for name in call.left_out if (session, name) not in self._told]
        if new:
            # Usual with coding agents, which send fields of their own; nothing has to be done.
            log.info("llm_left_out", fields=new, detail="fields that the proxy does not forward; the call goes on")
        self._told = {} if len(self._told) > TOLD_MAX else self._told
        self._told |= dict.fromkeys((session, name) for name in new)

    def _refusal(self, denied: Denied, dialect: Dialect) -> Response:
        headers = {}
        if denied.retry_after is not None:
            headers["retry-after"] = str(min(LONGEST_RETRY_AFTER, math.ceil(denied.retry_after)))
        else:
            headers["x-should-retry"] = "false"  # the clients of OpenAI and Anthropic respect it
        body = error_bodies.refusal(dialect, denied.code, self._redactor.text(denied.message), denied.param)
        return JSONResponse(body, denied.status, headers)


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES:
            raise Denied("too_large", f"the request is larger than {BODY_BYTES // 2**20} MiB; send less")
    return bytes(content)


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`. Raises _Gone if the client disconnects first; `work` is then cancelled."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _Gone
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
