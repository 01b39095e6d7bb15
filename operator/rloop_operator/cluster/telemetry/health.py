"""Health and metrics endpoints of a process, on a separate port.

Served by the operator, the gateway, the LLM proxy and the guard. /healthz reports whether a restart would help, /readyz
whether the process does its work now: an unavailable API server affects only /readyz.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rloop_operator.cluster.telemetry import metrics

PORT = 8081
EVERYWHERE = "0.0.0.0"  # noqa: S104 -- a pod is reached at its own address; NetworkPolicies limit access
LAG_SECONDS = 5.0
BEAT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a process, with its own line in the health report."""

    name: str
    problem: Callable[[], str]
    """Returns the current problem; empty if the part works."""
    curable: bool = True
    """Whether a restart may help."""
    required: bool = True
    """Whether its problem affects the endpoints; otherwise the report only shows it."""


class Pulse:
    """Event-loop lag. Anything that blocks the event loop also delays every heartbeat and Lease renewal."""

    def __init__(self) -> None:
        self._expected = time.monotonic()

    def lag_seconds(self) -> float:
        """Current event-loop lag in seconds."""
        return max(0.0, time.monotonic() - self._expected)

    async def beat(self) -> None:
        """Measure until cancelled."""
        while True:
            self._expected = time.monotonic() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            metrics.EVENT_LOOP_LAG.set(self.lag_seconds())

    def part(self) -> Part:
        """The health part of the event loop."""
        return Part("event-loop", lambda: late(self.lag_seconds(), LAG_SECONDS, "it came round"))


def late(age: float, limit: float, what: str) -> str:
    """A problem if the age in seconds exceeds the limit, otherwise an empty string."""
    return f"{what} {age:.0f} s ago; the limit is {limit:.0f} s" if age > limit else ""


def report(parts: Sequence[Part], *, curable_only: bool) -> tuple[str, int]:
    """The response of an endpoint (one line per part) and its HTTP status."""
    told = {part.name: part.problem() for part in parts}
    judged = [part.name for part in parts if part.required and (part.curable or not curable_only)]
    lines = [f"{name}: {problem or 'ok'}" for name, problem in told.items()]
    return "\n".join([*lines, ""]), 503 if any(told[name] for name in judged) else 200


async def until_first_ends(*work: Awaitable[None]) -> None:
    """Run all until the first one ends; the caller then ends the process. Raises the error of the one that ended.

    An incomplete process is worse than none: the kubelet restarts a complete one. SIGTERM ends the process in this way
    too, because the signal alone does not end process 1 of a container.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def serve(parts: Sequence[Part], own: CollectorRegistry, port: int = PORT) -> None:
    """Serve /healthz, /readyz and /metrics until cancelled."""
    pulse = Pulse()
    judged = [*parts, pulse.part()]

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse(*report(judged, curable_only=True))

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse(*report(judged, curable_only=False))

    async def exposed(_request: Request) -> Response:
        for part in judged:
            metrics.PART_WORKING.labels(part.name).set(not part.problem())
        return Response(generate_latest(metrics.SHARED) + generate_latest(own), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposed)]
    config = uvicorn.Config(
        Starlette(routes=routes), host=EVERYWHERE, port=port, log_config=None, access_log=False, lifespan="off"
    )
    await until_first_ends(uvicorn.Server(config).serve(), pulse.beat())
