"""Logs of the cluster's processes: one JSON object per line, for our messages and those of libraries.

Called once by the main function of each process. Values bound with structlog's contextvars (loop, namespace) are on
each line that a task writes, including lines of called code that does not know them.
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
"""Libraries of which only warnings and errors are logged."""

REPEAT_SECONDS = 300.0
REMEMBERED = 1000
"""Maximum number of lines remembered; the oldest are dropped."""


class Once:
    """Drops a line that is identical to one of the last REPEAT_SECONDS.

    A pass five seconds later finds the same as the one before, for example a slow stop or a missing image.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, float] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the event, or raise DropEvent."""
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
    """Put time, level and event first, for people who read the raw lines."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return first | dict(event)


def configure() -> None:
    """Configure logging to stdout as JSON."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        # Before the timestamp, which makes every line unique.
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
