"""A Kubernetes API server in memory: enough of it for the operator, kopf's watches and the guard.

Used by tests of the cluster's shell that need many namespaces or faults at will, which no real cluster offers. It knows
objects, merge patches, preconditions, selectors and watches; no admission, no controllers, no pods that run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

Object = dict[str, Any]
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+/[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log))?"
)
KINDS = {
    "researchloops": "ResearchLoop",
    "researchiterations": "ResearchIteration",
    "researchexperiments": "ResearchExperiment",
}
OURS = "rloop.dev/v1alpha1"
DEFINITIONS = "apiextensions.k8s.io/v1"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reason(code: int) -> str:
    return {403: "Forbidden", 404: "NotFound", 409: "Conflict"}.get(code, "InternalError")


def status(code: int, message: str) -> tuple[int, Object]:
    """An error as the API server words it."""
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": _reason(code), "message": message}


@dataclass
class FakeKubernetes:
    """The server; `objects` by path of the collection and name."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """Namespace -> the HTTP status of every answer to a request about it."""
    deaf: set[str] = field(default_factory=set)
    """Namespaces in which every watch is forbidden."""
    written: list[tuple[str, str, Object, dict[str, str]]] = field(default_factory=list)
    """Method, path, body and query of every write, also of those that failed."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    _versions: Any = field(default_factory=lambda: itertools.count(1))
    _watches: list[tuple[str, dict[str, str], asyncio.Queue[Object]]] = field(default_factory=list)

    def put(self, collection: str, obj: Object) -> Object:
        """Store an object as if a user had created it."""
        code, answer = self.answer("POST", collection, {}, obj)
        assert code == 201, answer
        return answer

    def at(self, collection: str, name: str) -> Object:
        """A stored object."""
        return self.objects[collection, name]

    def answer(self, method: str, path: str, query: dict[str, str], body: Object | None) -> tuple[int, Object]:
        """Answer one request that is no watch."""
        self.asked.append((method, path))
        if body is not None and method in ("POST", "PATCH"):
            self.written.append((method, path, body, query))
        found = PATH.fullmatch(path)
        if found is None:
            return self._discovered(path)
        fault = self.faults.get(found["namespace"] or "")
        if fault is not None:
            return status(fault, f'no answer about namespace "{found["namespace"]}"')
        name, sub = found["name"], found["sub"]
        collection = path.removesuffix(f"/{sub}").removesuffix(f"/{name}") if name else path
        if method == "POST":
            return self._create(collection, found["namespace"], body or {})
        if name is None:
            return 200, {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": self._list(collection, query)}
        stored = self.objects.get((collection, name))
        if stored is None:
            return status(404, f'{found["plural"]} "{name}" not found')
        if method == "PATCH":
            return self._patch(collection, stored, body or {}, only_status=sub == "status")
        if method == "DELETE":
            uid = (body or {}).get("preconditions", {}).get("uid", stored["metadata"]["uid"])
            if uid != stored["metadata"]["uid"]:
                return status(409, "the uid is another")
            del self.objects[collection, name]
            self._tell("DELETED", collection, stored)
        return 200, stored

    def _create(self, collection: str, namespace: str | None, body: Object) -> tuple[int, Object]:
        name = body["metadata"]["name"]
        if (collection, name) in self.objects:
            return status(409, f'"{name}" already exists')
        number = next(self._versions)
        facts: Object = {"uid": f"uid-{number}", "resourceVersion": str(number), "creationTimestamp": _now()}
        facts |= {"generation": 1} | ({"namespace": namespace} if namespace else {})
        stored = json.loads(json.dumps(body)) | {"metadata": body["metadata"] | facts}
        self.objects[collection, name] = stored
        self._tell("ADDED", collection, stored)
        return 201, stored

    def _patch(self, collection: str, stored: Object, body: Object, *, only_status: bool) -> tuple[int, Object]:
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != stored["metadata"]["resourceVersion"]:
            return status(409, "the object has been modified")
        part = {"status": body.get("status", {})} if only_status else body
        patched = _merged(stored, part)
        patched["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[collection, stored["metadata"]["name"]] = patched
        self._tell("MODIFIED", collection, patched)
        return 200, patched

    def _list(self, collection: str, query: dict[str, str]) -> list[Object]:
        everywhere = re.sub(r"/namespaces/[^/]+", "", collection) == collection
        return [
            stored
            for (where, _), stored in self.objects.items()
            if (where == collection or (everywhere and re.sub(r"/namespaces/[^/]+", "", where) == collection))
            and _selected(stored, query.get("labelSelector", ""))
        ]

    def _tell(self, type_: str, collection: str, obj: Object) -> None:
        for path, query, queue in self._watches:
            if path == collection and _selected(obj, query.get("labelSelector", "")):
                queue.put_nowait({"type": type_, "object": obj})

    def _discovered(self, path: str) -> tuple[int, Object]:
        """What kopf asks when it starts."""
        if path == "/api":
            return 200, {"versions": ["v1"]}
        if path == "/apis":
            return 200, {"groups": [_group(one) for one in (OURS, DEFINITIONS)]}
        if path == "/api/v1":
            found = {"pods": "Pod", "events": "Event", "namespaces": "Namespace"}
            return 200, {"groupVersion": "v1", "resources": [_resource(*one) for one in found.items()]}
        if path == f"/apis/{OURS}":
            return 200, {"groupVersion": OURS, "resources": [_resource(*one) for one in KINDS.items()]}
        if path == f"/apis/{DEFINITIONS}":
            resource = _resource("customresourcedefinitions", "CustomResourceDefinition")
            return 200, {"groupVersion": DEFINITIONS, "resources": [resource]}
        return status(404, f"{path} is not there")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve it over HTTP; the address."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if query.get("watch") == "true":
            return await self._watch(request, query)
        code, answer = self.answer(request.method, request.path, query, await _body(request))
        return web.json_response(answer, status=code)

    async def _watch(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        self.asked.append(("WATCH", request.path))
        found = PATH.fullmatch(request.path)
        namespace = (found and found["namespace"]) or ""
        fault = 403 if namespace in self.deaf else self.faults.get(namespace)
        if fault is not None:
            code, answer = status(fault, "no watch")
            return web.json_response(answer, status=code)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = (request.path, query, asyncio.Queue[Object]())
        self._watches.append(watch)
        try:
            while True:
                await response.write(json.dumps(await watch[2].get()).encode() + b"\n")
        finally:
            self._watches.remove(watch)


async def _body(request: web.Request) -> Object | None:
    text = await request.text()
    found: Object | None = json.loads(text) if text else None
    return found


def _group(group_version: str) -> Object:
    name, _, version = group_version.partition("/")
    told = {"groupVersion": group_version, "version": version}
    return {"name": name, "versions": [told], "preferredVersion": told}


def _resource(plural: str, kind: str) -> Object:
    verbs = ["get", "list", "watch", "create", "patch", "delete"]
    return {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}


def _merged(old: Object, patch: Object) -> Object:
    """RFC 7386."""
    made = dict(old)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            before = made.get(key)
            made[key] = _merged(before if isinstance(before, dict) else {}, value)
        else:
            made[key] = value
    return made


def _selected(obj: Object, selector: str) -> bool:
    labels = obj["metadata"].get("labels", {})
    for term in re.findall(r"(?:[^,(]|\([^)]*\))+", selector):
        key, one_of, values = term.partition(" in ")
        if one_of:
            fits = labels.get(key) in values.strip("()").split(",")
        elif term.startswith("!"):
            fits = term[1:] not in labels
        else:
            key, equals, value = term.partition("=")
            fits = key in labels and (not equals or labels[key] == value)
        if not fits:
            return False
    return True


def kubeconfig(folder: Path, url: str) -> str:
    """A kubeconfig for the server, written into the folder; its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": "fake"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)
