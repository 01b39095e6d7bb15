"""Campaigns as their users handle them: two at once, suspended and resumed, edited, deleted in every phase.

One release serves all, and each test has its namespaces, so that none waits for another's campaign.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from tests.cluster import release as releases
from tests.cluster import tiny
from tests.cluster.campaign import Campaign
from tests.cluster.conftest import namespaces
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import until

SECONDS = 240
CHILDREN = "riter,rexp,jobs,pods,configmaps,pvc"
pytestmark = pytest.mark.timeout(2 * SECONDS, func_only=True)


@dataclass
class Place:
    """A release, and namespaces that it serves and nobody uses yet."""

    cluster: Cluster
    release: str
    free: list[str]

    def campaign(self, name: str, **spec: Any) -> Campaign:
        """A campaign, just applied, in a namespace of its own."""
        self.cluster.make_volumes(1)
        campaign = Campaign(self.cluster, self.free.pop(), name)
        campaign.apply(*tiny.manifests(self.cluster, name, **spec))
        return campaign

    def scale(self, replicas: int) -> None:
        """The operator's processes: one, or none."""
        self.cluster.kubectl("-n", self.release, "scale", "statefulset/rloop-operator", f"--replicas={replicas}")
        verb = ("rollout", "status", "statefulset/rloop-operator") if replicas else DOWN
        self.cluster.kubectl("-n", self.release, *verb, "--timeout=240s")


DOWN = ("wait", "--for=delete", "pod/rloop-operator-0")


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Place]:
    with namespaces(cluster, 16) as free:
        release = releases.install(cluster, *free)
        yield Place(cluster, release, free)
        releases.uninstall(cluster, release)


def running(campaign: Campaign, role: str) -> bool:
    """Whether a pod of this role runs now."""
    return any(pod["status"].get("phase") == "Running" for pod in campaign.children("pods", role))


def attempts(campaign: Campaign) -> list[dict[str, Any]]:
    """All attempts at runs that were ever begun."""
    runs = [run for one in campaign.children("rexp") for run in one.get("status", {}).get("runs", [])]
    return [attempt for run in runs for attempt in run.get("attempts", [])]


def suspended(campaign: Campaign) -> bool:
    """Nothing runs, and what ran is recorded, which on a busy machine is a moment later."""
    recorded = all(one["phase"] != "Running" for one in attempts(campaign))
    return campaign.condition("Suspended").get("status") == "True" and not running(campaign, "run") and recorded


def refused(campaign: Campaign) -> bool:
    return campaign.condition("Accepted").get("status") == "False"


def gone(campaign: Campaign) -> bool:
    return not campaign.children(CHILDREN)


def test_two_campaigns_at_once(place: Place) -> None:
    first = place.campaign("first", runs=5)
    second = Campaign(place.cluster, first.namespace, "second")
    place.cluster.make_volumes(1)
    second.apply(*tiny.manifests(place.cluster, "second", runs=5))
    for campaign, other in ((first, second), (second, first)):
        loop = campaign.wait(SECONDS)
        assert loop["status"]["budget"]["used"]["runs"] == 5
        # Nothing of the one belongs to the other.
        uids = {one["metadata"]["uid"] for one in campaign.children(CHILDREN)}
        assert uids
        assert uids.isdisjoint(one["metadata"]["uid"] for one in other.children(CHILDREN))
        owners = {ref["name"] for one in campaign.children("riter") for ref in one["metadata"]["ownerReferences"]}
        assert owners == {campaign.name}


def test_suspended_edited_and_resumed(place: Place) -> None:
    campaign = place.campaign("pausing", pause=4, runs=4)
    until(campaign, "running", lambda: running(campaign, "run"))
    campaign.patch({"spec": {"suspend": True}})
    until(campaign, "suspended", lambda: suspended(campaign))
    # What ran has finished, and is not lost.
    done = attempts(campaign)
    assert done
    assert [one["phase"] for one in done] == ["Succeeded"] * len(done), campaign.explain()
    campaign.patch({"spec": {"direction": "Find a loss below one."}})
    until(campaign, "told of the new words", lambda: campaign.loop()["status"]["directionalInputs"] == 1)
    assert len(attempts(campaign)) == len(done)
    assert campaign.condition("Ready")["reason"] == "Suspended"
    campaign.patch({"spec": {"suspend": False}})
    campaign.wait(SECONDS)
    assert campaign.loop()["status"]["budget"]["used"]["runs"] == 4


def test_suspended_at_once_it_frees_what_runs_and_counts_no_attempt(place: Place) -> None:
    campaign = place.campaign("stopping", pause=50, suspendPolicy="Stop", budget={"runs": 4})
    until(campaign, "running", lambda: running(campaign, "run"))
    campaign.patch({"spec": {"suspend": True}})
    until(campaign, "suspended", lambda: suspended(campaign))
    ended = [one for one in attempts(campaign) if one["phase"] == "Failed"]
    assert ended
    assert all(one["reason"] == "Suspended" and one["infrastructure"] for one in ended)


PHASES: dict[str, tuple[dict[str, Any], Callable[[Campaign], bool]]] = {
    "pending": ({"task": {"configMap": {"name": "not-there"}}}, refused),
    "baseline": ({"pause": 30}, lambda campaign: running(campaign, "run")),
    "session": ({"runs": 60}, lambda campaign: running(campaign, "agent")),
    "scoring": ({"runs": 60}, lambda campaign: bool(campaign.children("pods", "verification"))),
    "suspended": ({"suspend": True}, suspended),
    "complete": ({"runs": 3}, Campaign.complete),
}


@pytest.mark.parametrize("operator_is_down", [False, True], ids=["", "with the operator down"])
def test_deleted_in_every_phase(place: Place, *, operator_is_down: bool) -> None:
    started = {
        name: place.campaign(name, **{**spec, "workspace": {"retention": "Delete"}})
        for name, (spec, _) in PHASES.items()
        if len(place.free) > 1 and (not operator_is_down or name in HELD)
    }
    waiting = dict(started)
    end = time.monotonic() + SECONDS
    while waiting:
        assert time.monotonic() < end, "\n".join(one.explain() for one in waiting.values())
        for name in [name for name, campaign in waiting.items() if PHASES[name][1](campaign)]:
            campaign = waiting.pop(name)
            if not operator_is_down:
                delete(campaign)
        time.sleep(0.5)
    if operator_is_down:
        place.scale(0)
        for campaign in started.values():
            delete(campaign)
    try:
        for campaign in started.values():
            until(campaign, "gone", partial(gone, campaign))
    finally:
        if operator_is_down:
            place.scale(1)


HELD = ("pending", "baseline", "complete")
"""Phases that stay while the operator goes."""


def delete(campaign: Campaign) -> None:
    """Delete the loop, as a user does; nothing may hold it."""
    assert "finalizers" not in campaign.loop()["metadata"]
    assert not any("finalizers" in one["metadata"] for one in campaign.children("riter,rexp"))
    campaign.cluster.kubectl("-n", campaign.namespace, "delete", "rloop", campaign.name, "--timeout=20s")


def test_its_namespace_may_go_with_it(place: Place) -> None:
    campaign = place.campaign("swept", pause=30)
    until(campaign, "running", lambda: running(campaign, "run"))
    place.cluster.kubectl("delete", "namespace", campaign.namespace, "--timeout=120s")
    # The operator goes on with all others.
    place.campaign("survivor", runs=3).wait(SECONDS)


def test_a_name_may_be_used_again(place: Place) -> None:
    campaign = place.campaign("again", runs=3)
    before = campaign.wait(SECONDS)
    delete(campaign)
    changed = tiny.manifests(place.cluster, "again", runs=3)
    files = changed[0]["data"]
    files |= {"recipe.json": '{"x": 5.0}', "space.yaml": files["space.yaml"].replace("9.0", "5.0")}
    campaign.apply(*changed)
    after = campaign.wait(SECONDS)
    # The task is the new one, though the volume was kept.
    assert before["status"]["baseline"]["value"] == 6.0
    assert after["status"]["baseline"]["value"] == 2.0
