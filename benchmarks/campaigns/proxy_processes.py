"""The two servers of `benchmarks.proxy`, each a process of its own: a provider, and the LLM proxy before it.

Started by the benchmark, told by its arguments; prints its URL, and ends when its standard input does. The provider is
as little as speaks HTTP, so that what is measured is the proxy. The proxy is the shipped one over the local shell's
store: it reserves, settles, and writes what was spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import structlog

from rloop.api.iteration import (
    ResearchIteration,
    ResearchIterationSpec,
    ResearchIterationStatus,
    SessionSpec,
    SessionStatus,
)
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop_operator.llm_proxy.app import Proxy
from rloop_operator.llm_proxy.terms.providers import Providers
from rloop_operator.local.server import listen, serving
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import Caller

TOKEN = "the-session"  # noqa: S105 -- of nobody, on loopback
ITERATION, SESSION = "bench-i0001", "bench-i0001-s1"
MODEL = "small-1"
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 1000}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 700, "completion_tokens": 250, "total_tokens": 950},
}


class _OneSession:
    """The token is that of the campaign's only agent."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        return Caller(f"{SESSION}-a1", "agent", "bench", ITERATION, SESSION) if token == TOKEN else None


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """Answers every request alike."""
    content = json.dumps(ANSWER).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(asked.lower().partition(b"content-length: ")[2].split()[0]))
                writer.write(head + content)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def campaign(store: LocalStore) -> None:
    """A campaign in which one session runs, with limits that it does not meet."""
    spec = {
        "direction": "Measure the proxy.",
        "boundaries": {"editable": ["recipe.json"]},
        "task": {"path": "./task"},
        "objective": {"metric": "score", "goal": "Maximize"},
        "evaluation": {"code": {"path": "./evaluation"}, "command": ["./score"]},
        "experiment": {"job": {}, "command": ["./train"]},
        "agent": {"llm": {"provider": "main", "model": MODEL}},
        "budget": {"tokens": 10**9, "cost": "1000000"},
    }
    loop = await store.create(ResearchLoop.model_validate({"metadata": {"name": "bench"}, "spec": spec}))
    session = SessionSpec(name=SESSION, max_rounds=9, session_seconds=9000, max_experiments=5, max_tokens=10**9)
    iteration = ResearchIteration(
        metadata=children.metadata(loop, ITERATION),
        spec=ResearchIterationSpec(loop_name="bench", number=1, generation=0, pivots=0, sessions=[session]),
        status=ResearchIterationStatus(
            sessions=[SessionStatus(name=SESSION, phase="Running", started_at=datetime.now(UTC))]
        ),
    )
    await store.create(iteration)


@contextlib.asynccontextmanager
async def proxy(url: str, folder: Path) -> AsyncIterator[str]:
    """The LLM proxy before the provider at this URL."""
    prices = {"input": "1", "output": "2"}
    model = {"name": MODEL, "contextTokens": 100_000, "maxOutputTokens": 4000, "prices": prices}
    known = {"providers": [{"name": "main", "url": url, "models": [model]}]}
    store = LocalStore(folder)
    with contextlib.closing(store):
        await campaign(store)
        providers = Providers.model_validate(known, by_alias=True)
        made = Proxy(providers, _OneSession(), lambda _: store, now=lambda: datetime.now(UTC))
        keeping = asyncio.create_task(made.keep())
        async with serving(made.application(), listen(None)) as own:
            yield f"{own}/v1"
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def main(kind: str, *arguments: str) -> None:
    """Serve until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # a line is written for each call
    opened = provider() if kind == "provider" else proxy(arguments[0], Path(arguments[1]))
    async with opened as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
