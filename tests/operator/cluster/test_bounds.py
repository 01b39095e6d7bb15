"""Every pod is bounded in memory and disk, whatever the spec says of resources: no run fills a node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.cluster.test_golden import SETTINGS
from tests.support import builders

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cluster.workloads import job_manifests, pod_manifests, pod_parts

RUN = Workload("demo-b01-r1-a1", "run", "demo-b01", 60, run=1, kind="baseline")
SCORING = Workload("demo-b01-r1-v1", "verification", "demo-b01", 60, run=1, kind="baseline")
AGENT = Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 60, session="demo-i0001-s1")
OWNER = {"name": "demo"}

amounts = st.dictionaries(
    st.sampled_from(["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"]), st.sampled_from(["1", "2"]), max_size=4
)
resources = st.fixed_dictionaries({}, optional={"requests": amounts, "limits": amounts})


def rendered(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The specs of all kinds of pods, where the spec asks for these resources."""
    document = builders.manifest(
        experiment__image="python",
        experiment__resources=asked,
        experiment__preflight=["true"],
        evaluation__resources=asked,
        agent={"policy": {"name": "random-search", "seed": 1}, "resources": asked},
    )
    loop = ResearchLoop.model_validate(document)
    attempt = job_manifests.Attempt(loop, RUN, SETTINGS, {"demo-task": "0" * 64})
    made: list[dict[str, Any]] = [
        job_manifests.job(attempt, OWNER)["spec"]["template"]["spec"],
        pod_manifests.verifier(loop, SCORING, OWNER, SETTINGS, "demo-evaluation", "0" * 64)["spec"],
        pod_manifests.agent(loop, AGENT, OWNER, SETTINGS)["spec"],
    ]
    return made


@given(resources)
def test_every_container_and_scratch_volume_has_a_bound(asked: dict[str, Any]) -> None:
    said = {**asked.get("requests", {}), **asked.get("limits", {})}
    for spec in rendered(asked):
        for container in (
            [*spec["initContainers"], *spec["containers"]] if "initContainers" in spec else spec["containers"]
        ):
            limits, requests = container["resources"].get("limits", {}), container["resources"].get("requests", {})
            for key in ("memory", pod_parts.DISK):
                assert key in limits or key in said, container["name"]
                # Without a request Kubernetes would take the limit for it, and no node has that much to set aside.
                assert key not in limits or key in requests or key in said
        for volume in spec["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], volume["name"]


@pytest.mark.parametrize(
    ("asked", "memory", "disk"),
    [
        pytest.param({}, "4Gi", "10Gi", id="nothing is asked for"),
        pytest.param({"requests": {"cpu": "2"}}, "4Gi", "10Gi", id="only CPUs"),
        pytest.param({"limits": {"nvidia.com/gpu": "2"}}, "128Gi", "10Gi", id="GPUs come with memory"),
        pytest.param({"limits": {"memory": "7Gi", "ephemeral-storage": "50Gi"}}, "7Gi", "50Gi", id="the spec says so"),
        pytest.param({"requests": {"memory": "7Gi"}}, None, "10Gi", id="a request without limit is the user's choice"),
    ],
)
def test_a_run_has_what_the_spec_says_or_a_default(asked: dict[str, Any], memory: str | None, disk: str) -> None:
    limits = rendered(asked)[0]["containers"][0]["resources"]["limits"]
    assert (limits.get("memory"), limits[pod_parts.DISK]) == (memory, disk)


def test_a_scoring_has_room_for_the_artifact() -> None:
    document = builders.manifest(experiment__image="python", experiment__maxArtifactBytes=30 * 2**30 + 1)
    spec = pod_manifests.verifier(
        ResearchLoop.model_validate(document), SCORING, OWNER, SETTINGS, "demo-evaluation", "0" * 64
    )
    sizes = {one["name"]: one["emptyDir"]["sizeLimit"] for one in spec["spec"]["volumes"] if "emptyDir" in one}
    assert sizes == {"tmp": "41Gi", "shm": "4Gi", "code": "41Gi", "artifacts": "41Gi"}
