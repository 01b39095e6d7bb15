"""Whether the pause after failures in a row is over: 1, 2, 4, … seconds, so that what fails at once is no hot loop.

Query of attempt, verification, session and iteration.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rloop.decide.draft import Draft

RETRY_SECONDS_MAX = 60
"""Longest pause before an attempt or a scoring is repeated: its experiment waits for it."""
SESSION_SECONDS_MAX = 300
"""Longest pause before a session or an iteration, which costs tokens."""


def over(draft: Draft, since: datetime | None, failures: int, longest: int) -> bool:
    """Whether the pause after `failures` failures in a row, the last of them at `since`, is over."""
    if since is None or not failures:
        return True
    return draft.passed(since + timedelta(seconds=min(longest, 2 ** min(failures - 1, 10))))
