"""The only gateway verb of a sidecar: POST /v1/progress.

Called by `relay`. It holds the only token of an experiment's pod; the user's container never sees it. It uses the
client of the standard library, which starts faster than any other and reads no proxy from the environment.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

from rloop.api.helpers import ProgressRequest
from rloop_sidecar.environment import BadEnvironment

TIMEOUT_SECONDS = 5.0
SAID_BYTES = 800
TRY_AGAIN = frozenset({401, 408, 409, 425, 429})
"""Statuses that are retried: the token is being rotated, or the gateway is busy. Other rejections are final."""


class Away(Exception):
    """No usable response; retry later."""


class Gateway:
    """The gateway at one URL."""

    def __init__(self, url: str, token_file: Path) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BadEnvironment(f"RLOOP_GATEWAY is {url!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise BadEnvironment(f"RLOOP_GATEWAY is {url!r}; it must be an http or https URL")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(host, port, timeout=TIMEOUT_SECONDS)
        self._path = f"{parts.path.rstrip('/')}/v1/progress"
        self._token_file = token_file

    def post(self, progress: ProgressRequest) -> str | None:
        """Report progress. Returns None, or why the gateway rejects this report for good. Raises Away."""
        try:
            # Read for each request: the kubelet rotates the token.
            token = self._token_file.read_text(encoding="ascii").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            self._connection.request("POST", self._path, progress.model_dump_json(by_alias=True), headers)
            response = self._connection.getresponse()
            status, text = response.status, response.read(SAID_BYTES).decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        finally:
            # Rarely used: the next request reconnects, and the gateway need not keep a connection for every pod.
            self._connection.close()
        if 200 <= status < 300:
            return None
        said = f"HTTP {status}: {text[:200]}"
        if status >= 500 or status in TRY_AGAIN:
            raise Away(said)
        return said
