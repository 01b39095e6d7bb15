"""Whose a token is; those that nobody issued cost the API server little, and nobody else notices them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock
from tests.support.fake_kubernetes import REVIEWS, Answer, FakeKubernetes, Request
from tests.support.kubernetes_objects import merged
from typing_extensions import override

from rloop import names
from rloop.errors import Refused
from rloop_operator.cluster.access.identity import (
    CACHE_SECONDS,
    KEPT_MAX,
    PARALLEL_UNKNOWN,
    POD_NAME,
    POD_UID,
    UNKNOWN_BURST,
    KubeIdentity,
)
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.workloads.pod_parts import AUDIENCE
from rloop_operator.ports import Caller

GOOD = "a.good.token"
POD, HOLDER = client.core("tenant", "pods", "demo-a1"), client.objects("tenant", "researchiterations", "demo-i0001")
LABELS = {names.LABEL_ROLE: "agent", names.LABEL_OWNER: "demo-i0001", names.LABEL_LOOP: "demo"}
OWNERS = [{"uid": "u2"}]
USER = {"username": "system:serviceaccount:tenant:rloop-agent", "extra": {POD_NAME: ["demo-a1"], POD_UID: ["u1"]}}


class Api(FakeKubernetes):
    """An API server that knows one token of one pod."""

    at_once = 0
    most_at_once = 0

    def __init__(self) -> None:
        super().__init__()
        self.put(POD, {"metadata": {"name": "demo-a1", "uid": "u1", "labels": LABELS, "ownerReferences": OWNERS}})
        self.put(HOLDER, {"metadata": {"name": "demo-i0001", "uid": "u2"}, "spec": {"loopName": "demo"}})
        self.tokens[GOOD] = {"authenticated": True, "user": USER}

    @property
    def reviews(self) -> int:
        return self.asked[f"POST {REVIEWS}"]

    @override
    async def respond(self, request: Request) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return await super().respond(request)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def identity(api: Api, clock: Clock) -> KubeIdentity:
    return KubeIdentity(api.direct(), clock=clock)


async def busy(identity: KubeIdentity, token: str, peer: str) -> bool:
    try:
        assert await identity.caller(token, peer) is None
    except Refused as refused:
        return refused.reason == "Busy"
    return False


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "a..c", "a.b.c\n", "é.b.c", "a.b c.d"])
def test_what_is_no_token_is_not_looked_up(identity: KubeIdentity, api: Api, token: str) -> None:
    assert asyncio.run(identity.caller(token)) is None
    assert api.reviews == 0


def test_one_token_is_looked_up_once_however_many_show_it(identity: KubeIdentity, api: Api) -> None:
    async def play() -> None:
        callers = await asyncio.gather(*(identity.caller(GOOD) for _ in range(50)))
        assert {one.workload for one in callers if one} == {"demo-a1"}
        assert None not in callers

    asyncio.run(play())
    assert api.reviews == 1


def test_a_flood_of_unknown_tokens_is_bounded_and_hurts_no_other_address(
    identity: KubeIdentity, api: Api, clock: Clock
) -> None:
    async def play() -> None:
        assert await identity.caller(GOOD, "pod") is not None
        refused = await asyncio.gather(*(busy(identity, f"a.b.{n}", "attacker") for n in range(1000)))
        assert sum(refused) == 1000 - UNKNOWN_BURST
        assert api.reviews == 1 + UNKNOWN_BURST
        assert api.most_at_once <= PARALLEL_UNKNOWN
        clock.now += CACHE_SECONDS
        assert await identity.caller(GOOD, "attacker") is not None, "a token that was valid has no limit"
        assert not await busy(identity, "a.b.x", "another")
        assert not await busy(identity, "a.b.y", "attacker"), "the limit is one of some seconds"

    asyncio.run(play())


def test_a_refused_token_is_remembered_for_a_short_time(identity: KubeIdentity, api: Api, clock: Clock) -> None:
    async def play() -> None:
        for _ in range(100):
            assert await identity.caller("a.b.c") is None
        assert api.reviews == 1
        clock.now += CACHE_SECONDS
        assert await identity.caller("a.b.c") is None
        assert api.reviews == 2

    asyncio.run(play())


def test_what_is_remembered_is_bounded(identity: KubeIdentity) -> None:
    async def play() -> None:
        for n in range(KEPT_MAX + 100):
            assert await identity.caller(f"a.b.{n}", f"10.0.{n // 256}.{n % 256}") is None

    asyncio.run(play())
    assert len(identity._cache) <= KEPT_MAX
    assert len(identity._reviews._left) <= KEPT_MAX


def test_a_lookup_that_fails_is_tried_again(identity: KubeIdentity, api: Api) -> None:
    async def play() -> None:
        api.faults["tokenreviews"] = 500
        with pytest.raises(client.KubeError):
            await identity.caller(GOOD)
        api.faults.clear()
        assert await identity.caller(GOOD) is not None

    asyncio.run(play())


def test_a_token_names_its_pod_and_whose_that_is(identity: KubeIdentity, api: Api) -> None:
    api.put(POD, changed(api, POD, metadata={"labels": LABELS | {names.LABEL_SESSION: "demo-i0001-s1"}}))
    caller = asyncio.run(identity.caller(GOOD))
    assert caller == Caller("demo-a1", "agent", "demo", "demo-i0001", "demo-i0001-s1", "tenant")
    (review,) = [one for one in api.written if one.path == REVIEWS]
    assert review.body["spec"] == {"token": GOOD, "audiences": [AUDIENCE]}


def changed(api: Api, path: str, **patch: Any) -> dict[str, Any]:
    return merged(api.objects[path], patch)


@pytest.mark.parametrize(
    ("path", "patch"),
    [
        pytest.param(POD, {"metadata": {"uid": "u9"}}, id="another pod of that name"),
        pytest.param(POD, {"metadata": {"labels": None}}, id="a pod that is not ours"),
        pytest.param(POD, {"metadata": {"labels": {names.LABEL_ROLE: "verification"}}}, id="a role that does not call"),
        pytest.param(POD, {"metadata": {"labels": {names.LABEL_OWNER: "demo-i0002"}}}, id="its owner is not there"),
        pytest.param(POD, {"metadata": {"labels": {names.LABEL_LOOP: "other"}}}, id="it claims another loop"),
        pytest.param(POD, {"metadata": {"ownerReferences": [{"uid": "u9"}]}}, id="the iteration did not make it"),
        pytest.param(POD, {"metadata": {"ownerReferences": None}}, id="nobody made it"),
        pytest.param(POD, {"status": {"phase": "Succeeded"}}, id="it has succeeded"),
        pytest.param(POD, {"status": {"phase": "Failed"}}, id="it has failed"),
        pytest.param(HOLDER, {"spec": {"loopName": "other"}}, id="its owner is another loop's"),
    ],
)
def test_a_pod_that_is_not_what_it_says_is_nobody(
    identity: KubeIdentity, api: Api, path: str, patch: dict[str, Any]
) -> None:
    api.put(path, changed(api, path, **patch))
    assert asyncio.run(identity.caller(GOOD)) is None


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(USER | {"extra": {}}, id="an account without a pod"),
        pytest.param(USER | {"extra": {POD_NAME: ["demo-a1"]}}, id="no uid"),
        pytest.param(USER | {"extra": {POD_NAME: ["demo-a2"], POD_UID: ["u1"]}}, id="its pod is gone"),
        pytest.param({"username": "system:serviceaccount:other:rloop-agent", "extra": USER["extra"]}, id="elsewhere"),
        pytest.param({"username": "kubernetes-admin"}, id="a person"),
    ],
)
def test_a_token_of_no_pod_of_ours_is_nobodys(identity: KubeIdentity, api: Api, user: dict[str, Any]) -> None:
    api.tokens[GOOD] = {"authenticated": True, "user": user}
    assert asyncio.run(identity.caller(GOOD)) is None


def test_a_run_calls_though_its_pod_belongs_to_a_job(identity: KubeIdentity, api: Api) -> None:
    run = LABELS | {names.LABEL_ROLE: "run", names.LABEL_OWNER: "demo-b01"}
    api.put(POD, changed(api, POD, metadata={"labels": run, "ownerReferences": [{"uid": "a Job's"}]}))
    api.put(client.objects("tenant", "researchexperiments", "demo-b01"), {**api.objects[HOLDER]})
    caller = asyncio.run(identity.caller(GOOD))
    assert caller == Caller("demo-a1", "run", "demo", "demo-b01", "", "tenant")
    assert asyncio.run(KubeIdentity(api.direct(), roles=("agent",)).caller(GOOD)) is None, "as in the LLM proxy"


def test_a_deleted_pod_loses_its_rights_when_it_is_looked_up_again(
    identity: KubeIdentity, api: Api, clock: Clock
) -> None:
    assert asyncio.run(identity.caller(GOOD)) is not None
    del api.objects[POD]
    assert asyncio.run(identity.caller(GOOD)) is not None, "remembered"
    clock.now += CACHE_SECONDS
    assert asyncio.run(identity.caller(GOOD)) is None
