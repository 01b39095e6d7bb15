"""Whole-difference rules: what an experiment's files may be, as pure functions on paths and texts.

Called by `rloop.admit.experiment`. The rules look at all files that differ, never at what the agent says it changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from hashlib import sha256

from rloop.errors import Refused

PATH_MAX = 255


def check_path(path: str) -> None:
    """Refuse a path that is not a plain relative path inside the task."""
    parts = path.split("/")
    bad = path.startswith("/") or "\\" in path or "\0" in path or len(path) > PATH_MAX
    if bad or any(part in ("", ".", "..") for part in parts):
        raise Refused("PathInvalid", f'"{path}" is no path inside the task; give a relative one such as "recipe.json"')


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Paths that differ between two sets of files, in order."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def changed_lines(before: str, after: str) -> int:
    """Added plus removed lines."""
    old, new = before.splitlines(), after.splitlines()
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum((i2 - i1) + (j2 - j1) for tag, i1, i2, j1, j2 in blocks if tag != "equal")


def normalised(text: str) -> str:
    """The text without what carries no meaning in any language we know: blank lines, white space, `#` comment lines."""
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 of a normalised difference: equal digests are the same experiment, however it is worded.

    `files` maps the paths that differ from the task to their normalised contents.
    """
    whole = sha256()
    for path in sorted(files):
        whole.update(f"{path}\0{files[path]}\0".encode())
    return whole.hexdigest()
