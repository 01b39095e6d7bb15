"""Workloads that wait before they begin, those that run on after their deadline, and the pause after one that failed.

Asked by `attempt`, `verification`, `session` and `iteration`. Waiting for a place, an image or a volume
is nobody's failure: it uses up no deadline, and one that waits too long is made anew without being counted.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rloop.actions import Stop, Workload
from rloop.decide.draft import Draft
from rloop.observed import PENDING_DEADLINE, WorkloadState
from rloop.reasons import QUEUED

SLACK_SECONDS = 15
"""A runtime that can ends a workload at its deadline itself; this is for one that cannot."""

PAUSE_SECONDS_MAX = 300


def waits(draft: Draft, state: WorkloadState) -> bool:
    """Whether its program has not begun. One that waited for pendingDeadlineSeconds is ended."""
    if state.started:
        return False
    if state.obstacle is not None and state.obstacle.reason == QUEUED:
        return True
    limit = timedelta(seconds=draft.spec.experiment.pending_deadline_seconds)
    if draft.passed(state.started_at + limit):
        draft.act(Stop(state.name, PENDING_DEADLINE))
    return True


def hold_to_deadline(draft: Draft, wanted: Workload, state: WorkloadState) -> None:
    """End a workload that has run past its deadline, counted from the start of its program."""
    if draft.passed(state.started_at + timedelta(seconds=wanted.deadline_seconds + SLACK_SECONDS)):
        draft.act(Stop(state.name, "DeadlineExceeded"))


def paused(draft: Draft, since: datetime, times: int) -> bool:
    """Whether the pause after so many failures in a row is over: 1, 2, 4, … seconds. Nothing broken is tried hotly."""
    return draft.passed(since + timedelta(seconds=min(PAUSE_SECONDS_MAX, 2 ** (times - 1))))
