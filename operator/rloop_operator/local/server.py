"""The HTTP servers of gateway and LLM proxy inside the operator's own event loop, on loopback only.

Started by `local.campaign`. The ports are stored in the run folder, because agents outlive the operator and reconnect.
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
from rloop_operator.local.storage.database import Database

HOST = "127.0.0.1"
STOP_SECONDS = 1
"""Seconds for responses in progress when the server ends. Agents retry their requests."""


class _Server(uvicorn.Server):
    """A server that installs no signal handlers, because the campaign handles signals."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int | None) -> socket.socket:
    """A listening socket on `port`; on a free port if `port` is None or in use. Raises OSError."""
    for wanted in (port or 0, 0):
        # Name the protocol: asyncio disables Nagle only for IPPROTO_TCP. Nagle delays a response in two parts by 40 ms.
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
    """A listening socket on the port stored under this name. If that is missing or in use, stores a new port."""
    kept = database.meta(name)
    listener = listen(int(kept) if kept is not None else None)
    database.set_meta(name, str(listener.getsockname()[1]))
    return listener


@contextlib.asynccontextmanager
async def serving(application: Starlette, listener: socket.socket) -> AsyncIterator[str]:
    """Serve while the context lasts. Yields the base URL."""
    server = _Server(http_server.config(application, timeout_graceful_shutdown=STOP_SECONDS))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
