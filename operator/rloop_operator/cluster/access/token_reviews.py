"""Checks that the API server answers TokenReviews.

Run by the gateway and by the LLM proxy, which authenticate callers by their tokens.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from rloop.errors import RloopError
from rloop_operator.cluster.access.identity import review
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.telemetry.health import Part, late

log = structlog.get_logger("rloop.reach")
REACH_SECONDS = 15.0


class Reach:
    """Whether the API server answers and permits TokenReviews; otherwise every caller is rejected."""

    def __init__(self, api: client.Kube) -> None:
        self._api = api
        self._tried_at = time.monotonic()
        self._problem = ""

    async def watch(self) -> None:
        """Request a TokenReview of an invalid token every REACH_SECONDS until cancelled."""
        while True:
            try:
                await review(self._api, "not-a-token")
                self._problem = ""
            except RloopError as error:
                self._problem = str(error)
                log.warning("token_review_failed", detail=self._problem)
            self._tried_at = time.monotonic()
            await asyncio.sleep(REACH_SECONDS)

    def parts(self) -> list[Part]:
        """The health parts of this check."""
        return [
            Part("reach", lambda: late(time.monotonic() - self._tried_at, 6 * REACH_SECONDS, "a question ended")),
            Part("api", lambda: self._problem, curable=False),
        ]
