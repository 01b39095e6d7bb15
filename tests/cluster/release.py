"""The chart in a cluster: our images and CRDs are there, a release serves one namespace, and it goes again.

Used by the fixture `release`. Images that are loaded already are used as they are: after a change of the programs
build them anew (`python3 -m tests.cluster.harness image ...`), or take the cluster down and up.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from tests.cluster.harness import node, paths, workers
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.definitions import wait_for_definitions
from tests.cluster.harness.shell import Failure, locked, run, say

IMAGES = ("operator", "agent", "verifier", "sidecar")
PREFIX = "rloop.test/rloop-"
TAG = os.environ.get("RLOOP_TEST_TAG", "dev")
"""Another tag for each checkout that shares a cluster."""
CHART = paths.ROOT / "helm" / "rloop"
QUICK = ("watchdog.patrolSeconds=5",)
"""Values of a release whose operator looks at everything often, so that a test need not wait for a minute."""
PROCESSES = ("rloop-gateway", "rloop-operator", "rloop-guard")


def load_images(cluster: Cluster, *more: str) -> None:
    """Build and load those of our images that the node does not have: four, and more. Another cluster's owner has."""
    if not cluster.own:
        return
    with locked(paths.cache() / "images.lock"):
        loaded = node.inside(*workers.ctr(), "images", "list", "-q").split()
        missing = [name for name in (*IMAGES, *more) if f"{PREFIX}{name}:{TAG}" not in loaded]
        if missing:
            _build_wheel()
        for name in missing:
            cluster.build_image(paths.ROOT / "images" / name / "Dockerfile", f"{PREFIX}{name}:{TAG}")


def _build_wheel() -> None:
    # Of two wheels in the folder, an image would take both.
    shutil.rmtree(paths.ROOT / "dist", ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist", cwd=paths.ROOT)


def apply_definitions(cluster: Cluster) -> str:
    """Give the API server the CRDs of the checkout. By force, as it may have another checkout's, or Helm's."""
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=rloop-tests", "-f")
    with locked(paths.cache() / "crds.lock"):
        answer = cluster.kubectl(*words, str(paths.ROOT / "crds"))
    wait_for_definitions(cluster.kubectl, "-f", str(paths.ROOT / "crds"))
    return answer


def install(
    cluster: Cluster,
    *watched: str,
    more: tuple[str, ...] = (),
    providers: Sequence[dict[str, Any]] = (),
    beside: Sequence[dict[str, Any]] = (),
) -> str:
    """Install the chart for the loops of these namespaces, with more values, providers of language models, and objects
    beside it; returns the release's own namespace.
    """
    load_images(cluster)
    apply_definitions(cluster)
    name = f"rloop-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    # The CRDs are everybody's: a release that owned them would keep the next one from being installed.
    values = ("crds.install=false", f"watchNamespaces={{{','.join(watched)}}}", f"images.tag={TAG}", *more)
    words = [word for value in values for word in ("--set", value)]
    words += ["--set-json", f"llm.providers={json.dumps(list(providers))}"]
    if beside:
        cluster.apply(*(one | {"metadata": one["metadata"] | {"namespace": name}} for one in beside))
    helm(cluster, "install", "rloop", str(CHART), "-n", name, *words)
    try:
        for process in (*PROCESSES, *(["rloop-proxy"] if providers else [])):
            cluster.kubectl("-n", name, "rollout", "status", "--timeout=240s", f"statefulset/{process}")
    except Failure:
        say(explain(cluster, name))
        raise
    return name


def uninstall(cluster: Cluster, name: str) -> None:
    """Remove a release and its namespace."""
    helm(cluster, "uninstall", "rloop", "-n", name, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def helm(cluster: Cluster, *words: str) -> str:
    """Run helm as administrator."""
    program = str(paths.state() / "bin" / "helm") if cluster.own else "helm"
    return run(program, *words, env={"KUBECONFIG": cluster.kubeconfig}, timeout=120)


def explain(cluster: Cluster, name: str) -> str:
    """What the release's processes have said last."""
    told = [cluster.kubectl("get", "pods", "-n", name, "-o", "wide")]
    for pod in cluster.get("pods", "-n", name)["items"]:
        try:
            told.append(cluster.kubectl("logs", pod["metadata"]["name"], "-n", name, "--tail=40"))
        except Failure as failure:
            told.append(str(failure))
    return "\n".join(told)
