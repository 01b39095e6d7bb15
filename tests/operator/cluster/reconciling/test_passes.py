"""The operator's passes on a small API server: idle loops cost nothing, failures are told, all waits for the Lease."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.support.builders import manifest
from tests.support.fake_kubernetes import FakeKubernetes, error
from typing_extensions import override

from rloop.actions import Start, Workload
from rloop.api.researchloop import ResearchLoop
from rloop.decide.draft import Decision
from rloop.observed import Exit, Observed, WorkloadState
from rloop_operator.beats import Beats
from rloop_operator.cluster.kube import client, events
from rloop_operator.cluster.kube.lease import Lease
from rloop_operator.cluster.reconciling import failed_passes
from rloop_operator.cluster.reconciling import passes as passes_module
from rloop_operator.cluster.reconciling.passes import Passes
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.telemetry import metrics
from rloop_operator.cluster.telemetry.progress import Progress
from rloop_operator.reconcile import Pass, Shell
from rloop_operator.sim.campaign import SEED_KEYS, verdict
from rloop_operator.sim.runtime import SimRuntime, VirtualClock

TASK = {"configMap": {"name": "task"}}
STATUS, ITERATIONS = "PATCH .*/status$", "GET .*/researchiterations$"


class Place:
    """The operator's passes, and the world around them."""

    def __init__(self, server: FakeKubernetes, api: client.Kube) -> None:
        self.server = server
        self.api = api
        self.lease = Lease(api, "system", "rloop-operator", "me")
        self._clock = VirtualClock()
        self.runtime = SimRuntime(self._clock, lambda _loop, _workload: verdict("loss", 1.0))
        self.passes = Passes(api, self.lease, Progress(60), self._shell)

    def _shell(self, namespace: str) -> Shell:
        store = KubeStore(self.api, namespace)

        async def tell(_loop: str, event: Any) -> None:
            await events.tell(self.api, namespace, event.object, event)

        return Shell(store, self.runtime, Beats(self._clock.monotonic), self._clock.now, SEED_KEYS, tell)

    def apply(self, name: str, namespace: str = "team") -> None:
        """Create a suspended loop, and what it needs; the watch tells of it."""
        for config_map in ("task", "evaluation"):
            path = client.core(namespace, "configmaps", config_map)
            self.server.put(path, {"metadata": {"name": config_map}, "data": {"file": "x"}})
        document = manifest(suspend=True, task=TASK, evaluation__code={"configMap": {"name": "evaluation"}})
        document["metadata"] = {"name": name, "generation": 1}
        self.passes.changed(self.server.put(client.objects(namespace, "researchloops", name), document))

    def loop(self, name: str, namespace: str = "team") -> dict[str, Any]:
        return self.server.objects[client.objects(namespace, "researchloops", name)]

    def condition(self, name: str, type_: str) -> tuple[str, str]:
        """Status and reason."""
        conditions = self.loop(name).get("status", {}).get("conditions", [])
        return next(((one["status"], one["reason"]) for one in conditions if one["type"] == type_), ("", ""))

    def told(self, reason: str) -> list[str]:
        found = self.server.stored("/api/v1/events")
        return [one["message"] for one in found if one["reason"] == reason]

    async def until(self, what: Any, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():  # noqa: ASYNC110 -- there is no event: the test looks at what a request left behind
                await asyncio.sleep(0.02)

    def requests(self) -> int:
        """Number of requests but for the Lease's."""
        return sum(number for text, number in self.server.asked.items() if "/leases" not in text)

    async def quiet(self) -> None:
        """Wait until no request is made any more."""
        before = -1
        while self.requests() != before:
            before = self.requests()
            await asyncio.sleep(1)


@asynccontextmanager
async def place(*, leading: bool = True) -> AsyncIterator[Place]:
    server = FakeKubernetes()
    async with server.connected() as api:
        made = Place(server, api)
        api.may_write = made.lease.held
        running = [asyncio.create_task(made.passes.run())]
        if leading:
            running.append(asyncio.create_task(made.lease.hold()))
        try:
            yield made
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_passes, "RETRY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(passes_module, "BREATH_SECONDS", 0.01)
    monkeypatch.setattr(passes_module, "NO_SERVER_SECONDS", 0.05)


def test_a_loop_that_waits_for_nothing_is_passed_over_when_it_changes_and_never_else() -> None:
    async def test() -> None:
        async with place() as made:
            for number in range(20):
                made.apply(f"idle-{number}")
            names = [f"idle-{number}" for number in range(20)]
            await made.until(
                lambda: all(made.condition(one, "Suspended") == ("True", "SuspendedByUser") for one in names)
            )
            await made.quiet()
            before = made.requests()
            for one in names:
                # What a patrol does.
                made.passes.changed(made.loop(one))
            await asyncio.sleep(0.5)
            assert made.requests() == before
            path = client.objects("team", "researchloops", "idle-3")
            made.passes.changed(made.server.put(path, made.loop("idle-3")))
            await made.until(lambda: made.requests() > before)

    asyncio.run(test())


class Held(SimRuntime):
    """Somebody else's finalizer holds what has ended."""

    removals = 0

    @override
    async def remove(self, name: str) -> None:
        self.removals += 1

    @override
    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        ended = Exit(code=0, reason="Completed", finished_at=now)
        return {f"{loop}-i0001-s1-a1": WorkloadState(f"{loop}-i0001-s1-a1", now, ended)}


def test_what_a_foreign_finalizer_holds_is_asked_to_go_once_a_pass_and_makes_no_hot_loop() -> None:
    async def test() -> None:
        async with place() as made:
            made.runtime = held = Held(VirtualClock(), lambda _loop, _workload: verdict("loss", 1.0))
            made.apply("held")
            await made.until(lambda: made.condition("held", "Suspended") == ("True", "SuspendedByUser"))
            await made.quiet()
            before = held.removals
            assert before > 0
            await asyncio.sleep(1)
            assert held.removals == before

    asyncio.run(test())


def _started(name: str) -> Pass:
    """A pass that did nothing but start this."""
    loop = ResearchLoop.model_validate(manifest())
    workload = Workload(name, "agent", "demo-i0001", 60, session="demo-i0001-s1")
    decision = Decision((Start(workload),), (), (), None, ())
    return Pass(
        Observed(datetime(2026, 1, 1, tzinfo=UTC), loop, SEED_KEYS, {}, {}, {}), changed=True, decision=decision
    )


@pytest.mark.parametrize(
    ("result", "most"),
    [
        pytest.param(lambda _: _started("a"), 5, id="the same start"),
        pytest.param(lambda _: replace(_started("a"), conflict=True, decision=None), 5, id="a conflict"),
        pytest.param(lambda number: _started(f"a{number}"), 10_000, id="another one each time"),
    ],
)
def test_a_pass_that_does_the_same_again_is_no_hot_loop(
    monkeypatch: pytest.MonkeyPatch, result: Callable[[int], Pass], most: int
) -> None:
    numbers = itertools.count()

    async def pass_over(*_: Any) -> Pass:
        return result(next(numbers))

    monkeypatch.setattr(passes_module, "reconcile", pass_over)

    async def test() -> None:
        async with place() as made:
            made.passes.wake(("team", "demo"))
            await asyncio.sleep(1)
            first = next(numbers)
            assert 2 <= first <= most
            assert most == 5 or first > 10
            made.passes.wake(("team", "demo"))
            await made.until(lambda: next(numbers) > first + 2)  # an event comes through

    asyncio.run(test())


def test_a_pass_that_fails_is_told_once_and_is_over_with_the_first_good_one() -> None:
    async def test() -> None:
        async with place() as made:
            made.apply("fine")
            await made.until(lambda: made.condition("fine", "Ready") == ("True", "Suspended"))
            await made.quiet()
            made.server.faults["researchiterations"] = lambda: error(500, "the disk of the API server is full")
            made.apply("broken")
            await made.until(lambda: made.condition("broken", "Degraded") == ("True", "ReconcileFailed"))
            assert made.condition("broken", "Ready") == ("False", "ReconcileFailed")
            message = next(
                one["message"] for one in made.loop("broken")["status"]["conditions"] if one["type"] == "Ready"
            )
            assert message.startswith("the disk of the API server is full. The operator retries")
            assert made.loop("broken")["status"]["display"]["phase"] == "Pending:ReconcileFailed"
            writes, reads = made.server.count(STATUS), made.server.count(ITERATIONS)
            # The telling itself is an event of the loop.
            made.passes.changed(made.loop("broken"))
            await made.until(lambda: made.server.count(ITERATIONS) > reads + 5)
            assert made.server.count(STATUS) == writes, "it is told once"
            assert made.told("ReconcileFailed") == [message]
            series = 'rloop_loop_failed_passes{loop="broken",namespace="team"}'
            assert series in generate_latest(metrics.OPERATOR).decode()
            made.server.faults.clear()
            await made.until(lambda: made.condition("broken", "Ready") == ("True", "Suspended"))
            assert made.condition("broken", "Degraded") == ("False", "None")
            await made.until(lambda: bool(made.told("Recovered")))
            assert series not in generate_latest(metrics.OPERATOR).decode()
            assert made.condition("fine", "Degraded") == ("False", "None")

    asyncio.run(test())


def test_a_failure_that_cannot_be_told_stops_nothing() -> None:
    async def test() -> None:
        async with place() as made:
            made.server.faults["PATCH .*broken"] = 500
            made.apply("broken")
            await made.until(lambda: made.server.count(STATUS) > 6)
            made.apply("fine")
            await made.until(lambda: made.condition("fine", "Ready") == ("True", "Suspended"))
            made.server.faults.clear()
            await made.until(lambda: made.condition("broken", "Ready") == ("True", "Suspended"))

    asyncio.run(test())


def test_telling_ever_new_words_does_not_hurry_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_passes, "RETRY_SECONDS_MAX", 0.5)

    async def test() -> None:
        async with place() as made:
            numbers = itertools.count()
            made.server.faults["researchiterations"] = lambda: error(500, f"request {next(numbers)} was refused")
            made.apply("broken")
            await made.until(lambda: made.condition("broken", "Degraded") == ("True", "ReconcileFailed"))
            before = made.server.count(ITERATIONS)
            for _ in range(40):
                # The watch tells of each write.
                made.passes.changed(made.loop("broken"))
                await asyncio.sleep(0.05)
            assert made.server.count(ITERATIONS) - before <= 5
            assert len(made.told("ReconcileFailed")) == 1

    asyncio.run(test())


def test_nothing_is_passed_over_without_the_lease_and_no_loop_is_blamed() -> None:
    async def test() -> None:
        async with place(leading=False) as made:
            made.apply("one")
            await asyncio.sleep(0.3)
            assert made.server.count("GET .*/one$") == 0
            await made.lease.step()
            await made.until(lambda: made.condition("one", "Ready") == ("True", "Suspended"))
            made.lease._renew(float("-inf"))
            made.apply("two")
            await asyncio.sleep(0.3)
            assert "status" not in made.loop("two")
            await made.lease.step()
            await made.until(lambda: made.condition("two", "Ready") == ("True", "Suspended"))
            assert made.told("ReconcileFailed") == []

    asyncio.run(test())


def test_a_new_loop_has_its_status_beside_a_storm_of_another_namespace() -> None:
    async def test() -> None:
        async with place() as made:
            made.server.hangs = "GET .*/noisy/"
            for number in range(200):
                made.apply(f"noisy-{number}", "noisy")
            for _ in range(passes_module.NAMESPACE_PASSES):
                await made.server.hung.acquire()
            made.apply("new")
            await made.until(lambda: made.condition("new", "Ready") == ("True", "Suspended"), 5)

    asyncio.run(test())
