"""A child is created once, under its fixed name; whoever else stands there is an obstacle of the campaign."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.fake_kubernetes import FakeKubernetes, error

from rloop.errors import Blocked, Conflict
from rloop_operator.cluster.kube import children, client

PATH = client.core("mine", "configmaps")
OURS = [{"uid": "u1"}]
BODY = {"kind": "ConfigMap", "metadata": {"name": "a", "ownerReferences": OURS}}


def test_it_is_created_with_one_request() -> None:
    fake = FakeKubernetes()
    stored = asyncio.run(children.create(fake.direct(), PATH, BODY))
    assert fake.objects[f"{PATH}/a"] == stored
    assert fake.asked == {f"POST {PATH}": 1}


@pytest.mark.parametrize(
    ("kind", "stands", "reason"),
    [
        pytest.param("ConfigMap", {"metadata": {"ownerReferences": OURS}}, None, id="ours, of an earlier try"),
        pytest.param("ConfigMap", {"metadata": {"ownerReferences": [{"uid": "u2"}]}}, "NameTaken", id="another loop's"),
        pytest.param("ConfigMap", {"metadata": {}}, "NameTaken", id="a user's"),
        pytest.param("ConfigMap", {"metadata": {"deletionTimestamp": "x"}}, "BeingDeleted", id="it is going"),
        pytest.param("ResearchExperiment", {"metadata": {}}, "RestoredWithoutStatus", id="from a backup"),
        pytest.param("ResearchExperiment", {"metadata": {}, "status": {"phase": "x"}}, "NameTaken", id="it has lived"),
    ],
)
def test_a_name_that_is_taken(kind: str, stands: dict[str, Any], reason: str | None) -> None:
    fake = FakeKubernetes()
    before = fake.put(f"{PATH}/a", stands | {"metadata": stands["metadata"] | {"name": "a"}})
    with pytest.raises(Blocked if reason else Conflict) as raised:
        asyncio.run(children.create(fake.direct(), PATH, BODY | {"kind": kind}))
    assert getattr(raised.value, "reason", None) == reason
    assert fake.objects[f"{PATH}/a"] == before


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (403, 'configmaps "a" is forbidden: exceeded quota: few, requested: count/configmaps=1', "QuotaExceeded"),
        (403, "unable to create new content in namespace mine because it is being terminated", "NamespaceTerminating"),
        (403, 'configmaps is forbidden: User "rloop" cannot create resource', "Forbidden"),
        (422, "metadata.name: Invalid value", "NotAdmitted"),
    ],
)
def test_what_the_server_refuses_is_an_obstacle_with_its_words(code: int, message: str, reason: str) -> None:
    fake = FakeKubernetes(faults={"POST": lambda: error(code, message)})
    with pytest.raises(Blocked) as blocked:
        asyncio.run(children.create(fake.direct(), PATH, BODY))
    assert (blocked.value.reason, blocked.value.about) == (reason, "a")
    assert message in blocked.value.message


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_that_fails_is_no_obstacle(code: int) -> None:
    with pytest.raises(client.KubeError):
        asyncio.run(children.create(FakeKubernetes(faults={"POST": code}).direct(), PATH, BODY))
