"""Workloads of a namespace: gone when their result is stored, and never in the way of a claim that is being deleted."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import GOOD, attempt, experiment, iteration, manifest, run, session
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Blocked, Unstartable
from rloop_operator.beats import Sight
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.storage.archive import pack
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.workloads.life_signs import OperatorSigns
from rloop_operator.cluster.workloads.runtime import KubeRuntime
from rloop_operator.ports import File

SETTINGS = Settings(
    "rloop", "rloop-0", ("mine",), 60, "http://gateway", "", "agent", "verifier", "sidecar", "Never", 1, True
)
WORKLOAD = Workload("demo-i0001-e1-r1-a1", "run", "demo-i0001-e1", 60, run=1, seed=7, kind="screen")
JOB = client.group("batch/v1", "mine", "jobs", WORKLOAD.name)
CLAIM = client.core("mine", "persistentvolumeclaims", "demo-workspace")
OWNED = {"labels": names.labels("demo", "run")}


class Place:
    """A namespace with one sealed loop and one experiment."""

    def __init__(self, *runs: Any, **fields: Any) -> None:
        self.api = FakeKubernetes()
        kube = self.api.direct()
        self.store = KubeStore(kube, "mine")
        self.runtime = KubeRuntime(self.store, SETTINGS, OperatorSigns(kube, "mine", Sight(lambda: 0.0, 1.0)))
        made = manifest(experiment__image="python")
        made["metadata"] = GOOD["metadata"] | {"namespace": "mine"}
        self.loop = ResearchLoop.model_validate(self.api.put(client.objects("mine", "researchloops", "demo"), made))
        own = experiment("demo-i0001-e1", *runs, **fields).model_dump(mode="json", by_alias=True, exclude_none=True)
        self.api.put(client.objects("mine", "researchexperiments", "demo-i0001-e1"), own)
        asyncio.run(self.store.put_files("demo", "demo-task", {"train": File(b"x")}))

    def start(self) -> None:
        asyncio.run(self.runtime.start(self.loop, WORKLOAD))

    def stand(self, path: str, kind: str, status: dict[str, Any], **metadata: Any) -> None:
        name = path.rpartition("/")[2]
        spec = {
            "volumes": [{"persistentVolumeClaim": {"claimName": "demo-workspace"}}],
            "containers": [{"name": "main"}],
        }
        metadata |= {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.api.put(path, {"kind": kind, "metadata": metadata, "spec": spec, "status": status})


def test_a_finished_workload_goes_when_its_result_is_stored() -> None:
    place = Place()
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    place.stand(JOB, "Job", done, **OWNED)
    asyncio.run(place.runtime.remove(WORKLOAD.name))
    assert JOB not in place.api.objects
    assert asyncio.run(place.runtime.observe("demo")) == {}


def test_one_that_still_runs_stays() -> None:
    place = Place()
    place.stand(JOB, "Job", {"active": 1}, **OWNED)
    asyncio.run(place.runtime.remove(WORKLOAD.name))
    assert JOB in place.api.objects


@pytest.mark.parametrize(
    ("runs", "starts"),
    [
        pytest.param([run(phase="Running", attempts=[attempt("Pending")])], True, id="its intent is stored"),
        pytest.param([run(phase="Verifying", attempts=[attempt("Succeeded")])], False, id="it has succeeded"),
        pytest.param([run(phase="Running", attempts=[attempt("Pending", 2)])], False, id="it was lost and forgotten"),
    ],
)
def test_what_has_ended_is_not_started_again_though_its_pod_is_gone(runs: list[Any], starts: bool) -> None:
    place = Place(*runs)
    place.start()
    assert (JOB in place.api.objects) == starts


def test_an_experiment_without_its_files_cannot_start() -> None:
    place = Place(files=[{"path": "recipe.json", "sha256": "0" * 64, "size": 1}])
    with pytest.raises(Unstartable, match="demo-i0001-e1"):
        place.start()


def test_other_files_in_the_place_of_an_experiments_fail_the_run() -> None:
    place = Place(files=[{"path": "recipe.json", "sha256": "0" * 64, "size": 1}])
    asyncio.run(place.store.put_files("demo", "demo-i0001-e1-x", {"recipe.json": File(b"{}")}))
    other = place.api.objects.pop(client.core("mine", "configmaps", "demo-i0001-e1-x"))
    path = client.core("mine", "configmaps", "demo-i0001-e1")
    place.api.put(path, other | {"metadata": other["metadata"] | {"name": "demo-i0001-e1"}})
    with pytest.raises(Unstartable, match="deleted or replaced"):
        place.start()
    assert JOB not in place.api.objects


@pytest.mark.parametrize(
    ("role", "name", "what"),
    [
        ("run", "demo-i0001-e1-r1-a1", "task"),
        ("verification", "demo-i0001-e1-r1-v1", "evaluation"),
        ("agent", "demo-i0001-s1-a1", "task"),
    ],
)
def test_nothing_starts_from_other_files_than_the_sealed_ones(role: Any, name: str, what: str) -> None:
    place = Place()
    own = iteration(1, session("Running")).model_dump(mode="json", by_alias=True, exclude_none=True)
    place.api.put(client.objects("mine", "researchiterations", "demo-i0001"), own)
    sealed = {"task": "0" * 64, "evaluation": "0" * 64}
    place.api.objects[client.objects("mine", "researchloops", "demo")]["status"] = {"sealed": sealed}
    archive = base64.b64encode(pack({"score": File(b"echo 1")})).decode()
    data = {"metadata": {"name": f"demo-{what}"}, "binaryData": {"files.tar.gz": archive}}
    place.api.put(client.core("mine", "configmaps", f"demo-{what}"), data)
    wanted = replace(WORKLOAD, name=name, role=role)
    if role == "agent":
        wanted = replace(wanted, owner="demo-i0001", session="demo-i0001-s1")
    with pytest.raises(Blocked) as blocked:
        asyncio.run(place.runtime.start(place.loop, wanted))
    assert (blocked.value.reason, blocked.value.about) == ("SealedFilesLost", f"demo-{what}")


def test_a_new_claim_is_made_when_the_deleted_one_is_gone() -> None:
    place = Place()
    place.api.put(CLAIM, {"metadata": {"name": "demo-workspace", "deletionTimestamp": "x", "labels": OWNED["labels"]}})
    with pytest.raises(Blocked) as blocked:
        place.start()
    assert blocked.value.reason == "BeingDeleted"
    del place.api.objects[CLAIM]
    place.start()
    assert CLAIM in place.api.objects
    assert JOB in place.api.objects


@pytest.mark.parametrize(("going", "kept"), [(True, False), (False, True)])
def test_a_pod_that_has_not_begun_does_not_keep_a_deleted_claim(going: bool, kept: bool) -> None:
    place = Place()
    metadata = {"name": "demo-workspace", "labels": OWNED["labels"], **({"deletionTimestamp": "x"} if going else {})}
    place.api.put(CLAIM, {"metadata": metadata})
    path = client.core("mine", "pods", "demo-i0001-e1-r1-v1")
    place.stand(path, "Pod", {"phase": "Pending"}, labels=names.labels("demo", "verification"))
    states = asyncio.run(place.runtime.observe("demo"))
    assert (path in place.api.objects, "demo-i0001-e1-r1-v1" in states) == (kept, kept)


def test_sealed_files_that_a_pod_waits_for_are_made_again() -> None:
    place = Place()
    place.api.put(CLAIM, {"metadata": {"name": "demo-workspace", "labels": OWNED["labels"]}})
    path = client.core("mine", "pods", "demo-i0001-e1-r1-v1")
    place.stand(path, "Pod", {"phase": "Pending"}, labels=names.labels("demo", "verification"), uid="u1")
    warned = {"type": "Warning", "message": 'MountVolume.SetUp failed: configmap "demo-task" not found'}
    about = {"involvedObject": {"uid": "u1"}, "metadata": {"name": "warned"}}
    place.api.put(client.core("mine", "events", "warned"), warned | about)
    state = asyncio.run(place.runtime.observe("demo"))["demo-i0001-e1-r1-v1"]
    assert state.obstacle is not None
    assert state.obstacle.reason == "InputsMissing"  # it is there: the kubelet will find it
    del place.api.objects[client.core("mine", "configmaps", "demo-task")]
    sealed = {"task": "0" * 64, "evaluation": "0" * 64}
    place.api.objects[client.objects("mine", "researchloops", "demo")]["spec"]["task"] = {"configMap": {"name": "gone"}}
    place.api.objects[client.objects("mine", "researchloops", "demo")]["status"] = {"sealed": sealed}
    state = asyncio.run(place.runtime.observe("demo"))["demo-i0001-e1-r1-v1"]
    assert state.obstacle is not None
    assert state.obstacle.reason == "SealedFilesLost"
