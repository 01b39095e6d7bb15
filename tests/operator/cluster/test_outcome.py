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
    return {"kind": "Pod", "metadata": {"name": "x", **metadata}, "status": status}


@pytest.mark.parametrize(
    ("pod", "succeeded"),
    [
        (pod(DONE, DONE, DONE), True),
        (pod(DONE, DONE), True),
        # The relay has not had its last word.
        (pod(DONE, DONE, RUNNING), False),
        (pod(DONE, DONE, KILLED), True),
        (pod(RUNNING, DONE, RUNNING), False),
        (pod(WAITING, FAILED, WAITING), False),
        # Somebody may have ended these, and the Job or the pod's phase will say who.
        (pod(FAILED, DONE, DONE), False),
        (pod(KILLED, DONE, DONE), False),
        (pod(DONE, DONE, DONE, deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ({"kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Pending"}}, False),
    ],
)
def test_only_a_plain_success_is_read_from_the_containers(pod: dict[str, Any], succeeded: bool) -> None:
    assert outcome.succeeded(pod, [pod]) is succeeded
    assert not outcome.succeeded(pod, [])
