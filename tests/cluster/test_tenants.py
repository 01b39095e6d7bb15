"""Namespaces that come and go cost the others nothing: release, operator and guard on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster import release, tiny
from tests.cluster.conftest import namespaces
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.shell import Failure
from tests.cluster.waiting import wait_for
from typer.testing import CliRunner

from rloop_operator.cli.main import app

pytestmark = pytest.mark.timeout(600, func_only=True)


@pytest.fixture
def two(cluster: Cluster) -> Iterator[list[str]]:
    with namespaces(cluster, 2) as names:
        yield names


def start(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.make_volumes(1)
    manifests = tiny.manifests(cluster, name, runs=4)
    cluster.apply(*(one | {"metadata": one["metadata"] | {"namespace": namespace}} for one in manifests))


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    found: str = cluster.get("rloop", name, "-n", namespace).get("status", {}).get("phase", "")
    return found


def upgrade(cluster: Cluster, own: str, *watched: str) -> str:
    told = f"watchNamespaces={{{','.join(watched)}}}"
    return release.helm(cluster, "upgrade", "rloop", str(release.CHART), "-n", own, "--reuse-values", "--set", told)


def said(cluster: Cluster, own: str) -> dict[str, Any]:
    annotations = cluster.get("lease", "rloop-operator", "-n", own)["metadata"].get("annotations", {})
    found: dict[str, Any] = json.loads(annotations.get("rloop.dev/namespaces", "{}"))
    return found


def ready(cluster: Cluster, own: str, process: str) -> bool:
    try:
        return bool(cluster.get("statefulset", process, "-n", own)["status"].get("readyReplicas"))
    except Failure:
        return False


def test_a_namespace_that_goes_and_comes_back_costs_the_others_nothing(
    cluster: Cluster, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = two
    never = f"{kept}-never"
    own = release.install(cluster, kept, lost, never, more=release.QUICK)

    def explain() -> str:
        return release.explain(cluster, own)

    try:
        wait_for(lambda: set(said(cluster, own).get("served", [])) == {kept, lost}, explain)

        cluster.kubectl("delete", "namespace", lost, timeout=180)
        cluster.kubectl("delete", "pod", "rloop-operator-0", "rloop-guard-0", "-n", own, "--force", "--grace-period=0")
        wait_for(lambda: lost in said(cluster, own).get("failing", {}), explain)
        start(cluster, kept, "stays")
        wait_for(lambda: phase(cluster, kept, "stays") == "Complete", explain)
        wait_for(lambda: ready(cluster, own, "rloop-operator") and ready(cluster, own, "rloop-guard"), explain)
        events = cluster.get("events", "-n", own)["items"]
        about = {one["message"] for one in events if one["reason"] == "NamespaceNotServed"}
        assert any(lost in one for one in about)

        assert lost in upgrade(cluster, own, kept, lost, never)
        cluster.kubectl("create", "namespace", lost)
        cluster.kubectl("-n", lost, "wait", "--for=create", "--timeout=30s", "serviceaccount/default")
        operator = cluster.get("pod", "rloop-operator-0", "-n", own)["metadata"]["uid"]
        upgrade(cluster, own, kept, lost, never)
        start(cluster, lost, "comes")
        wait_for(lambda: phase(cluster, lost, "comes") != "", explain)
        assert cluster.get("pod", "rloop-operator-0", "-n", own)["metadata"]["uid"] == operator

        upgrade(cluster, own, kept)
        wait_for(lambda: said(cluster, own).get("served") == [kept], explain)
        monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
        told = CliRunner().invoke(app, ["status", "comes", "-n", lost]).stdout
        assert "serves namespace" in " ".join(told.split())
    finally:
        release.uninstall(cluster, own)
