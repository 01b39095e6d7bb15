"""Signs of life on the pod of a session: what the gateway writes, and what the operator makes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
from rloop.api.helpers import ProgressRequest
from rloop.errors import NotFound
from rloop.observed import Beat
from rloop_operator.beats import Sight
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.workloads.life_signs import CALLED_SECONDS, GatewaySigns, OperatorSigns
from rloop_operator.ports import Caller

SESSION = "demo-i0001-s1"
POD = client.core("mine", "pods", f"{SESSION}-a1")
CALLER = Caller(f"{SESSION}-a1", "agent", "demo", "demo-i0001", SESSION, "mine")
LABELS = {names.LABEL_SESSION: SESSION, names.LABEL_OWNER: "demo-i0001"}


class Place:
    """A session's pod between gateway and operator."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.fake = clock, FakeKubernetes()
        self.fake.put(POD, {"metadata": {"name": f"{SESSION}-a1", "labels": LABELS}})
        self.gateway = GatewaySigns(self.fake.direct(), clock)
        self.sight = Sight(clock, 1e9)
        self.operator = OperatorSigns(self.fake.direct(), "mine", self.sight)

    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.fake.objects[POD]["metadata"].get("annotations", {})
        return found

    def record(self, round_: int) -> str | None:
        return asyncio.run(self.gateway.record(CALLER, round_))

    def beat(self, seconds: float = 0) -> Beat:
        """What the operator knows, some seconds later."""
        self.clock.now += seconds
        self.sight.look()
        asyncio.run(self.operator.look("demo", self.fake.objects[POD]))
        return dict(asyncio.run(self.operator.read()))[SESSION]


@pytest.fixture
def place(clock: Clock) -> Place:
    made = Place(clock)
    made.sight.look()
    asyncio.run(made.operator.expect("demo", {SESSION: 0}))
    return made


def test_a_heartbeat_ages_until_the_next_even_of_the_same_round(place: Place) -> None:
    place.record(3)
    assert place.beat() == Beat(0, 3, 0)
    assert place.beat(30) == Beat(30, 3, 30)
    place.record(3)
    assert place.beat() == Beat(0, 3, 30)
    place.record(4)
    assert place.beat() == Beat(0, 4, 0)


def test_a_heartbeat_after_a_restart_of_the_gateway_is_seen(place: Place) -> None:
    place.record(3)
    place.beat()
    assert place.beat(30).age_seconds == 30
    place.gateway = GatewaySigns(place.fake.direct(), place.clock)
    place.record(3)
    assert place.beat().age_seconds == 0


def test_calls_are_signs_too_but_no_rounds_and_written_seldom(place: Place) -> None:
    place.record(3)
    place.beat()
    for _ in range(9):
        asyncio.run(place.gateway.called(CALLER))
        place.clock.now += CALLED_SECONDS / 10
    assert place.fake.count("PATCH") == 2
    assert place.beat() == Beat(0, 3, 9)
    place.clock.now += 1
    asyncio.run(place.gateway.called(CALLER))
    assert place.fake.count("PATCH") == 3


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": LABELS}, id="it has told nothing yet"),
        pytest.param({"labels": {}, "annotations": {names.ANNOTATION_BEAT: "1/2"}}, id="a run's pod"),
    ],
)
def test_a_pod_without_a_beat_of_a_session_says_nothing(place: Place, metadata: dict[str, Any]) -> None:
    asyncio.run(place.operator.look("demo", {"metadata": {"name": "x", **metadata}}))
    assert dict(asyncio.run(place.operator.read())) == {SESSION: Beat(0, 0, 0)}


def test_a_nudge_reaches_the_session_with_its_next_beat_and_once(place: Place) -> None:
    asyncio.run(place.operator.nudge(SESSION, "go on"))
    asyncio.run(place.operator.nudge("demo-i0001-s2", "for nobody"))
    assert place.annotations() == {names.ANNOTATION_NUDGE: "go on"}
    assert [place.record(1), place.record(1)] == ["go on", None]
    assert list(place.annotations()) == [names.ANNOTATION_BEAT]


def test_progress_stands_on_the_pod(place: Place) -> None:
    asyncio.run(place.gateway.progress(CALLER, ProgressRequest(run=1, attempt=2, step=3)))
    told = json.loads(place.annotations()[names.ANNOTATION_PROGRESS])
    assert (told["run"], told["attempt"], told["step"]) == (1, 2, 3)


def test_a_pod_that_is_gone_is_told(place: Place) -> None:
    del place.fake.objects[POD]
    with pytest.raises(NotFound):
        place.record(1)
    asyncio.run(place.operator.nudge(SESSION, "nobody hears it"))


def test_the_gateway_expects_nobody(place: Place) -> None:
    asyncio.run(place.gateway.expect("demo", {SESSION: 0}))
    asyncio.run(place.gateway.nudge(SESSION, "x"))
    assert asyncio.run(place.gateway.read()) == {}
    assert place.fake.asked == {}
