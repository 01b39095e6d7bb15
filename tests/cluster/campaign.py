"""A campaign in a namespace, from an example's folder: what a user applies, and what is there at its end."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.harness import paths
from tests.cluster.harness.cluster import Cluster

EXAMPLE = paths.ROOT / "examples" / "02-shell-awk"
PAUSE_SECONDS = 2.0


def config_map(name: str, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A folder as a ConfigMap, and which key is which path: a key cannot hold a slash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    items = {str(path.relative_to(folder)).replace("/", "--"): str(path.relative_to(folder)) for path in files}
    data = {key: (folder / path).read_text() for key, path in items.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}, items


def manifests(cluster: Cluster, name: str, **spec: Any) -> list[dict[str, Any]]:
    """The example as a cluster takes it: its folders in ConfigMaps and a Secret, an image, a class of volumes."""
    loop: dict[str, Any] = yaml.safe_load((EXAMPLE / "loop.yaml").read_text())
    task, task_items = config_map("awk-task-files", EXAMPLE / "task")
    code, code_items = config_map("awk-scorer-files", EXAMPLE / "evaluation")
    held_out, _ = config_map("awk-points", EXAMPLE / "held-out")
    secret = {**held_out, "kind": "Secret", "stringData": held_out["data"]}
    del secret["data"]
    workspace: dict[str, Any] = {"size": "1Gi"}
    if cluster.storage_class:
        workspace["storageClassName"] = cluster.storage_class
    loop["metadata"]["name"] = name
    loop["spec"] |= {
        "task": {"configMap": {"name": "awk-task-files", "items": task_items}},
        "workspace": workspace,
        **spec,
    }
    loop["spec"]["evaluation"] |= {
        "code": {"configMap": {"name": "awk-scorer-files", "items": code_items}},
        "heldOut": {"secret": "awk-points"},
    }
    loop["spec"]["experiment"]["image"] = cluster.base_image
    return [task, code, secret, loop]


@dataclass(frozen=True)
class Campaign:
    """One loop in a namespace."""

    cluster: Cluster
    namespace: str
    name: str

    def start(self, **spec: Any) -> None:
        """Apply all that it needs."""
        self.cluster.make_volumes(1)
        self.apply(*manifests(self.cluster, self.name, **spec))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply manifests in its namespace."""
        for one in manifests:
            one["metadata"]["namespace"] = self.namespace
        self.cluster.apply(*manifests)

    def loop(self) -> dict[str, Any]:
        """The loop as it stands."""
        found: dict[str, Any] = self.cluster.get("rloop", self.name, "-n", self.namespace)
        return found

    def patch(self, change: dict[str, Any]) -> None:
        """Edit the loop as a user would."""
        words = ("patch", "rloop", self.name, "-n", self.namespace, "--type=merge", "-p", json.dumps(change))
        self.cluster.kubectl(*words)

    def events(self) -> list[dict[str, Any]]:
        """What was told about it, oldest first."""
        selector = f"involvedObject.kind=ResearchLoop,involvedObject.name={self.name}"
        found = self.cluster.get("events", "-n", self.namespace, "--field-selector", selector)["items"]
        return sorted(found, key=lambda one: str(one["firstTimestamp"]))

    def children(self, kind: str, role: str = "") -> list[dict[str, Any]]:
        """Its objects of a kind, of one role or of all."""
        selector = f"rloop.dev/loop={self.name}" + (f",rloop.dev/role={role}" if role else "")
        found: list[dict[str, Any]] = self.cluster.get(kind, "-n", self.namespace, "-l", selector)["items"]
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the loop; empty while there is none."""
        return next((one for one in self.loop().get("status", {}).get("conditions", []) if one["type"] == kind), {})

    def wait(self, seconds: float) -> dict[str, Any]:
        """Wait until it is complete, and return the loop."""
        end = time.monotonic() + seconds
        while self.condition("Complete").get("status") != "True":
            if time.monotonic() > end:
                raise AssertionError(f"not complete after {seconds:.0f} s:\n{self.explain()}")
            time.sleep(PAUSE_SECONDS)
        return self.loop()

    def explain(self) -> str:
        """Where it stands, for whoever reads why a test failed."""
        events = self.cluster.kubectl("get", "events", "-n", self.namespace, "--sort-by=.metadata.creationTimestamp")
        pods = self.cluster.kubectl("get", "pods", "-n", self.namespace)
        status = json.dumps(self.loop().get("status", {}), indent=1)
        return "\n".join([status, *events.splitlines()[-40:], *pods.splitlines()[-40:]])
