"""The command line against a real API server: loops that no operator serves, written as one would write them."""

import base64
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import pods, release
from tests.cluster.harness.cluster import Cluster
from tests.operator.cli.conftest import PROPOSED, STATUS, condition, objects
from tests.support.builders import manifest
from typer.testing import CliRunner

from rloop import names
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop_operator.cli.main import app
from rloop_operator.cluster.storage.archive import pack
from rloop_operator.cluster.storage.store import ARCHIVE
from rloop_operator.ports import File


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    """The CRDs of the checkout."""
    release.apply_definitions(cluster)


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    returncode: int
    stdout: str
    stderr: str


Rloop = Callable[..., Done]


@pytest.fixture
def rloop(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rloop:
    """The command in an empty folder, with the administrator's kubeconfig; in this process, which starts it faster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)

    def call(*arguments: str) -> Done:
        done = CliRunner().invoke(app, arguments)
        return Done(done.exit_code, done.stdout, done.stderr)

    return call


def applied(cluster: Cluster, namespace: str, name: str = "demo", **status: Any) -> None:
    """A loop with this status."""
    document = manifest() | {"metadata": {"name": name, "namespace": namespace}}
    cluster.apply(document)
    _patch_status(cluster, namespace, f"rloop/{name}", STATUS | status)


def children(cluster: Cluster, namespace: str) -> None:
    """The iterations and experiments of the campaign `demo`, and the files of one."""
    iterations, experiments = objects()
    made: list[ResearchIteration | ResearchExperiment] = [*iterations, *experiments]
    for one in made:
        document = one.model_dump(mode="json", by_alias=True, exclude_none=True)
        kept = {"name": one.metadata.name, "namespace": namespace, "labels": names.labels("demo", "record")}
        cluster.apply({**document, "metadata": kept})
        _patch_status(cluster, namespace, f"{one.kind}/{one.metadata.name}", document["status"])
    for name, content in (("demo-task", b'{"rate": 1}\n'), ("demo-i0001-e1", PROPOSED)):
        archive = base64.b64encode(pack({"recipe.json": File(content)})).decode()
        metadata = {"name": name, "namespace": namespace}
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {ARCHIVE: archive}})


def _patch_status(cluster: Cluster, namespace: str, what: str, status: dict[str, Any]) -> None:
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", what, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


def test_a_loop_is_read_as_a_run_folder_is(cluster: Cluster, namespace: str, rloop: Rloop) -> None:
    degraded = condition("Degraded", "HeldOutChanged", "the held-out data changed; put it back")
    stalled = condition("Stalled", "TaskMissing", 'there is no ConfigMap "files"; create it')
    applied(cluster, namespace, conditions=[*STATUS["conditions"], degraded, stalled])
    children(cluster, namespace)
    there = ("-n", namespace)

    told = rloop("status", *there).stdout  # the only loop needs no name
    assert "campaign     demo\nstate        Iterating" in told
    assert "i0001-e1  0.2500 [0.2400, 0.2600] over 9 runs, gain 0.2500 (50 %) over the baseline" in told
    assert "degraded     a person must act: the held-out data changed; put it back" in told
    assert 'stalled      TaskMissing: there is no ConfigMap "files"; create it' in told
    assert "\noperator     " in told
    assert rloop("experiments", *there).stdout.splitlines()[2].split()[:4] == ["i0001-e1", "1", "Accepted", "Kept"]
    told = rloop("experiments", "demo-i0001-e1", *there).stdout
    assert '-{"rate": 1}\n+{"rate": 0.1}' in told
    place = r"runs/[0-9a-f]{32}/artifacts in the volume of the claim demo-workspace"
    assert re.search(rf"{place} \(of run 1; those of 9 more runs lie beside it\)\n", told)
    assert rloop("directions", "demo", *there).stdout.splitlines()[1].split()[:2] == ["i0001-d1", "-"]
    assert "averaging helps" in rloop("findings", *there).stdout
    document = yaml.safe_load(rloop("status", "demo", *there, "-o", "yaml").stdout)
    assert (document["kind"], document["metadata"]["namespace"]) == ("ResearchLoop", namespace)


def test_kubectl_finds_it_as_its_own(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    applied(cluster, namespace)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    told = cluster.kubectl("rloop", "status", "demo", "-n", namespace)
    assert "state        Iterating" in told


def test_one_line_of_kubectl_get_tells_the_story(cluster: Cluster, namespace: str) -> None:
    shown = {"phase": "Iterating:Suspended", "best": "0.2500", "gain": "0.2500", "budget": "12/200 runs"}
    applied(cluster, namespace, display=shown)
    heading, row = cluster.kubectl("get", "rloop", "-n", namespace).splitlines()
    assert heading.split() == ["NAME", "PHASE", "BEST", "GAIN", "ITER", "EXP", "PIVOTS", "BUDGET", "AGE"]
    assert row.split()[:9] == ["demo", "Iterating:Suspended", "0.2500", "0.2500", "2", "3", "1", "12/200", "runs"]
    assert "runs of all kinds" in cluster.kubectl("explain", "rloop.spec.budget.runs")


def test_events_are_told_in_order(cluster: Cluster, namespace: str, rloop: Rloop) -> None:
    applied(cluster, namespace)
    assert "there are no Events of demo" in rloop("logs", "-n", namespace).stderr
    uid = cluster.get("rloop", "demo", "-n", namespace)["metadata"]["uid"]
    # The last is of an earlier loop of this name.
    for second, reason, of in (
        (9, "PivotForced", uid),
        (3, "Accepted", uid),
        (5, "BestUpdated", uid),
        (7, "Accepted", "other"),
    ):
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"demo.{second}", "namespace": namespace, "labels": {names.LABEL_LOOP: "demo"}},
                "involvedObject": {"kind": "ResearchLoop", "name": "demo", "namespace": namespace, "uid": of},
                "type": "Normal",
                "reason": reason,
                "message": "of demo-i0001-e1",
                "source": {"component": "researchloop-operator"},
                "firstTimestamp": f"2100-01-02T03:04:0{second}Z",
                "lastTimestamp": f"2100-01-02T03:04:0{second}Z",
                "count": 1,
            }
        )
    done = rloop("logs", "demo", "-n", namespace)
    assert done.stdout.splitlines()[0].split() == ["01-02", "03:04:03", "decision", "Accepted", "of", "i0001-e1"]
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["Accepted", "BestUpdated", "PivotForced"]
    assert "have expired" in done.stderr  # the first of them is long after the loop's creation


def test_a_pods_log_and_what_the_status_keeps_of_it(cluster: Cluster, namespace: str, rloop: Rloop) -> None:
    applied(cluster, namespace)
    children(cluster, namespace)
    words = ["sh", "-c", "echo thinking; sleep 3; echo done"]
    pod = pods.pod("demo-i0002-s1-a1", pods.container("agent", cluster.base_image, words))
    pod["metadata"] |= {"namespace": namespace, "labels": names.labels("demo", "agent")}
    cluster.apply(pod)
    assert rloop("logs", "-f", "i0002-s1", "-n", namespace).stdout == "thinking\ndone\n"
    assert rloop("logs", "demo-i0002-s1-a1", "-n", namespace).stdout == "thinking\ndone\n"

    gone = rloop("logs", "i0001-e2", "-n", namespace)
    assert gone.stdout == "no such file\n"
    assert "the pod of demo-i0001-e2-r1-a1 was deleted; this is the end of its log" in gone.stderr
    silent = rloop("logs", "i0001-e1-r1", "-n", namespace)
    assert (silent.returncode, silent.stdout) == (0, "")
    assert "its output is lost" in silent.stderr
    unknown = rloop("logs", "i0001-e9", "-n", namespace)
    assert unknown.returncode == 2
    assert "did you mean i0001-e2, i0001-e1" in unknown.stderr


def test_the_director_suspends_resumes_and_pivots(cluster: Cluster, namespace: str, rloop: Rloop) -> None:
    applied(cluster, namespace)
    there = ("demo", "-n", namespace)
    assert "demo: suspended" in rloop("suspend", *there).stdout
    assert cluster.get("rloop", "demo", "-n", namespace)["spec"]["suspend"] is True
    assert rloop("suspend", *there).stdout.startswith("demo is suspended already\nNothing happens yet; operator: ")
    assert "demo: resumed" in rloop("resume", *there).stdout
    assert cluster.get("rloop", "demo", "-n", namespace)["spec"]["suspend"] is False
    assert "pivot 2 is requested" in rloop("pivot", *there).stdout
    assert names.ANNOTATION_PIVOT in cluster.get("rloop", "demo", "-n", namespace)["metadata"]["annotations"]

    _patch_status(cluster, namespace, "rloop/demo", {"conditions": [condition("Complete", "TargetMet")]})
    before = cluster.get("rloop", "demo", "-n", namespace)
    for verb in ("suspend", "resume", "pivot"):
        done = rloop(verb, *there)
        assert done.returncode == 2
        assert "demo has ended (Complete: TargetMet) and cannot be continued; nothing was done" in done.stderr
    assert cluster.get("rloop", "demo", "-n", namespace) == before


def test_what_is_not_there_is_told_with_what_is(cluster: Cluster, namespace: str, rloop: Rloop) -> None:
    def refused(*arguments: str) -> str:
        done = rloop(*arguments)
        assert (done.returncode, done.stdout, len(done.stderr.split("\n  ")[0].splitlines())) == (2, "", 1), done.stderr
        return done.stderr

    assert f'there is no ResearchLoop in namespace "{namespace}"' in refused("status", "-n", namespace)
    assert 'there is no namespace "nowhere-at-all"' in refused("status", "-n", "nowhere-at-all")
    for name in ("demo", "other"):
        applied(cluster, namespace, name)
    assert "there are 2 ResearchLoops" in refused("status", "-n", namespace)
    assert "\n  demo  Iterating\n  other  Iterating" in refused("experiments", "i0001-e1", "-n", namespace)
    assert 'there is no ResearchLoop "third"' in refused("pivot", "third", "-n", namespace)


@pytest.mark.parametrize(
    ("token", "below", "told"),
    [
        pytest.param("own", "", "is forbidden", id="no right to it"),
        pytest.param("none", "", "does not accept these credentials", id="not known at all"),
        pytest.param("admin", "/api", "does not know the kind ResearchLoop: install it with", id="no CRDs"),
    ],
)
def test_what_the_server_refuses_is_told_with_its_remedy(
    cluster: Cluster, namespace: str, rloop: Rloop, tmp_path: Path, token: str, below: str, told: str
) -> None:
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten"))
    config["clusters"][0]["cluster"]["server"] += below  # of another path the server knows nothing, as without CRDs
    if token != "admin":
        given = cluster.kubectl("create", "token", "default", "-n", namespace) if token == "own" else "none"
        config["users"][0]["user"] = {"token": given.strip()}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = rloop("status", "-n", namespace, "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
