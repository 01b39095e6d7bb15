"""Reads the variables that the operator sets.

Called by both commands before anything else, so that a mistake of ours is named instead of guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping


class BadEnvironment(Exception):
    """A variable is missing or wrong; the message names it."""


def text(environment: Mapping[str, str], name: str) -> str:
    """A variable that has to be there."""
    value = environment.get(name, "")
    if not value:
        raise BadEnvironment(f"{name} is not set: this program is started by the operator")
    return value


def whole(environment: Mapping[str, str], name: str) -> int:
    """A whole number from 1 on."""
    value = text(environment, name)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise BadEnvironment(f"{name} is {value!r}; it must be a whole number from 1 on")
    return int(value)
