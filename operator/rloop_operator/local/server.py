"""The HTTP servers of gateway and LLM proxy inside the operator's own event loop, on loopback only.

Started by `local.campaign`. A port is kept in the run folder: agents outlive the operator and come back to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from rloop_operator import http_server
from rloop_operator.local.database import Database

HOST = "127.0.0.1"
STOP_SECONDS = 1
"""For answers in progress when it ends: an agent asks again."""


class _Server(uvicorn.Server):
    """Signals belong to the campaign, not to the server."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int | None) -> socket.socket:
    """A listening socket on `port`, or on a free one if that is taken."""
    for wanted in (port or 0, 0):
        # With the protocol named, or asyncio leaves Nagle on: 40 ms for an answer in two pieces.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    message = f"no free port on {HOST}"
    raise OSError(message)


def kept_listener(database: Database, name: str) -> socket.socket:
    """A listening socket on the port that the run folder keeps under that name, or on a new one that it keeps now."""
    kept = database.meta(name)
    listener = listen(int(kept) if kept is not None else None)
    database.set_meta(name, str(listener.getsockname()[1]))
    return listener


@contextlib.asynccontextmanager
async def serving(application: Starlette, listener: socket.socket) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the base URL."""
    server = _Server(http_server.config(application, timeout_graceful_shutdown=STOP_SECONDS))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
