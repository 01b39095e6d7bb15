"""The cluster's store beside what every store promises: what it writes, and what the API server refuses."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from tests.support.builders import GOOD, SEALED, experiment, iteration, manifest
from tests.support.fake_kubernetes import Answer, FakeKubernetes, error
from tests.support.kubernetes_objects import merged

from rloop import names
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, Blocked, Conflict, Corrupt, NotFound
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.archive import ARCHIVE_BYTES
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.ports import File

LOOP = client.objects("mine", "researchloops", "demo")
ITERATION = client.objects("mine", "researchiterations", "demo-i0001")
MAPS = client.core("mine", "configmaps")
QUOTA = "exceeded quota: few, requested: count/configmaps=1"


class Place:
    """A namespace with one loop."""

    def __init__(self, **spec: Any) -> None:
        self.fake = FakeKubernetes()
        self.store = KubeStore(self.fake.direct(), "mine")
        sources = {"task": {"configMap": {"name": "files"}}, "evaluation__code": {"configMap": {"name": "scorer"}}}
        self.fake.put(LOOP, manifest(**(sources | spec)))
        self.config_map("files", train="#!/bin/sh\n", recipe="{}")
        self.config_map("scorer", score="#!/bin/sh\n")

    def config_map(self, name: str, **data: str) -> None:
        self.fake.put(f"{MAPS}/{name}", {"metadata": {"name": name}, "data": data})

    def loop(self) -> ResearchLoop:
        return asyncio.run(self.store.get(ResearchLoop, "demo"))

    def seal(self) -> Any:
        return asyncio.run(self.store.seal(self.loop()))

    def created(self) -> ResearchIteration:
        return asyncio.run(self.store.create(iteration()))


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_new_object_has_names_labels_and_owners_of_ours_and_no_status(place: Place) -> None:
    place.created()
    (request,) = place.fake.written
    assert request.body["kind"] == "ResearchIteration"
    assert "status" not in request.body
    metadata = request.body["metadata"]
    assert set(metadata) == {"name", "namespace", "labels", "annotations", "ownerReferences"}
    assert (metadata["name"], metadata["namespace"]) == ("demo-i0001", "mine")
    assert metadata["labels"] == {names.LABEL_LOOP: "demo"}
    assert [one["uid"] for one in metadata["ownerReferences"]] == [GOOD["metadata"]["uid"]]


def test_loops_are_listed_whatever_their_labels_and_children_by_loop(place: Place) -> None:
    place.created()
    assert [one.metadata.name for one in asyncio.run(place.store.list(ResearchLoop, ""))] == ["demo"]
    assert len(asyncio.run(place.store.list(ResearchIteration, "demo"))) == 1
    assert asyncio.run(place.store.list(ResearchIteration, "other")) == []


def settled(made: ResearchIteration) -> ResearchIteration:
    return made.model_copy(update={"status": made.status.model_copy(update={"phase": "Settled"})})


def test_a_status_is_one_conditional_patch_of_what_changed_or_nothing(place: Place) -> None:
    made = asyncio.run(place.store.apply_status(settled(place.created())))
    patch = place.fake.written[-1]
    assert (patch.method, patch.path) == ("PATCH", f"{ITERATION}/status")
    assert patch.body["metadata"] == {"resourceVersion": "4"}
    assert patch.body["status"]["phase"] == "Settled"
    again = made.model_copy(update={"status": made.status.model_copy(update={"keeps_at_settlement": 2})})
    made = asyncio.run(place.store.apply_status(again))
    assert place.fake.written[-1].body["status"] == {"keepsAtSettlement": 2}
    before = len(place.fake.written)
    assert asyncio.run(place.store.apply_status(made)) == made
    assert len(place.fake.written) == before


def test_a_status_that_somebody_changes_between_reading_and_writing_is_a_conflict(place: Place) -> None:
    made = place.created()

    def between() -> Answer:
        read = place.fake.objects[ITERATION]
        place.fake.put(ITERATION, read)
        return 200, read

    place.fake.faults[f"GET {ITERATION}"] = between
    with pytest.raises(Conflict):
        asyncio.run(place.store.apply_status(settled(made)))
    assert place.fake.count("PATCH") == 1, "the API server refused it"
    assert "status" not in place.fake.objects[ITERATION]


def test_what_cannot_be_read_names_object_and_field(place: Place) -> None:
    place.fake.put(ITERATION, merged(place.fake.put(ITERATION, _wire()), {"spec": {"number": "many"}}))
    with pytest.raises(Corrupt, match=r"ResearchIteration demo-i0001: spec\.number"):
        asyncio.run(place.store.get(ResearchIteration, "demo-i0001"))


def _wire() -> dict[str, Any]:
    return iteration().model_dump(mode="json", by_alias=True, exclude_none=True)


def test_what_a_quota_refuses_is_an_obstacle(place: Place) -> None:
    place.fake.faults["POST"] = lambda: error(403, QUOTA)
    for call in (place.store.create(experiment()), place.store.put_files("demo", "demo-x", {"a": File(b"")})):
        with pytest.raises(Blocked, match="exceeded quota: few") as blocked:
            asyncio.run(call)
        assert blocked.value.reason == "QuotaExceeded"


def test_files_are_immutable_and_belong_to_the_loop(place: Place) -> None:
    asyncio.run(place.store.put_files("demo", "demo-x", {"a": File(b"b")}))
    stored = place.fake.objects[f"{MAPS}/demo-x"]
    assert stored["immutable"]
    assert stored["metadata"]["labels"] == names.labels("demo", "files")
    assert [one["uid"] for one in stored["metadata"]["ownerReferences"]] == [GOOD["metadata"]["uid"]]


def test_files_that_no_config_map_holds_are_refused_before_they_are_sent(place: Place) -> None:
    with pytest.raises(BadInput, match="use a smaller task"):
        asyncio.run(place.store.put_files("demo", "demo-x", {"a": File(os.urandom(ARCHIVE_BYTES + 1))}))
    assert place.fake.written == []


def test_files_of_a_loop_that_is_gone_are_not_written(place: Place) -> None:
    del place.fake.objects[LOOP]
    with pytest.raises(NotFound):
        asyncio.run(place.store.put_files("demo", "demo-x", {"a": File(b"b")}))


def test_sealed_files_come_from_the_users_config_maps_once(place: Place) -> None:
    sealed = place.seal()
    assert asyncio.run(place.store.files("demo-task")) == {
        "train": File(b"#!/bin/sh\n", executable=True),
        "recipe": File(b"{}"),
    }
    place.config_map("files", train="other")
    assert place.seal() == sealed
    assert sealed.references is None
    assert (len(sealed.task), len(sealed.evaluation)) == (len(SEALED.task), len(SEALED.evaluation))


def test_a_task_that_is_rejected_is_not_frozen(place: Place) -> None:
    """Otherwise its mended source would never be read."""
    space = "file: recipe.json\ndimensions: [{name: a, key: a, low: 0, high: 1, default: 0.5}]"
    place.config_map("files", **{"train": "x", "recipe.json": "{}", "space.yaml": space})
    with pytest.raises(BadInput, match='has no "a": add it to the file'):
        place.seal()
    assert not [key for key in place.fake.objects if "demo-" in str(key)], "neither the task nor anything else"
    place.config_map("files", train="x", recipe="mended")
    place.seal()
    assert asyncio.run(place.store.files("demo-task"))["recipe"] == File(b"mended")


def test_items_give_files_other_paths_and_leave_out_the_rest() -> None:
    items = {"deep/run.json": "recipe"}
    place = Place(task={"configMap": {"name": "files", "items": {key: path for path, key in items.items()}}})
    place.seal()
    assert asyncio.run(place.store.files("demo-task")) == {"deep/run.json": File(b"{}")}


def test_references_are_sealed_too() -> None:
    place = Place(agent__references={"configMap": {"name": "papers"}})
    place.config_map("papers", notes="text")
    assert place.seal().references is not None
    assert asyncio.run(place.store.files(names.references("demo"))) == {"notes": File(b"text")}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param({"name": "nobody"}, 'there is no ConfigMap "nobody" in namespace mine', id="none"),
        pytest.param({"name": "empty"}, 'ConfigMap "empty" is empty', id="empty"),
        pytest.param({"name": "files", "items": {"x": "y"}}, "has no key x; it has recipe, train", id="no such key"),
    ],
)
def test_a_source_that_is_not_there_is_named_with_its_field(source: dict[str, Any], told: str) -> None:
    place = Place(task={"configMap": source})
    place.config_map("empty")
    with pytest.raises(BadInput, match=told) as bad:
        place.seal()
    assert str(bad.value).startswith("spec.task.configMap")


def test_a_config_map_of_a_user_under_the_name_of_sealed_files_is_an_obstacle(place: Place) -> None:
    place.config_map("demo-task", train="x")
    with pytest.raises(Blocked) as blocked:
        place.seal()
    assert (blocked.value.reason, blocked.value.about) == ("NameTaken", "demo-task")
