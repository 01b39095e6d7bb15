"""The gateway of a cluster: the token of a session's pod opens the verbs of its own campaign, in any namespace."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.operator.cluster.test_tenants import put_loop
from tests.support import builders
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cluster import gateway
from rloop_operator.cluster.access.identity import POD_NAME, POD_UID
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.telemetry import metrics

ITERATION = builders.iteration(1, builders.session("Running"))
SESSION = f"{ITERATION.metadata.name}-s1"
POD = f"{SESSION}-a1"
ENVIRONMENT = {"RLOOP_NAMESPACE": "system", "RLOOP_GATEWAY_URL": "http://10.96.0.10:8080"}


class Place:
    """Two namespaces, each with a loop and a session whose token is `token.of.<namespace>`."""

    def __init__(self) -> None:
        self.fake = FakeKubernetes()
        self.app = gateway.application(self.fake.direct(), gateway.own_hosts(ENVIRONMENT))
        for namespace in ("one", "two"):
            asyncio.run(self._fill(namespace))

    async def _fill(self, namespace: str) -> None:
        put_loop(self.fake, namespace, direction=f"Find something in {namespace}.")
        store = KubeStore(self.fake.direct(), namespace)
        loop = await store.get(ResearchLoop, "demo")
        status = loop.status.model_copy(update={"sealed": await store.seal(loop)})
        await store.apply_status(loop.model_copy(update={"status": status}))
        document = ITERATION.model_dump(mode="json", by_alias=True, exclude_none=True)
        path = client.objects(namespace, "researchiterations", ITERATION.metadata.name)
        owner = client.owner_reference(self.fake.put(path, document))
        labels = names.labels("demo", "agent") | {names.LABEL_OWNER: owner["name"], names.LABEL_SESSION: SESSION}
        metadata = {"name": POD, "labels": labels, "ownerReferences": [owner]}
        pod = self.fake.put(client.core(namespace, "pods", POD), {"metadata": metadata})
        user: dict[str, Any] = {"username": f"system:serviceaccount:{namespace}:rloop-agent"}
        user["extra"] = {POD_NAME: [POD], POD_UID: [pod["metadata"]["uid"]]}
        self.fake.tokens[f"token.of.{namespace}"] = {"authenticated": True, "user": user}

    def request(self, method: str, path: str, token: str = "", *, host: str = "10.96.0.10:8080") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
                headers = {"authorization": f"Bearer {token}"} if token else {}
                return await http.request(method, f"/v1/{path}", headers=headers)

        return asyncio.run(send())


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.mark.parametrize("namespace", ["one", "two"])
def test_a_token_opens_its_own_campaign(place: Place, namespace: str) -> None:
    place.request("GET", "context", "token.of.two")
    reply = place.request("GET", "context", f"token.of.{namespace}")
    assert (reply.status_code, reply.json()["direction"]) == (200, f"Find something in {namespace}.")
    assert place.request("GET", "task", f"token.of.{namespace}").json()["files"] == {"train": "#!/bin/sh\n"}


@pytest.mark.parametrize("token", ["", "x", "token.of.nobody"])
def test_a_stranger_is_turned_away(place: Place, token: str) -> None:
    reply = place.request("GET", "context", token)
    assert (reply.status_code, reply.json()["reason"]) == (401, "Unauthorized")


def test_a_heartbeat_stands_on_the_pod_and_brings_the_nudge(place: Place) -> None:
    path = client.core("one", "pods", POD)
    place.fake.objects[path]["metadata"]["annotations"] = {names.ANNOTATION_NUDGE: "go on"}
    assert place.request("POST", "heartbeat", "token.of.one").json() == {"nudge": "go on", "closing": False}
    assert list(place.fake.objects[path]["metadata"]["annotations"]) == [names.ANNOTATION_BEAT]


@pytest.mark.parametrize("fault", ["tokenreviews", "researchloops"])
def test_an_api_server_that_fails_is_no_fault_of_the_caller(place: Place, fault: str) -> None:
    place.fake.faults[fault] = 500
    reply = place.request("GET", "context", "token.of.one")
    assert (reply.status_code, reply.json()["reason"]) == (503, "Unavailable")
    place.fake.faults.clear()
    assert place.request("GET", "context", "token.of.one").status_code == 200


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("rloop-gateway:8080", 401),
        ("rloop-gateway.system.svc", 401),
        ("127.0.0.1:9000", 401),
        ("evil.example", 403),
        ("rloop-gateway.other.svc", 403),
    ],
)
def test_it_answers_under_its_own_names_only(place: Place, host: str, code: int) -> None:
    assert place.request("GET", "context", host=host).status_code == code


@pytest.mark.parametrize(
    ("path", "verb", "code"),
    [
        ("context", "GET /v1/context", "200"),
        ("experiments/nobody", "GET /v1/experiments/{name:path}", "404"),
        ("nowhere/at-all", "other", "404"),
    ],
)
def test_requests_are_counted_by_route(place: Place, path: str, verb: str, code: str) -> None:
    counter = metrics.GATEWAY_REQUESTS.labels(verb, code)
    before = counter._value.get()
    place.request("GET", path, "token.of.one")
    assert counter._value.get() == before + 1
