"""How kopf's watches live with a namespace that refuses them.

Used by the operator's process. kopf has one watch for each kind and namespace, and ends as a whole when one of them
gives up, which it does a minute after a namespace was deleted or its Role removed. Here no watch of a namespace gives
up: it is tried again until the namespace answers.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf
from typing_extensions import override

from rloop_operator.cluster.health import Part

BACKOFFS = (1, 2, 5, 10, 20)
LONGEST_SECONDS = 30
LOGGER = "kopf._cogs.clients.watching"
"""The logger of a watch's requests. A filter of a logger does not apply to those below it."""


class Backoffs:
    """Seconds before each retry of a request, without end."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(BACKOFFS, itertools.repeat(LONGEST_SECONDS))


class FirstOnly(logging.Filter):
    """Drops kopf's message about a retry of a request, except for the first: a refused watch is retried for days."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        message = record.getMessage()
        return not message.startswith("Request attempt #") or message.startswith("Request attempt #1 ")


class Watches:
    """kopf's sessions with the API server, and what their watches are refused."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    async def login(self, **facts: Any) -> kopf.AiohttpSession | None:
        """Open a session: by the pod's ServiceAccount, else by the kubeconfig."""
        found = kopf.login_with_service_account(**facts) or kopf.login_with_kubeconfig(**facts)
        if found is None:
            return None
        connector = aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context())
        headers = found.as_http_headers()
        # kopf closes it.
        session = aiohttp.ClientSession(connector=connector, headers=headers, middlewares=(self._seen,))
        namespace = found.default_namespace
        return kopf.AiohttpSession(server=found.server, aiohttp_session=session, default_namespace=namespace)

    async def _seen(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Note what is refused, and turn "not found" about a namespace into an error that kopf retries."""
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
        """The namespaces in which a watch is refused: the patrol alone sees what changes there."""
        return {path.split("/namespaces/")[1].split("/")[0] for path in self._refused}

    def part(self) -> Part:
        """Shown in the health report. It decides nothing: a restart gives no rights."""
        return Part("watches", self._problem, required=False)

    def _problem(self) -> str:
        refused = sorted(self.refused())
        return f"refused in {', '.join(refused)}, whose loops only the patrol looks at" if refused else ""
