"""Keeps kopf's watches running when a namespace rejects them.

Used by the operator's process. kopf has one watch for each kind and namespace, and ends as a whole when one of them
gives up, which happens a minute after a namespace was deleted or its Role removed. With this module a watch does not
give up: it is retried until the namespace answers.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf
from typing_extensions import override

from rloop_operator.cluster.telemetry.health import Part

BACKOFFS = (1, 2, 5, 10, 20)
LONGEST_SECONDS = 30
LOGGER = "kopf._cogs.clients.watching"
"""The logger of watch requests itself, because a filter does not apply to the child loggers of its logger."""


class Backoffs:
    """Seconds before each retry of a request; the number of retries is unlimited."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(BACKOFFS, itertools.repeat(LONGEST_SECONDS))


class FirstOnly(logging.Filter):
    """Drops kopf's messages about retries of a request except the first: a rejected watch may be retried for days."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        message = record.getMessage()
        return not message.startswith("Request attempt #") or message.startswith("Request attempt #1 ")


class Watches:
    """Opens kopf's sessions with the API server, and records which of their watches are rejected."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    async def login(self, **facts: Any) -> kopf.AiohttpSession | None:
        """Open a session: by the pod's ServiceAccount, else by the kubeconfig."""
        found = kopf.login_with_service_account(**facts) or kopf.login_with_kubeconfig(**facts)
        if found is None:
            return None
        connector = aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context())
        headers = found.as_http_headers()
        # Closed by kopf.
        session = aiohttp.ClientSession(connector=connector, headers=headers, middlewares=(self._seen,))
        namespace = found.default_namespace
        return kopf.AiohttpSession(server=found.server, aiohttp_session=session, default_namespace=namespace)

    async def _seen(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Record rejected requests, and convert "not found" in a namespace into an error that kopf retries."""
        response = await handler(request)
        path = request.url.path
        if request.method != "GET" or "/namespaces/" not in path:
            return response
        if response.status < 400:
            self._refused.discard(path)
            return response
        self._refused.add(path)
        if response.status == 404:
            response.release()
            raise aiohttp.ClientConnectionError(f"{path} is not found")
        return response

    def refused(self) -> set[str]:
        """The namespaces in which a watch is rejected: only the patrol sees changes there."""
        return {path.split("/namespaces/")[1].split("/")[0] for path in self._refused}

    def part(self) -> Part:
        """The line of the health report. It affects no endpoint, because a restart grants no permissions."""
        return Part("watches", self._problem, required=False)

    def _problem(self) -> str:
        refused = sorted(self.refused())
        return f"rejected in {', '.join(refused)}; only the patrol reconciles the loops there" if refused else ""
