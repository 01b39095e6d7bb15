"""The transcript: every message of a session as a line of JSON, written as it happens.

Written by the session, read by people and by `rloop`. It is append-only: what a compaction removes from the model's
view stays here, with an event that records the compaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rloop_agent.llm.model.redact import redacted
from rloop_agent.log import Log

FILES_MAX = 1000


class Transcript:
    """Appends to a new file in the folder; without a folder nothing is written."""

    def __init__(self, folder: Path | None, token: Callable[[], str], log: Log) -> None:
        self._token = token
        self._secrets: set[str] = set()
        self._log = log
        self._lines = 0
        self._path = _new_file(folder, log)

    def write(self, kind: str, **facts: object) -> None:
        """Append one line. If that fails (a full disk), the line is lost and the session continues."""
        if self._path is None:
            return
        self._secrets.add(self._token())  # it is rotated, and an older one is still a secret
        self._lines += 1
        line = {"n": self._lines, "ts": datetime.now(UTC).isoformat(), "kind": kind, **facts}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(redacted(json.dumps(line, ensure_ascii=False, default=str), self._secrets) + "\n")
        except OSError as error:
            self._log(
                "warning", "a line of the transcript could not be written", file=self._path.name, error=str(error)
            )


def _new_file(folder: Path | None, log: Log) -> Path | None:
    """A new file, with a name that no earlier process of this session has used; None if none can be created."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, FILES_MAX):
            path = folder / f"transcript-{number}.jsonl"
            if not path.exists():
                path.touch(mode=0o600)
                return path
    except OSError as error:
        log("warning", "no transcript", folder=str(folder), error=str(error))
    return None
