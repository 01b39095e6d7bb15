"""Marks untrusted text as data: files, logs, titles, handoffs, output of programs.

Called by the brief and by every tool. It cannot stop a model from following what it reads; the protection is elsewhere
(the gateway rejects what is not allowed). The fence makes an instruction in a log recognisable as part of the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

OPEN, CLOSE = "<data", "</data"


def clip(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and, twice as long, the end, where logs report errors."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}\n[... {len(text) - limit} characters omitted ...]\n{text[head - limit :]}"


def fenced(source: str, text: str) -> str:
    """The text between fences that the text itself cannot close."""
    # JSON allows \/ for a slash in a string, so rows stay valid JSON.
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
    left = f"[{first} older ones omitted]\n" if first else ""
    return left + fenced(source, "\n".join(lines[first:]))
