"""The cluster can do what the operator relies on: each test is one promise of section 8 of the design."""

import json
import socket
from typing import Any

import pytest
from tests.cluster import pods
from tests.cluster.harness import cluster as harness
from tests.cluster.harness import paths
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.fake_nodes import FAKE
from tests.cluster.harness.shell import Failure

AUDIENCE = "rloop-gateway"


def test_the_node_is_ready_and_a_second_up_changes_nothing(cluster: Cluster) -> None:
    # Fake ones come and go with other tests.
    real = ("nodes", "-l", f"!{FAKE}")
    before = cluster.get(*real)["items"]
    assert harness.up() == cluster
    for node in [*before, *cluster.get(*real)["items"]]:
        ready = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["True"]
    assert [n["metadata"]["uid"] for n in before] == [n["metadata"]["uid"] for n in cluster.get(*real)["items"]]


def test_a_restricted_pod_runs_to_its_end(cluster: Cluster, namespace: str) -> None:
    pods.succeed(cluster, namespace, pods.pod("one", pods.container("main", cluster.base_image, ["id"])))
    assert f"uid={pods.UID} gid={pods.UID}" in pods.log(cluster, namespace, "one")


def test_a_pod_finds_services_by_name_and_no_host_outside(cluster: Cluster, namespace: str) -> None:
    code = (
        "import socket, ssl, urllib.request\n"
        "print(socket.gethostbyname('kubernetes.default'))\n"
        "plain = ssl._create_unverified_context()\n"
        "print(urllib.request.urlopen('https://kubernetes.default/version', context=plain).status)\n"
        "try: print(socket.gethostbyname('example.invalid'))\n"
        "except socket.gaierror: print('unknown')\n"
    )
    command = ["python3", "-c", code]
    pods.succeed(cluster, namespace, pods.pod("names", pods.container("main", cluster.base_image, command)))
    address, status, outside = pods.log(cluster, namespace, "names").split()
    assert address == cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    assert (status, outside) == ("200", "unknown")


def test_pods_reach_each_other_through_a_service(cluster: Cluster, namespace: str) -> None:
    serve = pods.container("main", cluster.base_image, ["python3", "-m", "http.server", "8080", "-d", "/usr/share"])
    server = pods.pod("server", {**serve, "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}})
    server["metadata"]["labels"] = {"app": "server"}
    pods.create(cluster, namespace, server)
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "server"}, "ports": ports}
    pods.create(cluster, namespace, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/server")
    code = (
        "import time, urllib.request\n"
        "for _ in range(50):\n"
        "  try: print(urllib.request.urlopen('http://web', timeout=2).status); break\n"
        "  except OSError: time.sleep(0.2)\n"
    )
    client = pods.pod("client", pods.container("main", cluster.base_image, ["python3", "-c", code]))
    pods.succeed(cluster, namespace, client)
    assert pods.log(cluster, namespace, "client").strip() == "200"


def test_no_pod_reaches_the_machine_that_runs_the_cluster(cluster: Cluster, namespace: str) -> None:
    if not cluster.own:
        pytest.skip("only a cluster of ours promises this")
    with socket.create_server((paths.HOST_ADDRESS, 0)) as server:
        code = f"import socket; socket.create_connection(('{paths.HOST_ADDRESS}', {server.getsockname()[1]}), 5)"
        manifest = pods.pod("caller", pods.container("main", cluster.base_image, ["python3", "-c", code]))
        pods.create(cluster, namespace, manifest)
        assert pods.finish(cluster, namespace, "caller")["status"]["phase"] == "Failed"
    assert "No route to host" in pods.log(cluster, namespace, "caller")


def test_a_native_sidecar_that_never_ends_does_not_keep_its_pod(cluster: Cluster, namespace: str) -> None:
    shared = {"name": "task", "mountPath": "/task"}
    image = cluster.base_image
    lay_out = pods.container("files", image, ["sh", "-c", "echo laid out > /task/file"], volumeMounts=[shared])
    relay = pods.container("relay", image, ["sleep", "infinity"], volumeMounts=[shared], restartPolicy="Always")
    main = pods.container("main", image, ["cat", "/task/file"], volumeMounts=[shared])
    manifest = pods.pod("sidecar", main, initContainers=[lay_out, relay], volumes=[{"name": "task", "emptyDir": {}}])
    ended = pods.succeed(cluster, namespace, manifest)
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert "laid out" in cluster.kubectl("logs", "sidecar", "-n", namespace, "-c", "main")


def test_a_token_for_an_audience_says_which_pod_holds_it(cluster: Cluster, namespace: str) -> None:
    projected = {"serviceAccountToken": {"audience": AUDIENCE, "path": "token", "expirationSeconds": 600}}
    mount = {"name": "token", "mountPath": "/token", "readOnly": True}
    # It has to live while it is asked about: with the pod the token ends.
    main = pods.container(
        "main", cluster.base_image, ["sh", "-c", "cat /token/token; echo; sleep 60"], volumeMounts=[mount]
    )
    manifest = pods.pod("holder", main, volumes=[{"name": "token", "projected": {"sources": [projected]}}])
    pods.create(cluster, namespace, manifest)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/holder")
    token = ""
    while not token:
        token = pods.log(cluster, namespace, "holder").strip()
    uid = cluster.get("pod", "holder", "-n", namespace)["metadata"]["uid"]

    seen = review(cluster, token, AUDIENCE)
    assert seen["authenticated"] is True
    assert seen["audiences"] == [AUDIENCE]
    assert seen["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert seen["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["holder"]
    assert seen["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]
    assert review(cluster, token, "another-audience").get("authenticated", False) is False


def review(cluster: Cluster, token: str, audience: str) -> dict[str, Any]:
    """The status of a TokenReview."""
    manifest = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest))
    status: dict[str, Any] = json.loads(answer)["status"]
    return status


def test_a_volume_belongs_to_the_group_that_the_pod_asks_for(cluster: Cluster, namespace: str) -> None:
    cluster.make_volumes(1)
    claim: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if cluster.storage_class:
        claim["storageClassName"] = cluster.storage_class
    pods.create(
        cluster,
        namespace,
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "workspace"}, "spec": claim},
    )
    mount = {"name": "workspace", "mountPath": "/workspace"}
    command = ["sh", "-c", "echo kept > /workspace/file && stat -c '%u %g' /workspace/file"]
    volumes = [{"name": "workspace", "persistentVolumeClaim": {"claimName": "workspace"}}]
    writer = pods.container("main", cluster.base_image, command, volumeMounts=[mount])
    pods.succeed(cluster, namespace, pods.pod("writer", writer, volumes=volumes))
    assert pods.log(cluster, namespace, "writer").strip() == f"{pods.UID} {pods.UID}"
    reader = pods.container("main", cluster.base_image, ["cat", "/workspace/file"], volumeMounts=[mount])
    pods.succeed(cluster, namespace, pods.pod("reader", reader, volumes=volumes))
    assert pods.log(cluster, namespace, "reader").strip() == "kept"


def test_pod_security_refuses_a_pod_of_root(cluster: Cluster, namespace: str) -> None:
    manifest = pods.pod("root", pods.container("main", cluster.base_image, ["id"]))
    manifest["spec"]["securityContext"] |= {"runAsUser": 0, "runAsNonRoot": False}
    with pytest.raises(Failure, match='violates PodSecurity "restricted'):
        pods.create(cluster, namespace, manifest)


def test_a_termination_message_of_four_kib_is_in_the_pods_status(cluster: Cluster, namespace: str) -> None:
    code = "open('/dev/termination-log', 'w').write('v' * 4096)"
    main = pods.container("main", cluster.base_image, ["python3", "-c", code])
    ended = pods.succeed(cluster, namespace, pods.pod("verdict", main))
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "v" * 4096
