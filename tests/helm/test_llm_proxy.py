"""What the chart makes for providers of language models: one process that holds the keys, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm.rendering import (
    NO_HELM,
    RELEASE_NAMESPACE,
    Manifest,
    helm,
    rendered,
    restricted_problems,
    template,
)

from rloop_operator.cluster import settings
from rloop_operator.llm_proxy.terms.providers import load

if helm() is None:
    pytest.skip(NO_HELM, allow_module_level=True)

NO_CRDS = "crds.install=false"
MAIN: dict[str, Any] = {
    "name": "main",
    "url": "https://api.example.com/v1",
    "auth": "XApiKey",
    "secret": {"name": "llm-main", "key": "api-key"},
    "namespaces": ["research-*"],
    "models": [
        {
            "name": "small-1",
            "contextTokens": 65536,
            "maxOutputTokens": 8192,
            "prices": {"input": "0.27", "cachedInput": "0.07", "output": "1.10"},
            "fallback": ["small-0"],
        },
        {"name": "small-0"},
    ],
    "limits": {"tokensPerHour": 5_000_000, "costPerHour": "20", "tokensPerSession": 400_000, "costPerSession": "2"},
    "retry": {"totalSeconds": 120, "firstTokenSeconds": 90, "idleSeconds": 60},
}
HOUSE = {"name": "house", "url": "http://vllm.models:8000/v1", "models": [{"name": "org/big-7b"}]}
PROVIDERS = f"llm.providers={json.dumps([MAIN, HOUSE])}"


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return rendered(NO_CRDS, PROVIDERS)


def named(manifests: list[Manifest], kind: str, name: str, namespace: str = RELEASE_NAMESPACE) -> Manifest:
    (found,) = [
        one
        for one in manifests
        if (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) == (kind, name, namespace)
    ]
    return found


def pod(manifests: list[Manifest], component: str) -> Manifest:
    spec: Manifest = named(manifests, "StatefulSet", f"rloop-{component}")["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[Manifest], component: str) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in pod(manifests, component)["containers"][0]["env"]}


def test_without_providers_there_is_no_proxy_and_nobody_is_told_of_one() -> None:
    without = rendered(NO_CRDS)
    assert "proxy" not in json.dumps([one for one in without if one["kind"] != "NetworkPolicy"]).lower()
    assert "RLOOP_LLM_PROXY_URL" not in environment(without, "operator")


def test_the_proxy_reads_the_providers_as_the_values_have_them(manifests: list[Manifest], tmp_path: Path) -> None:
    text = named(manifests, "ConfigMap", "rloop-providers")["data"]["providers.yaml"]
    (tmp_path / "providers.yaml").write_text(text)
    main, house = load(tmp_path / "providers.yaml").providers
    expected = {key: value for key, value in MAIN.items() if key != "secret"}
    told = main.model_dump(by_alias=True, exclude_none=True)
    told["models"][1].pop("fallback")
    assert told == expected | {"keyFile": "/etc/rloop/llm/main/key"}
    assert (house.key_file, house.key_env) == (None, None)


def test_only_the_proxy_mounts_a_key_and_none_stands_in_its_environment(manifests: list[Manifest]) -> None:
    spec = pod(manifests, "proxy")
    (container,) = spec["containers"]
    assert container["command"] == ["python", "-m", "rloop_operator.cluster.llm_proxy"]
    assert restricted_problems(spec) == []
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    secrets = [one for one in spec["volumes"] if "secret" in one]
    items = [{"key": "api-key", "path": "key"}]
    secret = {"secretName": "llm-main", "optional": True, "defaultMode": 0o440, "items": items}
    assert secrets == [{"name": "key-main", "secret": secret}]
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts["key-main"] == {"name": "key-main", "mountPath": "/etc/rloop/llm/main", "readOnly": True}
    assert mounts["providers"]["mountPath"] == "/etc/rloop/providers"
    others = [one for one in manifests if one["kind"] == "StatefulSet" and one["metadata"]["name"] != "rloop-proxy"]
    assert len(others) == 3
    assert "llm-main" not in json.dumps(others)
    assert "secretKeyRef" not in json.dumps(manifests)


def test_a_change_of_providers_starts_the_proxy_anew(manifests: list[Manifest]) -> None:
    def mark(made: list[Manifest]) -> str:
        proxy = named(made, "StatefulSet", "rloop-proxy")
        found: str = proxy["spec"]["template"]["metadata"]["annotations"]["rloop.dev/providers"]
        return found

    assert mark(manifests) != mark(rendered(NO_CRDS, f"llm.providers={json.dumps([HOUSE])}"))


def test_the_proxy_may_read_what_sessions_may_spend_and_write_what_they_have(manifests: list[Manifest]) -> None:
    assert named(manifests, "Role", "rloop-proxy", "default")["rules"] == [
        {"apiGroups": ["rloop.dev"], "resources": ["researchloops"], "verbs": ["get"]},
        {"apiGroups": ["rloop.dev"], "resources": ["researchiterations"], "verbs": ["get", "list"]},
        {"apiGroups": ["rloop.dev"], "resources": ["researchiterations/status"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]
    here = [one for one in manifests if one["kind"] == "Role" and one["metadata"]["namespace"] == RELEASE_NAMESPACE]
    assert "rloop-proxy" not in {one["metadata"]["name"] for one in here}
    (reviews,) = [one for one in manifests if one["kind"] == "ClusterRoleBinding"]
    assert {one["name"] for one in reviews["subjects"]} == {"rloop-gateway", "rloop-proxy"}
    wide = rendered(NO_CRDS, PROVIDERS, "rbac.clusterWide=true")
    (role,) = [one for one in wide if one["kind"] == "ClusterRole" and "rloop-proxy" in one["metadata"]["name"]]
    assert role["rules"] == named(manifests, "Role", "rloop-proxy", "default")["rules"]


def test_the_operator_may_restart_it_and_knows_its_address(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = named(manifests, "Role", "rloop-operator")["rules"]
    assert [one["resourceNames"] for one in rules if one["resources"] == ["pods"]] == [
        ["rloop-gateway-0", "rloop-guard-0", "rloop-proxy-0"]
    ]
    told = environment(manifests, "operator")
    assert told["RLOOP_LLM_PROXY_URL"] == "http://$(RLOOP_PROXY_SERVICE_HOST):$(RLOOP_PROXY_SERVICE_PORT)"
    for name, value in told.items():
        ready = value.replace("$(RLOOP_PROXY_SERVICE_HOST)", "10.96.0.8").replace("$(RLOOP_PROXY_SERVICE_PORT)", "8080")
        monkeypatch.setenv(name, ready.replace("$(RLOOP_GATEWAY_SERVICE_", "(") or "x")
    assert settings.read().llm_proxy_url == "http://10.96.0.8:8080"
    monkeypatch.delenv("RLOOP_LLM_PROXY_URL")
    assert settings.read().llm_proxy_url == ""
    given = rendered(NO_CRDS, PROVIDERS, 'llm.url="http://[fd00::1]:8080"')
    assert environment(given, "operator")["RLOOP_LLM_PROXY_URL"] == "http://[fd00::1]:8080"
    service = named(manifests, "Service", "rloop-proxy")["spec"]
    assert (service["type"], [one["port"] for one in service["ports"]]) == ("ClusterIP", [8080])


def test_agents_reach_gateway_and_proxy_and_the_proxy_its_providers(manifests: list[Manifest]) -> None:
    agent = named(manifests, "NetworkPolicy", "rloop-agent", "default")["spec"]
    reached = [rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in agent["egress"]]
    assert reached == ["gateway", "proxy"]
    assert all(rule["ports"] == [{"protocol": "TCP", "port": 8080}] for rule in agent["egress"])
    experiment = named(manifests, "NetworkPolicy", "rloop-experiment", "default")["spec"]
    assert "proxy" not in json.dumps(experiment)
    own = named(manifests, "NetworkPolicy", "rloop-proxy")["spec"]
    labels = named(manifests, "StatefulSet", "rloop-proxy")["spec"]["template"]["metadata"]["labels"]
    assert own["podSelector"]["matchLabels"].items() <= labels.items()
    assert own["egress"] == [{}]
    calls, health = own["ingress"]
    assert calls["from"][0]["podSelector"]["matchLabels"] == {"rloop.dev/role": "agent"}
    assert [one["port"] for one in (*calls["ports"], *health["ports"])] == [8080, 8081]


@pytest.mark.parametrize(
    ("change", "named_in_error"),
    [
        ({"url": "https://me:secret@api.example.com/v1"}, "url"),
        ({"url": "api.example.com"}, "url"),
        ({"key": "sk-123"}, "key"),
        ({"keyFile": "/etc/passwd"}, "keyFile"),
        ({"keyEnv": "HOME"}, "keyEnv"),
        ({"name": "any"}, "name"),
        ({"secret": {"name": "llm-main"}}, "key"),
        ({"models": []}, "models"),
        ({"models": [{"name": "a", "prices": {"input": 0.27, "output": "1"}}]}, "input"),
        ({"limits": {"costPerHour": 20}}, "costPerHour"),
        ({"limits": {"tokensPerHour": 0}}, "tokensPerHour"),
    ],
)
def test_a_wrong_provider_is_refused_and_named(change: dict[str, Any], named_in_error: str) -> None:
    done = template(f"llm.providers={json.dumps([MAIN | change])}")
    assert done.returncode != 0
    assert named_in_error in done.stderr


def test_the_example_in_the_values_is_one_that_works() -> None:
    lines = (Path(__file__).parents[2] / "helm/rloop/values.yaml").read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.strip() == "# - name: main")
    end = next(index for index, line in enumerate(lines) if line.strip() == "providers: []")
    example = yaml.safe_load("\n".join(line.removeprefix("  # ") for line in lines[start:end]))
    assert template(NO_CRDS, f"llm.providers={json.dumps(example)}").returncode == 0
