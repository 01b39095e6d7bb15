"""Example 01 with the agent that asks a language model, as pods: the provider's key stands in the proxy's Secret only.

The provider is the scripted model server of `tests.models`, in a pod of its own; nothing here is a language model's
result. In mid-session the proxy's pod is deleted: nothing that was spent may be lost with it.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster import whole
from tests.cluster.campaign import Campaign
from tests.cluster.harness import paths
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import until
from tests.cluster.witness import watching

PORT = 8000
PROXY = "rloop-proxy-0"
MODELS = paths.ROOT / "tests" / "models"
PRICES = {"input": "1", "output": "2"}


@pytest.fixture
def key() -> str:
    """The provider's key: a word that stands nowhere else in the world."""
    return f"sk-marker-{secrets.token_hex(16)}"


@pytest.fixture
def provider(cluster: Cluster, key: str) -> Iterator[str]:
    """The URL of a scripted model server that wants the key, in a namespace of its own."""
    name = f"models-{secrets.token_hex(4)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "models", "namespace": name},
        "data": {one.name: one.read_text() for one in sorted(MODELS.glob("*.py"))},
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": name},
        "stringData": {"key": key},
    }
    script = f'sleep infinity | exec python -m tests.models --host 0.0.0.0 --port {PORT} --key "$(cat /key/key)"'
    container = {
        "name": "models",
        "image": f"{releases.PREFIX}agent:{releases.TAG}",
        "command": ["sh", "-c", script],
        "workingDir": "/app",
        "env": [{"name": "PYTHONPATH", "value": "/app"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "code", "mountPath": "/app/tests/models"}, {"name": "key", "mountPath": "/key"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "models", "namespace": name, "labels": {"app": "models"}},
        "spec": {
            "containers": [container],
            "volumes": [
                {"name": "code", "configMap": {"name": "models"}},
                {"name": "key", "secret": {"secretName": "key"}},
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "models", "namespace": name},
        "spec": {"selector": {"app": "models"}, "ports": [{"port": PORT}]},
    }
    releases.load_images(cluster)
    cluster.apply(namespace)
    cluster.apply(files, secret, pod, service)
    cluster.kubectl("-n", name, "wait", "--for=condition=Ready", "--timeout=240s", "pod/models")
    yield f"http://models.{name}.svc.cluster.local:{PORT}/v1"
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def release(cluster: Cluster, namespace: str, provider: str, key: str) -> Iterator[str]:
    """A release with that provider."""
    model = {"name": "researcher", "contextTokens": 65536, "maxOutputTokens": 4096, "prices": PRICES}
    one = {"name": "scripted", "url": provider, "secret": {"name": "scripted", "key": "key"}, "models": [model]}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "scripted"}, "stringData": {"key": key}}
    name = releases.install(cluster, namespace, providers=[one], beside=[secret])
    yield name
    releases.uninstall(cluster, name)


def usage(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """What each session has spent, as the proxy has written it."""
    found = {}
    for one in campaign.children("riter"):
        for told in one.get("status", {}).get("reported", {}).get("usage", []):
            found[told["session"]] = told
    return found


def spent(told: dict[str, Any]) -> int:
    """Tokens, what is set aside included."""
    return int(told["inputTokens"] + told["outputTokens"] + told["heldTokens"])


def tokens(campaign: Campaign) -> int:
    """As the budget counts them."""
    return int(campaign.loop()["status"]["budget"]["used"]["tokens"])


@pytest.mark.timeout(2 * whole.CAMPAIGN_SECONDS, func_only=True)
def test_an_llm_agent_meets_the_target_and_its_key_is_nowhere_else(
    cluster: Cluster, namespace: str, release: str, key: str
) -> None:
    campaign = Campaign(cluster, namespace, "kuhn-selfplay", "01-kuhn-selfplay")
    llm = {"provider": "scripted", "model": "researcher", "maxTokensPerSession": 2_000_000}
    with watching(campaign, "pods", "jobs") as seen:
        campaign.start(parallelism=4, agent={"policy": None, "llm": llm}, budget={"tokens": 50_000_000, "cost": "200"})
        status, before = _through_the_proxys_end(campaign, release)
        whole.assert_nothing_ran_twice(campaign, seen)
        agents = seen.children("pods", "agent")
    assert agents
    assert all(whole.token_holders(pod) == {"agent"} for pod in agents)
    assert status["final"]["value"] < 0.05
    # What was set aside for a session is given back at its end, which may be after the campaign's.
    until(
        campaign,
        "told what all sessions have spent",
        lambda: tokens(campaign) == sum(map(spent, usage(campaign).values())),
    )
    after = usage(campaign)
    assert all(spent(after[session]) >= told["inputTokens"] + told["outputTokens"] for session, told in before.items())
    assert tokens(campaign) > 0
    assert float(status["budget"]["used"]["cost"]) > 0
    assert places_of(cluster, namespace, release, key) == []


def _through_the_proxys_end(campaign: Campaign, release: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The final status of a campaign whose proxy was deleted in mid-session, and what was spent until then."""
    until(campaign, "a session that has called", lambda: any(one["calls"] for one in usage(campaign).values()))
    before = usage(campaign)
    campaign.cluster.kubectl("-n", release, "delete", "pod", PROXY, "--grace-period=0", "--force")
    return whole.finish(campaign, release)["status"], before


def places_of(cluster: Cluster, namespace: str, release: str, key: str) -> list[str]:
    """Where the key can be read, but for the Secret: objects, logs, and files of the workspaces."""
    workspaces = (paths.state() / "volumes").rglob("*") if cluster.own else ()
    found = [str(file) for file in workspaces if file.is_file() and key.encode() in file.read_bytes()]
    kinds = "rloop,riter,rexp,pods,jobs,configmaps,events,statefulsets,leases,services,serviceaccounts"
    for where in (namespace, release):
        for kind in kinds.split(","):
            listed = cluster.get(kind, "-n", where)["items"]
            found += [f"{where}: {kind} {one['metadata']['name']}" for one in listed if key in json.dumps(one)]
        for pod in cluster.get("pods", "-n", where)["items"]:
            name = pod["metadata"]["name"]
            if key in cluster.kubectl("-n", where, "logs", name, "--all-containers", "--ignore-errors"):
                found.append(f"{where}: log of {name}")
    return found
