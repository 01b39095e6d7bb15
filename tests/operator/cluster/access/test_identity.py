"""Tokens that nobody issued cost the API server little, and nobody else notices them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock

from rloop.errors import NotFound, Refused
from rloop_operator.cluster.access.identity import (
    CACHE_SECONDS,
    KEPT_MAX,
    PARALLEL_UNKNOWN,
    POD_NAME,
    POD_UID,
    UNKNOWN_BURST,
    KubeIdentity,
)

GOOD = "a.good.token"


class Api:
    """An API server that knows one token of one pod."""

    def __init__(self) -> None:
        self.reviews = 0
        self.at_once = 0
        self.most_at_once = 0

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.reviews += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if body["spec"]["token"] != GOOD:
            return {"status": {"authenticated": False}}
        extra = {POD_NAME: ["demo-a1"], POD_UID: ["u1"]}
        user = {"username": "system:serviceaccount:tenant:rloop-agent", "extra": extra}
        return {"status": {"authenticated": True, "user": user}}

    async def get(self, path: str) -> dict[str, Any]:
        if path.endswith("/pods/demo-a1"):
            labels = {"rloop.dev/role": "agent", "rloop.dev/owner": "demo-i0001", "rloop.dev/loop": "demo"}
            owners = [{"uid": "u2"}]
            return {"metadata": {"name": "demo-a1", "uid": "u1", "labels": labels, "ownerReferences": owners}}
        if path.endswith("/demo-i0001"):
            return {"metadata": {"uid": "u2"}, "spec": {"loopName": "demo"}}
        raise NotFound(path)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def identity(api: Api, clock: Clock) -> KubeIdentity:
    return KubeIdentity(api, clock=clock)  # type: ignore[arg-type]


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


def test_a_lookup_that_fails_is_tried_again(identity: KubeIdentity, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise ConnectionError

    async def play() -> None:
        with monkeypatch.context() as context:
            context.setattr(api, "create", fails)
            with pytest.raises(ConnectionError):
                await identity.caller(GOOD)
        assert await identity.caller(GOOD) is not None

    asyncio.run(play())
