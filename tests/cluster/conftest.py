"""Fixtures of all tests that need a real Kubernetes: a cluster, shared by everybody, and a namespace of one's own.

They run only with RLOOP_TEST_CLUSTER=1 (`make test-cluster`), because they may start a cluster on this machine, or
use the one that KUBECONFIG names. A test that needs more than five minutes says so with its own timeout.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cluster import release as releases
from tests.cluster.harness import cluster as harness
from tests.cluster.harness.shell import Failure, say

HERE = Path(__file__).parent
TEST_SECONDS = 300
POOL = "rloop.test/pool"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those that need a cluster, and give each time of its own: starting the cluster does not count."""
    for item in items:
        if item.path.is_relative_to(HERE) and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def cluster() -> Iterator[harness.Cluster]:
    """The cluster: the given one, or ours, started if need be and left up for the next run."""
    if os.environ.get("RLOOP_TEST_CLUSTER") != "1":
        pytest.skip("needs a Kubernetes cluster (make test-cluster)")
    if reason := harness.why_not():
        # In CI, a test that cannot run has not passed.
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    try:
        yield harness.up()
    except Failure as failure:
        pytest.fail(str(failure), pytrace=False)
    # With several workers the first to finish must not end it for the others.
    if os.environ.get("RLOOP_CLUSTER_DOWN") == "1" and "PYTEST_XDIST_WORKER" not in os.environ:
        harness.down()
    else:
        say("left up for the next run (python3 -m tests.cluster.harness down ends it)")


@contextmanager
def namespaces(cluster: harness.Cluster, number: int) -> Iterator[list[str]]:
    """Empty namespaces that admit only what Pod Security calls restricted."""
    names = [f"test-{secrets.token_hex(4)}" for _ in range(number)]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    for name in names:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    for name in names:
        # No pod is admitted before its account exists, and a controller makes that.
        cluster.kubectl("-n", name, "wait", "--for=create", "--timeout=30s", "serviceaccount/default")
    yield names
    cluster.kubectl("delete", "namespace", *names, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(cluster: harness.Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    with namespaces(cluster, 1) as [name]:
        yield name


@pytest.fixture
def training_operator(cluster: harness.Cluster) -> None:
    """PyTorchJobs are known, and run."""
    try:
        cluster.install_training_operator()
    except Failure as failure:
        pytest.fail(str(failure), pytrace=False)


@contextmanager
def fake_pool(cluster: harness.Cluster, number: int, **capacity: str) -> Iterator[str]:
    """So many fake nodes, which nobody else uses: pods come here by the label POOL and a toleration of FAKE."""
    if not cluster.own:
        pytest.skip("makes nodes, which only a cluster of ours lets us")
    name = f"pool-{secrets.token_hex(4)}"
    nodes = cluster.add_fake_nodes(number, {POOL: name}, capacity)
    try:
        yield name
    finally:
        cluster.remove_fake_nodes(nodes)


@pytest.fixture
def gpu_pool(cluster: harness.Cluster) -> Iterator[str]:
    """The name of a pool of two fake nodes with eight GPUs each."""
    with fake_pool(cluster, 2, **{"nvidia.com/gpu": "8"}) as name:
        yield name


@pytest.fixture
def release(cluster: harness.Cluster, namespace: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The namespace of a release of the chart that serves the loops of the test's own namespace.

    Its parameter, where a test gives one, is further values of the chart.
    """
    name = releases.install(cluster, namespace, more=getattr(request, "param", ()))
    yield name
    releases.uninstall(cluster, name)
