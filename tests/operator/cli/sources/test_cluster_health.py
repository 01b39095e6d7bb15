"""Whether an operator works on a loop, as it is told from what a user may read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rloop_operator.cli.sources.cluster_health import operator
from rloop_operator.cluster.kube.served_namespaces import Served

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def lease(seconds: float, namespace: str = "rloop-system", said: Served | None = None) -> dict[str, Any]:
    annotations = {} if said is None else {"annotations": {"rloop.dev/namespaces": said.text()}}
    return {"metadata": {"namespace": namespace, **annotations}, "spec": {"renewTime": ago(seconds)}}


MINE, ELSEWHERE = Served(["mine"], {}), Served(["a", "b"], {})


def loop(*, wrote: float | None = 5, age: float = 3600, generation: int = 2, **status: Any) -> dict[str, Any]:
    fields = [] if wrote is None else [{"subresource": "status", "time": ago(wrote)}]
    metadata = {"name": "demo", "namespace": "mine", "creationTimestamp": ago(age), "generation": generation}
    return {
        "metadata": metadata | {"managedFields": [{"time": ago(0)}, *fields]},
        "status": {"observedGeneration": 2} | status,
    }


OVER = [{"type": "Complete", "status": "True"}]


@pytest.mark.parametrize(
    ("of", "leases", "alive", "told"),
    [
        pytest.param(loop(), [lease(3)], True, "alive in namespace rloop-system; last wrote 0:05 ago", id="alive"),
        pytest.param(loop(), [lease(900, "old"), lease(3)], True, "alive in namespace rloop-system", id="one of two"),
        pytest.param(
            loop(),
            [lease(300)],
            False,
            "not working: the operator in namespace rloop-system has been silent for 5:00; "
            "kubectl -n rloop-system get pods",
            id="it died",
        ),
        pytest.param(loop(), [], False, 'there is no Lease "rloop-operator"; install the chart', id="none installed"),
        pytest.param(loop(), None, True, "unknown: permission to list Leases is required", id="not allowed"),
        pytest.param(
            loop(wrote=None, age=90),
            [lease(3)],
            False,
            "no operator has reconciled this loop in the 1:30 since it was created (alive in namespace rloop-system); "
            'check that one serves namespace "mine": helm',
            id="it serves other namespaces",
        ),
        pytest.param(loop(), [lease(3, said=MINE)], True, "alive in namespace rloop-system", id="it serves this one"),
        pytest.param(loop(), [lease(3, said=Served(["*"], {}))], True, "alive", id="it serves all namespaces"),
        pytest.param(
            loop(),
            [lease(3, said=ELSEWHERE)],
            False,
            'no operator serves namespace "mine": the operator in rloop-system serves a, b; '
            "add it to the chart's watchNamespaces "
            "and run helm upgrade; last wrote 0:05 ago",
            id="it serves this one no longer",
        ),
        pytest.param(
            loop(),
            [lease(900, "old", MINE), lease(3, "new", Served(list("abcdefg"), {}))],
            False,
            "the operator in new serves a, b, c, d, e and 2 more",
            id="the one that served it died",
        ),
        pytest.param(
            loop(),
            [lease(3, "one", ELSEWHERE), lease(3, "two", MINE)],
            True,
            "alive in namespace two",
            id="one of two that live",
        ),
        pytest.param(
            loop(),
            [lease(3, said=Served(["a"], {"mine": "it is forbidden"}))],
            False,
            'the operator in namespace rloop-system cannot serve namespace "mine": it is forbidden',
            id="it is refused there",
        ),
        pytest.param(
            loop(wrote=None, age=90),
            [lease(3, said=ELSEWHERE)],
            False,
            "no operator has reconciled this loop in the 1:30 since it was created (no operator serves namespace",
            id="it never served it",
        ),
        pytest.param(loop(wrote=None, age=5), [lease(3)], True, "alive in namespace", id="it was just applied"),
        pytest.param(loop(generation=3), [lease(3)], True, "generation 3, observed 2", id="an edit waits"),
        pytest.param(loop(conditions=OVER), [], False, "not needed: the campaign has ended", id="finished"),
    ],
)
def test_operator(of: dict[str, Any], leases: list[dict[str, Any]] | None, told: str, *, alive: bool) -> None:
    found = operator(of, leases, NOW)
    assert (found.alive, told in found.told) == (alive, True), found.told
