"""A whole campaign in a cluster, from helm install to the target: real agents, runs and verifiers in pods.

Used by test_kuhn and test_shell: two files, so that two workers can run them at the same time.
"""

import time
from collections import Counter
from typing import Any

from tests.cluster import release as releases
from tests.cluster.campaign import Campaign
from tests.cluster.harness.shell import say
from tests.cluster.witness import Witness, watching

CAMPAIGN_SECONDS = 1800
"""Alone on two cores it takes a sixth of that; others run beside it."""
WORK = ("run", "verification")


def finish(campaign: Campaign, release: str, seconds: float = CAMPAIGN_SECONDS) -> dict[str, Any]:
    """Wait for the end; if there is none, say what the operator has said."""
    begin = time.monotonic()
    try:
        loop = campaign.wait(seconds)
    except AssertionError:
        say(releases.explain(campaign.cluster, release))
        raise
    say(f"{campaign.name} was complete after {time.monotonic() - begin:.0f} s")
    assert campaign.condition("Complete")["reason"] == "TargetMet", campaign.explain()
    return loop


def assert_nothing_ran_twice(campaign: Campaign, seen: Witness) -> None:
    """Every run has one Job with one pod, every scoring one pod, and no program was started again inside its pod."""
    jobs = [job["metadata"]["name"] for job in seen.children("jobs", "run")]
    runs = Counter(name.rpartition("-a")[0] for name in jobs)
    assert [run for run, count in runs.items() if count > 1] == []
    of_jobs = Counter(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] for pod in seen.children("pods", "run"))
    assert set(of_jobs) <= set(jobs)
    assert [job for job, count in of_jobs.items() if count > 1] == []
    scorings = Counter(pod["metadata"]["name"].rpartition("-v")[0] for pod in seen.children("pods", "verification"))
    assert set(scorings) <= set(runs)
    assert [run for run, count in scorings.items() if count > 1] == []
    for pod in seen.children("pods"):
        restarts = [one["restartCount"] for one in pod["status"].get("containerStatuses", [])]
        assert not any(restarts), pod["metadata"]["name"]
    told = [run for one in campaign.children("rexp") for run in one.get("status", {}).get("runs", [])]
    assert sum(1 for run in told if run["phase"] == "Done") <= len(runs)


def volumes(pod: dict[str, Any]) -> list[str]:
    """Names of the pod's volumes that bring a token of a ServiceAccount."""
    found = []
    for volume in pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            if "serviceAccountToken" in source:
                assert source["serviceAccountToken"]["audience"] == "rloop-gateway"
                found.append(volume["name"])
    return found


def token_holders(pod: dict[str, Any]) -> set[str]:
    """Names of the pod's containers that can read such a token."""
    tokens = set(volumes(pod))
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    return {one["name"] for one in containers if tokens & {mount["name"] for mount in one["volumeMounts"]}}


def check(campaign: Campaign, release: str, target: float, **spec: Any) -> None:
    """Apply an example, wait for its target, and look at what was there on the way."""
    cluster, namespace, name = campaign.cluster, campaign.namespace, campaign.name
    with watching(campaign, "pods", "jobs") as seen:
        campaign.start(parallelism=4, **spec)
        status = finish(campaign, release)["status"]
        pods = {role: seen.children("pods", role) for role in ("agent", *WORK)}
        assert_nothing_ran_twice(campaign, seen)
    assert status["best"]["value"] < target
    assert status["final"]["value"] < target
    assert status["pivots"] >= 1

    for role, found in pods.items():
        assert [pod for pod in found if pod["status"]["phase"] == "Succeeded"], role

    holders = {role: [token_holders(pod) for pod in found] for role, found in pods.items()}
    assert all(one == {"agent"} for one in holders["agent"])
    assert all(one == {"relay"} for one in holders["run"])
    assert all(volumes(pod) == [] for pod in pods["verification"])
    for pod in (pod for found in pods.values() for pod in found):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert "secret" not in str(pod["spec"]["volumes"]) or pod in pods["verification"]

    events = cluster.get("events", "-n", namespace)["items"]
    assert [event["reason"] for event in events].count("TargetMet") == 1
    assert [event["message"] for event in events if event["reason"] == "FailedCreate"] == []
    assert campaign.children("configmaps", "ledger")
    names = {one["metadata"]["name"] for one in campaign.children("configmaps", "files")}
    assert {f"{name}-task", f"{name}-evaluation"} <= names
