"""The administrator's settings, read once from the environment by each of the cluster's processes."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from rloop.errors import RloopError
from rloop.names import SeedKeys

SEED_KEY_BYTES = 32
"""Minimum length: a shorter key might be guessed from the seeds of runs, which the runs know."""


@dataclass(frozen=True, slots=True)
class Place:
    """Settings of every process, set by helm/rloop/values.yaml."""

    namespace: str
    """The release's own namespace."""
    pod: str
    """This pod's name; the identity in our Lease."""
    watched: tuple[str, ...]
    """Namespaces whose loops are served; empty: all."""
    patrol_seconds: float
    """Seconds between two patrols of the operator; the guard's timeouts are derived from it."""


@dataclass(frozen=True, slots=True)
class Settings(Place):
    """Settings of the operator."""

    gateway_url: str
    llm_proxy_url: str
    """Empty if no provider is configured; the proxy is then not deployed."""
    agent_image: str
    verifier_image: str
    sidecar_image: str
    pull_policy: str
    run_as_user: int
    network_policies: bool
    """Whether the chart created NetworkPolicies, so that each training with several workers needs its own."""


def place() -> Place:
    """The settings of every process. Raises RloopError that names the variable."""
    return Place(
        namespace=_need("RLOOP_NAMESPACE"),
        pod=_need("POD_NAME"),
        watched=tuple(name for name in os.environ.get("RLOOP_WATCH_NAMESPACES", "").split(",") if name),
        patrol_seconds=float(os.environ.get("RLOOP_PATROL_SECONDS", "60")),
    )


def read() -> Settings:
    """The operator's settings. Raises RloopError that names the variable."""
    return Settings(
        **asdict(place()),
        gateway_url=_need("RLOOP_GATEWAY_URL"),
        llm_proxy_url=_need("RLOOP_LLM_PROXY_URL") if os.environ.get("RLOOP_LLM_PROXY_URL") else "",
        agent_image=_need("RLOOP_IMAGE_AGENT"),
        verifier_image=_need("RLOOP_IMAGE_VERIFIER"),
        sidecar_image=_need("RLOOP_IMAGE_SIDECAR"),
        pull_policy=os.environ.get("RLOOP_PULL_POLICY", "IfNotPresent"),
        run_as_user=int(os.environ.get("RLOOP_RUN_AS_USER", "65532")),
        network_policies=os.environ.get("RLOOP_NETWORK_POLICIES", "true") == "true",
    )


def seed_keys() -> SeedKeys:
    """The key of all seeds, which the chart mounts into the operator only. Raises RloopError that names the Secret."""
    path = Path(_need("RLOOP_SEED_KEY_FILE"))
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise RloopError(
            f"the seed key {path} cannot be read: {error.strerror}; see seeds.secret of the chart"
        ) from error
    if len(key) < SEED_KEY_BYTES:
        raise RloopError(
            f"the seed key {path} has {len(key)} bytes; it needs {SEED_KEY_BYTES}: see seeds.secret of the chart"
        )
    return SeedKeys(key, key)


def _need(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise RloopError(f"the environment variable {name} is not set; the Helm chart sets it")
    if "$(" in value:
        raise RloopError(
            f"{name} is {value}: the Service was created after this pod; the next start of the pod corrects it"
        )
    return value
