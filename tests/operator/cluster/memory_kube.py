"""An API server in memory, as far as the cluster's store and runtime use one: objects by path, with uid and version."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from rloop.errors import Conflict, NotFound
from rloop_operator.cluster.kube.client import Kube

Object = dict[str, Any]


class MemoryKube(Kube):
    """See the module. Not more than the tests of this folder need."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.deleted: list[str] = []
        self.warnings: list[Object] = []
        """Events about any object."""
        self._counter = itertools.count(1)

    def put(self, path: str, body: Object) -> Object:
        """Store an object as somebody else would have made it."""
        number = str(next(self._counter))
        made = {
            "uid": f"uid-{number}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {},
            "resourceVersion": number,
        }
        self.objects[path] = body | {"metadata": made | body["metadata"]}
        return self.objects[path]

    @override
    async def get(self, path: str) -> Object:
        if path not in self.objects:
            raise NotFound(f"{path} is not there")
        return self.objects[path]

    @override
    async def uid(self, path: str) -> str:
        return str((await self.get(path))["metadata"]["uid"])

    @override
    async def all(self, path: str, selector: str = "", *, fields: str = "") -> list[Object]:
        wanted = [one for one in selector.split(",") if one]
        found = [one for key, one in self.objects.items() if key.rpartition("/")[0] == path]
        if fields:
            return self.warnings
        return [one for one in found if all(_matches(one["metadata"]["labels"], each) for each in wanted)]

    @override
    async def text(self, path: str, **query: str) -> str:
        del path, query
        return ""

    @override
    async def create(self, path: str, body: Object) -> Object:
        key = f"{path}/{body['metadata']['name']}"
        if key in self.objects:
            raise Conflict(f"{key} exists")
        return self.put(key, body)

    @override
    async def patch(self, path: str, body: Object) -> Object:
        stored = await self.get(path.removesuffix("/status"))
        stored.update(_merged(stored, body))
        stored["metadata"]["resourceVersion"] = str(next(self._counter))
        return stored

    @override
    async def delete(self, path: str, uid: str, *, grace_seconds: int | None = None) -> None:
        del grace_seconds
        if path in self.objects and self.objects[path]["metadata"]["uid"] == uid:
            del self.objects[path]
            self.deleted.append(path.rpartition("/")[2])


def _matches(labels: Mapping[str, str], one: str) -> bool:
    if one.startswith("!"):
        return one[1:] not in labels
    if " in " in one:
        key, _, values = one.partition(" in ")
        return labels.get(key) in values.strip("()").split(",")
    key, _, value = one.partition("=")
    return labels.get(key) == value


def _merged(old: Object, patch: Object) -> Object:
    made = dict(old)
    for key, value in patch.items():
        if isinstance(value, dict):
            made[key] = _merged(made.get(key) or {}, value)
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = value
    return made
