"""Logs of the cluster's processes: one JSON object a line, ours and the libraries' alike.

Called once by each process' main. What is bound with structlog's contextvars (loop, namespace) stands on each line that
a task writes, also on those of the code below that knows nothing of it.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

QUIET = ("kopf", "aiohttp", "uvicorn", "kubernetes", "asyncio")
"""Libraries: only what they warn of."""


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
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(sort_keys=False),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
