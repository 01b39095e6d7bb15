"""JSON lines on stdout with the session's events, for readers of the pod's log.

Used by `__main__`, which passes it to all other parts. The image does not contain structlog, but keys and levels are
those of the operator's structlog lines.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Protocol


class Log(Protocol):
    """Writes one event."""

    def __call__(self, level: str, event: str, **facts: object) -> None: ...


def json_lines(level: str, event: str, **facts: object) -> None:
    """Print one event as a line."""
    line = {"ts": datetime.now(UTC).isoformat(), "level": level, "event": event, **facts}
    print(json.dumps(line, default=str), flush=True)


def silent(level: str, event: str, **facts: object) -> None:
    """Print nothing."""
