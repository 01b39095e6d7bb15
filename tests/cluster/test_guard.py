"""The watchdog's outer layers, on real processes: what stops is restarted from outside, and the status tells of it."""

import json
import re
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster.campaign import Campaign
from tests.cluster.harness import node, workers
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import SECONDS, wait_for

PROCESSES = ("operator", "gateway", "guard")
pytestmark = [
    pytest.mark.parametrize("release", [releases.QUICK], ids=[""], indirect=True),
    pytest.mark.timeout(4 * SECONDS, func_only=True),
]


until = partial(wait_for, pause=1)


def pod(cluster: Cluster, release: str, process: str) -> dict[str, str]:
    """Its uid and address; empty while there is none that is ready."""
    found = cluster.get("pods", "-n", release, "-l", f"app.kubernetes.io/component={process}")["items"]
    conditions = [one for item in found for one in item["status"].get("conditions", [])]
    if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        return {}
    (one,) = found
    container = one["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    return {"uid": one["metadata"]["uid"], "address": one["status"]["podIP"], "container": container}


def stop(cluster: Cluster, release: str, process: str) -> str:
    """Stop a process in the middle of whatever it does, as a hang would; returns the uid of its pod."""
    if not cluster.own:
        pytest.skip("needs to signal a process of the node")
    found = pod(cluster, release, process)
    listed = node.inside(*workers.ctr(), "tasks", "list").splitlines()
    pid = next(line.split()[1] for line in listed if line.startswith(found["container"]))
    node.inside("kill", "-STOP", pid)
    return found["uid"]


def answer(cluster: Cluster, release: str, process: str, path: str) -> tuple[int, str]:
    address = pod(cluster, release, process)["address"]
    try:
        with urllib.request.urlopen(f"http://{address}:8081{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def idle_loop(cluster: Cluster, namespace: str) -> Campaign:
    """A loop that is accepted, and suspended: it is looked at, and starts nothing."""
    campaign = Campaign(cluster, namespace, "idle")
    campaign.start(suspend=True)
    until(lambda: campaign.condition("Accepted").get("status") == "True", campaign.explain)
    return campaign


def watchdog(campaign: Campaign) -> dict[str, object]:
    found: dict[str, object] = campaign.loop().get("status", {}).get("watchdog", {})
    return found


def check_health_and_metrics(cluster: Cluster, release: str) -> None:
    """Each process answers, while there is a loop that is looked at."""
    for process in PROCESSES:
        for path in ("/healthz", "/readyz"):
            status, text = answer(cluster, release, process, path)
            assert status == 200, text
            assert all(re.fullmatch(r"[a-z-]+: ok", line) for line in text.splitlines()), text
    until(
        lambda: 'rloop_loops{phase="' in answer(cluster, release, "operator", "/metrics")[1],
        lambda: releases.explain(cluster, release),
    )
    text = answer(cluster, release, "operator", "/metrics")[1]
    assert 'rloop_api_requests_total{code="200",verb="GET"}' in text
    assert "rloop_lease_held 1.0" in text
    assert "rloop_reconcile_errors_total 0.0" in text
    assert "rloop_guard_operator_lease_age_seconds" in answer(cluster, release, "guard", "/metrics")[1]
    assert 'rloop_part_working{part="api"} 1.0' in answer(cluster, release, "gateway", "/metrics")[1]


def test_a_stopped_operator_is_restarted_and_works_again(cluster: Cluster, namespace: str, release: str) -> None:
    def explain() -> str:
        return releases.explain(cluster, release)

    campaign = idle_loop(cluster, namespace)
    before = stop(cluster, release, "operator")
    until(lambda: pod(cluster, release, "operator").get("uid", before) != before, explain)
    until(lambda: "guard restarted rloop-operator-0" in str(watchdog(campaign).get("evidence")), campaign.explain)
    events = cluster.get("events", "-n", release)["items"]
    told = [one["message"] for one in events if one["reason"] == "Restarted"]
    assert len(told) == 1
    assert told[0].startswith("LeaseNotRenewed: rloop-operator-0 has not renewed its Lease for ")

    # It does its work again: a changed spec is looked at.
    patch = '{"spec": {"suspend": true, "parallelism": 3}}'
    cluster.kubectl("-n", namespace, "patch", "rloop", "idle", "--type=merge", "-p", patch)
    generation = campaign.loop()["metadata"]["generation"]
    until(lambda: campaign.loop()["status"]["observedGeneration"] == generation, explain)
    until(lambda: "Alive" in str(watchdog(campaign).get("guard")), explain)
    # And an idle loop costs no writes, whatever was written about the watchdog.
    version = campaign.loop()["metadata"]["resourceVersion"]
    sent = _pings(cluster, release)
    until(lambda: _pings(cluster, release) > sent + 1, explain)
    assert campaign.loop()["metadata"]["resourceVersion"] == version


def _pings(cluster: Cluster, release: str) -> int:
    """Number of pings that the guard has sent; the first one creates the Lease."""
    leases = cluster.get("leases", "-n", release, "--field-selector=metadata.name=rloop-ping")["items"]
    return int(leases[0]["metadata"]["annotations"]["rloop.dev/ping-sent"]) if leases else 0


def test_all_tell_their_health_and_a_stopped_guard_is_restarted_by_the_operator(
    cluster: Cluster, namespace: str, release: str
) -> None:
    def explain() -> str:
        return releases.explain(cluster, release)

    campaign = idle_loop(cluster, namespace)

    def state() -> object:
        guard = watchdog(campaign).get("guard", {})
        return guard.get("state") if isinstance(guard, dict) else None

    until(lambda: state() == "Alive", campaign.explain)
    check_health_and_metrics(cluster, release)
    before = stop(cluster, release, "guard")
    container = pod(cluster, release, "guard").get("container")
    until(lambda: state() in ("Silent", "Absent"), campaign.explain)

    def restarted() -> bool:
        nonlocal container
        now = pod(cluster, release, "guard")
        if now.get("uid", before) == before and now.get("container", container) != container:
            # On a busy machine the kubelet, which restarts the container, may be faster than the operator.
            stop(cluster, release, "guard")
            container = pod(cluster, release, "guard").get("container")
        return now.get("uid", before) != before

    until(restarted, explain)
    until(lambda: state() == "Alive", campaign.explain)
    assert "patrol restarted rloop-guard-0" in str(watchdog(campaign)["evidence"])


CRASHES = [{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": ["python", "-c", "exit(3)"]}]


def test_who_lives_but_does_no_work_is_restarted_and_so_is_what_crashes(
    cluster: Cluster, namespace: str, release: str
) -> None:
    def explain() -> str:
        return releases.explain(cluster, release)

    def told(reason: str) -> list[str]:
        events = cluster.get("events", "-n", release)["items"]
        return [one["message"] for one in events if one["reason"] == "Restarted" and reason in one["message"]]

    until(lambda: _pings(cluster, release) > 1, explain)
    before = pod(cluster, release, "operator")["uid"]
    cluster.kubectl("-n", release, "patch", "statefulset", "rloop-gateway", "--type=json", "-p", json.dumps(CRASHES))
    role = cluster.get("role", "rloop-operator", "-n", release)
    # It goes on renewing its Lease and answering its probe; but no patrol comes to its end.
    lost = [
        rule | {"resourceNames": _without_the_ping(rule)} if "resourceNames" in rule else rule for rule in role["rules"]
    ]
    kept = {key: role[key] for key in ("apiVersion", "kind")} | _named(role)
    cluster.apply(kept | {"rules": lost})
    until(lambda: bool(told("PingUnanswered")), explain)
    cluster.apply(kept | {"rules": role["rules"]})
    until(lambda: pod(cluster, release, "operator").get("uid", before) != before, explain)
    idle_loop(cluster, namespace)
    until(lambda: bool(told("CrashLoop: rloop-gateway-0")), explain)


def _without_the_ping(rule: dict[str, Any]) -> list[str]:
    return [name for name in rule["resourceNames"] if name != "rloop-ping"]


def _named(found: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {key: found["metadata"][key] for key in ("name", "namespace", "labels")}}
