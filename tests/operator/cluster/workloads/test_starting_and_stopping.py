"""What the runtime asks of the API server to start a workload, to stop it and to remove it, for each of their kinds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.operator.cluster.workloads.test_runtime import CLAIM, JOB, OWNED, SETTINGS, WORKLOAD, Place
from tests.support.builders import LLM, iteration, session
from tests.support.builders import loop as build_loop

from rloop import names
from rloop.actions import Workload
from rloop.errors import Blocked
from rloop.reasons import Reason
from rloop_operator.cluster.kube import client

NAME = WORKLOAD.name
POD = client.core("mine", "pods", NAME)
TRAINING = client.group("kubeflow.org/v1", "mine", "pytorchjobs", NAME)
TRAININGS = TRAINING.rpartition("/")[0]
BEGUN = {"startTime": "2026-01-01T00:00:00Z"}
WORKERS = {"pytorchReplicaSpecs": {"Worker": {"replicas": 1}}}
STOPPED = {names.ANNOTATION_STOP: "Hang"}


def stand(place: Place, path: str, kind: str, status: dict[str, Any], **metadata: Any) -> None:
    """A workload, and the pod of a Job or training that has begun."""
    place.stand(path, kind, status, **OWNED, **metadata)
    place.api.objects[path]["spec"] |= WORKERS if kind == "PyTorchJob" else {}
    if kind != "Pod" and status:
        labels = OWNED["labels"] | {names.LABEL_WORKLOAD: NAME}
        place.stand(f"{POD}-x", "Pod", BEGUN | {"phase": "Running"}, labels=labels)


def writes(place: Place, path: str) -> list[tuple[str, dict[str, Any]]]:
    return [(one.method, one.body) for one in place.api.written if one.path == path]


KINDS = [
    pytest.param(JOB, "Job", {"suspend": True}, id="a Job is suspended"),
    pytest.param(POD, "Pod", {"activeDeadlineSeconds": 1}, id="a pod has a deadline of a second"),
    pytest.param(TRAINING, "PyTorchJob", {"runPolicy": {"activeDeadlineSeconds": 1}}, id="a training too"),
]


@pytest.mark.parametrize(("path", "kind", "spec"), KINDS)
def test_the_first_reason_and_the_last_words_are_stored_before_the_end(
    path: str, kind: str, spec: dict[str, Any]
) -> None:
    place = Place()
    stand(place, path, kind, BEGUN)
    place.api.faults["GET .*/log$"] = lambda: (200, "x" * 4000 + "the end")
    for reason in ("Hang", "Withdrawn"):
        asyncio.run(place.runtime.stop(NAME, reason))
    (_, noted), *ends = writes(place, path)
    notes = noted["metadata"]["annotations"]
    assert notes[names.ANNOTATION_STOP] == "Hang"
    assert notes.get(names.ANNOTATION_LAST_WORDS, "").endswith("the end") == (kind != "Pod"), "a pod keeps its log"
    assert len(notes.get(names.ANNOTATION_LAST_WORDS, "")) < 4000
    assert ends == [("PATCH", {"spec": spec})] * 2


def test_a_job_that_is_stopped_again_costs_no_look_at_its_pods() -> None:
    place = Place()
    stand(place, JOB, "Job", BEGUN, annotations=STOPPED)
    asyncio.run(place.runtime.stop(NAME, "Withdrawn"))
    assert place.api.count("GET .*/pods$") == 0


@pytest.mark.parametrize(
    ("path", "kind", "left"),
    [
        pytest.param(POD, "Pod", False, id="a pod that no kubelet has taken up"),
        pytest.param(TRAINING, "PyTorchJob", False, id="a training that no controller has taken up"),
        pytest.param(JOB, "Job", True, id="a Job"),
    ],
)
def test_what_has_not_begun_is_deleted_and_may_be_created_again(path: str, kind: str, left: bool) -> None:
    place = Place()
    stand(place, path, kind, {})
    asyncio.run(place.runtime.stop(NAME, "Hang"))
    assert (path in place.api.objects) is left


def test_what_has_ended_keeps_its_own_reason() -> None:
    place = Place()
    stand(place, JOB, "Job", {"conditions": [{"type": "Complete", "status": "True"}]})
    asyncio.run(place.runtime.stop(NAME, "Hang"))
    assert names.ANNOTATION_STOP not in place.api.objects[JOB]["metadata"].get("annotations", {})


@pytest.mark.parametrize(
    ("path", "kind", "grace"), [(POD, "Pod", 0), (JOB, "Job", None), (TRAINING, "PyTorchJob", None)]
)
def test_what_has_ended_is_removed_and_a_bare_pod_at_once(path: str, kind: str, grace: int | None) -> None:
    place = Place()
    over = {"phase": "Failed"} if kind == "Pod" else {"conditions": [{"type": "Failed", "status": "True"}]}
    stand(place, path, kind, BEGUN | over)
    asyncio.run(place.runtime.remove(NAME))
    (method, body) = writes(place, path)[-1]
    assert (method, body.get("gracePeriodSeconds")) == ("DELETE", grace)
    assert path not in place.api.objects


def test_a_start_creates_workspace_and_job_once() -> None:
    place = Place()
    for _ in range(3):
        place.start()
    posts = [one.path for one in place.api.written if one.method == "POST"]
    assert posts[-4:] == [CLAIM.rpartition("/")[0], *[JOB.rpartition("/")[0]] * 3]
    made = place.api.objects[JOB]
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ResearchExperiment", "demo-i0001-e1")


def test_a_claim_that_was_deleted_after_an_edit_is_made_as_the_edit_says() -> None:
    """The pass that meets the deleted claim may have read the loop before it was edited."""
    place = Place()
    stored = next(path for path in place.api.objects if path.endswith("/researchloops/demo"))
    place.api.objects[stored]["spec"]["workspace"] = {"storageClassName": "corrected"}
    place.start()
    assert place.api.objects[CLAIM]["spec"]["storageClassName"] == "corrected"


def blocked(place: Place, workload: Workload = WORKLOAD) -> tuple[str, str]:
    with pytest.raises(Blocked) as raised:
        asyncio.run(place.runtime.start(place.loop, workload))
    return raised.value.reason, raised.value.about


@pytest.mark.parametrize(
    ("labels", "reason"), [({names.LABEL_LOOP: "other"}, "NameTaken"), ({}, "NameTaken"), (OWNED["labels"], "")]
)
def test_a_workspace_of_this_loop_is_used_again_and_no_other(labels: dict[str, str], reason: str) -> None:
    place = Place()
    place.api.put(CLAIM, {"metadata": {"name": "demo-workspace", "labels": labels}})
    if reason:
        assert blocked(place) == (reason, "demo-workspace")
    else:
        place.start()
    assert (JOB in place.api.objects) == (not reason)
    assert writes(place, CLAIM.rpartition("/")[0]) == []


@pytest.mark.parametrize(
    ("of", "phase", "waits"),
    [
        ("demo-i0001-e1-r1-a1", "Running", True),
        ("demo-i0001-e1-r1-a1", "Failed", False),
        ("demo-i0001-e1-r2-a1", "Running", False),
        ("demo-i0001-e1-r1-a2", "Running", False),
    ],
)
def test_an_attempt_waits_for_the_pods_of_the_one_before(of: str, phase: str, waits: bool) -> None:
    place = Place()
    second = replace(WORKLOAD, name="demo-i0001-e1-r1-a2", number=2)
    labels = OWNED["labels"] | {names.LABEL_OWNER: WORKLOAD.owner, names.LABEL_WORKLOAD: of}
    place.stand(f"{POD}-x", "Pod", {"phase": phase}, labels=labels)
    if waits:
        assert blocked(place, second) == (Reason.WAITING_FOR_CAPACITY, second.name)
    else:
        asyncio.run(place.runtime.start(place.loop, second))
    assert (f"{JOB[:-1]}2" in place.api.objects) is not waits


@pytest.mark.parametrize(("faults", "reason"), [({TRAININGS: 404}, "TrainingOperatorMissing"), ({}, "")])
def test_a_training_needs_its_operator(faults: dict[str, Any], reason: str) -> None:
    place = Place()
    spec = {"experiment__job": None, "experiment__pyTorchJob": {"replicas": 1}, "experiment__image": "python"}
    place.loop = place.loop.model_copy(update={"spec": build_loop(**spec).spec})
    place.api.faults |= faults
    if reason:
        assert blocked(place) == (reason, NAME)
    else:
        place.start()
        assert TRAINING in place.api.objects


def test_an_agent_with_a_model_needs_the_proxy() -> None:
    place = Place()
    assert SETTINGS.llm_proxy_url == ""
    own = iteration(1, session("Running")).model_dump(mode="json", by_alias=True, exclude_none=True)
    place.api.put(client.objects("mine", "researchiterations", "demo-i0001"), own)
    place.loop = place.loop.model_copy(update={"spec": build_loop(agent=LLM).spec})
    agent = Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 60, session="demo-i0001-s1")
    assert blocked(place, agent) == ("ProviderUnknown", agent.name)
