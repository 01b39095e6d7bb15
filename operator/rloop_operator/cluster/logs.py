"""Logs of the cluster's processes: one JSON object a line, ours and the libraries' alike.

Called once by each process' main. What is bound with structlog's contextvars (loop, namespace) stands on each line that
a task writes, also on those of the code below that knows nothing of it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = ("kopf", "aiohttp", "uvicorn", "kubernetes", "asyncio", "mcp")
"""Libraries: only what they warn of."""

REPEAT_SECONDS = 300.0
REMEMBERED = 1000
"""Lines; the oldest are forgotten."""


class Once:
    """Drops a line that says the very same as one of the last minutes.

    What a pass finds is found again by the next one, five seconds later: a stop that takes its time, a missing image.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, float] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Let it pass, or raise DropEvent."""
        now = self._monotonic()
        line = json.dumps(event, default=str, sort_keys=True)
        if now - self._said.get(line, float("-inf")) < REPEAT_SECONDS:
            raise structlog.DropEvent
        self._said.pop(line, None)
        self._said[line] = now
        if len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """When, how bad and what first: for people who read the raw lines."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return first | dict(event)


def configure() -> None:
    """Write to stdout as JSON from now on."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        # Before the time, which makes every line another.
        processors=[*shared[:3], Once(), *shared[3:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _in_order,
        structlog.processors.JSONRenderer(sort_keys=False),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
