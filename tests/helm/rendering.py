"""Renders the chart, and the rules that every rendered pod and rule of rights has to keep."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.harness import binaries

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/rloop"
RELEASE_NAMESPACE = "rloop-system"
NO_HELM = "helm is neither in PATH nor built by `python3 -m tests.cluster.harness build`"

Manifest = dict[str, Any]


def helm() -> str | None:
    """The program: from PATH, or as the tests' own cluster has built it."""
    return shutil.which("helm") or shutil.which(str(binaries.folder("helm") / "helm"))


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = helm()
    assert program is not None, NO_HELM
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True)


def template(*sets: str, namespace: str = RELEASE_NAMESPACE) -> "subprocess.CompletedProcess[str]":
    settings = [part for one in sets for part in ("--set-json", one)]
    return run("template", "rloop", str(CHART), "--namespace", namespace, *settings)


def rendered(*sets: str) -> list[Manifest]:
    """Everything that the chart makes. Most tests leave the CRDs out, which are large and slow to read."""
    return [document for document in yaml.safe_load_all(_rendered(*sets)) if document]


@cache
def _rendered(*sets: str) -> str:
    done = template(*sets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod_specs(manifests: list[Manifest]) -> list[Manifest]:
    return [one["spec"]["template"]["spec"] for one in manifests if one["kind"] == "StatefulSet"]


def rules(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    """Each rule, with the name of the role that has it."""
    roles = [one for one in manifests if one["kind"] in ("Role", "ClusterRole")]
    return [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]


def restricted_problems(spec: Manifest) -> list[str]:
    """What Pod Security *restricted* forbids in this pod; what we do not use is not looked for with less care."""
    context = spec.get("securityContext", {})
    problems = [f"spec.{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes", []):
        allowed = {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret", "ephemeral"}
        problems += [f"volume of type {kind}" for kind in set(volume) - {"name"} - allowed]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        name, own = container["name"], container.get("securityContext", {})
        merged = context | own
        if merged.get("runAsNonRoot") is not True or merged.get("runAsUser") == 0:
            problems.append(f"{name}: may run as root")
        if merged.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            problems.append(f"{name}: no seccomp profile")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            problems.append(f"{name}: may gain privileges")
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            problems.append(f"{name}: keeps capabilities")
        problems += [f"{name}: hostPort" for port in container.get("ports", []) if port.get("hostPort")]
    return problems
