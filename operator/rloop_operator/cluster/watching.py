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

BACKOFFS = (1, 2, 5, 10, 20)
LONGEST_SECONDS = 30


class Backoffs:
    """Seconds before each retry of a request, without end."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(BACKOFFS, itertools.repeat(LONGEST_SECONDS))


LOGGER = "kopf._cogs.clients.watching"
"""The logger of a watch's requests. A filter of a logger does not apply to those below it."""


class FirstOnly(logging.Filter):
    """Drops kopf's message about a retry of a request, except for the first: a refused watch is retried for days."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        message = record.getMessage()
        return not message.startswith("Request attempt #") or message.startswith("Request attempt #1 ")


async def login(**facts: Any) -> kopf.AiohttpSession | None:
    """Open kopf's session with the API server: by the pod's ServiceAccount, else by the kubeconfig."""
    found = kopf.login_with_service_account(**facts) or kopf.login_with_kubeconfig(**facts)
    if found is None:
        return None
    connector = aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context())
    # kopf closes it.
    session = aiohttp.ClientSession(connector=connector, headers=found.as_http_headers(), middlewares=(_retried,))
    return kopf.AiohttpSession(server=found.server, aiohttp_session=session, default_namespace=found.default_namespace)


async def _retried(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Turn "not found" about a list or watch of a namespace into an error that kopf retries."""
    response = await handler(request)
    if request.method == "GET" and response.status == 404 and "/namespaces/" in request.url.path:
        response.release()
        raise aiohttp.ClientConnectionError(f"{request.url.path} is not found")
    return response
