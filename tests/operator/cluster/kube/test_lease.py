"""One process acts: who holds the Lease, for how long, and who takes it over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock
from tests.support.fake_kubernetes import FakeKubernetes, Request

from rloop.errors import Conflict
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.kube.lease import DURATION_SECONDS, FENCE_SECONDS, Lease

PATH = client.group("coordination.k8s.io/v1", "system", "leases", "rloop-operator")


@pytest.fixture
def fake() -> FakeKubernetes:
    return FakeKubernetes()


def lease(fake: FakeKubernetes, clock: Clock, holder: str = "me") -> Lease:
    return Lease(fake.direct(), "system", "rloop-operator", holder, clock)


def spec(fake: FakeKubernetes) -> dict[str, Any]:
    found: dict[str, Any] = fake.objects[PATH]["spec"]
    return found


def test_the_first_makes_it_and_holds_it_until_the_fence(fake: FakeKubernetes, clock: Clock) -> None:
    own = lease(fake, clock)
    assert not own.held()
    asyncio.run(own.step())
    assert (spec(fake)["holderIdentity"], spec(fake)["leaseTransitions"]) == ("me", 1)
    assert spec(fake)["leaseDurationSeconds"] == DURATION_SECONDS > FENCE_SECONDS
    clock.now += FENCE_SECONDS - 1
    assert own.held()
    clock.now += 1
    assert not own.held(), "others wait longer than that"
    asyncio.run(own.step())
    assert own.held()
    assert spec(fake)["leaseTransitions"] == 1, "it was renewed, not taken over"


def test_a_request_counts_from_when_it_was_sent(fake: FakeKubernetes, clock: Clock) -> None:
    own = lease(fake, clock)
    asyncio.run(own.step())

    def slow(*_: object) -> None:
        clock.now += FENCE_SECONDS

    fake.listeners.append(slow)
    asyncio.run(own.step())
    assert not own.held()


def test_another_waits_until_the_holder_is_silent_and_takes_over(fake: FakeKubernetes, clock: Clock) -> None:
    own, other = lease(fake, clock), lease(fake, clock, "other")
    asyncio.run(own.step())
    for _ in range(10):  # as long as it is renewed, whatever the time
        asyncio.run(other.step())
        clock.now += DURATION_SECONDS - 1
        asyncio.run(own.step())
    asyncio.run(other.step())
    clock.now += DURATION_SECONDS
    asyncio.run(other.step())
    assert (other.held(), spec(fake)["holderIdentity"]) == (False, "me")
    clock.now += 1
    asyncio.run(other.step())
    assert (other.held(), own.held()) == (True, False)
    assert (spec(fake)["holderIdentity"], spec(fake)["leaseTransitions"]) == ("other", 2)
    asyncio.run(own.step())
    assert not own.held(), "who was away does not take it back"


@pytest.mark.parametrize("left", [{"spec": {}}, {}, {"spec": {"holderIdentity": ""}}])
def test_one_that_nobody_holds_is_taken_at_once(fake: FakeKubernetes, clock: Clock, left: dict[str, Any]) -> None:
    fake.put(PATH, {"metadata": {"name": "rloop-operator"}, **left})
    own = lease(fake, clock)
    asyncio.run(own.step())
    assert own.held()


def test_who_loses_the_race_for_it_does_not_hold_it(fake: FakeKubernetes, clock: Clock) -> None:
    own, other = lease(fake, clock), lease(fake, clock, "other")
    fake.put(PATH, {"metadata": {"name": "rloop-operator"}})

    async def both() -> None:
        await asyncio.gather(own.step(), other.step())

    asyncio.run(both())
    assert [own.held(), other.held()].count(True) == 1
    patches = [one.body["metadata"]["resourceVersion"] for one in fake.written]
    assert patches[0] == patches[1], "each write was conditional"


def test_who_loses_the_race_to_make_it_raises(fake: FakeKubernetes, clock: Clock) -> None:
    own = lease(fake, clock)
    fake.faults["POST"] = 409
    with pytest.raises(Conflict):
        asyncio.run(own.step())
    assert not own.held()


def test_annotations_outlive_the_process(fake: FakeKubernetes, clock: Clock) -> None:
    first, second = lease(fake, clock), lease(fake, clock)
    asyncio.run(first.step())
    asyncio.run(first.annotate({"a": "1"}))
    asyncio.run(first.annotate({"b": "2"}))
    asyncio.run(second.step())
    assert second.annotations == first.annotations == {"a": "1", "b": "2"}
    assert asyncio.run(second.read())["spec"]["holderIdentity"] == "me"


def test_a_failed_renewal_is_tried_again_and_who_waits_is_woken(fake: FakeKubernetes, clock: Clock) -> None:
    async def test() -> None:
        own = lease(fake, clock)
        fake.faults["leases"] = 500
        holding = asyncio.create_task(own.hold())
        waiting = asyncio.create_task(own.acquired())
        for _ in range(10):
            await asyncio.sleep(0)
        assert (fake.count("GET"), waiting.done(), holding.done()) == (1, False, False)
        fake.faults.clear()
        await own.step()
        await waiting
        assert own.held()
        assert not holding.done()
        holding.cancel()

    asyncio.run(test())


def test_without_it_nothing_else_is_written(fake: FakeKubernetes, clock: Clock) -> None:
    api = fake.direct()
    own = Lease(api, "system", "rloop-operator", "me", clock)
    api.may_write = own.held
    path, body = client.core("team", "configmaps"), {"metadata": {"name": "a"}}
    with pytest.raises(client.KubeError, match="the operator's Lease has expired"):
        asyncio.run(api.create(path, body))
    assert fake.written == []
    asyncio.run(own.step())
    asyncio.run(api.create(path, body))
    assert fake.written[-1] == Request("POST", path, {"fieldManager": "rloop-operator"}, body)
