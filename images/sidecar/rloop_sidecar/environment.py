"""Reads the variables that the operator sets.

Called by both commands before anything else, so that a mistake of the operator is reported by name.
"""

from __future__ import annotations

from collections.abc import Mapping


class BadEnvironment(Exception):
    """A variable is missing or invalid; the message names it."""


def text(environment: Mapping[str, str], name: str) -> str:
    """A required variable. Raises BadEnvironment."""
    value = environment.get(name, "")
    if not value:
        raise BadEnvironment(f"{name} is not set: this program is started by the operator")
    return value


def whole(environment: Mapping[str, str], name: str) -> int:
    """A required integer of at least 1. Raises BadEnvironment."""
    value = text(environment, name)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise BadEnvironment(f"{name} is {value!r}; it must be a whole number of at least 1")
    return int(value)
