"""How a Pod or a Job ended, read from its status: pure functions on what the API server says.

Called by the cluster's runtime. The words are the same as the other shells': one contract suite reads them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rloop import names
from rloop.api.experiment import Usage
from rloop.api.helpers import ProgressRequest
from rloop.observed import PENDING_DEADLINE, Exit, WorkloadState

Manifest = dict[str, Any]
TAIL = 3072
INFRASTRUCTURE = frozenset(
    {"Evicted", "NodeLost", "Shutdown", "NodeShutdown", "Preempting", "UnexpectedAdmissionError"}
)
"""Pod reasons that are nobody's fault in this loop."""
NOT_BEGUN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container whose program could not be executed; its message is then the runtime's, not its own."""


@dataclass(slots=True)
class Step:
    """A step, and when we saw it first."""

    step: int
    at: float


def ended(workload: Manifest) -> bool:
    """Whether a Pod or a Job has ended for good."""
    status = workload.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    if _condition(workload, "Complete") or _condition(workload, "Failed"):
        return True
    stopped = workload["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
    return bool(stopped and workload.get("spec", {}).get("suspend") and not status.get("active"))


def succeeded(pod: Manifest | None) -> bool:
    """Whether every container has ended, the main one with 0 and nobody's help: the phase says so seconds later.

    Any other end is told by the phase, or by the Job: only they know whether somebody ended it, and why.
    """
    status = (pod or {}).get("status", {})
    statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    if pod is None or not statuses or "deletionTimestamp" in pod["metadata"]:
        return False
    return _terminated(pod).get("exitCode") == 0 and all("terminated" in one.get("state", {}) for one in statuses)


def made_at(workload: Manifest) -> datetime:
    """When it was created."""
    return datetime.fromisoformat(workload["metadata"]["creationTimestamp"])


def begun_at(pod: Manifest | None) -> datetime | None:
    """When the pod's main program began; None while it waits."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    state = statuses[0].get("state", {}) if statuses else {}
    for phase in ("running", "terminated"):
        if started := state.get(phase, {}).get("startedAt"):
            return datetime.fromisoformat(started)
    return None


def exit_of(workload: Manifest, pod: Manifest | None, log_tail: str, now: datetime) -> Exit:
    """The exit of an ended Pod or Job; `pod` is the one whose containers tell more."""
    terminated = _terminated(pod)
    code = terminated.get("exitCode")
    reason, infrastructure = _reason(workload, pod, code)
    finished = terminated.get("finishedAt")
    finished_at = datetime.fromisoformat(finished) if finished else now
    begun = terminated.get("startedAt")
    wall = (finished_at - datetime.fromisoformat(begun)).total_seconds() if begun else 0.0
    return Exit(
        code=code,
        reason=reason,
        finished_at=finished_at,
        infrastructure=infrastructure,
        usage=Usage(wall_seconds=max(0.0, wall)),
        log_tail=log_tail[-TAIL:] or _why(pod),
        message="" if terminated.get("reason") in NOT_BEGUN else terminated.get("message", ""),
    )


def with_report(state: WorkloadState, own_pods: list[Manifest], steps: dict[str, Step]) -> WorkloadState:
    """The state with what the relay reported on the run's pod: the step and its age, and the claims."""
    notes = [pod["metadata"].get("annotations", {}).get(names.ANNOTATION_PROGRESS) for pod in own_pods]
    report = next((ProgressRequest.model_validate_json(note) for note in notes if note), None)
    now = time.monotonic()
    step = report.step if report is not None else None
    seen = steps.setdefault(state.name, Step(step or 0, now))
    if step is not None and step != seen.step:
        steps[state.name] = seen = Step(step, now)
    claims = report.claims if report is not None else {}
    exit_ = replace(state.exit, claims=claims) if state.exit is not None else None
    return replace(state, exit=exit_, step=step, step_age_seconds=now - seen.at)


def _reason(workload: Manifest, pod: Manifest | None, code: int | None) -> tuple[str, bool]:
    stopped = workload["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
    if stopped:
        return stopped, stopped == PENDING_DEADLINE
    failed = _condition(workload, "Failed")
    status = (pod or {}).get("status", {})
    word = status.get("reason") or (failed or {}).get("reason") or ""
    if word == "DeadlineExceeded":
        return "DeadlineExceeded", False
    if code == 0:
        return "Completed", False
    if word in INFRASTRUCTURE or _condition(pod or {}, "DisruptionTarget") or pod is None:
        return "Lost", True
    if _terminated(pod).get("reason") == "OOMKilled":
        return "OutOfMemory", False
    if code is None:
        return "StartFailed", False
    return ("Killed" if code in (137, 143) else "Error"), False  # 128 + SIGKILL, 128 + SIGTERM


def _terminated(pod: Manifest | None) -> Manifest:
    """How the main container ended; {} if it never did."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    found: Manifest = statuses[0].get("state", {}).get("terminated", {}) if statuses else {}
    return found


def _why(pod: Manifest | None) -> str:
    """What the pod says when there is no log: a failed init container's message, or its own."""
    status = (pod or {}).get("status", {})
    for one in status.get("initContainerStatuses", []):
        ended_ = one.get("state", {}).get("terminated", {})
        if ended_.get("exitCode"):
            return str(ended_.get("message", ""))[-TAIL:]
    if _terminated(pod).get("reason") in NOT_BEGUN:
        return str(_terminated(pod).get("message", ""))[-TAIL:]
    return str(status.get("message", ""))[-TAIL:]


def _condition(workload: Manifest, type_: str) -> Manifest | None:
    conditions = workload.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_ and one["status"] == "True"), None)
