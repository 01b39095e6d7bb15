"""Whether another process of ours is to be restarted, by deleting its pod: one rule for guard and patrol.

Called by the shell of both (`rloop_operator.cluster.watchdog`) with what it saw. Ages come from the caller's own
monotonic clock. A deletion that does not help is repeated ever more rarely, and then no more: whoever is out of order
for good needs a person, not a hammer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CRASH_SECONDS = 15.0
"""A container that waits longer in CrashLoopBackOff: a new pod starts at once, the old one waits up to five minutes."""
START_SECONDS = 30.0
"""A process that has just been started loads for so long before its first sign, on a busy node. Another restart would
only begin its start again."""
RESTART_LIMIT = 5
BACKOFF_SECONDS = 60.0
BACKOFF_SECONDS_MAX = 900.0
HEALTHY_SECONDS = 600.0
"""After so long in good order, what was before is forgotten."""

Action = Literal["None", "Restart", "Wait", "GiveUp"]


@dataclass(frozen=True, slots=True)
class Pod:
    """The process' pod as it was seen."""

    terminating: bool = False
    running_seconds: float | None = None
    """How long its container was seen running; None while it does not."""
    crashed_seconds: float | None = None
    """How long it was seen waiting in CrashLoopBackOff; None while it does not."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of life or of progress, and how old it is."""

    reason: str
    """One CamelCase word for its absence: LeaseNotRenewed"""
    told: str
    """What is then the matter, as the end of a sentence: `has not renewed its Lease`"""
    age_seconds: float
    limit_seconds: float
    restart_limit: int = RESTART_LIMIT
    """So many restarts it is worth: fewer where the cause may well be elsewhere."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was done before; it outlives the process that did it."""

    restarts: int = 0
    """Since it was last in good order for long."""
    ago_seconds: float = float("inf")
    """Since the newest of them; by a caller that does not know it, since the caller's own start."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why."""

    action: Action
    reason: str
    message: str = ""

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to complain of: neither a fault nor a start or an end that takes its time."""
        return self.reason == "Healthy"


def judge(pod: Pod | None, signs: Sequence[Sign], record: Record) -> Verdict:
    """Look at one process. The StatefulSet makes a missing pod; deleting one that does not start does not help."""
    if pod is None:
        return Verdict("None", "Absent")
    if pod.terminating:
        return Verdict("None", "Terminating")
    if pod.crashed_seconds is not None:
        if pod.crashed_seconds <= CRASH_SECONDS:
            return Verdict("None", "Crashed")
        told = f"waits in CrashLoopBackOff for {pod.crashed_seconds:.0f} s"
        return _within_budget("CrashLoop", told, record, RESTART_LIMIT)
    if pod.running_seconds is None:
        return Verdict("None", "Starting")
    for sign in signs:
        age = min(sign.age_seconds, pod.running_seconds)
        if age > sign.limit_seconds and pod.running_seconds > sign.limit_seconds + START_SECONDS:
            return _within_budget(sign.reason, f"{sign.told} for {age:.0f} s", record, sign.restart_limit)
    return Verdict("None", "Healthy")


def backoff_seconds(restarts: int) -> float:
    """The pause after so many restarts that did not help; none before the first."""
    return min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** (restarts - 1)) if restarts else 0.0


def _within_budget(reason: str, told: str, record: Record, limit: int) -> Verdict:
    if record.restarts >= limit:
        times = "once" if record.restarts == 1 else f"{record.restarts} times"
        return Verdict("GiveUp", reason, f"{told}; it was restarted {times}, which did not help: look at its log")
    if record.ago_seconds < backoff_seconds(record.restarts):
        return Verdict("Wait", reason, told)
    return Verdict("Restart", reason, told)
