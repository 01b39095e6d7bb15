"""A small API server in memory, for tests that need real requests: objects, merge patches, conflicts, hanging paths."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from rloop_operator.cluster.kube.client import Kube

Object = dict[str, Any]


class ApiServer:
    """Objects by their path; whatever no test stored is 404."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.unknown: tuple[str, ...] = ()
        """Kinds that this server does not know: their lists are 404."""
        self.requests: Counter[str] = Counter()
        """`METHOD last-part-of-path` -> number of requests."""
        self.hangs: Callable[[web.Request], bool] = lambda _: False
        """Requests that are answered only when the server closes."""
        self.refuses: Callable[[web.Request], bool] = lambda _: False
        """Requests that are answered with 500."""
        self.refusal: Callable[[], str] = lambda: "the disk of the API server is full"
        self.changed: Callable[[str, Object], None] = lambda _path, _stored: None
        """Told of each stored object: a watch."""
        self.texts: dict[str, Callable[[], str]] = {}
        """Paths that answer with a text."""
        self.hanging = 0
        self.hung = asyncio.Semaphore(0)
        """Released once for each of them."""
        self._closing = asyncio.Event()
        self._versions = itertools.count(1)

    def put(self, path: str, body: Object) -> Object:
        """Store an object as it is, with a new resourceVersion and a uid."""
        metadata = {
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, path)),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **body["metadata"],
        }
        if "/namespaces/" in path:
            metadata.setdefault("namespace", path.partition("/namespaces/")[2].partition("/")[0])
        stored = body | {"metadata": metadata | {"resourceVersion": str(next(self._versions))}}
        self.objects[path] = stored
        self.changed(path, stored)
        return stored

    async def answer(self, request: web.Request) -> web.Response:
        """Any request."""
        path = request.path
        self.requests[f"{request.method} {path.rpartition('/')[2]}"] += 1
        if self.hangs(request):
            self.hanging += 1
            self.hung.release()
            await self._closing.wait()
        if self.refuses(request):
            return _status(500, "InternalError", self.refusal())
        if request.method == "POST":
            body = await request.json()
            name = f"{path}/{body['metadata']['name']}"
            taken = name in self.objects
            return _status(409, "AlreadyExists", "exists") if taken else web.json_response(self.put(name, body))
        if request.method == "DELETE":
            return web.json_response(self.objects.pop(path, {}))
        if path in self.texts:
            return web.Response(text=self.texts[path]())
        if request.method == "PATCH":
            return self._patch(path.removesuffix("/status"), await request.json())
        found = self.objects.get(path)
        if found is not None:
            return web.json_response(found)
        if request.query.get("limit") is None or path.endswith(self.unknown or ("!",)):
            return _status(404, "NotFound", f"{path} not found")
        items = [one for name, one in sorted(self.objects.items()) if _in(name, path)]
        return web.json_response({"items": items, "metadata": {}})

    def _patch(self, path: str, patch: Object) -> web.Response:
        stored = self.objects.get(path)
        if stored is None:
            return _status(404, "NotFound", f"{path} not found")
        expected = patch.get("metadata", {}).get("resourceVersion", stored["metadata"]["resourceVersion"])
        if expected != stored["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "changed meanwhile")
        return web.json_response(self.put(path, _merged(stored, patch)))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Kube]:
        """A client for this server, which listens on loopback meanwhile."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with client.ApiClient(client.Configuration(host=url)) as api:
                yield Kube(api, url, "default", "rloop-operator")
        finally:
            self._closing.set()
            await runner.cleanup()


def _in(name: str, collection: str) -> bool:
    """Whether the object is in the collection: of a namespace, or of all."""
    if name.rpartition("/")[0] == collection:
        return True
    group, _, plural = collection.rpartition("/")
    return name.startswith(f"{group}/namespaces/") and name.rpartition("/")[0].endswith(f"/{plural}")


def _merged(stored: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": message}, status=code)
