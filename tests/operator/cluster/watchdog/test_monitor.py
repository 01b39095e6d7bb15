"""The guardians' clock, and how a pod's state becomes facts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock

from rloop.restart_policy import Pod
from rloop_operator.cluster.watchdog.monitor import LOOK_SECONDS, Ages, pod_facts


@pytest.fixture
def ages(clock: Clock) -> Ages:
    return Ages(clock)


def look(ages: Ages, clock: Clock, seconds: float = LOOK_SECONDS) -> None:
    clock.now += seconds
    ages.tick()


def test_an_age_is_counted_from_when_it_was_seen_to_change(ages: Ages, clock: Clock) -> None:
    look(ages, clock)
    assert (ages.age("lease", "a"), ages.changed("lease")) == (0, False)
    look(ages, clock)
    assert (ages.age("lease", "a"), ages.changed("lease")) == (5, False)
    look(ages, clock)
    assert (ages.age("lease", "b"), ages.changed("lease")) == (0, True)
    look(ages, clock)
    assert ages.age("lease", "b") == 5


def test_what_could_not_be_seen_does_not_age(ages: Ages, clock: Clock) -> None:
    look(ages, clock)
    assert ages.age("lease", "a") == 0
    # The API server is away for an hour: nobody has renewed anything, and nobody is to blame.
    look(ages, clock, 3600)
    assert ages.age("lease", "a") == 2 * LOOK_SECONDS


def a_pod(uid: str, state: dict[str, Any], restarts: int = 0, **metadata: Any) -> dict[str, Any]:
    statuses = [{"state": state, "restartCount": restarts}] if state else []
    return {"metadata": {"uid": uid, **metadata}, "status": {"containerStatuses": statuses}}


RUNNING: dict[str, Any] = {"running": {}}
BACK_OFF: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("pods", "facts"),
    [
        pytest.param([None], None, id="there is none"),
        pytest.param([a_pod("1", {})], Pod(), id="its container was not made yet"),
        pytest.param([a_pod("1", {"waiting": {"reason": "ImagePullBackOff"}})] * 3, Pod(), id="no image"),
        pytest.param([a_pod("1", RUNNING)] * 3, Pod(running_seconds=10), id="it runs"),
        pytest.param([a_pod("1", BACK_OFF, 3)] * 4, Pod(crashed_seconds=15), id="it waits after a crash"),
        pytest.param([a_pod("1", RUNNING), a_pod("2", RUNNING)], Pod(running_seconds=0), id="another pod"),
        pytest.param([a_pod("1", RUNNING), a_pod("1", RUNNING, 1)], Pod(running_seconds=0), id="started again"),
        pytest.param(
            [a_pod("1", BACK_OFF, 3), a_pod("1", BACK_OFF, 4)], Pod(crashed_seconds=0), id="it ran between two looks"
        ),
        pytest.param(
            [a_pod("1", RUNNING, deletionTimestamp="now")], Pod(terminating=True, running_seconds=0), id="it ends"
        ),
    ],
)
def test_facts_of_a_pod(ages: Ages, clock: Clock, pods: list[dict[str, Any] | None], facts: Pod | None) -> None:
    found: Pod | None = None
    for one in pods:
        look(ages, clock)
        found = pod_facts(ages, "rloop-operator", one)
    assert found == facts
