"""Slow clients and many connections: each is closed in time, and others are served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from rloop_operator import http_server
from rloop_operator.local.server import HOST, listen, serving

GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


async def answer(request: Request) -> Response:
    try:
        size = len(await request.body())
    except ClientDisconnect:
        return Response(status_code=400)
    return Response(b"x" * (50_000_000 if request.url.path == "/large" else size))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(http_server, name, 0.3)


def played(story: Callable[[int], Awaitable[None]]) -> None:
    async def play() -> None:
        listener = listen(None)
        async with serving(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]), listener):
            await story(listener.getsockname()[1])

    asyncio.run(play())


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"GET / HT"], id="half a line"),
        pytest.param([b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 40], id="a header now and then"),
        pytest.param([POST + b"12345"], id="half a body"),
        pytest.param([POST, *[b"1"] * 40], id="a byte now and then"),
        pytest.param([GOOD, b"GET / HT"], id="half a second request"),
    ],
)
def test_a_client_that_does_not_send_its_request_is_closed(sent: list[bytes]) -> None:
    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        reading = asyncio.create_task(reader.read())
        for piece in sent:
            writer.write(piece)
            await asyncio.wait([reading], timeout=0.05)
            if reading.done():
                break
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reading, 10)
        writer.close()

    played(story)


def test_a_client_that_does_not_read_is_closed() -> None:
    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(GOOD.replace(b"GET /", b"GET /large"))
        await asyncio.sleep(1.5)
        size = 0
        with suppress(ConnectionResetError):
            while piece := await asyncio.wait_for(reader.read(2**20), 10):
                size += len(piece)
        assert size < 50_000_000
        writer.close()

    played(story)


def test_idle_connections_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 60.0)

    async def story(port: int) -> None:
        held = [await asyncio.open_connection(HOST, port) for _ in range(8)]
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(GOOD)
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)
        for _, one in [*held, (reader, writer)]:
            one.close()

    played(story)


def test_a_connection_that_is_used_again_is_kept() -> None:
    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for _ in range(3):
            await asyncio.sleep(0.2)
            writer.write(GOOD)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()

    played(story)
