"""Whatever dies in mid-campaign, once each and without notice: the campaign ends all the same, nothing is run twice."""

from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster import tiny
from tests.cluster.campaign import Campaign
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.shell import Failure
from tests.cluster.waiting import until

RUNS = 12
pytestmark = [
    pytest.mark.timeout(600, func_only=True),
    pytest.mark.parametrize("release", [releases.QUICK], ids=[""], indirect=True),
]


def alive(campaign: Campaign, role: str) -> list[str]:
    """Names of its pods of this role that run; of scorings, which are too short to be caught, that wait as well."""
    wanted = ("Pending", "Running") if role == "verification" else ("Running",)
    pods = campaign.children("pods", role)
    live = [pod for pod in pods if pod["status"].get("phase") in wanted]
    return [pod["metadata"]["name"] for pod in live if "deletionTimestamp" not in pod["metadata"]]


def in_session(campaign: Campaign) -> list[str]:
    """The sessions whose agents are seen to run."""
    sessions = [
        one for iteration in campaign.children("riter") for one in iteration.get("status", {}).get("sessions", [])
    ]
    return [one["name"] for one in sessions if one["phase"] == "Running"]


def kill(cluster: Cluster, namespace: str, pod: str) -> None:
    """Without any notice: it can finish nothing."""
    cluster.kubectl("-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")


def caught(campaign: Campaign, role: str) -> bool:
    """Whether a pod of this role was killed: one that is over, and gone, by then was too fast."""
    for pod in alive(campaign, role)[:1]:
        with suppress(Failure):
            kill(campaign.cluster, campaign.namespace, pod)
            return True
    return False


def assert_nothing_was_run_twice(campaign: Campaign) -> None:
    """No run has two attempts at a time or one after a success, no scoring two pods, and no name a second life."""
    for experiment in campaign.children("rexp"):
        for run in experiment["status"]["runs"]:
            attempts: list[dict[str, Any]] = run.get("attempts", [])
            assert [one["phase"] for one in attempts[:-1]] == ["Failed"] * len(attempts[:-1])
            for former, latter in pairwise(attempts):
                assert former["finishedAt"] <= latter["startedAt"]
            scored = [one for one in run.get("verifications", []) if one["phase"] == "Succeeded"]
            assert len(scored) == (1 if run["phase"] == "Done" else 0)
    of_jobs = [pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] for pod in campaign.children("pods", "run")]
    assert len(of_jobs) == len(set(of_jobs))
    told = [one["message"] for one in campaign.cluster.get("events", "-n", campaign.namespace)["items"]]
    made = [one for one in told if one.startswith("Created pod: ")]
    assert len(made) == len(set(made))


def test_each_is_killed_once(cluster: Cluster, namespace: str, release: str) -> None:
    campaign = Campaign(cluster, namespace, "hunted")
    cluster.make_volumes(1)
    campaign.apply(*tiny.manifests(cluster, "hunted", runs=RUNS, pause=3))
    # Without a gateway an agent tries and tries: it would be done before it can be caught.
    cluster.kubectl("-n", release, "scale", "statefulset/rloop-gateway", "--replicas=0")
    for role in ("run", "verification"):
        until(campaign, f"killed in role {role}", partial(caught, campaign, role), pause=0.3)
    until(campaign, "in session", partial(in_session, campaign))
    (session,) = in_session(campaign)
    kill(cluster, namespace, f"{session}-a1")
    cluster.kubectl("-n", release, "scale", "statefulset/rloop-gateway", "--replicas=1")
    cluster.kubectl("-n", release, "rollout", "status", "statefulset/rloop-gateway", "--timeout=240s")
    for process in ("gateway", "guard", "operator"):
        until(campaign, "running", partial(alive, campaign, "run"))
        kill(cluster, release, f"rloop-{process}-0")
    until(campaign, "watched by the guard", lambda: "Alive" in str(campaign.loop()["status"]["watchdog"]["guard"]))

    loop = campaign.wait(400)
    assert campaign.condition("Complete")["reason"] == "BudgetExhausted"
    assert loop["status"]["budget"]["used"]["runs"] == RUNS
    assert_nothing_was_run_twice(campaign)
    watchdog = loop["status"]["watchdog"]
    assert watchdog["restarts"] == 1
    assert any(one.startswith(f"{session}: ") for one in watchdog["evidence"])
