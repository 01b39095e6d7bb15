"""An Event that cannot be written stops nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from tests.support.fake_kubernetes import FakeKubernetes, Object

from rloop_operator.cluster.kube import events

ABOUT: Object = {
    "apiVersion": "rloop.dev/v1alpha1",
    "kind": "ResearchLoop",
    "metadata": {"name": "demo", "namespace": "default", "uid": "u1"},
}


def told(api: FakeKubernetes, *, times: int = 2) -> None:
    write = partial(events.write, api.direct(), component="operator")
    for _ in range(times):
        asyncio.run(write(ABOUT, "PivotForced/demo", "Normal", "PivotForced", "pivot 1"))


def test_a_repeated_event_is_counted() -> None:
    api = FakeKubernetes()
    told(api)
    (event,) = api.objects.values()
    assert (event["reason"], event["count"], event["involvedObject"]["uid"]) == ("PivotForced", 2, "u1")


@pytest.mark.parametrize(
    ("faults", "written"),
    [
        pytest.param({"POST": 403}, 0, id="forbidden"),
        pytest.param({"POST": 404}, 0, id="the namespace is gone"),
        pytest.param({"GET": 404}, 1, id="deleted before it was read"),
        pytest.param({"PATCH": 409}, 1, id="counted by another writer"),
        pytest.param({"": 500}, 0, id="the API server fails"),
    ],
)
def test_an_event_that_cannot_be_written_stops_nothing(faults: dict[str, Any], written: int) -> None:
    api = FakeKubernetes(faults=faults)
    told(api)
    assert [one["count"] for one in api.objects.values()] == [1] * written
