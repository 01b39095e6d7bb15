"""Untrusted text, marked as data: files, logs, titles, handoffs, whatever a program printed.

Called by the brief and by every tool. A model cannot be made deaf to what it reads, so the walls are elsewhere (the
gateway refuses, whoever asks); the fence makes an instruction in a log recognisable as part of the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

OPEN, CLOSE = "<data", "</data"


def clip(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and, twice as long, the end, where logs say what went wrong."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}\n[... {len(text) - limit} characters left out ...]\n{text[head - limit :]}"


def fenced(source: str, text: str) -> str:
    """The text between fences that it cannot close itself."""
    # A JSON string may write a slash as \/, so rows stay readable for programs.
    inner = text.replace(CLOSE, "<\\/data").replace(OPEN, "<\\data")
    name = "".join(character for character in source if character.isprintable() and character not in '"<>')
    return f'<data source="{name[:200]}">\n{inner}\n</data>'


def rows(source: str, found: Iterable[Mapping[str, object]], limit: int) -> str:
    """Rows of JSON, the newest last; as many of the newest as fit."""
    lines = [json.dumps(row, ensure_ascii=False) for row in found]
    size, first = 0, len(lines)
    while first > 0 and size + len(lines[first - 1]) + 1 <= limit:
        first -= 1
        size += len(lines[first]) + 1
    left = f"[{first} older ones left out]\n" if first else ""
    return left + fenced(source, "\n".join(lines[first:]))
