"""Decides whether another component is restarted by deleting its pod: one rule for guard and patrol.

Called by the shell of both (`rloop_operator.cluster.watchdog.monitor`) with its observations. Ages come from the
caller's own monotonic clock. Deletions that do not help are repeated with growing backoff and then stop: a component
that is permanently broken needs a person, not more restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CRASH_SECONDS = 15.0
"""Seconds in CrashLoopBackOff before a restart. A new pod starts at once; the old one would wait up to five minutes."""
START_SECONDS = 30.0
"""Seconds until the first sign of life of a started process on a busy node. An earlier restart only delays it."""
RESTART_LIMIT = 5
BACKOFF_SECONDS = 60.0
BACKOFF_SECONDS_MAX = 900.0
HEALTHY_SECONDS = 600.0
"""Seconds of healthy operation after which earlier restarts no longer count."""

Action = Literal["None", "Restart", "Wait", "GiveUp"]


@dataclass(frozen=True, slots=True)
class Pod:
    """Observed state of the process' pod."""

    terminating: bool = False
    running_seconds: float | None = None
    """Seconds for which its container has been observed running; None if it is not running."""
    crashed_seconds: float | None = None
    """Seconds for which it has been observed in CrashLoopBackOff; None if it is not."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of life or of progress, and its age."""

    reason: str
    """Reason if it is missing, one word in CamelCase: LeaseNotRenewed"""
    told: str
    """The fault, as the end of a sentence: `has not renewed its Lease`"""
    age_seconds: float
    limit_seconds: float
    restart_limit: int = RESTART_LIMIT
    """Maximum number of restarts for this sign: fewer where the cause may well be elsewhere."""


@dataclass(frozen=True, slots=True)
class Record:
    """Earlier restarts. The record outlives the process that made them."""

    restarts: int = 0
    """Number of restarts since the process was last healthy for long enough."""
    ago_seconds: float = float("inf")
    """Seconds since the latest restart, or since the caller's own start if the caller does not know it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Action to take, and its reason."""

    action: Action
    reason: str
    message: str = ""

    @property
    def healthy(self) -> bool:
        """True if the process has no fault and is neither starting nor terminating."""
        return self.reason == "Healthy"


def judge(pod: Pod | None, signs: Sequence[Sign], record: Record) -> Verdict:
    """Judge one process.

    A missing pod is recreated by the StatefulSet. A pod that does not start is left alone, because deleting it does not
    help.
    """
    if pod is None:
        return Verdict("None", "Absent")
    if pod.terminating:
        return Verdict("None", "Terminating")
    if pod.crashed_seconds is not None:
        if pod.crashed_seconds <= CRASH_SECONDS:
            return Verdict("None", "Crashed")
        told = f"has been in CrashLoopBackOff for {pod.crashed_seconds:.0f} s"
        return _within_budget("CrashLoop", told, record, RESTART_LIMIT)
    if pod.running_seconds is None:
        return Verdict("None", "Starting")
    for sign in signs:
        age = min(sign.age_seconds, pod.running_seconds)
        if age > sign.limit_seconds and pod.running_seconds > sign.limit_seconds + START_SECONDS:
            return _within_budget(sign.reason, f"{sign.told} for {age:.0f} s", record, sign.restart_limit)
    return Verdict("None", "Healthy")


def backoff_seconds(restarts: int) -> float:
    """Pause in seconds after this many unsuccessful restarts; 0 before the first."""
    return min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** (restarts - 1)) if restarts else 0.0


def _within_budget(reason: str, told: str, record: Record, limit: int) -> Verdict:
    if record.restarts >= limit:
        times = "once" if record.restarts == 1 else f"{record.restarts} times"
        return Verdict("GiveUp", reason, f"{told}; it was restarted {times}, without success: see its log")
    if record.ago_seconds < backoff_seconds(record.restarts):
        return Verdict("Wait", reason, told)
    return Verdict("Restart", reason, told)
