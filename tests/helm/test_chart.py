"""The chart renders what the processes need, and no more rights than that."""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm.rendering import (
    CHART,
    NO_HELM,
    RELEASE_NAMESPACE,
    ROOT,
    Manifest,
    helm,
    pod_specs,
    rendered,
    restricted_problems,
    rules,
    run,
    template,
)

from rloop.crd.definitions import KINDS
from rloop_operator.cluster import settings
from rloop_operator.cluster.kube import lease
from rloop_operator.cluster.watchdog import ping

if helm() is None:
    pytest.skip(NO_HELM, allow_module_level=True)

NO_CRDS = "crds.install=false"
CLUSTER_WIDE = "rbac.clusterWide=true"
PROCESSES = ("operator", "gateway", "guard")
TWO = 'watchNamespaces=["team-a", "team-b"]'


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return rendered(NO_CRDS)


@pytest.fixture(scope="module")
def cluster_wide() -> list[Manifest]:
    return rendered(NO_CRDS, CLUSTER_WIDE, TWO)


def named(manifests: list[Manifest], kind: str, name: str, namespace: str | None = None) -> Manifest:
    found = [
        one
        for one in manifests
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
        and namespace in (None, one["metadata"].get("namespace"))
    ]
    assert len(found) == 1, (kind, name, namespace)
    return found[0]


def test_helm_lint_finds_nothing() -> None:
    done = run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pod_passes_restricted_and_writes_no_root_file_system(manifests: list[Manifest]) -> None:
    specs = pod_specs(manifests)
    assert len(specs) == 3
    for spec in specs:
        assert restricted_problems(spec) == []
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in spec["containers"])


def test_the_check_of_pods_would_see_a_weak_one(manifests: list[Manifest]) -> None:
    def weakened(change: dict[str, Any]) -> Manifest:
        spec: Manifest = json.loads(json.dumps(pod_specs(manifests)[0]))
        spec["containers"][0]["securityContext"] |= change
        return spec

    changes: list[dict[str, Any]] = [
        {"runAsUser": 0},
        {"runAsNonRoot": False},
        {"allowPrivilegeEscalation": True},
        {"capabilities": {"drop": []}},
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
        {"seccompProfile": {"type": "Unconfined"}},
    ]
    for change in changes:
        assert restricted_problems(weakened(change)), change
    assert restricted_problems(pod_specs(manifests)[0] | {"hostNetwork": True})
    assert restricted_problems(pod_specs(manifests)[0] | {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]})


@pytest.mark.parametrize("sets", [(), (CLUSTER_WIDE, TWO)])
def test_no_rule_has_a_wildcard_a_secret_or_a_way_in(sets: tuple[str, ...]) -> None:
    for role, rule in rules(rendered(NO_CRDS, *sets)):
        assert "*" not in json.dumps(rule), role
        assert set(rule) <= {"apiGroups", "resources", "verbs", "resourceNames"}, role
        forbidden = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "nodes"}
        assert not forbidden & set(rule["resources"]), role
        assert not {"deletecollection", "escalate", "bind", "impersonate"} & set(rule["verbs"]), role


def test_nobody_writes_what_users_have_written(cluster_wide: list[Manifest]) -> None:
    writing = {"create", "update", "patch", "delete"}
    for role, rule in rules(cluster_wide):
        if "researchloops" in rule["resources"]:
            assert not writing & set(rule["verbs"]), role


def rights(*verbs: str, group: str = "coordination.k8s.io", of: str = "leases", named: tuple[str, ...]) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": [of], "verbs": list(verbs)}
    return rule | ({"resourceNames": list(named)} if named else {})


@pytest.mark.parametrize("sets", [(), (CLUSTER_WIDE, TWO)])
def test_in_the_releases_namespace_two_processes_keep_each_other_alive_and_can_do_nothing_else(
    sets: tuple[str, ...],
) -> None:
    made = rendered(NO_CRDS, *sets)
    here = [one for one in made if one["kind"] == "Role" and one["metadata"]["namespace"] == RELEASE_NAMESPACE]
    keeps = {"rloop-operator": ("rloop-gateway-0", "rloop-guard-0"), "rloop-guard": ("rloop-operator-0",)}
    leases = {"rloop-operator": lease.OPERATOR, "rloop-guard": lease.GUARD}
    others = {"rloop-operator": lease.GUARD, "rloop-guard": lease.OPERATOR}
    found = {one["metadata"]["name"]: one["rules"] for one in here}
    assert found == {
        name: [
            rights("create", named=()),
            rights("get", "patch", named=(leases[name], ping.LEASE)),
            rights("get", named=(others[name],)),
            rights("get", "delete", group="", of="pods", named=pods),
            rights("get", "create", "patch", group="", of="events", named=()),
        ]
        for name, pods in keeps.items()
    }
    for name in keeps:
        (subject,) = named(made, "RoleBinding", name, RELEASE_NAMESPACE)["subjects"]
        assert (subject["name"], subject["namespace"]) == (name, RELEASE_NAMESPACE)


def test_the_guard_reads_loops_and_touches_nothing_of_theirs(manifests: list[Manifest]) -> None:
    assert named(manifests, "Role", "rloop-guard", "default")["rules"] == [
        {"apiGroups": ["rloop.dev"], "resources": ["researchloops"], "verbs": ["get", "list"]}
    ]


def test_rights_end_at_the_watched_namespaces() -> None:
    two = rendered(NO_CRDS, TWO)
    cluster_roles = [one["metadata"]["name"] for one in two if one["kind"] == "ClusterRole"]
    assert cluster_roles == [f"rloop-tokenreview:{RELEASE_NAMESPACE}"]
    for namespace in ("team-a", "team-b"):
        for component in PROCESSES:
            named(two, "Role", f"rloop-{component}", namespace)
            binding = named(two, "RoleBinding", f"rloop-{component}", namespace)
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": f"rloop-{component}", "namespace": RELEASE_NAMESPACE}
            ]
    assert {one["metadata"].get("namespace") for one in two} == {None, RELEASE_NAMESPACE, "team-a", "team-b"}


def test_one_switch_serves_all_namespaces(manifests: list[Manifest], cluster_wide: list[Manifest]) -> None:
    for component in PROCESSES:
        here = named(manifests, "Role", f"rloop-{component}", "default")["rules"]
        assert named(cluster_wide, "ClusterRole", f"rloop-{component}:{RELEASE_NAMESPACE}")["rules"] == here
    assert not [one for one in cluster_wide if one["kind"] == "Role" and one["metadata"]["namespace"] == "team-a"]


def test_the_token_review_can_be_granted_by_somebody_else() -> None:
    without = rendered(NO_CRDS, "rbac.tokenReview=false")
    assert [one["kind"] for one in without if one["kind"].startswith("Cluster")] == []


def environment(manifests: list[Manifest], component: str) -> dict[str, str]:
    spec = named(manifests, "StatefulSet", f"rloop-{component}")["spec"]["template"]["spec"]
    return {one["name"]: one.get("value", "from the pod") for one in spec["containers"][0]["env"]}


@pytest.mark.parametrize("component", PROCESSES)
def test_a_process_is_told_all_that_it_reads(
    manifests: list[Manifest], component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = environment(manifests, component)
    for name in list(os.environ):
        if name.startswith("RLOOP_"):
            monkeypatch.delenv(name)
    # As the kubelet does, which knows the Service.
    for name, value in told.items():
        monkeypatch.setenv(
            name,
            value.replace("$(RLOOP_GATEWAY_SERVICE_HOST)", "10.96.0.7").replace(
                "$(RLOOP_GATEWAY_SERVICE_PORT)", "8080"
            ),
        )
    read = settings.read()
    assert read.watched == ("default",)
    assert read.gateway_url == "http://10.96.0.7:8080"
    assert read.sidecar_image == "rloop.test/rloop-sidecar:dev"
    assert (read.pull_policy, read.run_as_user, read.patrol_seconds) == ("IfNotPresent", 65532, 60)
    assert settings.place().patrol_seconds == read.patrol_seconds


def test_all_namespaces_is_said_by_an_empty_list(cluster_wide: list[Manifest]) -> None:
    assert environment(cluster_wide, "operator")["RLOOP_WATCH_NAMESPACES"] == ""


def test_the_gateway_is_named_by_an_address_that_needs_no_dns(manifests: list[Manifest]) -> None:
    service = named(manifests, "Service", "rloop-gateway")
    assert service["spec"]["type"] == "ClusterIP"
    assert [port["port"] for port in service["spec"]["ports"]] == [8080]
    url = environment(manifests, "operator")["RLOOP_GATEWAY_URL"]
    # The kubelet's own variables of that Service.
    assert url == "http://$(RLOOP_GATEWAY_SERVICE_HOST):$(RLOOP_GATEWAY_SERVICE_PORT)"
    given = rendered(NO_CRDS, 'gateway.url="https://gateway.example.org"')
    assert environment(given, "operator")["RLOOP_GATEWAY_URL"] == "https://gateway.example.org"


def test_a_process_is_one_small_pod_with_probes(manifests: list[Manifest]) -> None:
    for component in PROCESSES:
        spec = named(manifests, "StatefulSet", f"rloop-{component}")["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert spec["replicas"] == 1
        assert container["command"] == ["python", "-m", f"rloop_operator.cluster.{component}"]
        assert int(container["resources"]["requests"]["cpu"].removesuffix("m")) <= 50
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        asked = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        for probe, path in asked.items():
            get = container[probe]["httpGet"]
            assert (get["path"], ports[get["port"]]) == (path, 8081)
        scraped = spec["template"]["metadata"]["annotations"]
        assert scraped == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(ports["health"]),
            "prometheus.io/path": "/metrics",
        }
        service = named(manifests, "Service", spec["serviceName"])
        assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_pods_of_loops_have_accounts_without_tokens_or_rights(manifests: list[Manifest]) -> None:
    bound = {s["name"] for one in manifests if one["kind"].endswith("Binding") for s in one["subjects"]}
    for account in ("rloop-agent", "rloop-experiment", "rloop-verifier"):
        assert named(manifests, "ServiceAccount", account, "default")["automountServiceAccountToken"] is False
        assert account not in bound


def test_the_accounts_are_those_that_the_pods_use(manifests: list[Manifest]) -> None:
    made = {one["metadata"]["name"] for one in manifests if one["kind"] == "ServiceAccount"}
    text = (ROOT / "operator/rloop_operator/cluster/workloads/pod_manifests.py").read_text()
    assert set(re.findall(r"_pod_spec\(\"(rloop-\w+)\"", text)) <= made


def policies(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"}


def test_a_loops_pod_reaches_what_it_must_and_a_verifier_nothing(manifests: list[Manifest]) -> None:
    found = policies(manifests)
    assert found["rloop-deny"] == {
        "podSelector": {"matchExpressions": [{"key": "rloop.dev/loop", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
    }
    selected = {name: spec["podSelector"].get("matchLabels") for name, spec in found.items()}
    assert selected == {
        "rloop-deny": None,
        "rloop-agent": {"rloop.dev/role": "agent"},
        "rloop-experiment": {"rloop.dev/role": "run"},
    }
    (to_gateway,) = found["rloop-agent"]["egress"]
    (peer,) = to_gateway["to"]
    gateway = named(manifests, "StatefulSet", "rloop-gateway")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= gateway.items()
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": RELEASE_NAMESPACE}
    assert to_gateway["ports"] == [{"protocol": "TCP", "port": 8080}]
    # Nobody comes in: not even another run of the same campaign.
    assert found["rloop-experiment"]["policyTypes"] == ["Egress"]
    gateway_too, dns = found["rloop-experiment"]["egress"]
    assert gateway_too == to_gateway
    assert {port["port"] for port in dns["ports"]} == {53}


@pytest.mark.parametrize(("enabled", "verbs"), [("true", ["create", "patch"]), ("false", None)])
def test_policies_can_be_left_to_somebody_else(enabled: str, verbs: list[str] | None) -> None:
    made = rendered(NO_CRDS, f"networkPolicy.enabled={enabled}")
    assert bool(policies(made)) == (enabled == "true")
    assert environment(made, "operator")["RLOOP_NETWORK_POLICIES"] == enabled
    given = {name: rule["verbs"] for name, rule in rules(made) if rule["resources"] == ["networkpolicies"]}
    assert given == ({} if verbs is None else {"rloop-operator": verbs})


def test_a_pod_that_is_not_ready_is_replaced_when_a_value_was_corrected(manifests: list[Manifest]) -> None:
    """OrderedReady would wait for ever until it is ready."""
    sets = [one["spec"] for one in manifests if one["kind"] == "StatefulSet"]
    assert [one["podManagementPolicy"] for one in sets] == ["Parallel"] * len(PROCESSES)


def test_what_is_fine_prints_no_complaint() -> None:
    done = template(NO_CRDS)
    assert (done.returncode, done.stderr) == (0, "")
    lint = run("lint", "--strict", str(CHART))
    assert "funcMap fail" not in lint.stdout + lint.stderr


def test_crds_are_kept_and_can_be_left_out() -> None:
    crds = [one for one in rendered() if one["kind"] == "CustomResourceDefinition"]
    assert len(crds) == len(KINDS)
    for crd in crds:
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        file = ROOT / f"crds/rloop.dev_{crd['spec']['names']['plural']}.yaml"
        assert crd == yaml.safe_load(file.read_text())
    assert not [one for one in rendered(NO_CRDS) if one["kind"] == "CustomResourceDefinition"]


@pytest.mark.parametrize(
    ("wrong", "named_in_error"),
    [
        ('watchNamespace=["a"]', "watchNamespace"),
        ('watchNamespaces="default"', "watchNamespaces"),
        ('watchNamespaces=["Not_A_Name"]', "watchNamespaces"),
        ('images.tag="a b"', "tag"),
        ('images.pullPolicy="Sometimes"', "pullPolicy"),
        ("runAsUser=0", "runAsUser"),
        ('rbac.clusterWide="yes"', "clusterWide"),
        ('gateway.url="gateway:8080"', "url"),
        ('resources.operator.requests={"cpu": "much"}', "cpu"),
        ("replicas=2", "replicas"),
        ("watchdog.patrolSeconds=1", "patrolSeconds"),
    ],
)
def test_a_wrong_value_is_refused_and_named(wrong: str, named_in_error: str) -> None:
    done = template(wrong)
    assert done.returncode != 0
    assert named_in_error in done.stderr


def test_what_would_be_unsafe_or_useless_is_refused_with_a_remedy() -> None:
    nothing = template("watchNamespaces=[]")
    assert (nothing.returncode != 0, "rbac.clusterWide" in nothing.stderr) == (True, True)
    own = template(namespace="default")
    assert (own.returncode != 0, "mount its Secrets" in own.stderr) == (True, True)
    assert template("watchNamespaces=[]", CLUSTER_WIDE).returncode == 0


def test_images_by_prefix_or_by_digest() -> None:
    made = rendered(
        'images.prefix="registry.example.org/team/"', 'images.tag="1.0"', 'images.agent="other/agent@sha256:1"'
    )
    told = environment(made, "operator")
    assert told["RLOOP_IMAGE_VERIFIER"] == "registry.example.org/team/rloop-verifier:1.0"
    assert told["RLOOP_IMAGE_AGENT"] == "other/agent@sha256:1"
    assert pod_specs(made)[0]["containers"][0]["image"] == "registry.example.org/team/rloop-operator:1.0"


def test_every_value_stands_in_the_schema_and_has_a_default() -> None:
    values = yaml.safe_load(Path(CHART / "values.yaml").read_text())
    schema = json.loads(Path(CHART / "values.schema.json").read_text())

    def compare(value: Any, part: dict[str, Any], where: str) -> None:
        if isinstance(value, dict) and "properties" in part:
            assert set(value) == set(part["properties"]) - {"global"}, where
            for key, inner in value.items():
                compare(inner, part["properties"][key], f"{where}.{key}")

    compare(values, schema, "values")


def test_only_the_operator_holds_the_key_of_seeds(manifests: list[Manifest]) -> None:
    secret = named(manifests, "Secret", "rloop-seed-key")
    assert len(base64.b64decode(secret["data"]["key"])) >= settings.SEED_KEY_BYTES
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    using = [spec["serviceAccountName"] for spec in pod_specs(manifests) if "rloop-seed-key" in json.dumps(spec)]
    assert using == ["rloop-operator"]
    own = rendered(NO_CRDS, 'seeds.secret="mine"')
    assert [one for one in own if one["kind"] == "Secret"] == []
    assert [spec["serviceAccountName"] for spec in pod_specs(own) if '"mine"' in json.dumps(spec)] == ["rloop-operator"]
