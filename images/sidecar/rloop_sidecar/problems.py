"""The one thing that goes wrong for a reason: files that are not what they must be.

Raised by `archive` and `copying`, reported by `unpack`.
"""

from __future__ import annotations


class Refused(Exception):
    """The files are not laid out. `reason` is one CamelCase word, as an experiment's status carries it."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
