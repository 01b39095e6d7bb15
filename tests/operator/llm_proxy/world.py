"""A campaign with an agent of a language model, the LLM proxy before it, a provider behind: real HTTP on loopback.

The provider is scripted byte by byte, because half of what a proxy must survive no proper server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from tests.support.builders import loop as build_loop
from tests.support.restating import restate

from rloop.api.iteration import (
    ResearchIteration,
    ResearchIterationSpec,
    ResearchIterationStatus,
    SessionSpec,
    SessionStatus,
    SessionUsage,
)
from rloop.decide import children
from rloop_operator.llm_proxy.app import Proxy, Record
from rloop_operator.llm_proxy.terms.providers import Providers
from rloop_operator.local.server import listen, serving
from rloop_operator.ports import Caller
from rloop_operator.sim.store import MemoryStore

KEY = "sk-marker-0123456789abcdef"
ITERATION = "demo-i0001"
SESSIONS = (f"{ITERATION}-s1", f"{ITERATION}-s2")
CHAT = {"model": "small-1", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
STREAM = {"model": "small-1", "messages": [], "max_tokens": 50, "stream": True}
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": CHAT,
    "/responses": {"model": "small-1", "input": "hello", "max_output_tokens": 50},
    "/messages": CHAT,
    "/messages/count_tokens": CHAT,
}
"""A proper request by path."""
PRICES = {"input": "1", "cachedInput": "0.5", "output": "10"}
Reply = Callable[["Exchange"], Awaitable[None]]


@dataclass(slots=True)
class Exchange:
    """One request at the provider, and the way back."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    """The body as it came."""
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
        await self.writer.drain()

    def reset(self) -> None:
        """As a machine that dies: no end of the answer."""
        self.writer.transport.abort()


@dataclass
class Upstream:
    """A provider that plays what it is told, then answers properly."""

    usual: Reply
    url: str = ""
    replies: deque[Reply] = field(default_factory=deque)
    seen: list[Exchange] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """A client went away while it was being answered."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                exchange = Exchange(first.split()[1], headers, json.loads(body), body, writer)
                self.seen.append(exchange)
                reply = self.replies.popleft() if self.replies else self.usual
                answering = asyncio.ensure_future(reply(exchange))
                watching = asyncio.ensure_future(self._watch(reader))
                await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
                answering.cancel()
                watching.cancel()
                await asyncio.gather(answering, watching, return_exceptions=True)
                if writer.transport.is_closing() or reader.at_eof():
                    break
        writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        await until(reader.at_eof)
        self.gone.set()


async def until(fact: Callable[[], object]) -> None:
    """Wait for it; a fact that never comes is the test's timeout."""
    while True:
        if fact():
            return
        await asyncio.sleep(0.01)


def answer(status: int = 200, body: object = None, **headers: str) -> Reply:
    """A whole answer; `body` as JSON, or bytes as they are."""

    async def reply(exchange: Exchange) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        lines = "".join(f"{key}: {value}\r\n" for key, value in named.items())
        await exchange.send(
            f"HTTP/1.1 {status} Said\r\ncontent-length: {len(content)}\r\n{lines}\r\n".encode(), content
        )

    return reply


def chat(text: str = "hello", *, tokens: tuple[int, int, int] | None = (100, 40, 20), model: str = "small-1") -> Any:
    """A chat completion that took so many input, cached and output tokens."""
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    if tokens is not None:
        read, cached, written = tokens
        body["usage"] = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
    return body


def error(status: int, message: str = "no", **headers: str) -> Reply:
    return answer(status, {"error": {"message": message, "type": "x", "code": "x"}}, **headers)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event({"id": "c1", "model": "small-1", "choices": [{"index": 0, "delta": {"content": text}}], "usage": None})


USAGE_EVENT = event(chat() | {"choices": []})
DONE = b"data: [DONE]\n\n"


def stream(*events: bytes, reset: bool = False) -> Reply:
    """Events, each a chunk; then the proper end, or none."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD, *(chunk(one) for one in events))
        if reset:
            await asyncio.sleep(0.05)  # what was sent before is to arrive
            exchange.reset()
        else:
            await exchange.send(b"0\r\n\r\n")

    return reply


def reset() -> Reply:
    async def reply(exchange: Exchange) -> None:
        exchange.reset()

    return reply


def hang(*first: bytes) -> Reply:
    """So much, and nothing more while the client stays."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(*first)
        await asyncio.Event().wait()

    return reply


class TwoSessions:
    """Tokens s1 and s2 are those of two agents of the campaign, run is a relay's."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        if token == "run":
            return Caller("demo-b01-r1-a1", "run", "demo", "demo-b01", "")
        if token not in ("s1", "s2"):
            return None
        session = f"{ITERATION}-{token}"
        return Caller(f"{session}-a1", "agent", "demo", ITERATION, session)


@dataclass
class World:
    """All of it, with shortcuts."""

    store: MemoryStore
    upstream: Upstream
    proxy: Proxy
    client: httpx.AsyncClient
    records: list[Record]

    async def chat(self, token: str = "s1", **fields: Any) -> httpx.Response:
        body = CHAT | fields
        return await self.post("/chat/completions", {key: one for key, one in body.items() if one is not None}, token)

    async def post(self, path: str, body: object, token: str = "s1", **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"authorization": f"Bearer {token}"} | headers)

    async def usage(self, token: str = "s1") -> SessionUsage:
        """As the store has it."""
        iteration = await self.store.get(ResearchIteration, ITERATION)
        session = f"{ITERATION}-{token}"
        found = [one for one in iteration.status.reported.usage if one.session == session]
        return found[0] if found else SessionUsage(session=session)

    async def settled(self, token: str = "s1") -> SessionUsage:
        """After a flush."""
        await self.proxy.books.flush()
        return await self.usage(token)

    async def edit(self, kind: Any, name: str, **status: Any) -> None:
        await restate(self.store, kind, name, **status)


def reserved(body: object, output: int = 50) -> int:
    """Tokens that are set aside for a call with this body."""
    return -(-len(json.dumps(body, separators=(",", ":"))) // 3) + output


def provider(**changes: Any) -> dict[str, Any]:
    """A provider's configuration; the world puts its own URL in."""
    return {
        "name": "main",
        "keyEnv": "TEST_LLM_KEY",
        "models": [{"name": "small-1", "contextTokens": 10_000, "maxOutputTokens": 1000, "prices": PRICES}],
        "retry": {"totalSeconds": 20, "idleSeconds": 5},
    } | changes


async def stored(store: MemoryStore, *, max_tokens: int, **spec: Any) -> None:
    """A campaign with one open iteration of two sessions."""
    loop = build_loop(**{"agent": {"llm": {"provider": "main", "model": "small-1"}}, **spec})
    made = await store.create(loop)
    iteration = ResearchIteration(
        metadata=children.metadata(made, ITERATION),
        spec=ResearchIterationSpec(
            loop_name="demo",
            number=1,
            generation=0,
            pivots=0,
            sessions=[
                SessionSpec(name=one, max_rounds=9, session_seconds=900, max_experiments=5, max_tokens=max_tokens)
                for one in SESSIONS
            ],
        ),
        status=ResearchIterationStatus(
            sessions=[SessionStatus(name=one, phase="Running", started_at=datetime.now(UTC)) for one in SESSIONS]
        ),
    )
    await store.create(iteration)


@contextlib.asynccontextmanager
async def served(upstream: Upstream, store: MemoryStore, **changes: Any) -> AsyncIterator[World]:
    """The proxy over that store and provider. Entered twice: a proxy that was started again."""
    providers = Providers.model_validate({"providers": [provider(**{"url": upstream.url} | changes)]}, by_alias=True)
    records: list[Record] = []
    proxy = Proxy(providers, TwoSessions(), lambda _: store, now=lambda: datetime.now(UTC), tell=records.append)
    async with serving(proxy.application(), listen(None)) as url:
        async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=30, trust_env=False) as client:
            yield World(store, upstream, proxy, client, records)
        await proxy.upstream.close()


@contextlib.asynccontextmanager
async def provided() -> AsyncIterator[Upstream]:
    """A provider on loopback."""
    upstream = Upstream(usual=answer(body=chat()))
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield upstream
        server.close()


def play(
    story: Callable[[World], Awaitable[None]],
    *,
    max_tokens: int = 100_000,
    spec: dict[str, Any] | None = None,
    store: MemoryStore | None = None,
    **changes: Any,
) -> None:
    """Tell the story in a new world; `changes` are the provider's, `spec` the loop's."""
    holds = MemoryStore({}) if store is None else store

    async def told() -> None:
        await stored(holds, max_tokens=max_tokens, **(spec or {}))
        async with provided() as upstream, served(upstream, holds, **changes) as world:
            await story(world)

    asyncio.run(told())
