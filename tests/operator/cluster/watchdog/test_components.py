"""The operator's watch over guard, gateway and LLM proxy: what it sees, and which pods it restarts."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.operator.cluster.conftest import Clock
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
from rloop.restart_policy import BACKOFF_SECONDS, HEALTHY_SECONDS, START_SECONDS
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.kube.lease import GUARD, OPERATOR, Lease
from rloop_operator.cluster.watchdog.components import NOT_READY_SECONDS, SILENT_SECONDS, Components
from rloop_operator.cluster.watchdog.monitor import GRACE_SECONDS, LOOK_SECONDS

LEASES = client.group("coordination.k8s.io/v1", "system", "leases")
GATEWAY = "rloop-gateway"
LONG = NOT_READY_SECONDS + START_SECONDS + 2 * LOOK_SECONDS


def pod(process: str) -> str:
    return client.core("system", "pods", f"{process}-0")


class Place:
    """The release's namespace with a guard, a gateway and an operator that holds its Lease."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.fake = clock, FakeKubernetes()
        api = self.fake.direct()
        self.lease = Lease(api, "system", OPERATOR, "me", clock)
        self.components = Components(api, self.lease, "system", [GATEWAY], clock)
        self.guard_renews, self.leads = True, True
        for process in (GUARD, GATEWAY):
            self.stand(process)

    def stand(self, process: str, *, ready: bool = True) -> None:
        """Its StatefulSet has made its pod."""
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"conditions": conditions, "containerStatuses": [{"state": {"running": {}}, "restartCount": 0}]}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{process}-0"}, "status": status}
        self.fake.put(pod(process), document)

    def look(self, seconds: float = LOOK_SECONDS) -> None:
        """Time passes, with a look every few seconds."""
        for number in range(int(seconds / LOOK_SECONDS)):
            self.clock.now += LOOK_SECONDS
            if self.leads:
                asyncio.run(self.lease.step())
            if self.guard_renews:
                self.fake.put(f"{LEASES}/{GUARD}", {"metadata": {"name": GUARD}, "spec": {"renewTime": number}})
            asyncio.run(self.components.look())

    def stored(self, annotation: str) -> str | None:
        found: str | None = self.fake.objects[f"{LEASES}/{OPERATOR}"]["metadata"].get("annotations", {}).get(annotation)
        return found

    def told(self) -> list[tuple[str, str]]:
        events = self.fake.stored(client.core("system", "events"))
        return [(one["reason"], one["involvedObject"]["name"]) for one in events]


@pytest.fixture
def place(clock: Clock) -> Place:
    return Place(clock)


def test_the_guards_state_is_what_its_lease_shows(place: Place) -> None:
    place.look()
    assert place.components.facts().guard == "Unknown", "it may have died before the operator began"
    place.look(2 * LOOK_SECONDS)
    assert place.components.facts().guard == "Alive"
    place.guard_renews = False
    place.look(SILENT_SECONDS)
    assert place.components.facts().guard == "Alive"
    place.look()
    assert place.components.facts().guard == "Silent"
    del place.fake.objects[pod(GUARD)]
    place.look()
    assert place.components.facts().guard == "Absent"
    place.guard_renews = True
    place.look(2 * LOOK_SECONDS)
    assert place.components.facts().guard == "Alive"


def test_a_guard_that_stays_silent_is_restarted_and_each_loop_told(place: Place) -> None:
    place.look(2 * LOOK_SECONDS)
    place.guard_renews = False
    place.look(2 * SILENT_SECONDS + START_SECONDS + LOOK_SECONDS)
    assert pod(GUARD) not in place.fake.objects
    (deleted,) = [one for one in place.fake.written if one.method == "DELETE"]
    assert deleted.body["gracePeriodSeconds"] == GRACE_SECONDS
    (repair,) = place.components.facts().repairs
    assert repair.told.startswith("patrol restarted rloop-guard-0: it has not renewed its Lease for")
    assert place.told() == [("Restarted", "rloop-guard-0")]
    # Stored before the pod was deleted: a crash in between must not make it forget.
    kinds = [(one.method, one.path) for one in place.fake.written]
    assert kinds[kinds.index(("DELETE", pod(GUARD))) - 1] == ("PATCH", f"{LEASES}/{OPERATOR}")


def test_what_the_guard_restarted_is_told_too(place: Place) -> None:
    moment = place.fake.objects[pod(GUARD)]["metadata"]["creationTimestamp"]
    repairs = {names.ANNOTATION_REPAIRS: json.dumps([[moment, "guard restarted it"], ["2026-01-01T00:00:00Z", "old"]])}
    place.guard_renews = False
    place.fake.put(f"{LEASES}/{GUARD}", {"metadata": {"name": GUARD, "annotations": repairs}})
    place.look()
    assert [one.told for one in place.components.facts().repairs] == ["guard restarted it"]


def test_one_that_is_not_ready_is_restarted_twice_and_then_left_to_a_person(place: Place) -> None:
    restarts = f"{names.ANNOTATION_RESTARTS}{GATEWAY}"
    for number in ("1", "2"):
        place.stand(GATEWAY, ready=False)
        place.look(LONG + 4 * BACKOFF_SECONDS)
        assert (pod(GATEWAY) in place.fake.objects, place.stored(restarts)) == (False, number)
    place.stand(GATEWAY, ready=False)
    place.look(10 * LONG)
    assert (pod(GATEWAY) in place.fake.objects, place.stored(restarts)) == (True, "2")
    assert sorted(place.told()) == [("NotRestarted", "rloop-gateway-0")] + [("Restarted", "rloop-gateway-0")] * 2
    place.stand(GATEWAY)
    place.look(HEALTHY_SECONDS + 2 * LOOK_SECONDS)
    assert place.stored(restarts) == "0", "it may be restarted again"


def test_who_works_is_left_alone(place: Place) -> None:
    place.look(10 * LONG)
    assert [one for one in place.fake.written if one.method == "DELETE"] == []
    assert place.told() == []


def test_who_does_not_hold_the_lease_changes_nothing(place: Place) -> None:
    place.look(2 * LOOK_SECONDS)
    place.leads = False
    place.stand(GATEWAY, ready=False)
    before = len(place.fake.written)
    place.look(10 * LONG)
    assert len(place.fake.written) == before


def test_who_does_not_hold_the_lease_forgets_no_restarts_of_the_holder(place: Place) -> None:
    restarts = f"{names.ANNOTATION_RESTARTS}{GATEWAY}"
    place.look()
    asyncio.run(place.lease.annotate({restarts: "1"}))
    place.leads = False
    place.look(HEALTHY_SECONDS + START_SECONDS)
    assert place.stored(restarts) == "1"
    place.leads = True
    place.look()
    assert place.stored(restarts) == "0"


def test_time_without_the_api_server_counts_against_nobody(place: Place, clock: Clock) -> None:
    place.look(2 * LOOK_SECONDS)
    clock.now += 3600
    place.look(2 * LOOK_SECONDS)
    assert place.components.facts().guard == "Alive"
    assert place.told() == []


def test_a_look_that_fails_is_followed_by_another(place: Place) -> None:
    place.fake.faults["pods"] = 500
    with pytest.raises(client.KubeError):
        place.look()

    async def test() -> None:
        watching = asyncio.create_task(place.components.watch())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not watching.done()
        watching.cancel()

    asyncio.run(test())
