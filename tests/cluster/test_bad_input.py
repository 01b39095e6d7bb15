"""What is missing, refused or in the way: a condition and an Event with the remedy, and recovery when the cause goes.

One release serves a namespace for each row, so that all rows wait at the same time and none disturbs another.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from tests.cluster import release as releases
from tests.cluster import tiny
from tests.cluster.campaign import Campaign
from tests.cluster.conftest import namespaces
from tests.cluster.harness.cluster import Cluster
from tests.cluster.waiting import until

SECONDS = 240
pytestmark = pytest.mark.timeout(2 * SECONDS, func_only=True)
Change = Callable[[Campaign], None]


@dataclass(frozen=True)
class Row:
    """One thing that is wrong, what is told about it, and how it is mended."""

    name: str
    reason: str
    says: str
    mend: Change
    """Takes the cause away."""
    before: Change = lambda _: None
    """What stands in the way before the loop is applied."""
    spec: dict[str, Any] | None = None
    without: str = ""
    """Kind and name of a manifest that is left out at first."""
    condition: str = "Degraded"


def delete(*words: str) -> Change:
    return lambda campaign: ignore(campaign.cluster.kubectl("-n", campaign.namespace, "delete", *words))


def ignore(_: str) -> None:
    """The answer of a command that says nothing of interest."""


def quota(campaign: Campaign) -> None:
    limits = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": 0}}}
    campaign.apply(limits)


def foreign_job(campaign: Campaign) -> None:
    body = tiny_job(campaign.cluster.base_image)
    campaign.apply({**body, "metadata": {"name": f"{campaign.name}-b01-r1-a1"}})


def tiny_job(image: str) -> dict[str, Any]:
    container = {"name": "theirs", "image": image, "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"suspend": True, "template": template}}


def secret(campaign: Campaign) -> None:
    campaign.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "points"}, "stringData": {"a": "1"}})


def image(campaign: Campaign) -> None:
    if not campaign.cluster.own:
        pytest.skip("only our own node can be given an image by another name")
    campaign.cluster.name_image(campaign.cluster.base_image, MISSING_IMAGE)


def other_class(campaign: Campaign) -> None:
    workspace = {"storageClassName": campaign.cluster.storage_class}
    campaign.patch({"spec": {"workspace": workspace}})
    campaign.cluster.kubectl("-n", campaign.namespace, "delete", "pvc", f"{campaign.name}-workspace", "--wait=false")


def other_source(campaign: Campaign) -> None:
    campaign.patch({"spec": {"task": {"path": None, "configMap": {"name": f"{campaign.name}-files"}}}})


def task_files(campaign: Campaign) -> None:
    campaign.apply(tiny.task(campaign.name))


MISSING_IMAGE = f"rloop.test/not-there:{uuid4().hex[:8]}"
"""A new name each time, because the remedy loads it into the node."""
HELD_OUT = {"heldOut": {"secret": "points"}}
ROWS = [
    Row(
        "no-task",
        "InvalidSpec",
        'there is no ConfigMap "no-task-files"',
        task_files,
        without="ConfigMap/no-task-files",
        condition="Accepted",
    ),
    Row(
        "a-path",
        "InvalidSpec",
        "spec.task.path: only the local shell can read a folder",
        other_source,
        spec={"task": {"path": "./task", "configMap": None}},
        condition="Accepted",
    ),
    Row("no-secret", "InputsMissing", 'there is no secret "points"', secret, spec={"evaluation": HELD_OUT}),
    Row(
        "no-class",
        "StorageClassMissing",
        "nowhere",
        other_class,
        spec={"workspace": {"storageClassName": "nowhere"}},
    ),
    Row(
        "no-image",
        "ImagePullFailed",
        f'image "{MISSING_IMAGE}" cannot be pulled; push it',
        image,
        spec={"experiment": {"image": MISSING_IMAGE}},
    ),
    Row("no-quota", "QuotaExceeded", "raise the quota", delete("resourcequota", "none"), before=quota),
    Row(
        "their-job",
        "NameTaken",
        "a Job of this name exists and is not this campaign's",
        delete("job", "their-job-b01-r1-a1"),
        before=foreign_job,
    ),
    Row(
        "their-files",
        "NameTaken",
        "a ConfigMap of this name exists and is not this campaign's",
        delete("configmap", "their-files-task"),
        before=lambda campaign: campaign.apply(tiny.config_map("their-files-task", a_txt="theirs")),
    ),
]


@pytest.fixture(scope="module")
def campaigns(cluster: Cluster) -> Iterator[dict[str, Campaign]]:
    """All rows at once, and a good campaign beside them, each in its own namespace."""
    with namespaces(cluster, len(ROWS) + 1) as places:
        release = releases.install(cluster, *places)
        cluster.make_volumes(len(ROWS) + 1)
        found = {}
        for row, namespace in zip([*ROWS, GOOD], places, strict=True):
            campaign = found[row.name] = Campaign(cluster, namespace, row.name)
            row.before(campaign)
            for one in tiny.manifests(cluster, row.name, runs=3, **(row.spec or {})):
                if f"{one['kind']}/{one['metadata']['name']}" != row.without:
                    campaign.apply(one)
        yield found
        releases.uninstall(cluster, release)


GOOD = Row("good", "", "", lambda _: None)


def told(campaign: Campaign, row: Row) -> list[dict[str, Any]]:
    """The Events that name the remedy."""
    return [one for one in campaign.events() if row.says in one["message"]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_is_told_with_its_remedy(campaigns: dict[str, Campaign], row: Row) -> None:
    campaign = campaigns[row.name]
    until(campaign, f"told {row.reason}", lambda: campaign.condition(row.condition).get("reason") == row.reason)
    assert row.says in campaign.condition(row.condition)["message"]
    until(campaign, "told as an Event", partial(told, campaign, row))
    assert [one["type"] for one in told(campaign, row)] == ["Warning"], campaign.explain()
    row.mend(campaign)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_recovers_by_itself(campaigns: dict[str, Campaign], row: Row) -> None:
    campaign = campaigns[row.name]
    until(campaign, "measured", lambda: "baseline" in campaign.loop()["status"])
    until(campaign, "recovered", lambda: campaign.condition("Degraded")["status"] == "False")
    assert campaign.condition("Accepted")["status"] == "True"


def test_another_campaign_is_not_disturbed(campaigns: dict[str, Campaign]) -> None:
    campaign = campaigns["good"]
    loop = campaign.wait(SECONDS)
    assert campaign.condition("Complete")["reason"] == "BudgetExhausted"
    assert loop["status"]["baseline"]["value"] == 6.0
    assert [one["reason"] for one in campaign.events() if one["type"] == "Warning"] == ["BudgetExhausted"]


def test_a_frozen_field_cannot_be_edited(campaigns: dict[str, Campaign]) -> None:
    campaign = campaigns["good"]
    until(campaign, "accepted", lambda: campaign.condition("Accepted").get("status") == "True")
    with pytest.raises(Exception, match="frozen"):
        campaign.patch({"spec": {"objective": {"minimumGain": "0.5"}}})
