"""The one verb that a sidecar has: POST /v1/progress.

Called by `relay`. It holds the only token of an experiment's pod; the user's container never sees it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from rloop.api.wire import ProgressRequest
from rloop_sidecar.environment import BadEnvironment

TIMEOUT_SECONDS = 5.0
TRY_AGAIN = frozenset({401, 408, 409, 425, 429})
"""The token is being rotated, or the gateway is busy: what it refuses for good is not worth a second request."""


class Away(Exception):
    """No answer that counts; try again later."""


class Gateway:
    """The gateway at one URL."""

    def __init__(self, url: str, token_file: Path) -> None:
        if not url.startswith(("http://", "https://")):
            raise BadEnvironment(f"RLOOP_GATEWAY is {url!r}; it must be an http or https URL")
        self._token_file = token_file
        # A plain address needs no certificates, and loading them takes longer than the rest of the start.
        verify = True if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # trust_env: a proxy of the environment must never see the token.
            self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=verify)
        except httpx.InvalidURL as error:
            raise BadEnvironment(f"RLOOP_GATEWAY is {url!r}: {error}") from error

    def post(self, progress: ProgressRequest) -> str | None:
        """Tell it; None, or why it will never take this. Raises Away."""
        try:
            # Read for each request: the kubelet rotates the token.
            token = self._token_file.read_text(encoding="ascii").strip()
            response = self._http.post(
                "/v1/progress",
                content=progress.model_dump_json(by_alias=True),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
        except (OSError, ValueError, httpx.HTTPError) as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            return None
        said = f"HTTP {response.status_code}: {response.text[:200]}"
        if response.status_code >= 500 or response.status_code in TRY_AGAIN:
            raise Away(said)
        return said
