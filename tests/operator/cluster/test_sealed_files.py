"""Sealed files that somebody deletes are made again from an unchanged source, or the campaign says what to do."""

from __future__ import annotations

import asyncio
import base64
import gzip
from hashlib import sha256
from typing import Any

import pytest
from tests.support.builders import GOOD, experiment, manifest
from tests.support.fake_kubernetes import FakeKubernetes

from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, Blocked, NotFound
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.archive import pack
from rloop_operator.cluster.storage.store import ARCHIVE, KubeStore
from rloop_operator.ports import File

LOOP = client.objects("mine", "researchloops", "demo")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def put_sources(api: FakeKubernetes, *, step: str = "1") -> None:
    api.put(client.core("mine", "configmaps", "recipes"), config_map("recipes", train="#!/bin/sh\n", step=step))
    api.put(client.core("mine", "configmaps", "scorer"), config_map("scorer", score="#!/bin/sh\n"))


def sealed() -> tuple[FakeKubernetes, KubeStore]:
    """A stored loop whose task and evaluation are sealed."""
    api = FakeKubernetes()
    put_sources(api)
    sources = {"task": {"configMap": {"name": "recipes"}}, "evaluation__code": {"configMap": {"name": "scorer"}}}
    made = manifest(**sources)
    api.put(LOOP, made | {"metadata": GOOD["metadata"] | {"namespace": "mine"}})
    store = KubeStore(api.direct(), "mine")

    async def seal() -> None:
        loop = await store.get(ResearchLoop, "demo")
        status = loop.status.model_copy(update={"sealed": await store.seal(loop)})
        await store.apply_status(loop.model_copy(update={"status": status}))

    asyncio.run(seal())
    return api, store


@pytest.mark.parametrize("name", ["demo-task", "demo-evaluation"])
def test_deleted_ones_are_made_again_from_an_unchanged_source(name: str) -> None:
    api, store = sealed()
    before = asyncio.run(store.files(name))
    del api.objects[client.core("mine", "configmaps", name)]
    assert asyncio.run(store.files(name)) == before
    again = api.objects[client.core("mine", "configmaps", name)]
    assert again["immutable"]
    assert again["metadata"]["ownerReferences"][0]["uid"] == GOOD["metadata"]["uid"]


def test_from_a_changed_source_they_are_not_until_it_is_put_back() -> None:
    api, store = sealed()
    before = asyncio.run(store.files("demo-task"))
    del api.objects[client.core("mine", "configmaps", "demo-task")]
    put_sources(api, step="2")
    with pytest.raises(Blocked) as blocked:
        asyncio.run(store.files("demo-task"))
    assert (blocked.value.reason, blocked.value.about) == ("SealedFilesLost", "demo-task")
    assert 'ConfigMap "recipes" (spec.task)' in blocked.value.message
    put_sources(api)
    assert asyncio.run(store.files("demo-task")) == before


def test_a_missing_source_is_named() -> None:
    api, store = sealed()
    del api.objects[client.core("mine", "configmaps", "demo-task")]
    del api.objects[client.core("mine", "configmaps", "recipes")]
    with pytest.raises(Blocked, match="recipes"):
        asyncio.run(store.files("demo-task"))


@pytest.mark.parametrize("name", ["demo-i0001-e1", "demo-references", "demo-i0001-s1-drafts", "x"])
def test_what_was_never_sealed_is_not_found(name: str) -> None:
    _, store = sealed()
    with pytest.raises(NotFound):
        asyncio.run(store.files(name))


def test_a_user_who_looks_makes_nothing() -> None:
    api, _ = sealed()
    del api.objects[client.core("mine", "configmaps", "demo-task")]
    with pytest.raises(NotFound):
        asyncio.run(KubeStore(api.direct(), "mine", read_only=True).files("demo-task"))
    assert client.core("mine", "configmaps", "demo-task") not in api.objects


def test_the_files_of_an_experiment_cannot_be_made_again() -> None:
    api, store = sealed()
    asyncio.run(store.put_files("demo", "demo-i0001-e1", {"a": File(b"b")}))
    del api.objects[client.core("mine", "configmaps", "demo-i0001-e1")]
    with pytest.raises(NotFound):
        asyncio.run(store.files("demo-i0001-e1"))


def replaced(api: FakeKubernetes, name: str, archive: bytes | None) -> None:
    """Somebody deletes the ConfigMap and makes another one of its name, with all its marks."""
    path = client.core("mine", "configmaps", name)
    old = api.objects.pop(path)
    kept = {key: old["metadata"][key] for key in ("name", "labels", "annotations", "ownerReferences")}
    data = {"binaryData": {ARCHIVE: base64.b64encode(archive).decode()}} if archive is not None else {}
    api.put(path, {"kind": "ConfigMap", "immutable": True, "metadata": kept, **data})


OTHERS = [
    pytest.param(pack({"score": File(b"echo 1")}), "it holds other files", id="other files"),
    pytest.param(gzip.compress(bytes(64 * 2**20)), "it unpacks into more than 4 MiB", id="a bomb"),
    pytest.param(None, "it has no key files.tar.gz", id="none"),
]


@pytest.mark.parametrize(("archive", "why"), OTHERS)
@pytest.mark.parametrize("name", ["demo-task", "demo-evaluation"])
@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "after a restart"])
def test_others_in_the_place_of_sealed_ones_are_never_used(
    name: str, archive: bytes | None, why: str, *, fresh: bool
) -> None:
    api, store = sealed()
    before = asyncio.run(store.files(name))
    replaced(api, name, archive)
    store = KubeStore(api.direct(), "mine") if fresh else store
    with pytest.raises(Blocked, match=why) as blocked:
        asyncio.run(store.files(name))
    assert (blocked.value.reason, blocked.value.about) == ("SealedFilesLost", name)
    assert "delete it, and the sealed files are made again" in blocked.value.message
    del api.objects[client.core("mine", "configmaps", name)]
    assert asyncio.run(store.files(name)) == before


@pytest.mark.parametrize(("archive", "why"), OTHERS)
def test_replaced_files_of_an_experiment_are_lost(archive: bytes | None, why: str) -> None:
    api, store = sealed()
    content = b"b"
    asyncio.run(store.put_files("demo", "demo-i0001-e1", {"a": File(content)}))
    described = [{"path": "a", "sha256": sha256(content).hexdigest(), "size": 1}]
    own = experiment("demo-i0001-e1", files=described).model_dump(mode="json", by_alias=True, exclude_none=True)
    api.put(client.objects("mine", "researchexperiments", "demo-i0001-e1"), own)
    assert asyncio.run(store.files("demo-i0001-e1")) == {"a": File(content)}
    replaced(api, "demo-i0001-e1", archive)
    with pytest.raises(NotFound, match=why):
        asyncio.run(store.files("demo-i0001-e1"))


def test_a_foreign_archive_under_a_name_that_nothing_is_sealed_under_is_told() -> None:
    api, store = sealed()
    asyncio.run(store.put_files("demo", "demo-i0001-s1-drafts", {"a": File(b"b")}))
    replaced(api, "demo-i0001-s1-drafts", gzip.compress(bytes(64 * 2**20)))
    with pytest.raises(Blocked, match="more than 4 MiB") as blocked:
        asyncio.run(store.files("demo-i0001-s1-drafts"))
    assert blocked.value.reason == "NameTaken"


def test_files_that_were_read_once_are_not_fetched_again() -> None:
    api, store = sealed()
    first = asyncio.run(store.files("demo-task"))
    assert asyncio.run(store.files("demo-task")) is first
    assert asyncio.run(KubeStore(api.direct(), "mine").files("demo-task")) is not first


def test_more_files_than_are_read_are_not_frozen() -> None:
    _, store = sealed()
    with pytest.raises(BadInput, match="at most 2000 files"):
        asyncio.run(store.put_files("demo", "demo-x", {f"{i}": File(b"") for i in range(2001)}))


@pytest.mark.parametrize(
    ("status", "reason"), [({}, "RestoredWithoutStatus"), ({"phase": "Running"}, "NameTaken")], ids=["bare", "older"]
)
def test_a_foreign_experiment_in_the_place_of_ours_is_told_by_its_status(status: dict[str, Any], reason: str) -> None:
    api, store = sealed()
    ours = experiment("demo-b01")
    theirs = ours.model_dump(mode="json", by_alias=True, exclude_none=True)
    theirs["metadata"]["ownerReferences"][0]["uid"] = "f" * 32
    api.put(client.objects("mine", "researchexperiments", "demo-b01"), theirs | {"status": status})
    with pytest.raises(Blocked) as blocked:
        asyncio.run(store.create(ours))
    assert blocked.value.reason == reason
