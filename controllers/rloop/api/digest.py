"""The digest of a folder: one hash that two sides compute on their own and compare.

The operator seals a task and an evaluation with it; the verifier checks what it was given before it runs
anything. It stands here, and knows no files, because a definition written twice is two definitions one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def manifest_digest(entries: Mapping[str, tuple[str, bool]]) -> str:
    r"""The digest of a folder's regular files: relative path -> (sha256 of the content in hex, executable).

    sha256 over the sorted lines `<sha256>  <x or -> <path>\n`. Raises ValueError for a path with a line
    break, which could make two different folders read the same.
    """
    lines = []
    for path, (content, executable) in entries.items():
        if "\n" in path:
            raise ValueError(f"{path!r}: a file's name must not hold a line break")
        # surrogateescape: a name that is no UTF-8 is a name all the same, and keeps its bytes.
        lines.append(f"{content}  {'x' if executable else '-'} {path}\n".encode(errors="surrogateescape"))
    return sha256(b"".join(sorted(lines))).hexdigest()
