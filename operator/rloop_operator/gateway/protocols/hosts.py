"""Rejects requests whose Host or Origin is not the gateway's own.

Used by `gateway.protocols.app` as its middleware. A web page can make a browser send requests to the gateway through a
host name of its own that resolves to this address (DNS rebinding). Such a request has a foreign Host, or the page's
Origin.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rloop.api.wire import Problem

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class OwnHosts:
    """ASGI middleware that responds to a foreign Host or Origin with 403."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(map(str.lower, hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._own(f"//{headers.get('host', '')}") or (origin is not None and not self._own(origin)):
            told = "the Host or Origin of the request is not the gateway's: use the address in RLOOP_GATEWAY"
            content = Problem(reason="Forbidden", message=told).model_dump_json()
            await Response(content, 403, media_type="application/json")(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _own(self, url: str) -> bool:
        try:
            name = urlsplit(url).hostname
        except ValueError:
            return False
        return name is not None and name.rstrip(".") in self._hosts
