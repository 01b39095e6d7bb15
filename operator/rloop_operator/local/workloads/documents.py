# ruff: noqa: PTH104, PTH118, PTH123 - pathlib would double the start of the shim
"""Small JSON files that are written atomically: spec.json, shim.json, stop.json, exit.json.

Called by the shim's modules and by the runtime, which communicate through these files only.
"""

from __future__ import annotations

import json
import os
from typing import Any


def write_json(folder: str, name: str, document: object) -> None:
    """Write a file atomically: a reader sees all of it or nothing, even after a power failure.

    Only its owner can read it, because a spec has the session's token and the values of `agent.env`.
    """
    place = os.path.join(folder, name)
    temporary = f"{place}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8", opener=_private) as file:
        json.dump(document, file, ensure_ascii=True)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, place)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_json(folder: str, name: str) -> dict[str, Any] | None:
    """The document; None if the file does not exist, empty if it is not a valid JSON object."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
