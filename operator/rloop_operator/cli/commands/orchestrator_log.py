"""logs/orchestrator.jsonl: the log of reconcile, the gateway, the patrol and the runtime, one JSON object per line.

Configured by `rloop run` before the campaign starts. The lines have the protocol's format {ts, source, level, event,
detail}. Nothing is logged to the terminal, not even warnings of libraries.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import structlog
from typing_extensions import override

from rloop.actions import Event
from rloop.observed import Observed
from rloop_operator.local.campaign import View

LEVELS = {"warning": "warn", "critical": "error", "exception": "error", "debug": "info"}
"""Method of structlog -> level of the protocol, which has info, warn, error and decision only."""


@dataclass(frozen=True, slots=True)
class LineLogger:
    """A structlog logger that writes each line to the file."""

    file: IO[str]
    name: str

    def write(self, line: str) -> None:
        """Append the line. Errors are ignored, because a full disk must not end a campaign that could continue."""
        with suppress(OSError, ValueError):
            self.file.write(f"{line}\n")
            self.file.flush()

    info = debug = warning = warn = error = critical = exception = fatal = msg = write


def as_line(source: str, level: str, event: str, detail: MutableMapping[str, Any] | str) -> str:
    """One line in the protocol's format."""
    document = {
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": source,
        "level": level,
        "event": event,
        "detail": detail,
    }
    return json.dumps(document, ensure_ascii=False, default=str)


def _to_line(logger: LineLogger, method: str, event: MutableMapping[str, Any]) -> str:
    """The last structlog processor: converts an event to a line in the protocol's format."""
    name = str(event.pop("event", ""))
    level = str(event.pop("level", LEVELS.get(method, method)))
    return as_line(logger.name, level, name, event)


class _Handler(logging.Handler):
    """Writes standard library logging, which asyncio and uvicorn use, to the same file."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(logging.WARNING)
        self._file = file
        self.setFormatter(logging.Formatter("%(message)s"))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warn"
        LineLogger(self._file, record.name).write(as_line(record.name, level, "log", self.format(record)))


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write all logging to the file while the context lasts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, _to_line],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *names: LineLogger(file, str(names[0]) if names else "rloop"),
            cache_logger_on_first_use=False,
        )
        handler, root = _Handler(file), logging.getLogger()
        before = list(root.handlers)
        root.handlers = [handler]
        logging.captureWarnings(capture=True)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.handlers = before
            structlog.reset_defaults()


class LoggedView(View):
    """A view that forwards everything to another view and logs each transition as a decision."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._log = structlog.get_logger("rloop.decide")

    @override
    def event(self, event: Event) -> None:
        self._log.info(event.reason, level="decision", type=event.type, object=event.object, message=event.message)
        self._view.event(event)

    @override
    def update(self, observed: Observed) -> None:
        self._view.update(observed)
