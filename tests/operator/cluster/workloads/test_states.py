"""Since when a workload that has not begun waits: its pendingDeadlineSeconds are counted from there."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock
from tests.support.fake_kubernetes import FakeKubernetes

from rloop.observed import WorkloadState
from rloop.reasons import Reason
from rloop_operator.cluster.workloads.states import UNKNOWN_SECONDS, States

MADE = "2026-01-01T00:00:00Z"
LET_GO = "2026-01-01T02:00:00Z"


def state_of(kind: str, status: dict[str, Any], *, suspend: bool = False) -> WorkloadState:
    """A workload without pods or warnings, as a decision sees it."""
    metadata = {"name": "x", "uid": "u", "creationTimestamp": MADE, "labels": {"rloop.dev/role": "run"}}
    spec: dict[str, Any] = {"suspend": suspend, "volumes": []}
    if kind == "PyTorchJob":
        spec = {"runPolicy": {"suspend": suspend}, "pytorchReplicaSpecs": {"Worker": {"replicas": 2}}}
    workload = {"kind": kind, "metadata": metadata, "spec": spec, "status": status}
    states = States(FakeKubernetes().direct(), "mine")
    return asyncio.run(states.state("demo", workload, [workload] if kind == "Pod" else []))


def suspended(status: str) -> list[dict[str, str]]:
    return [{"type": "Suspended", "status": status}]


@pytest.mark.parametrize(
    ("kind", "status", "since"),
    [
        pytest.param("PyTorchJob", {"startTime": LET_GO, "conditions": suspended("False")}, LET_GO, id="let go"),
        pytest.param("Job", {"startTime": LET_GO, "conditions": suspended("False")}, LET_GO, id="a Job let go"),
        pytest.param("PyTorchJob", {}, MADE, id="nobody has taken it up"),
        pytest.param("Pod", {"phase": "Pending", "startTime": LET_GO}, MADE, id="a pod that has waited for a place"),
    ],
)
def test_the_time_in_a_queue_is_not_counted(kind: str, status: dict[str, Any], since: str) -> None:
    state = state_of(kind, status)
    assert (state.started, state.started_at) == (False, datetime.fromisoformat(since))


@pytest.mark.parametrize("kind", ["PyTorchJob", "Job"])
@pytest.mark.parametrize("before", [{}, {"startTime": MADE}], ids=["never placed", "preempted"])
def test_one_let_go_a_moment_ago_has_not_waited(kind: str, before: dict[str, str]) -> None:
    earliest = datetime.now(UTC)
    status = {**before, "conditions": suspended("True")}
    queued = state_of(kind, status, suspend=True)
    assert queued.obstacle is not None
    assert queued.obstacle.reason == Reason.QUEUED
    # Its controller has not looked yet.
    let_go = state_of(kind, status)
    assert let_go.obstacle is None
    assert not let_go.started
    assert let_go.started_at >= earliest


def test_a_kind_that_is_not_installed_is_asked_for_once_a_minute(clock: Clock) -> None:
    async def test() -> None:
        server = FakeKubernetes(faults={"/pytorchjobs": 404})
        async with server.connected() as api:
            states = States(api, "mine", clock)
            for _ in range(5):
                assert await states.all("demo") == []
            assert server.count("GET .*/pytorchjobs") == 1
            assert server.count("GET .*/pods") == 5
            clock.now += UNKNOWN_SECONDS
            server.faults.clear()
            for _ in range(3):
                await states.all("demo")
            assert server.count("GET .*/pytorchjobs") == 4, "installed meanwhile: from now on it is always asked"

    asyncio.run(test())


def test_what_we_made_is_seen_at_once() -> None:
    async def test() -> None:
        server = FakeKubernetes(faults={"/pytorchjobs": 404})
        async with server.connected() as api:
            states = States(api, "mine")
            await states.all("demo")
            server.faults.clear()
            states.made_pytorch_job()
            labels = {"rloop.dev/loop": "demo"}
            job = {"metadata": {"name": "x", "labels": labels}, "spec": {}}
            server.put(f"{states.pytorch_jobs}/x", job)
            assert [one["metadata"]["name"] for one, _ in await states.all("demo")] == ["x"]

    asyncio.run(test())
