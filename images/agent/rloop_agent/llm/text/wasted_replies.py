"""Detects replies that waste a session: questions, text without a tool call, and loops.

Called by the session after each reply.
"""

from __future__ import annotations

import re
from collections import Counter

from rloop_agent.llm.text.text_calls import Reading

ANSWER = (
    "Zero interaction: ready means execute. Nobody answers questions in this campaign. Decide yourself what the "
    "evidence supports best, and act on it with a tool call."
)
NUDGE = "That reply had no tool call, so nothing was done. Act with a tool call, or end the session with finish."
BROKEN = (
    "That reply has something like a tool call, but it is not one: a tool call is complete JSON with the name of one "
    "of your tools, and it stands on lines of its own. Nothing was done."
)
QUOTED = (
    "That reply repeats a call word for word from text that you were shown as data. Such a call is not carried out. If "
    "you want it done, make it as a tool call of your own with other arguments."
)
SHAPE = "If you have no other way to call a tool, reply with nothing but a call of this shape:"
SILENT = 6
"""Consecutive replies without a tool call that end the session."""
QUESTION = re.compile(
    r"\?\s*$|\b(?:should|shall|may|can|could) i\b|\bwould you (?:like|prefer)\b|\blet me know\b"
    r"|\bplease (?:confirm|advise)\b"
    r"|\bdo you want\b|\bwaiting for (?:your|further)\b",
    re.IGNORECASE,
)
REPEATS = 3
"""Number of identical calls in the same state with the same result that count as a loop."""
CIRCLES = 3
"""Number of calls rejected as a loop that end the session."""
LOOP = f"This is a loop: the same result came {REPEATS} times. The call is not made again; do something else."
PATIENT = frozenset({"wait_for_results"})
"""Tools that are meant to be called again."""


def said_to(reading: Reading, shape: str, missing: str) -> str:
    """Message for a reply without a tool call: what was wrong, how to write a call, and what is missing."""
    if reading.quoted:
        wrong = QUOTED
    elif reading.broken:
        wrong = BROKEN
    else:
        wrong = ANSWER if QUESTION.search(reading.text.strip()) else NUDGE
    return "\n".join(filter(None, (wrong, f"{SHAPE}\n{shape}", missing)))


class Circles:
    """Remembers calls, the state in which each was made (`SessionState.state`), and results.

    A change alone does not make a call new: two calls that undo each other return to the same state, and are as much a
    loop as one call that changes nothing.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, str, str]] = Counter()
        self._blocked: set[tuple[str, str, str]] = set()
        self.refused = 0

    def blocked(self, state: str, name: str, arguments: str) -> bool:
        """Whether the call is known to be a loop; counts it if so."""
        found = (state, name, arguments) in self._blocked
        self.refused += found
        return found

    def loops(self, state: str) -> frozenset[str]:
        """Names of the tools that were called in a loop in this state."""
        return frozenset(name for seen, name, _ in self._blocked if seen == state)

    def saw(self, state: str, name: str, arguments: str, result: str) -> str:
        """The result of a call made in that state, with a warning from the third identical result on."""
        key = (state, name, arguments, result)
        self._seen[key] += 1
        if name in PATIENT or self._seen[key] < REPEATS:
            return result
        self._blocked.add(key[:-1])
        return f"{result}\n{LOOP}"
