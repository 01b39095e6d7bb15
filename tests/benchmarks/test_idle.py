"""The measurement of idle loops, on a small API server and with the operator's passes in this process."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import pytest
from benchmarks import idle
from prometheus_client import generate_latest
from tests.operator.cluster.reconciling.test_passes import place

from rloop_operator.cluster.kube import client
from rloop_operator.cluster.reconciling import passes as passes_module
from rloop_operator.cluster.telemetry import metrics

LOOPS, NEW = 20, 3


def _metrics() -> str:
    return (generate_latest(metrics.SHARED) + generate_latest(metrics.OPERATOR)).decode()


def test_what_idle_loops_cost_is_measured_and_cleared_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 3.0)
    monkeypatch.setattr(passes_module, "BREATH_SECONDS", 0.01)
    options = argparse.Namespace(loops=LOOPS, new=NEW, seconds=2.0, windows=2)

    async def test() -> Any:
        async with place() as made:
            loops = client.objects("team", "researchloops")

            def changed(type_: str, path: str, stored: dict[str, Any]) -> None:
                if path.startswith(loops) and type_ != "DELETED":
                    made.passes.changed(stored)

            made.server.listeners.append(changed)
            scraped = f"{client.core('system', 'pods', idle.OPERATOR)}:8081/proxy/metrics"
            made.server.faults[scraped] = lambda: (200, _metrics())
            # The one of the operator writes only while it holds the Lease.
            measured = idle.Place(client.Kube(made.api._api, made.api.server, "default"), "team", "system")
            found = await idle.measure(measured, options)
            assert len([path for path in made.server.objects if path.startswith(loops)]) == LOOPS + NEW
            await measured.clear()
            assert not [path for path in made.server.objects if path.startswith(loops)]
            return found

    report = asyncio.run(test())
    assert report.figures["passes"] == [0, 0], "nobody passes over an idle loop"
    # The Lease and the measurement itself, which is a client of the same process here.
    assert max(report.figures["requestsPerSecond"]) <= 2
    assert 0 < report.figures["firstStatusSeconds"]["median"] <= report.figures["firstStatusSeconds"]["max"]
    assert report.figures["writesRefused"] == 0
