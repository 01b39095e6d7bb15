"""`python -m benchmarks.idle --loops 1000`: what idle loops cost an operator in a cluster, and whether others notice.

Run by hand against an installed release (KUBECONFIG, or ~/.kube/config). It creates suspended loops in one watched
namespace, waits until each has its status, measures the operator for a while, then creates further loops one by one and
measures how soon each has its first status. What it created is deleted at the end. The namespace must be one of the
release's `watchNamespaces` and empty of other loops.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import time
from statistics import median, quantiles
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.report import Goal, Report, emit
from rloop.errors import Conflict
from rloop_operator.cluster.kube import client

GOAL_REQUESTS, GOAL_P99_SECONDS, GOAL_REFUSED = 2.0, 0.5, 0
OPERATOR = "rloop-operator-0"
SETTLE_SECONDS = 15.0
SETTLED_WITHIN = 20
POLL_SECONDS = 0.02
STATUS_SECONDS = 1800.0
FILES = "idle-files"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True, help="where the loops are created")
    parser.add_argument("--release", default="rloop-system", help="namespace of the release")
    parser.add_argument("--loops", type=int, default=1000)
    parser.add_argument("--new", type=int, default=30, help="created at one a second afterwards")
    parser.add_argument("--seconds", type=float, default=60, help="how long the operator is measured")
    parser.add_argument("--windows", type=int, default=3, help="how often")
    parser.add_argument("--keep", action="store_true", help="delete nothing")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    report = asyncio.run(_whole(options))
    emit(report, as_json=options.json, check=options.check)


async def _whole(options: argparse.Namespace) -> Report:
    async with client.connected() as api:
        place = Place(api, options.namespace, options.release)
        try:
            return await measure(place, options)
        finally:
            if not options.keep:
                await place.clear()


async def measure(place: Place, options: argparse.Namespace) -> Report:
    """Fill the namespace, look at the operator, create more."""
    refused = (await place.metrics())["rloop_writes_refused_total"]
    begun = time.monotonic()
    await place.fill(options.loops)
    filled = time.monotonic() - begun
    await place.settle()
    windows = [await place.window(options.seconds) for _ in range(options.windows)]
    latencies = await place.one_by_one(options.new)
    rates = [one["requests"] for one in windows]
    p99 = quantiles(latencies, n=100, method="inclusive")[98]
    after = await place.metrics()
    refused = after["rloop_writes_refused_total"] - refused
    figures = {
        "loops": options.loops,
        "secondsUntilAllHadStatus": round(filled, 1),
        "requestsPerSecond": rates,
        "operatorCpuPercent": [one["cpu"] for one in windows],
        "operatorMemoryMiB": round(after["process_resident_memory_bytes"] / 2**20),
        "passes": [one["passes"] for one in windows],
        "firstStatusSeconds": {
            "median": round(median(latencies), 3),
            "p99": round(p99, 3),
            "max": round(max(latencies), 3),
        },
        "writesRefused": refused,
        "loadAverage": [round(one, 1) for one in os.getloadavg()],
    }
    goals = [
        Goal("requests/s of the operator", median(rates), f"<= {GOAL_REQUESTS}", median(rates) <= GOAL_REQUESTS),
        Goal("first status, p99, s", round(p99, 3), f"<= {GOAL_P99_SECONDS}", p99 <= GOAL_P99_SECONDS),
        Goal("writes refused", refused, f"<= {GOAL_REFUSED}", refused <= GOAL_REFUSED),
    ]
    return Report("idle", figures, goals)


class Place:
    """A watched namespace, and the operator that watches it."""

    def __init__(self, api: client.Kube, namespace: str, release: str) -> None:
        self._api = api
        self._namespace = namespace
        self._loops = client.objects(namespace, "researchloops")
        self._metrics = f"{client.core(release, 'pods', OPERATOR)}:8081/proxy/metrics"

    async def fill(self, count: int) -> None:
        """Create so many loops at once, and wait until each has its status."""
        files = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": FILES},
            "data": {"recipe.json": "{}\n", "score": "#!/bin/sh\n"},
        }
        with contextlib.suppress(Conflict):
            await self._api.create(client.core(self._namespace, "configmaps"), files)
        await asyncio.gather(*(self._create(f"idle-{number:04d}") for number in range(count)))
        async with asyncio.timeout(STATUS_SECONDS):
            while not all(_has_status(one) for one in await self._api.all(self._loops)):  # noqa: ASYNC110 -- it polls a server
                await asyncio.sleep(2)

    async def settle(self) -> None:
        """Wait until the operator makes no pass, or for `SETTLED_WITHIN` tries: then that is what is measured."""
        before = -1.0
        for _ in range(SETTLED_WITHIN):
            passes = (await self.metrics())["rloop_reconcile_seconds_count"]
            if passes == before:
                return
            before = passes
            await asyncio.sleep(SETTLE_SECONDS)

    async def window(self, seconds: float) -> dict[str, float]:
        """Requests a second, CPU and passes of the operator meanwhile."""
        before, begun = await self.metrics(), time.monotonic()
        await asyncio.sleep(seconds)
        after, passed = await self.metrics(), time.monotonic() - begun
        spent = {name: after[name] - before[name] for name in after}
        return {
            "requests": round(spent["rloop_api_requests_total"] / passed, 2),
            "cpu": round(100 * spent["process_cpu_seconds_total"] / passed, 2),
            "passes": spent["rloop_reconcile_seconds_count"],
        }

    async def one_by_one(self, count: int) -> list[float]:
        """Create so many loops at one a second; seconds from each creation to its first status."""
        waiting = []
        for number in range(count):
            waiting.append(asyncio.create_task(self._first_status(f"new-{number:04d}")))
            await asyncio.sleep(1)
        return await asyncio.gather(*waiting)

    async def metrics(self) -> dict[str, float]:
        """The operator's samples, summed over their labels."""
        found: dict[str, float] = {"rloop_writes_refused_total": 0.0}
        for family in text_string_to_metric_families(await self._api.text(self._metrics)):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    async def clear(self) -> None:
        """Delete what was created."""
        own = [one for one in await self._api.all(self._loops) if one["metadata"]["name"].startswith(("idle-", "new-"))]
        paths = [(f"{self._loops}/{one['metadata']['name']}", one["metadata"]["uid"]) for one in own]
        await asyncio.gather(*(self._api.delete(path, uid) for path, uid in paths))

    async def _first_status(self, name: str) -> float:
        await self._create(name)
        begun, path = time.monotonic(), f"{self._loops}/{name}"
        async with asyncio.timeout(STATUS_SECONDS):
            while not _has_status(await self._api.get(path)):  # noqa: ASYNC110 -- it polls a server
                await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    async def _create(self, name: str) -> None:
        await self._api.create(self._loops, _loop(name))


def _has_status(loop: dict[str, Any]) -> bool:
    return bool(loop.get("status", {}).get("conditions"))


def _loop(name: str) -> dict[str, Any]:
    """A loop that is suspended from the start: it is accepted and sealed, and then waits."""
    return {
        "apiVersion": "rloop.dev/v1alpha1",
        "kind": "ResearchLoop",
        "metadata": {"name": name},
        "spec": {
            "suspend": True,
            "direction": "Find a better recipe.",
            "boundaries": {"editable": ["recipe.json"]},
            "task": {"configMap": {"name": FILES, "items": {"recipe.json": "recipe.json"}}},
            "objective": {"metric": "loss", "goal": "Minimize"},
            "evaluation": {
                "code": {"configMap": {"name": FILES, "items": {"score": "score"}}},
                "command": ["./score"],
            },
            "experiment": {"job": {}, "image": "example.test/none", "command": ["./train"]},
            "agent": {"policy": {"name": "random-search"}},
            "budget": {"runs": 10},
            "workspace": {"size": "1Gi"},
        },
    }


if __name__ == "__main__":
    main()
