"""Workloads that wait for their start, and workloads that exceed their deadline.

Used by `attempt`, `verification` and `session`. Waiting for resources, an image or a volume is not a
failure: it uses up no deadline, and a workload that waits too long is created again without being counted.
"""

from __future__ import annotations

from datetime import timedelta

from rloop.actions import Stop, Workload
from rloop.decide.draft import Draft
from rloop.observed import PENDING_DEADLINE, WorkloadState
from rloop.reasons import Reason

SLACK_SECONDS = 15
"""Extra seconds for a runtime that ends a workload at its deadline itself; after them it is ended from here."""


def waits(draft: Draft, state: WorkloadState) -> bool:
    """Whether its program has not started. A workload that waited for pendingDeadlineSeconds is ended."""
    if state.started:
        return False
    if state.obstacle is not None and state.obstacle.reason == Reason.QUEUED:
        return True
    limit = timedelta(seconds=draft.spec.experiment.pending_deadline_seconds)
    if draft.passed(state.started_at + limit):
        draft.act(Stop(state.name, PENDING_DEADLINE))
    return True


def hold_to_deadline(draft: Draft, wanted: Workload, state: WorkloadState) -> None:
    """End a workload that has exceeded its deadline, counted from the start of its program."""
    if draft.passed(state.started_at + timedelta(seconds=wanted.deadline_seconds + SLACK_SECONDS)):
        draft.act(Stop(state.name, "DeadlineExceeded"))
