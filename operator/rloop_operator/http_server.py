"""The HTTP server of gateway and LLM proxy: uvicorn with deadlines for slow clients and a limit of connections.

Used by both shells. uvicorn alone has no timeout for an incomplete request or for a client that does not read.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Timeout for the first line and the headers of a request, from the connection or the first byte on."""
BODY_SECONDS = 30.0
"""Timeout for the body of a request."""
READ_SECONDS = 60.0
"""Timeout for a client that does not read its response."""
CONNECTIONS_MAX = 512


class BoundedProtocol(H11Protocol):
    """One connection. It is closed if its client is too slow, or to make room for a new connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waits_for = ""
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return bool(getattr(self.cycle, "response_complete", True))  # None before the first request

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._make_room()
        self._wait_for("head", HEAD_SECONDS)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for("", 0)
        self._cancel_unread()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.idle:
            self._wait_for("head", HEAD_SECONDS)
        elif self.cycle.more_body:
            self._wait_for("body", BODY_SECONDS)
        else:
            self._wait_for("", 0)

    @override
    def on_response_complete(self) -> None:
        self._wait_for("", 0)  # uvicorn's own timer closes a connection that stays idle
        super().on_response_complete()
        if not self.idle:  # the next request was sent together with this one
            self._wait_for("body" if self.cycle.more_body else "", BODY_SECONDS)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._cancel_unread()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_unread()

    def _wait_for(self, what: str, seconds: float) -> None:
        if what == self._waits_for:
            return  # more bytes of the same part do not extend the deadline
        self._waits_for = what
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort) if what else None

    def _cancel_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _make_room(self) -> None:
        """Close a connection that is not answering a request; this one if all others are busy."""
        idle = (one for one in self.connections if isinstance(one, BoundedProtocol) and one.idle and one is not self)
        next(idle, self).transport.abort()


def config(application: Any, **named: Any) -> uvicorn.Config:
    """The uvicorn configuration for one of our applications. `named` is passed on to uvicorn."""
    return uvicorn.Config(
        application, http=BoundedProtocol, ws="none", log_config=None, access_log=False, lifespan="off", **named
    )
