"""Passes a stream on as it arrives, event by event; one that breaks off ends with an error event.

Created by `app` as the response for starlette; reports to `app` how the stream ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from rloop_operator.llm_proxy.accounting.call import Call
from rloop_operator.llm_proxy.dialects import error_bodies
from rloop_operator.llm_proxy.terms.keys import Redactor
from rloop_operator.llm_proxy.upstream.answers import Counted, Malformed
from rloop_operator.llm_proxy.upstream.exchange import Answer

Ended = Callable[[Call, Answer, str, Counted], Awaitable[None]]


class Passing(Response):
    """The client's side of a stream."""

    def __init__(
        self, call: Call, answer: Answer, headers: Mapping[str, str], redactor: Redactor, ended: Ended
    ) -> None:
        super().__init__(None, answer.status, headers)
        del self.headers["content-length"]
        self._call = call
        self._answer = answer
        self._redactor = redactor
        self._ended = ended
        self._over = False
        self._counted = Counted(call.dialect, drops_usage=call.drops_usage)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        passing = asyncio.create_task(self._pass_on(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait((passing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (passing, gone):
                one.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)
            await self._end("gone")

    async def _pass_on(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        code = "answered"
        try:
            async for event in self._events():
                if self._counted.passes(event):
                    body = self._redactor.answer(event)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except (TimeoutError, Malformed, httpx.HTTPError) as error:
            code = "broken"
            why = str(error) or "no data for too long"
            told = self._redactor.text(f'the stream of provider "{self._call.provider.name}" broke off: {why}')
            event = error_bodies.event(self._call.dialect, "provider_down", told)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await self._end(code)  # before the client sees the end, so that its next call finds the settled account
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _end(self, code: str) -> None:
        """Settle the call; later calls of this method have no effect."""
        if self._over:
            return
        self._over = True
        if code == "gone" and self._counted.whole:
            code = "answered"  # the client has everything, and did not wait for the provider to close
        if code == "answered" and self._counted.error is not None:
            code = "error"
        await self._answer.close()
        await self._ended(self._call, self._answer, code, self._counted)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        for event in self._answer.head:
            yield event
        if self._answer.rest is not None:
            async for event in self._answer.rest:
                yield event


async def disconnected(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
