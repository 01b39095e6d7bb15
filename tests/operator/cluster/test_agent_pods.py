"""The pod of a session: our agent, or the image of the user's own under the same rights."""

from typing import Any

import pytest
from tests.operator.cluster.test_golden import SETTINGS
from tests.support import builders

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cluster.workloads import pod_manifests, pod_parts

LLM = {"llm": {"provider": "main", "model": "small-1"}}
OWN = {"image": "registry.example/agent:1", "command": ["./agent", "--price", "$5"]}
POLICY = {"policy": {"name": "random-search", "seed": 3}}


def rendered(agent: dict[str, Any]) -> dict[str, Any]:
    document = builders.manifest()
    document["spec"]["agent"] = agent
    workload = Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 60, session="demo-i0001-s1")
    return pod_manifests.agent(ResearchLoop.model_validate(document), workload, {"name": "demo"}, SETTINGS)


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}


def test_an_agent_of_the_users_own_differs_from_ours_in_image_and_command_only() -> None:
    own, ours = rendered(OWN), rendered(LLM)
    container = own["spec"]["containers"][0]
    assert container["image"] == "registry.example/agent:1"
    assert container["command"] == ["./agent", "--price", "$$5"]  # Kubernetes makes one $ of two
    model = {"RLOOP_LLM_PROXY": "http://10.96.0.11:8080/v1", "RLOOP_LLM_MODEL": "small-1"}
    assert environment(ours) == environment(own) | model
    assert environment(own)["RLOOP_TOKEN_FILE"] == "/var/run/secrets/rloop/token"
    for pod in (own, ours):
        for name in ("image", "command", "env"):
            pod["spec"]["containers"][0].pop(name, None)
    assert own == ours


@pytest.mark.parametrize("agent", [POLICY, LLM, OWN])
def test_an_agent_has_what_the_loop_says_or_little(agent: dict[str, Any]) -> None:
    asked = {"limits": {"memory": "4Gi", "cpu": "2"}}
    disk = {"requests": {"ephemeral-storage": "0"}, "limits": {**asked["limits"], "ephemeral-storage": "1Gi"}}
    assert rendered(agent | {"resources": asked})["spec"]["containers"][0]["resources"] == disk
    assert rendered(agent)["spec"]["containers"][0]["resources"] == pod_parts.SMALL


@pytest.mark.parametrize("agent", [POLICY, {"image": "registry.example/agent:1"}])
def test_without_a_command_the_images_own_entrypoint_runs(agent: dict[str, Any]) -> None:
    assert "command" not in rendered(agent)["spec"]["containers"][0]


def test_a_policy_beside_a_model_changes_nothing_in_the_pod() -> None:
    assert rendered(LLM | POLICY) == rendered(LLM)


@pytest.mark.parametrize("agent", [LLM, OWN])
def test_what_may_write_transcripts_has_a_place_of_its_own_on_the_workspace(agent: dict[str, Any]) -> None:
    made = rendered(agent)
    assert environment(made)["RLOOP_TRANSCRIPTS"] == "/rloop/transcripts"
    (mount,) = [one for one in made["spec"]["containers"][0]["volumeMounts"] if one["name"] == "workspace"]
    place = f"{'0' * 32}/transcripts/demo-i0001-s1"
    assert mount == {"name": "workspace", "mountPath": "/rloop/transcripts", "subPath": place}
    assert made["metadata"]["labels"]["rloop.dev/workspace"] == "demo-workspace"
    assert "podAffinity" in made["spec"]["affinity"]


def test_a_policy_needs_neither_workspace_nor_model() -> None:
    made = rendered(POLICY)
    told = environment(made)
    assert (told["RLOOP_POLICY"], told["RLOOP_POLICY_SEED"]) == ("random-search", "3")
    assert not [name for name in told if name.startswith(("RLOOP_LLM", "RLOOP_TRANSCRIPTS"))]
    assert "rloop.dev/workspace" not in made["metadata"]["labels"]
    assert "affinity" not in made["spec"]
    assert [one["name"] for one in made["spec"]["volumes"]] == ["tmp", "shm", "token"]


@pytest.mark.parametrize("agent", [LLM, OWN])
def test_an_agents_only_secret_is_its_own_token(agent: dict[str, Any]) -> None:
    spec = rendered(agent)["spec"]
    assert [one for one in spec["volumes"] if "secret" in one or "projected" in one] == [pod_parts.token_volume()]
    assert spec["automountServiceAccountToken"] is False
    assert not [one for one in spec["containers"][0]["env"] if "valueFrom" in one]


def test_the_users_variables_come_before_ours_and_secrets_stay_with_the_kubelet() -> None:
    key = {"name": "keys", "key": "search"}
    variables = [{"name": "HOME", "value": "$(X)"}, {"name": "KEY", "secretKeyRef": key, "fromEnv": "KEY"}]
    found = rendered(OWN | {"env": variables})["spec"]["containers"][0]["env"]
    assert found[:2] == [
        {"name": "HOME", "value": "$$(X)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": key}},
    ]
    assert [one["name"] for one in found][2:] == [one["name"] for one in rendered(OWN)["spec"]["containers"][0]["env"]]
