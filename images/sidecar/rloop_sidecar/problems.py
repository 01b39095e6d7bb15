"""The error for files that are not what they must be.

Raised by `archive` and `copying`, and by `unpack`, which reports it.
"""

from __future__ import annotations


class Refused(Exception):
    """The files are rejected. `reason` is a CamelCase word, as in an experiment's status."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
