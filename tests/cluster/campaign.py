"""A campaign in a namespace, from an example's folder: what a user applies, and what is there at its end."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness import paths
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import wait_for

EXAMPLES = paths.ROOT / "examples"
VOLUME = "10Gi"
"""What a workspace asks for that says nothing."""
PAUSE_SECONDS = 4.0


def overlay(cluster: Cluster, namespace: str, name: str, example: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """A kustomization on top of the example's own: where it goes, what it is called, and what of it differs."""
    changed = dict(spec)
    if cluster.storage_class and not cluster.own:
        changed.setdefault("workspace", {"storageClassName": cluster.storage_class})
    patch = {
        "apiVersion": "rloop.dev/v1alpha1",
        "kind": "ResearchLoop",
        "metadata": {"name": name},
        "spec": changed,
    }
    target = {"kind": "ResearchLoop"}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [str(example)],
        "patches": [{"target": target, "patch": json.dumps(patch), "options": {"allowNameChange": True}}],
    }


@dataclass(frozen=True)
class Campaign:
    """One loop in a namespace."""

    cluster: Cluster
    namespace: str
    name: str
    example: str = "02-shell-awk"

    def start(self, **spec: Any) -> None:
        """Apply the example, as `kubectl apply -k` of its folder does; `spec` is merged into the loop's."""
        self.cluster.make_volumes(1, VOLUME)
        with tempfile.TemporaryDirectory(prefix="rloop-overlay-") as folder:
            # kustomize takes a base by a relative path only.
            example = Path(os.path.relpath(EXAMPLES / self.example, Path(folder).resolve()))
            document = overlay(self.cluster, self.namespace, self.name, example, spec)
            Path(folder, "kustomization.yaml").write_text(json.dumps(document))
            self.cluster.kubectl("apply", "-k", folder)

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

    def complete(self) -> bool:
        """Whether it has ended."""
        return bool(self.condition("Complete").get("status") == "True")

    def wait(self, seconds: float) -> dict[str, Any]:
        """Wait until it is complete, and return the loop."""
        wait_for(self.complete, self.explain, seconds=seconds, pause=PAUSE_SECONDS)
        return self.loop()

    def explain(self) -> str:
        """Where it stands, for whoever reads why a test failed."""
        events = self.cluster.kubectl("get", "events", "-n", self.namespace, "--sort-by=.metadata.creationTimestamp")
        pods = self.cluster.kubectl("get", "pods", "-n", self.namespace)
        status = json.dumps(self.loop().get("status", {}), indent=1)
        return "\n".join([status, *events.splitlines()[-40:], *pods.splitlines()[-40:]])
