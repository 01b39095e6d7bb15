"""Rules for the whole difference of an experiment's files, as pure functions on paths and texts.

Called by `rloop.admit.content`, `rloop.admit.handoff` and the gateway. The rules examine all files that differ, never
the agent's own account of its changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from hashlib import sha256
from itertools import groupby

from rapidfuzz.distance import Indel

from rloop.errors import Refused

PATH_MAX = 255
COMPARED = 64_000_000
"""Limit for `unified`, as lines of one text times lines of the other: some milliseconds, and 8 MB."""


def check_path(path: str) -> None:
    """Reject a path that is not a plain relative path inside the task. Raises Refused (PathInvalid)."""
    parts = path.split("/")
    bad = path.startswith("/") or "\\" in path or "\0" in path or len(path) > PATH_MAX
    if bad or any(part in ("", ".", "..") for part in parts):
        raise Refused(
            "PathInvalid", f'"{path}" is not a path inside the task; give a relative path such as "recipe.json"'
        )


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Paths that differ between two sets of files, sorted."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def changed_lines(before: str, after: str, limit: int) -> int:
    """The smallest number of added plus removed lines between two texts; `limit + 1` if it exceeds the limit.

    The work grows with the number of lines times the limit, not with the square of the lines.
    """
    old, new = _numbered(before.splitlines(), after.splitlines())
    return Indel.distance(old, new, score_cutoff=limit)


def unified(path: str, before: str, after: str) -> str:
    """The unified difference of two texts, or a sentence instead if they have too many lines to compare."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if len(old) * len(new) > COMPARED:
        return f"--- a/{path}\n+++ b/{path}\n(too long to compare: {len(old)} and {len(new)} lines)\n"
    matcher = SequenceMatcher(autojunk=False)
    # Only SequenceMatcher's grouping is used: its own comparison takes minutes for some texts.
    matcher.opcodes = [tuple(one) for one in Indel.opcodes(*_numbered(old, new))]  # type: ignore[attr-defined]
    lines = [f"--- a/{path}\n", f"+++ b/{path}\n"]
    for group in matcher.get_grouped_opcodes():
        (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
        lines.append(f"@@ -{_range(i1, i2)} +{_range(j1, j2)} @@\n")
        for is_equal, steps in groupby(group, lambda step: step[0] == "equal"):
            # Adjacent removals and additions are one change: print its old lines first, whatever order Indel has.
            run = list(steps)
            a1, a2, b1, b2 = run[0][1], run[-1][2], run[0][3], run[-1][4]
            if is_equal:
                lines += [f" {line}" for line in old[a1:a2]]
            else:
                lines += [f"-{line}" for line in old[a1:a2]] + [f"+{line}" for line in new[b1:b2]]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines) if len(lines) > 2 else ""


def _range(start: int, end: int) -> str:
    return f"{start + 1 if end > start else start},{end - start}"


def _numbered(*texts: Sequence[str]) -> list[list[int]]:
    """Texts as lists of numbers, in which equal lines have equal numbers."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(line, len(numbers)) for line in text] for text in texts]


def normalised(text: str) -> str:
    """The text without blank lines, redundant white space and `#` comment lines.

    These have no meaning in any language we know.
    """
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 of a normalised difference: equal digests mean the same experiment, even if it is written differently.

    `files` maps the paths that differ from the task to their normalised contents.
    """
    whole = sha256()
    for path in sorted(files):
        whole.update(f"{path}\0{files[path]}\0".encode())
    return whole.hexdigest()
