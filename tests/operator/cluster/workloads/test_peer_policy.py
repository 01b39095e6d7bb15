"""Pods of loops reach nobody, but for the workers of one training, who reach each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.operator.cluster.test_tenants import WELL, put_loop, running
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.workloads import peer_policy

POLICIES = client.group("networking.k8s.io/v1", WELL, "networkpolicies")
TRAININGS = client.group("kubeflow.org/v1", WELL, "pytorchjobs")
RUN = "demo-b01-r1-a1"
TRAINING = f"{TRAININGS}/{RUN}"


def started(home: Path, replicas: int, *, policies: bool = True) -> FakeKubernetes:
    fake = FakeKubernetes()
    put_loop(fake, WELL, experiment__job=None, experiment__pyTorchJob={"replicas": replicas})

    def handed_over(policy: dict[str, Any]) -> bool:
        return [one["kind"] for one in policy["metadata"]["ownerReferences"]] == ["PyTorchJob"]

    async def test() -> None:
        async with running(fake, home, WELL, network_policies=policies) as now:
            await now.until(lambda: TRAINING in fake.objects and all(map(handed_over, fake.stored(POLICIES))))

    asyncio.run(test())
    return fake


def test_the_workers_of_a_training_reach_each_other_and_nobody_else(home: Path) -> None:
    fake = started(home, 2)
    policy, training = fake.objects[f"{POLICIES}/{RUN}"], fake.objects[TRAINING]
    own = {"podSelector": {"matchLabels": {names.LABEL_WORKLOAD: RUN}}}
    ways = {"ingress": [{"from": [own]}], "egress": [{"to": [own]}]}
    assert policy["spec"] == own | ways | {"policyTypes": ["Ingress", "Egress"]}
    template = training["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]
    assert template["metadata"]["labels"][names.LABEL_WORKLOAD] == RUN
    # Deleted with the training, and made before it: its workers connect as soon as they run.
    assert [one["uid"] for one in policy["metadata"]["ownerReferences"]] == [training["metadata"]["uid"]]
    made = [one.path for one in fake.written if one.method == "POST" and one.path in (POLICIES, TRAININGS)]
    assert made == [POLICIES, TRAININGS]


@pytest.mark.parametrize(("replicas", "policies"), [(1, True), (2, False)])
def test_nobody_needs_a_policy_who_is_alone_or_where_the_chart_makes_none(
    home: Path, replicas: int, *, policies: bool
) -> None:
    assert started(home, replicas, policies=policies).stored(POLICIES) == []


def test_a_policy_never_selects_by_what_two_runs_share() -> None:
    for name in ("demo-i0001-e1-r1-a1", "demo-i0001-e1-r1-a2", "demo-i0001-e1-r2-a1"):
        workload: dict[str, Any] = {"metadata": {"name": name, "labels": {}, "ownerReferences": []}, "spec": {}}
        assert peer_policy.policy(workload)["spec"]["podSelector"] == {"matchLabels": {names.LABEL_WORKLOAD: name}}
