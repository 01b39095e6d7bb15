"""Requests over HTTP: pages, preconditions, and each failure as an error of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.fake_kubernetes import FakeKubernetes, kubeconfig

from rloop.errors import Conflict, NotFound, RloopError
from rloop_operator.cluster.kube import client

PODS = client.core("team", "pods")


def put(fake: FakeKubernetes, *names: str, **labels: str) -> None:
    for name in names:
        fake.put(f"{PODS}/{name}", {"metadata": {"name": name, "labels": labels}})


def test_a_long_list_comes_in_pages() -> None:
    fake = FakeKubernetes()
    put(fake, *(f"p{number:04d}" for number in range(client.PAGE + 1)), app="a")
    put(fake, "other", app="b")

    async def test() -> None:
        async with fake.connected() as api:
            found = await api.all(PODS, "app=a")
            assert [one["metadata"]["name"] for one in found] == [f"p{n:04d}" for n in range(client.PAGE + 1)]
            assert fake.count("GET .*/pods") == 2

    asyncio.run(test())


@pytest.mark.parametrize(("uid", "left"), [("u1", 0), ("u2", 1)])
def test_only_the_object_that_was_meant_is_deleted(uid: str, left: int) -> None:
    fake = FakeKubernetes()
    fake.put(f"{PODS}/a", {"metadata": {"name": "a", "uid": "u1"}})

    async def test() -> None:
        async with fake.connected() as api:
            await api.delete(f"{PODS}/a", uid, grace_seconds=0)
            await api.delete(f"{PODS}/gone", uid)

    asyncio.run(test())
    assert len(fake.objects) == left
    assert [one.body.get("gracePeriodSeconds") for one in fake.written] == [0, None]


@pytest.mark.parametrize(
    ("code", "error", "status"),
    [(404, NotFound, None), (409, Conflict, None), (403, client.KubeError, 403), (500, client.KubeError, 500)],
)
def test_a_failure_is_an_error_of_ours(code: int, error: type[RloopError], status: int | None) -> None:
    fake = FakeKubernetes(faults={"pods": code})

    async def test() -> None:
        async with fake.connected() as api:
            with pytest.raises(error, match="no answer to GET") as raised:
                await api.get(f"{PODS}/a")
            assert getattr(raised.value, "status", None) == status

    asyncio.run(test())


def test_a_server_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    async def test() -> None:
        async with FakeKubernetes().serving() as url:
            pass
        async with client.connected(kubeconfig(tmp_path, url)) as api:
            with pytest.raises(client.KubeError, match="cannot be reached") as raised:
                await api.get(f"{PODS}/a")
            assert raised.value.status == 0

    asyncio.run(test())
