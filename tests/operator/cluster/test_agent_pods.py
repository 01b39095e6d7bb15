"""The pod of a session: our agent, or the image of the user's own under the same rights."""

from typing import Any

import pytest
from tests.operator.cluster.test_golden import SETTINGS
from tests.support import builders

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cluster import pods

OWN = {"image": "registry.example/agent:1", "command": ["./agent", "--price", "$5"]}
POLICY = {"policy": {"name": "random-search", "seed": 3}}


def rendered(agent: dict[str, Any]) -> dict[str, Any]:
    document = builders.manifest()
    document["spec"]["agent"] = agent
    workload = Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 60, session="demo-i0001-s1")
    return pods.agent(ResearchLoop.model_validate(document), workload, {"name": "demo"}, SETTINGS)


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}


def test_an_agent_of_the_users_own_differs_from_ours_in_image_and_command_only() -> None:
    own, ours = rendered(OWN), rendered(POLICY)
    container = own["spec"]["containers"][0]
    assert container["image"] == "registry.example/agent:1"
    assert container["command"] == ["./agent", "--price", "$$5"]  # Kubernetes makes one $ of two
    policy = {"RLOOP_POLICY": "random-search", "RLOOP_POLICY_SEED": "3"}
    assert environment(ours) == environment(own) | policy
    assert environment(own)["RLOOP_TOKEN_FILE"] == "/var/run/secrets/rloop/token"
    for pod in (own, ours):
        for name in ("image", "command", "env"):
            pod["spec"]["containers"][0].pop(name, None)
    assert own == ours


@pytest.mark.parametrize("agent", [POLICY, {"image": "registry.example/agent:1"}])
def test_without_a_command_the_images_own_entrypoint_runs(agent: dict[str, Any]) -> None:
    assert "command" not in rendered(agent)["spec"]["containers"][0]
