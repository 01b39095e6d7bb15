"""What `boundaries.editable` means: which paths its globs cover.

Used by the gateway's admission and by an agent that checks beforehand what it may change. The matcher is a state
machine and not a regular expression: a backtracking engine needs minutes for one path and one glob of many stars.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


class _Matcher:
    """All globs as one nondeterministic automaton. A state is a bit, and a set of states is one integer.

    One character of a path costs a fixed number of operations on these integers, whatever the globs are.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        self._start = self._end = 0
        self._literal: dict[str, int] = {}
        """Character -> states that move to the next state on it."""
        self._advance = 0
        """`?`: states that move on with any character except a slash."""
        self._stay = 0
        """`*`: states that stay with any character except a slash."""
        self._stay_always = 0
        """`**`: states that stay with any character."""
        self._into_folder = 0
        """Inside `**/`: states that also move on with a slash."""
        self._skip = 0
        """States that move on without a character."""
        self._skip_two = 0
        """Before `**/`: states that pass it without a character."""
        states = 0
        for glob in globs:
            states = self._add(glob, states)
        self._start = self._closed(self._start)

    def _add(self, glob: str, state: int) -> int:
        """Append one glob's states, the first of which is number `state`. Returns the first number after them."""
        self._start |= 1 << state
        for piece in _pieces(glob):
            here = 1 << state
            if piece == "**/":
                self._skip |= here
                self._skip_two |= here
                self._stay_always |= here << 1
                self._into_folder |= here << 1
                state += 1
            elif piece == "**":
                self._skip |= here
                self._stay_always |= here
            elif piece == "*":
                self._skip |= here
                self._stay |= here
            elif piece == "?":
                self._advance |= here
            else:
                self._literal[piece] = self._literal.get(piece, 0) | here
            state += 1
        self._end |= 1 << state
        return state + 1

    def covers(self, path: str) -> bool:
        states = self._start
        for character in path:
            moved = states & self._literal.get(character, 0)
            stayed = states & self._stay_always
            if character == "/":
                moved |= states & self._into_folder
            else:
                moved |= states & self._advance
                stayed |= states & self._stay
            states = self._closed(moved << 1 | stayed)
            if not states:
                return False
        return bool(states & self._end)

    def _closed(self, states: int) -> int:
        """With all states that are reached without a character."""
        while True:
            more = states | (states & self._skip) << 1 | (states & self._skip_two) << 2
            if more == states:
                return states
            states = more


def _pieces(glob: str) -> list[str]:
    """The wildcards and characters of a glob. A run of equal wildcards means what one of them means."""
    found: list[str] = []
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]", glob, re.DOTALL):
        if piece[0] == "*" and found and found[-1] == piece:
            continue
        found.append(piece)
    return found


@lru_cache(maxsize=64)
def _matcher(globs: tuple[str, ...]) -> _Matcher:
    return _Matcher(globs)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs covers the path. `*` stays inside a folder, `**` crosses folders."""
    return _matcher(tuple(globs)).covers(path)
