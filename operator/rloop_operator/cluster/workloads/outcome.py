"""How a Pod, a Job or a PyTorchJob ended, read from its status: pure functions of the API server's responses.

Called by the cluster's runtime. The reasons are the same as in the other shells: one contract suite tests all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rloop import names
from rloop.api.experiment import Usage
from rloop.api.helpers import ARTIFACT_MISSING, Curve, ProgressRequest
from rloop.observed import ARTIFACT_LOST, DISRUPTED, PENDING_DEADLINE, PREFLIGHT, Exit, WorkloadState
from rloop_operator.cluster.workloads import container_status

Manifest = dict[str, Any]
INFRASTRUCTURE = frozenset(
    {"Evicted", "NodeLost", "Shutdown", "NodeShutdown", "Preempting", "UnexpectedAdmissionError"}
)
"""Pod reasons that this loop has not caused."""
OWN_LIMIT = re.compile(r"exceed(s|ed) (the|its)\b.*\blimit\b")
"""Matches the kubelet's message about a pod evicted for its own disk usage, not because the node ran out of disk."""
JOB_FAILED = "PyTorchJobFailed"
"""The training operator's only reason, for all failures of a job."""


@dataclass(slots=True)
class Step:
    """A step, and when it was first seen."""

    step: int
    at: float


def ended(workload: Manifest) -> bool:
    """Whether a Pod, a Job or a PyTorchJob has ended for good."""
    status = workload.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    if any(_condition(workload, type_) for type_ in ("Complete", "Succeeded", "Failed")):
        return True
    stopped = workload["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
    return bool(stopped and workload.get("spec", {}).get("suspend") and not status.get("active"))


def succeeded(workload: Manifest, own_pods: list[Manifest]) -> bool:
    """Whether in each pod every container has ended, the main one with exit code 0, and the pod is not being deleted.

    The phases show this only seconds later. Any other end is read from the phase or the Job: only they show whether it
    was caused from outside, and why.
    """
    return len(own_pods) == wanted_pods(workload) and all(_pod_succeeded(one) for one in own_pods)


def _pod_succeeded(pod: Manifest) -> bool:
    status = pod.get("status", {})
    statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    if not statuses or "deletionTimestamp" in pod["metadata"]:
        return False
    return container_status.terminated(pod).get("exitCode") == 0 and all(
        "terminated" in one.get("state", {}) for one in statuses
    )


def ending(own_pods: list[Manifest]) -> bool:
    """Whether every main program has ended. The phase of the pod or the condition of the job follows soon."""
    return all(container_status.terminated(one) for one in own_pods)


def wanted_pods(workload: Manifest) -> int:
    """The number of pods of a workload when all exist."""
    if workload["kind"] != "PyTorchJob":
        return 1
    replicas: int = workload["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"]
    return replicas


def disrupted(workload: Manifest, own_pods: list[Manifest]) -> bool:
    """Whether a PyTorchJob has lost a worker to its node, a drain or a preemption. The job would wait for that worker
    or replace it; the training of the other workers cannot continue in either case.
    """
    return workload["kind"] == "PyTorchJob" and any(_condition(one, "DisruptionTarget") for one in own_pods)


def made_at(workload: Manifest) -> datetime:
    """When the workload was created."""
    return datetime.fromisoformat(workload["metadata"]["creationTimestamp"])


def waits_since(workload: Manifest, now: datetime) -> datetime:
    """Since when a workload that has not begun could have started; time in a queue is not counted.

    The controller of a Job or a PyTorchJob resets startTime when it sees that the job was resumed. Until then the
    condition Suspended is true, and a startTime from before a preemption may still be set.
    """
    if workload["kind"] == "Pod":
        return made_at(workload)  # a pod's startTime excludes the time until it was scheduled
    if _condition(workload, "Suspended"):
        return now
    started = workload.get("status", {}).get("startTime")
    return datetime.fromisoformat(started) if started else made_at(workload)


def taken_up(workload: Manifest, own_pods: list[Manifest]) -> bool:
    """Whether a kubelet or a controller has begun with it. Always true for Jobs: they are stopped by suspending them.

    The pods of a PyTorchJob appear shortly before its startTime is set.
    """
    if workload["kind"] == "Job":
        return True
    begun = "startTime" in workload.get("status", {})
    return begun or (workload["kind"] == "PyTorchJob" and bool(own_pods))


def begun_at(workload: Manifest, own_pods: list[Manifest]) -> datetime | None:
    """When the last of its main programs began; None while one of them has not begun."""
    begun = [_begun_at(one) for one in own_pods]
    if len(begun) < wanted_pods(workload) or None in begun:
        return None
    return max(one for one in begun if one is not None)


def _begun_at(pod: Manifest) -> datetime | None:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    state = statuses[0].get("state", {}) if statuses else {}
    for phase in ("running", "terminated"):
        if started := state.get(phase, {}).get("startedAt"):
            return datetime.fromisoformat(started)
    return None


def decisive(own_pods: list[Manifest]) -> Manifest | None:
    """The pod whose end explains the workload's: the first that failed, because its failure ends the other workers."""
    failed = [one for one in own_pods if _failed(one)]
    if not failed:
        return own_pods[0] if own_pods else None
    return min(failed, key=_told_first)


def _told_first(pod: Manifest) -> tuple[bool, str]:
    # finishedAt is unset if the kubelet has lost track of the container (ContainerStatusUnknown).
    return container_status.terminated(pod).get("reason") != "OOMKilled", _failed(pod).get("finishedAt") or ""


def container_to_read(pod: Manifest) -> str:
    """The container whose log shows how a pod ended: the main one, or the preflight if it failed."""
    name: str = "preflight" if container_status.init_failure(pod, "preflight") else pod["spec"]["containers"][0]["name"]
    return name


def exit_of(workload: Manifest, own_pods: list[Manifest], log_tail: str, now: datetime) -> Exit:
    """The exit of an ended workload. `log_tail` is that of the decisive pod; one stored at a stop takes precedence."""
    pod = decisive(own_pods)
    terminated = container_status.terminated(pod) or container_status.init_failure(pod, "preflight")
    code = container_status.code(terminated)
    reason, infrastructure = _reason(workload, own_pods, code)
    ended_by_us = names.ANNOTATION_STOP in workload["metadata"].get("annotations", {})
    finished = terminated.get("finishedAt")
    finished_at = datetime.fromisoformat(finished) if finished else now
    log_tail = workload["metadata"].get("annotations", {}).get(names.ANNOTATION_LAST_WORDS) or log_tail
    return Exit(
        code=None if ended_by_us or reason in ("Lost", DISRUPTED, "DeadlineExceeded") else code,
        reason=reason,
        finished_at=finished_at,
        infrastructure=infrastructure,
        usage=Usage(wall_seconds=_wall_seconds(workload, pod, finished_at)),
        log_tail=log_tail[-container_status.TAIL :] or container_status.why(pod),
        message="" if terminated.get("reason") in container_status.NOT_BEGUN else terminated.get("message", ""),
        artifact_sha256=container_status.copied(pod),
    )


def _wall_seconds(workload: Manifest, pod: Manifest | None, finished_at: datetime) -> float:
    """Wall time of the main program. If its pod is gone, that of the Job, which includes the time it waited."""
    begun = (
        container_status.terminated(pod).get("startedAt")
        if pod is not None
        else workload.get("status", {}).get("startTime")
    )
    return max(0.0, (finished_at - datetime.fromisoformat(begun)).total_seconds()) if begun else 0.0


def with_report(state: WorkloadState, own_pods: list[Manifest], steps: dict[str, Step], now: float) -> WorkloadState:
    """The state with what the relays reported on the run's pods: the step and its age, claims and curves.

    All workers of a run share its artifacts, so any relay's report is of all; one of them may be late. The age
    of a step counts from the first observation after the program began, so time in a queue does not count.
    `now` comes from a clock that stops while reports cannot arrive.
    """
    if not state.started:
        steps.pop(state.name, None)  # may be from before a preemption
        return state
    notes = [pod["metadata"].get("annotations", {}).get(names.ANNOTATION_PROGRESS) for pod in own_pods]
    reports = [ProgressRequest.model_validate_json(note) for note in notes if note]
    step = max((one.step for one in reports if one.step is not None), default=None)
    seen = steps.setdefault(state.name, Step(step or 0, now))
    if step is not None and step != seen.step:
        steps[state.name] = seen = Step(step, now)
    claims = next((one.claims for one in reports if one.claims), {})
    curves = max((one.curves for one in reports), key=_newest, default=[])
    exit_ = replace(state.exit, claims=claims, curves=curves) if state.exit is not None else None
    return replace(state, exit=exit_, step=step, step_age_seconds=now - seen.at)


def _newest(curves: list[Curve]) -> int:
    return max((one.steps[-1] for one in curves if one.steps), default=-1)


def _reason(workload: Manifest, own_pods: list[Manifest], code: int | None) -> tuple[str, bool]:
    pod = decisive(own_pods)
    stopped = workload["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP)
    if stopped:
        return stopped, stopped == PENDING_DEADLINE
    failed = _condition(workload, "Failed")
    status = (pod or {}).get("status", {})
    word = status.get("reason") or (failed or {}).get("reason") or ""
    if word == "DeadlineExceeded" or (word == JOB_FAILED and "deadline" in (failed or {}).get("message", "")):
        return "DeadlineExceeded", False
    if word == "Evicted" and OWN_LIMIT.search(status.get("message", "")):
        return "DiskLimitExceeded", False
    if container_status.init_failure(pod, "preflight"):
        return PREFLIGHT, False
    if code == 0 and failed is None:
        return "Completed", False
    return _from_outside(workload, own_pods, word) or _of_itself(pod, code)


def _from_outside(workload: Manifest, own_pods: list[Manifest], word: str) -> tuple[str, bool] | None:
    """Reason, and whether it is infrastructure, if the node, a person or the volume ended it; otherwise None."""
    if word in INFRASTRUCTURE or any(_condition(one, "DisruptionTarget") for one in own_pods):
        return DISRUPTED, True
    if any(map(container_status.replaced, own_pods)) or _nobody_failed(workload, own_pods):
        return "Lost", True
    if any(str(container_status.init_failure(one).get("message", "")).startswith(ARTIFACT_MISSING) for one in own_pods):
        return ARTIFACT_LOST, True  # every run's pod creates the folder, so it was lost
    return None


def _of_itself(pod: Manifest | None, code: int | None) -> tuple[str, bool]:
    if container_status.terminated(pod).get("reason") == "OOMKilled":
        return "OutOfMemory", False
    if code is None:
        return container_status.refusal(pod), False
    if container_status.terminated(pod).get("reason") in container_status.NOT_BEGUN:
        return "StartFailed", False
    return ("Killed" if code in (137, 143) else "Error"), False  # 128 + SIGKILL, 128 + SIGTERM


def _nobody_failed(workload: Manifest, own_pods: list[Manifest]) -> bool:
    """Whether no remaining pod shows a failure, because the pod, or one of the workers, was deleted from outside."""
    return workload["kind"] != "Pod" and not any(map(_failed, own_pods))


def _failed(pod: Manifest) -> Manifest:
    """The termination of a pod's failed main or init container; {} if it has not failed or is being deleted."""
    if "deletionTimestamp" in pod["metadata"]:
        return {}
    terminated = container_status.terminated(pod)
    return (terminated if terminated.get("exitCode") else {}) or container_status.init_failure(pod)


def _condition(workload: Manifest, type_: str) -> Manifest | None:
    conditions = workload.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_ and one["status"] == "True"), None)
