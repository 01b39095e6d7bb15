"""Sealed files that somebody deletes are made again from an unchanged source, or the campaign says what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.cluster.memory_kube import MemoryKube
from tests.support.builders import GOOD, experiment, manifest

from rloop.api.researchloop import ResearchLoop
from rloop.errors import Blocked, NotFound
from rloop_operator.cluster import kube
from rloop_operator.cluster.store import KubeStore
from rloop_operator.ports import File

LOOP = kube.objects("mine", "researchloops", "demo")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def put_sources(api: MemoryKube, *, step: str = "1") -> None:
    api.put(kube.core("mine", "configmaps", "recipes"), config_map("recipes", train="#!/bin/sh\n", step=step))
    api.put(kube.core("mine", "configmaps", "scorer"), config_map("scorer", score="#!/bin/sh\n"))


def sealed() -> tuple[MemoryKube, KubeStore]:
    """A stored loop whose task and evaluation are sealed."""
    api = MemoryKube()
    put_sources(api)
    sources = {"task": {"configMap": {"name": "recipes"}}, "evaluation__code": {"configMap": {"name": "scorer"}}}
    made = manifest(**sources)
    api.put(LOOP, made | {"metadata": GOOD["metadata"] | {"namespace": "mine"}})
    store = KubeStore(api, "mine")

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
    del api.objects[kube.core("mine", "configmaps", name)]
    assert asyncio.run(store.files(name)) == before
    again = api.objects[kube.core("mine", "configmaps", name)]
    assert again["immutable"]
    assert again["metadata"]["ownerReferences"][0]["uid"] == GOOD["metadata"]["uid"]


def test_from_a_changed_source_they_are_not_until_it_is_put_back() -> None:
    api, store = sealed()
    before = asyncio.run(store.files("demo-task"))
    del api.objects[kube.core("mine", "configmaps", "demo-task")]
    put_sources(api, step="2")
    with pytest.raises(Blocked) as blocked:
        asyncio.run(store.files("demo-task"))
    assert (blocked.value.reason, blocked.value.about) == ("SealedFilesLost", "demo-task")
    assert 'ConfigMap "recipes" (spec.task)' in blocked.value.message
    put_sources(api)
    assert asyncio.run(store.files("demo-task")) == before


def test_a_missing_source_is_named() -> None:
    api, store = sealed()
    del api.objects[kube.core("mine", "configmaps", "demo-task")]
    del api.objects[kube.core("mine", "configmaps", "recipes")]
    with pytest.raises(Blocked, match="recipes"):
        asyncio.run(store.files("demo-task"))


@pytest.mark.parametrize("name", ["demo-i0001-e1", "demo-references", "demo-i0001-s1-drafts", "x"])
def test_what_was_never_sealed_is_not_found(name: str) -> None:
    _, store = sealed()
    with pytest.raises(NotFound):
        asyncio.run(store.files(name))


def test_a_user_who_looks_makes_nothing() -> None:
    api, _ = sealed()
    del api.objects[kube.core("mine", "configmaps", "demo-task")]
    with pytest.raises(NotFound):
        asyncio.run(KubeStore(api, "mine", read_only=True).files("demo-task"))
    assert kube.core("mine", "configmaps", "demo-task") not in api.objects


def test_the_files_of_an_experiment_cannot_be_made_again() -> None:
    api, store = sealed()
    asyncio.run(store.put_files("demo", "demo-i0001-e1", {"a": File(b"b")}))
    del api.objects[kube.core("mine", "configmaps", "demo-i0001-e1")]
    with pytest.raises(NotFound):
        asyncio.run(store.files("demo-i0001-e1"))


@pytest.mark.parametrize(
    ("status", "reason"), [({}, "RestoredWithoutStatus"), ({"phase": "Running"}, "NameTaken")], ids=["bare", "older"]
)
def test_a_foreign_experiment_in_the_place_of_ours_is_told_by_its_status(status: dict[str, Any], reason: str) -> None:
    api, store = sealed()
    ours = experiment("demo-b01")
    theirs = ours.model_dump(mode="json", by_alias=True, exclude_none=True)
    theirs["metadata"]["ownerReferences"][0]["uid"] = "f" * 32
    api.put(kube.objects("mine", "researchexperiments", "demo-b01"), theirs | {"status": status})
    with pytest.raises(Blocked) as blocked:
        asyncio.run(store.create(ours))
    assert blocked.value.reason == reason
