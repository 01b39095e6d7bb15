"""Reads what a run reports about itself: the step in progress.jsonl and the claims in claims.json.

Called by `relay` every two seconds. The run may write anything there at any time, so each read is bounded, follows no
link, accepts only regular files, and ignores what it does not understand.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rloop.api.common import METRIC_PATTERN
from rloop.api.curves import Curves, is_step, is_usable
from rloop.api.helpers import MAX_CLAIMS

PROGRESS_BYTES = 8192
"""Bytes read from the end of progress.jsonl: the newest step is in its last lines."""
FEED_BYTES = 2**20
"""Maximum bytes of progress.jsonl per read: if a run writes faster, its last lines may not be read."""
CLAIMS_BYTES = 65536
MAX_NAME = 63


def newest_step(path: Path) -> int | None:
    """The step of the last complete line that has one, else None."""
    tail = _tail(path)
    for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        document = _json(line)
        step = document.get("step") if isinstance(document, dict) else None
        if is_step(step):
            return step
    return None


def claims(path: Path) -> dict[str, float] | None:
    """The valid numbers in claims.json; None while there is no valid document."""
    with _regular(path) as descriptor:
        content = os.read(descriptor, CLAIMS_BYTES + 1) if descriptor is not None else b""
    document = _json(content) if len(content) <= CLAIMS_BYTES else None
    if not isinstance(document, dict):
        return None
    taken = {name: float(value) for name, value in document.items() if _is_claim(name, value)}
    return dict(list(taken.items())[:MAX_CLAIMS])


def feed(curves: Curves, path: Path, offset: int) -> int:
    """Pass the bytes after the offset to the curves, at most FEED_BYTES. Returns their number."""
    with _regular(path) as descriptor:
        chunk = os.pread(descriptor, FEED_BYTES, offset) if descriptor is not None else b""
    curves.feed(chunk)
    return len(chunk)


def _tail(path: Path) -> bytes:
    with _regular(path) as descriptor:
        if descriptor is None:
            return b""
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, PROGRESS_BYTES, max(0, size - PROGRESS_BYTES))


@contextmanager
def _regular(path: Path) -> Iterator[int | None]:
    """A descriptor of the regular file; None if it is missing or not a regular file."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _json(content: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(content)
    return None


def _is_claim(name: str, value: object) -> bool:
    return len(name) <= MAX_NAME and re.fullmatch(METRIC_PATTERN, name) is not None and is_usable(value)
