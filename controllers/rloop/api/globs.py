"""What `boundaries.editable` means: which paths its globs cover.

Used by the gateway's admission and by an agent that wants to know beforehand what it may change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces))


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs covers the path. `*` stays inside a folder, `**` crosses folders."""
    return any(_pattern(glob).fullmatch(path) is not None for glob in globs)
