"""PyTorchJobs by the real training operator: two workers that meet, and every way in which they do not.

One release serves a namespace for each row, so that all rows run at the same time. The workers are small shell and
Python programs; what is trained for real stands in `test_grpo`.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster import tiny
from tests.cluster.campaign import Campaign
from tests.cluster.conftest import namespaces
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import until
from tests.contract.cluster_shell import opened
from tests.contract.shells import ended, run, running

from rloop.errors import Blocked
from rloop.reasons import Reason
from rloop_operator.cluster.kube import client

SECONDS = 300
pytestmark = pytest.mark.timeout(2 * SECONDS, func_only=True)

# Rank 1 says hello to rank 0 by the address that both are told, as torch does before anything else.
MEET = """
import os, socket, time
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
rank, world = os.environ["RANK"], os.environ["WORLD_SIZE"]
if rank == "0":
    heard = socket.create_server(("", address[1])).accept()[0].recv(9).decode()
    with open(os.environ["RLOOP_ARTIFACTS"] + "/x", "w") as file:
        file.write(heard)
else:
    for _ in range(100):
        try:
            socket.create_connection(address).sendall(world.encode())
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise SystemExit("rank 0 was not found")
"""
RANK_1 = 'if [ "$RANK" != 1 ]; then exec sleep 600; fi; '
# No signal of its own ends the first process of a container, and a shell reports its child's end as a container does.
DIE = "sh -c 'kill -{} $$'; exit $?"
STEP = 'echo "{\\"step\\": 1}" >> "$RLOOP_ARTIFACTS/progress.jsonl"; '


def shell(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


@dataclass(frozen=True)
class Row:
    """A way to fail, and what the first run's attempts say of it."""

    name: str
    experiment: dict[str, Any]
    reason: str
    code: int | None
    attempts: int = 2
    log: str = ""
    spec: dict[str, Any] = field(default_factory=dict)


ROWS = [
    Row("exit-1", shell(RANK_1 + "echo out of ideas; exit 1"), "Error", 1, log="out of ideas"),
    Row("exit-137", shell(RANK_1 + DIE.format(9)), "Killed", 137),
    Row("exit-143", shell(RANK_1 + DIE.format(15)), "Killed", 143),
    Row(
        "no-memory",
        shell(RANK_1 + "exec python3 -c 'x = bytearray(10**9)'") | {"resources": {"limits": {"memory": "64Mi"}}},
        "OutOfMemory",
        137,
    ),
    Row(
        "hangs",
        shell(STEP + "echo waiting for nobody; exec sleep 600") | {"progressDeadlineSeconds": 8},
        "Hang",
        None,
        log="waiting for nobody",
    ),
    Row(
        "refused",
        shell("exit 0") | {"preflight": ["sh", "-c", "echo recipe.yaml: no such key; exit 2"]},
        "PreflightFailed",
        2,
        attempts=1,
        log="recipe.yaml: no such key",
    ),
]
WAITING: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("no-image", {"image": "rloop.test/not-there:2"}, "Degraded", "ImagePullFailed", "cannot be pulled"),
    (
        "no-gpu",
        {"resources": {"limits": {"nvidia.com/gpu": 1}}},
        "Progressing",
        "WaitingForCapacity",
        "Insufficient nvidia.com/gpu",
    ),
]


@pytest.fixture(scope="module")
def campaigns(cluster: Cluster) -> Iterator[dict[str, Campaign]]:
    """All rows at once, and a good campaign beside them, each in its own namespace."""
    cluster.install_training_operator()
    wanted = {row.name: row.experiment | {"backoffLimit": 1} for row in ROWS}
    wanted |= {name: shell("exit 0") | changes for name, changes, *_ in WAITING}
    wanted["meets"] = {"command": ["python3", "-c", MEET]}
    with namespaces(cluster, len(wanted)) as places:
        release = releases.install(cluster, *places)
        cluster.make_volumes(len(wanted))
        found = {}
        for (name, experiment), namespace in zip(wanted.items(), places, strict=True):
            campaign = found[name] = Campaign(cluster, namespace, name)
            job = {"job": None, "pyTorchJob": {"replicas": 2}} | experiment
            campaign.apply(*tiny.manifests(cluster, name, runs=3, experiment=job, parallelism=1))
        yield found
        releases.uninstall(cluster, release)


def attempts(campaign: Campaign) -> list[dict[str, Any]]:
    """Those of the baseline's first run."""
    for experiment in campaign.children("rexp"):
        for one in experiment.get("status", {}).get("runs", []):
            if one["number"] == 1:
                found: list[dict[str, Any]] = one["attempts"]
                return found
    return []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_failure_is_told_and_tried_again_as_often_as_allowed(campaigns: dict[str, Campaign], row: Row) -> None:
    campaign = campaigns[row.name]
    until(
        campaign,
        f"{row.attempts} attempts that failed",
        lambda: [one.get("phase") for one in attempts(campaign)] == ["Failed"] * row.attempts,
        seconds=SECONDS,
    )
    # On a busy machine containerd may tell the kubelet of the exit before it knows of the kernel's reason.
    reasons = {row.reason, "Killed"} if row.reason == "OutOfMemory" else {row.reason}
    for one in attempts(campaign):
        assert one.get("reason") in reasons, campaign.explain()
        assert one.get("exitCode") == row.code, campaign.explain()
        assert row.log in one.get("logTail", ""), campaign.explain()
    until(campaign, "nothing left of it", lambda: not campaign.children("pytorchjobs"))


@pytest.mark.parametrize(("name", "_changes", "condition", "reason", "says"), WAITING)
def test_what_it_waits_for_is_a_condition(
    campaigns: dict[str, Campaign], name: str, _changes: object, condition: str, reason: str, says: str
) -> None:
    campaign = campaigns[name]
    until(campaign, f"told {reason}", lambda: campaign.condition(condition).get("reason") == reason)
    assert says in campaign.condition(condition)["message"]
    assert [one["phase"] for one in attempts(campaign)] == ["Pending"]


def test_two_workers_meet(campaigns: dict[str, Campaign]) -> None:
    campaign = campaigns["meets"]
    loop = campaign.wait(SECONDS)
    # WORLD_SIZE is what rank 1 said to rank 0, which left it for the scorer, who wants a 3.
    assert (loop["status"]["baseline"]["value"], loop["status"]["baseline"]["n"]) == (1.0, 3)
    assert [one["phase"] for one in attempts(campaign)] == ["Succeeded"]


def test_without_the_training_operator_it_says_what_to_install(cluster: Cluster, namespace: str) -> None:
    async def test() -> None:
        async with opened(cluster, namespace, gateway=False, workers=2) as shell:
            # The cluster is everybody's, so the kind stays: to this runtime it has a name that nobody installs.
            shell.runtime._states.pytorch_jobs = client.group("nowhere.kubeflow.org/v1", namespace, "pytorchjobs")
            await shell.behave("demo-e1", "ok")
            with pytest.raises(Blocked) as blocked:
                await shell.runtime.start(shell.loop, run("demo-e1"))
            assert blocked.value.reason == "TrainingOperatorMissing"
            assert "install the Kubeflow training operator" in blocked.value.message
            assert dict(await shell.runtime.observe("demo")) == {}

    asyncio.run(test())


def test_no_attempt_starts_beside_a_live_pod_of_the_one_before(cluster: Cluster, namespace: str) -> None:
    async def test() -> None:
        async with opened(cluster, namespace, gateway=False, workers=2) as shell:
            await shell.behave("demo-e1", "sleep")
            await shell.runtime.start(shell.loop, run("demo-e1"))
            await running(shell, "demo-e1-r1-a1")
            with pytest.raises(Blocked, match="still terminating") as blocked:
                await shell.runtime.start(shell.loop, run("demo-e1", attempt=2))
            assert blocked.value.reason == Reason.WAITING_FOR_CAPACITY
            await shell.runtime.stop("demo-e1-r1-a1", "Hang")
            await ended(shell, "demo-e1-r1-a1")
            await shell.runtime.remove("demo-e1-r1-a1")
            while True:
                with contextlib.suppress(Blocked):
                    await shell.runtime.start(shell.loop, run("demo-e1", attempt=2))
                    break
                await shell.pass_time()
            assert list(await shell.runtime.observe("demo")) == ["demo-e1-r1-a2"]

    asyncio.run(test())
