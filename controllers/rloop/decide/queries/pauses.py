"""Whether the pause after failures in a row is over: 1, 2, 4, … seconds, so that what fails at once is no hot loop.

Query of attempt, verification, session, iteration and conditions.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rloop.decide.draft import Draft
from rloop.decide.queries import iteration_work

RETRY_SECONDS_MAX = 60
"""Longest pause before an attempt or a scoring is repeated: its experiment waits for it."""
SESSION_SECONDS_MAX = 300
"""Longest pause before a session or an iteration, which costs tokens."""


def over(draft: Draft, since: datetime | None, failures: int, longest: int) -> bool:
    """Whether the pause after `failures` failures in a row, the last of them at `since`, is over."""
    return since is None or not failures or draft.passed(_end(since, failures, longest))


def next_opening(draft: Draft) -> datetime | None:
    """When the pause after empty or Void iterations ends.

    None without a pause, and in the first pass after a person has edited the spec or started `rloop run` again: what
    was mended is tried at once.
    """
    settled = sorted(
        (one for one in draft.iterations.values() if one.status.settled_at is not None),
        key=lambda one: one.spec.number,
    )
    empty = 0
    for one in reversed(settled):
        if iteration_work.experiments_of(draft, one) and one.status.outcome != "Void":
            break
        empty += 1
    ended = settled[-1].status.settled_at if settled else None
    edited = draft.loop.metadata.generation > draft.loop.status.observed_generation
    if ended is None or not empty or edited or draft.observed.down_since is not None:
        return None
    return _end(ended, empty, SESSION_SECONDS_MAX)


def _end(since: datetime, failures: int, longest: int) -> datetime:
    return since + timedelta(seconds=min(longest, 2 ** min(failures - 1, 10)))
