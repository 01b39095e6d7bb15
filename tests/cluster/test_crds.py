"""A real API server takes the generated CRDs, and refuses through them what the tables of bad manifests say."""

import json
from typing import Any

import pytest
from tests.cluster import release
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.shell import Failure
from tests.controllers.crd.test_definitions import BAD, GOOD, patched

from rloop.crd.definitions import KINDS

SEEN = [row for row in BAD if row["by"] != "local"]
UNSEEN = [row for row in BAD if row["by"] == "local"]
KEY_CHARS = 63


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> str:
    """The CRDs of the checkout, as the API server answers when it is given them."""
    return release.apply_definitions(cluster)


def dry_run(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> str:
    """What the API server says to a manifest, without keeping it."""
    words = ("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-")
    # YAML's dates travel as the text that they were.
    return cluster.kubectl(*words, stdin=json.dumps(manifest, default=str))


def test_the_api_server_takes_the_definitions(cluster: Cluster, definitions: str) -> None:
    for kind in KINDS:
        assert f"{kind.plural}.rloop.dev serverside-applied" in definitions
        stored = cluster.get("crd", f"{kind.plural}.rloop.dev")
        conditions = {one["type"]: one["status"] for one in stored["status"]["conditions"]}
        # A schema that is not structural, or a rule that costs too much, would stand here.
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_a_good_manifest_is_accepted(cluster: Cluster) -> None:
    assert "researchloop.rloop.dev/good created" in dry_run(cluster, "default", GOOD)


@pytest.mark.parametrize("row", SEEN, ids=[row["id"] for row in SEEN])
def test_a_bad_manifest_is_refused_and_the_field_named(cluster: Cluster, row: dict[str, Any]) -> None:
    with pytest.raises(Failure) as refused:
        dry_run(cluster, "default", patched(GOOD, row["patch"]))
    field = row["field"]
    if len(field.rpartition(".")[2]) > KEY_CHARS:
        field = field.rpartition(".")[0]  # a rule on a map names the map: it cannot point to a key
    assert field in str(refused.value), str(refused.value)


@pytest.mark.parametrize("row", UNSEEN, ids=[row["id"] for row in UNSEEN])
def test_what_only_our_command_sees_passes_here(cluster: Cluster, row: dict[str, Any]) -> None:
    assert "created" in dry_run(cluster, "default", patched(GOOD, row["patch"]))


def test_an_accepted_loop_keeps_its_goalposts(cluster: Cluster, namespace: str) -> None:
    cluster.apply({**GOOD, "metadata": {"name": "good", "namespace": namespace}})
    patch = ("patch", "rloop", "good", "-n", namespace, "--type=merge", "-p")
    moved = {"spec": {"objective": {"target": "0.06"}}}
    # Until it is accepted everything may be put right.
    cluster.kubectl(*patch, json.dumps(moved))
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    cluster.kubectl(*patch, json.dumps({"status": {"conditions": [condition]}}), "--subresource=status")
    with pytest.raises(Failure, match=r"spec\.objective is frozen"):
        cluster.kubectl(*patch, json.dumps({"spec": {"objective": {"target": "0.07"}}}))
    with pytest.raises(Failure, match=r"spec\.objective is frozen"):
        cluster.kubectl(*patch, json.dumps({"spec": {"objective": {"target": None}}}))
    cluster.kubectl(*patch, json.dumps({"spec": {"parallelism": 1}}))
    assert cluster.get("rloop", "good", "-n", namespace)["spec"]["objective"]["target"] == "0.06"
