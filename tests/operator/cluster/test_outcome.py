"""When a run counts as ended: a success as soon as its containers say so, any other end when the pod or Job does."""

from typing import Any

import pytest

from rloop_operator.cluster import outcome

DONE = {"terminated": {"exitCode": 0}}
KILLED = {"terminated": {"exitCode": 143}}
FAILED = {"terminated": {"exitCode": 3}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


def pod(main: dict[str, Any], *inits: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": "main", "state": main}],
        "initContainerStatuses": [{"name": "init", "state": state} for state in inits],
    }
    return {"metadata": {"name": "x", **metadata}, "status": status}


def workload(role: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": {"rloop.dev/role": role}}}


@pytest.mark.parametrize(
    ("role", "pod", "succeeded"),
    [
        ("run", pod(DONE, DONE, DONE), True),
        ("verification", pod(DONE, DONE), True),
        # The relay has not had its last word.
        ("run", pod(DONE, DONE, RUNNING), False),
        ("run", pod(DONE, DONE, KILLED), True),
        ("run", pod(RUNNING, DONE, RUNNING), False),
        ("run", pod(WAITING, FAILED, WAITING), False),
        # Somebody may have ended these, and the Job or the pod's phase will say who.
        ("run", pod(FAILED, DONE, DONE), False),
        ("run", pod(KILLED, DONE, DONE), False),
        ("run", pod(DONE, DONE, DONE, deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ("agent", pod(DONE), False),
        ("run", {"metadata": {"name": "x"}, "status": {"phase": "Pending"}}, False),
        ("run", None, False),
    ],
)
def test_only_a_plain_success_is_read_from_the_containers(
    role: str, pod: dict[str, Any] | None, succeeded: bool
) -> None:
    assert outcome.succeeded(workload(role), pod) is succeeded
