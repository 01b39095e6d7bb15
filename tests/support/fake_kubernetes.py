"""A Kubernetes API server in memory: the only fake one, for all tests of the cluster's shell.

It knows objects, merge patches, preconditions, selectors, watches, logs and TokenReviews, and fails or hangs at will;
it has no admission, no controllers and no pods that run. `connected` and `serving` serve it over HTTP. `direct` is a
client without a socket, for tests that are no coroutines: it outlives the event loop of one `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from kubernetes.aio import client as library
from tests.support.kubernetes_objects import differs, merged, selected, within

from rloop_operator.cluster.kube.client import Kube

Object = dict[str, Any]
Answer = tuple[int, Object | str]
"""HTTP status, and a document or a text."""
PATH = re.compile(
    r"(?P<collection>/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log))?"
)
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SERVED = {
    "v1": {"pods": "Pod", "events": "Event", "namespaces": "Namespace"},
    "rloop.dev/v1alpha1": {
        "researchloops": "ResearchLoop",
        "researchiterations": "ResearchIteration",
        "researchexperiments": "ResearchExperiment",
    },
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
}
"""What kopf finds when it starts; any other kind can be requested too."""
_REASONS = {403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "Invalid"}


def error(code: int, message: str) -> Answer:
    """An error as the API server words it."""
    reason = _REASONS.get(code, "InternalError")
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


@dataclass(frozen=True)
class Request:
    """A request; the method of a watch is WATCH."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What patterns are searched in, as `GET /api/v1/namespaces/team/pods`."""
        return f"{self.method} {self.path}"


@dataclass
class FakeKubernetes:
    """The server. Its objects stand under their paths."""

    objects: dict[str, Object] = field(default_factory=dict)
    faults: dict[str, int | Callable[[], Answer]] = field(default_factory=dict)
    """Pattern of requests -> HTTP status, or function, of the answers that they get instead."""
    hangs: str = ""
    """Pattern of requests that are never answered; they count in `hanging`, and each releases `hung`."""
    hanging: int = 0
    hung: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    tokens: dict[str, Object] = field(default_factory=dict)
    """Token -> status of its TokenReviews; any other is not authenticated."""
    asked: Counter[str] = field(default_factory=Counter)
    """Text of a request -> how often it came."""
    written: list[Request] = field(default_factory=list)
    """Every write, also those that failed."""
    listeners: list[Callable[[str, str, Object], None]] = field(default_factory=list)
    """Called with type, path and object of each change."""
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, path: str, obj: Mapping[str, Any]) -> Object:
        """Store an object as somebody else would have made it; what it does not say is as at its creation."""
        number = str(next(self._versions))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"uid": f"uid-{number}", "creationTimestamp": now, "generation": 1, **obj["metadata"]}
        found = PATH.fullmatch(path)
        if found is not None and found["namespace"]:
            metadata.setdefault("namespace", found["namespace"])
        stored: Object = json.loads(json.dumps({**obj, "metadata": metadata | {"resourceVersion": number}}))
        type_ = "MODIFIED" if path in self.objects else "ADDED"
        self.objects[path] = stored
        self._tell(type_, path, stored)
        return stored

    def stored(self, collection: str) -> list[Object]:
        """The objects of a collection, in a namespace or in all, by name."""
        return [one for path, one in sorted(self.objects.items()) if within(path, collection)]

    def count(self, pattern: str) -> int:
        """Number of the requests that match."""
        return sum(number for text, number in self.asked.items() if re.search(pattern, text))

    async def respond(self, request: Request) -> Answer:
        """Answer one request; of a watch only whether it is allowed."""
        self.asked[request.text] += 1
        if request.method in ("POST", "PATCH", "DELETE"):
            self.written.append(request)
        if self.hangs and re.search(self.hangs, request.text):
            self.hanging += 1
            self.hung.release()
            await asyncio.Event().wait()
        for pattern, fault in self.faults.items():
            if re.search(pattern, request.text):
                return error(fault, f"no answer to {request.text}") if isinstance(fault, int) else fault()
        return self.answer(request)

    def answer(self, request: Request) -> Answer:
        """Answer one request at once, without faults."""
        found = PATH.fullmatch(request.path)
        if found is None:
            return _discovered(request.path)
        collection, name, sub = found["collection"], found["name"], found["sub"]
        if request.method == "POST":
            return self._create(collection, request.body)
        if name is None:
            return 200, self._list(collection, request.query)
        path = f"{collection}/{name}"
        stored = self.objects.get(path)
        if stored is None:
            return error(404, f'{collection.rpartition("/")[2]} "{name}" not found')
        if request.method == "PATCH":
            return self._patch(path, stored, request.body, sub)
        if request.method == "DELETE":
            if differs(stored, request.body.get("preconditions", {})):
                return error(409, "the object is another one")
            del self.objects[path]
            self._tell("DELETED", path, stored)
        return 200, "" if sub == "log" else stored

    def _create(self, collection: str, body: Object) -> Answer:
        if collection == REVIEWS:
            return 201, body | {"status": self.tokens.get(body["spec"]["token"], {"authenticated": False})}
        path = f"{collection}/{body['metadata']['name']}"
        if path in self.objects:
            return error(409, f"{path} already exists")
        return 201, self.put(path, {key: value for key, value in body.items() if key != "status"})

    def _patch(self, path: str, stored: Object, body: Object, sub: str | None) -> Answer:
        metadata = body.get("metadata", {})
        if differs(stored, {key: metadata[key] for key in ("resourceVersion", "uid") if key in metadata}):
            return error(409, "the object has been modified")
        made = merged(stored, {key: value for key, value in body.items() if (key == "status") == (sub == "status")})
        if made == stored:
            return 200, stored
        made["metadata"]["generation"] += made.get("spec") != stored.get("spec")
        return 200, self.put(path, made)

    def _list(self, collection: str, query: Mapping[str, str]) -> Object:
        items = [one for one in self.stored(collection) if selected(one, query)]
        begin, most = int(query.get("continue", "0")), int(query.get("limit", len(items)))
        more = {"continue": str(begin + most)} if begin + most < len(items) else {}
        metadata = {"resourceVersion": "1", **more}
        return {"kind": "List", "metadata": metadata, "items": items[begin : begin + most]}

    def _tell(self, type_: str, path: str, obj: Object) -> None:
        for listener in self.listeners:
            listener(type_, path, obj)

    def direct(self) -> Kube:
        """A client whose requests are function calls."""
        return Kube(cast(Any, _Direct(self)), "http://fake", "default", "rloop-operator")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Kube]:
        """A client over HTTP."""
        async with self.serving() as url, library.ApiClient(library.Configuration(host=url)) as api:
            yield Kube(api, url, "default", "rloop-operator")

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

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        method = "WATCH" if http.query.get("watch") == "true" else http.method
        text = await http.text()
        request = Request(method, http.path, dict(http.query), json.loads(text) if text else {})
        code, answer = await self.respond(request)
        if method != "WATCH" or code >= 300:
            told = answer if isinstance(answer, str) else json.dumps(answer)
            return web.Response(text=told, status=code, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(http)
        changes = asyncio.Queue[Object]()

        def listener(type_: str, path: str, obj: Object) -> None:
            if within(path, request.path) and selected(obj, request.query):
                changes.put_nowait({"type": type_, "object": obj})

        self.listeners.append(listener)
        try:
            while True:
                await response.write(json.dumps(await changes.get()).encode() + b"\n")
        finally:
            self.listeners.remove(listener)


class _Direct:
    """In the place of the library's client: no serialization into a URL, no socket."""

    def __init__(self, fake: FakeKubernetes) -> None:
        self._fake = fake
        self.status = 0
        self._text = ""

    async def param_serialize(self, method: str, path: str, **request: Any) -> tuple[str, str, Any, Any, None]:
        return method, path, dict(request["query_params"]), request["body"], None

    async def call_api(self, method: str, path: str, query: Any, body: Any, **_: Any) -> _Direct:
        await asyncio.sleep(0)
        answered = _Direct(self._fake)
        answered.status, answer = await self._fake.respond(Request(method, path, query, body or {}))
        answered._text = answer if isinstance(answer, str) else json.dumps(answer)
        return answered

    async def read(self) -> bytes:
        return self._text.encode()


def _discovered(path: str) -> Answer:
    """What kopf asks when it starts."""
    if path == "/api":
        return 200, {"versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": one, "version": one.partition("/")[2]} for one in SERVED if "/" in one]
        groups = [(one["groupVersion"].partition("/")[0], one) for one in versions]
        return 200, {"groups": [{"name": name, "versions": [one], "preferredVersion": one} for name, one in groups]}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in SERVED:
        return error(404, f"{path} does not exist")
    shared = {"namespaced": True, "verbs": ["get", "list", "watch", "create", "patch", "delete"]}
    kinds = SERVED[version].items()
    resources = [{"name": name, "singularName": kind.lower(), "kind": kind} | shared for name, kind in kinds]
    return 200, {"groupVersion": version, "resources": resources}


def kubeconfig(folder: Path, url: str) -> str:
    """A kubeconfig for the server, written into the folder; its path."""
    user, context = {"name": "fake", "user": {"token": "fake"}}, {"cluster": "fake", "user": "fake"}
    document = {
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [user],
        "contexts": [{"name": "fake", "context": context}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)
