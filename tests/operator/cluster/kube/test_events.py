"""An Event that cannot be written stops nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.cluster.memory_kube import MemoryKube, Object
from typing_extensions import override

from rloop.errors import Conflict, NotFound
from rloop_operator.cluster.kube import events
from rloop_operator.cluster.kube.client import KubeError

ABOUT: Object = {
    "apiVersion": "rloop.dev/v1alpha1",
    "kind": "ResearchLoop",
    "metadata": {"name": "demo", "namespace": "default", "uid": "u1"},
}


async def told(api: MemoryKube) -> None:
    await events.write(api, ABOUT, "PivotForced/demo", "Normal", "PivotForced", "pivot 1", component="operator")


def test_a_repeated_event_is_counted() -> None:
    api = MemoryKube()

    async def story() -> None:
        await told(api)
        await told(api)

    asyncio.run(story())
    (event,) = api.objects.values()
    assert (event["reason"], event["count"], event["involvedObject"]["uid"]) == ("PivotForced", 2, "u1")


class Refusing(MemoryKube):
    """Fails where it is told to."""

    def __init__(self, **errors: Exception) -> None:
        super().__init__()
        self.errors = errors

    def _fail(self, verb: str) -> None:
        if verb in self.errors:
            raise self.errors[verb]

    @override
    async def create(self, path: str, body: Object) -> Object:
        self._fail("create")
        return await super().create(path, body)

    @override
    async def get(self, path: str) -> Object:
        self._fail("get")
        return await super().get(path)

    @override
    async def patch(self, path: str, body: Any) -> Object:
        self._fail("patch")
        return await super().patch(path, body)


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param({"create": KubeError(403, "Forbidden", "events is forbidden")}, id="forbidden"),
        pytest.param({"create": NotFound("namespace default not found")}, id="the namespace is gone"),
        pytest.param({"create": Conflict("it exists"), "get": NotFound("gone")}, id="deleted before it was read"),
        pytest.param({"patch": Conflict("another writer was first")}, id="counted by another writer"),
    ],
)
def test_an_event_that_cannot_be_written_stops_nothing(errors: dict[str, Exception]) -> None:
    api = Refusing(**errors)

    async def story() -> None:
        await told(api)
        await told(api)

    asyncio.run(story())
    assert len(api.objects) == ("create" not in errors)
