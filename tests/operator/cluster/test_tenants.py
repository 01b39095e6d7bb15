"""A namespace that is gone, forbidden or broken costs the loops of the others nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.cluster.test_golden import SETTINGS
from tests.support import builders
from tests.support.fake_kubernetes import FakeKubernetes, Request, kubeconfig

from rloop_operator.cluster import guard, operator
from rloop_operator.cluster.kube import client, namespaces, served_namespaces
from rloop_operator.cluster.kube.lease import OPERATOR, Lease
from rloop_operator.cluster.reconciling import kopf_watches
from rloop_operator.cluster.settings import Place, Settings
from rloop_operator.cluster.telemetry import health, metrics
from rloop_operator.sim.campaign import SEED_KEYS

RELEASE = "rloop-system"
SICK, WELL = "tenant-sick", "tenant-well"
IN_SICK = f"/{SICK}/"
"""Every request about it."""
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{RELEASE}/leases"
FAULTS = [403, 404, 500]


def loops(namespace: str) -> str:
    return client.objects(namespace, "researchloops")


def put_loop(fake: FakeKubernetes, namespace: str, name: str = "demo", **changes: Any) -> None:
    sources = {"task": {"configMap": {"name": "files"}}, "evaluation__code": {"configMap": {"name": "scorer"}}}
    job = {"experiment__image": "trainer:1", "experiment__command": ["./train"]}
    manifest = builders.manifest(**(sources | job | changes))
    manifest["metadata"] = {"name": name, "namespace": namespace}
    for name_, data in (("files", {"train": "#!/bin/sh\n"}), ("scorer", {"score": "#!/bin/sh\n"})):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name_}, "data": data}
        fake.put(client.core(namespace, "configmaps", name_), body)
    fake.put(client.objects(namespace, "researchloops", name), manifest)


def settings(*watched: str, **changes: Any) -> Settings:
    told = {name: getattr(SETTINGS, name) for name in Settings.__dataclass_fields__}
    return Settings(**(told | {"namespace": RELEASE, "watched": watched, "patrol_seconds": 0.2} | changes))


@dataclass
class Running:
    """An operator's process but for its endpoint."""

    fake: FakeKubernetes
    operator: operator.Operator
    lease: Lease
    tasks: list[asyncio.Task[Any]]

    def jobs(self, namespace: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.fake.stored(client.group("batch/v1", namespace, "jobs"))]

    def events(self) -> list[tuple[str, str, str]]:
        found = [one for path, one in self.fake.objects.items() if path.startswith(client.core(RELEASE, "events"))]
        return [(one["type"], one["reason"], one["message"].split(":")[0]) for one in found]

    async def until(self, wanted: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not wanted():
                assert not [task for task in self.tasks if task.done()], "the process would have ended"
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(fake: FakeKubernetes, folder: Path, *watched: str, **changes: Any) -> AsyncIterator[Running]:
    """The operator's tasks, with kopf, on the fake."""
    told = settings(*watched, **changes)
    async with fake.serving() as url, client.connected(kubeconfig(folder, url), manager="rloop-operator") as api:
        lease = Lease(api, RELEASE, OPERATOR, "rloop-operator-0")
        await lease.step()
        made = operator.Operator(api, told, lease, SEED_KEYS)
        tasks = [asyncio.create_task(made.patrol()), asyncio.create_task(lease.hold())]
        tasks += [asyncio.create_task(made.passes.run()), asyncio.create_task(operator.watch(made, told))]
        try:
            yield Running(fake, made, lease, tasks)
        finally:
            for task in reversed(tasks):  # kopf first: it ends every task that began after it
                task.cancel()
                await asyncio.wait([task])


@pytest.mark.parametrize("fault", FAULTS)
def test_the_loops_of_other_namespaces_advance(home: Path, fault: int) -> None:
    async def test() -> None:
        fake = FakeKubernetes(faults={IN_SICK: fault})
        put_loop(fake, WELL)
        async with running(fake, home, SICK, WELL) as now:
            await now.until(lambda: now.jobs(WELL) != [])
            refused = fake.asked[f"WATCH {loops(SICK)}"] + fake.asked[f"GET {loops(SICK)}"]
            # Its watches are tried again and again, far more often than kopf would by itself.
            await now.until(lambda: fake.asked[f"GET {client.core(SICK, 'pods')}"] > 12)
            put_loop(fake, WELL, "later")
            await now.until(lambda: "later-b01-r1-a1" in now.jobs(WELL))
            assert refused
            assert metrics.NAMESPACE_SERVED.labels(SICK)._value.get() == 0
            assert metrics.NAMESPACE_SERVED.labels(WELL)._value.get() == 1

    asyncio.run(test())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_namespace_that_fails_is_reported_once_and_served_again_without_a_restart(home: Path, fault: int) -> None:
    async def test() -> None:
        fake = FakeKubernetes()
        put_loop(fake, SICK)
        put_loop(fake, WELL)
        async with running(fake, home, SICK, WELL) as now:
            await now.until(lambda: now.jobs(SICK) != [] and now.jobs(WELL) != [])
            assert served_namespaces.read(fake.objects[f"{LEASES}/{OPERATOR}"]) == served_namespaces.Served(
                (SICK, WELL), {}
            )

            fake.faults[IN_SICK] = fault
            problem = {one.name: one for one in operator.parts(now.operator, now.lease)}["namespaces"]
            await now.until(lambda: bool(problem.problem()))
            await now.until(lambda: now.events() != [])
            told, code = health.report([problem], curable_only=False)
            assert (code, SICK in told, WELL in told) == (200, True, False)
            said = served_namespaces.read(fake.objects[f"{LEASES}/{OPERATOR}"])
            assert said is not None
            assert (said.serves(WELL), said.serves(SICK), list(said.failing)) == (True, False, [SICK])

            fake.faults.clear()
            put_loop(fake, SICK, "later")
            await now.until(lambda: "later-b01-r1-a1" in now.jobs(SICK))
            await now.until(lambda: len(now.events()) == 2)
            assert now.events() == [
                ("Warning", "NamespaceNotServed", f"namespace {SICK}"),
                ("Normal", "NamespaceServed", f"namespace {SICK}"),
            ]
            assert problem.problem() == ""

    asyncio.run(test())


def test_a_namespace_that_refuses_only_watches_costs_nobody_the_operator(home: Path) -> None:
    """Whoever administers a namespace can take a verb out of the chart's Role there."""

    async def test() -> None:
        fake = FakeKubernetes(faults={f"WATCH .*{IN_SICK}": 403})
        put_loop(fake, SICK)
        put_loop(fake, WELL)

        def patrolled(before: int) -> bool:
            return fake.asked[f"GET {loops(SICK)}"] > before

        async with running(fake, home, SICK, WELL) as now:
            found = {one.name: one for one in operator.parts(now.operator, now.lease)}
            await now.until(lambda: SICK in found["watches"].problem())
            for number in range(6):  # each patrol sees another version, and no watch delivers one
                labels = {"metadata": {"labels": {"n": str(number)}}}
                fake.answer(Request("PATCH", f"{loops(SICK)}/demo", body=labels))
                patrols = fake.asked[f"GET {loops(SICK)}"]
                await now.until(partial(patrolled, patrols))
            assert found["watch"].problem() == ""
            report, code = health.report(list(found.values())[:-1], curable_only=False)
            assert (code, SICK in report) == (200, True)
            fake.faults.clear()
            await now.until(lambda: not found["watches"].problem())

    asyncio.run(test())


def test_an_api_server_that_fails_for_all_is_not_taken_for_lost_namespaces(home: Path) -> None:
    async def test() -> None:
        fake = FakeKubernetes()
        put_loop(fake, WELL)
        async with running(fake, home, SICK, WELL) as now:
            await now.until(lambda: now.jobs(WELL) != [])
            age = now.operator.progress.patrol_age
            fake.faults |= {IN_SICK: 500, f"/{WELL}/": 503}
            await now.until(lambda: age() > 1)
            assert now.operator.namespaces.problems == {}
            fake.faults.clear()
            await now.until(lambda: age() < 0.5)

    asyncio.run(test())


NAMES = ("kuhn", "kuhn-b01", "kuhn-big", "kuhn-i0001")


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_an_event_is_written_about_its_own_loop(home: Path, order: tuple[str, ...]) -> None:
    """Names that begin alike, as `kuhn-b01` is also the baseline of `kuhn`."""

    async def test() -> list[tuple[str, str]]:
        fake = FakeKubernetes()
        for name in order:
            put_loop(fake, WELL, name)
        async with running(fake, home, WELL) as now:

            def told() -> list[tuple[str, str]]:
                found = fake.stored(client.core(WELL, "events"))
                uids = {one["metadata"]["uid"]: one["metadata"]["name"] for one in fake.objects.values()}
                assert all(uids[one["involvedObject"]["uid"]] == one["involvedObject"]["name"] for one in found)
                return sorted((one["involvedObject"]["name"], one["reason"]) for one in found)

            await now.until(lambda: len(told()) >= len(NAMES) and len(now.jobs(WELL)) == len(NAMES))
            return told()

    assert asyncio.run(test()) == [(name, "Accepted") for name in NAMES]


def test_a_loop_in_the_releases_own_namespace_is_refused(home: Path) -> None:
    """Its pods could mount the Secrets of the providers; with rbac.clusterWide only the operator can refuse it."""

    async def test() -> None:
        fake = FakeKubernetes()
        put_loop(fake, RELEASE)
        put_loop(fake, WELL)
        async with running(fake, home) as now:
            await now.until(lambda: now.jobs(WELL) != [])
            await now.until(lambda: "status" in fake.objects[f"{loops(RELEASE)}/demo"])
            accepted = {one["type"]: one for one in fake.objects[f"{loops(RELEASE)}/demo"]["status"]["conditions"]}[
                "Accepted"
            ]
            assert accepted["status"] == "False"
            assert "metadata.namespace" in accepted["message"]
            made = {one.path for one in fake.written if one.method == "POST" and RELEASE in one.path}
            assert made <= {LEASES, client.core(RELEASE, "events")}

    asyncio.run(test())


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0, 0, 403, 404, 429, 500, 503]), min_size=1))
def test_a_look_finds_the_loops_of_all_that_answer(faults: dict[str, int]) -> None:
    fake = FakeKubernetes(faults={f"/{one}/": fault for one, fault in faults.items() if fault})
    for one in faults:
        fake.put(f"{loops(one)}/demo", {"metadata": {"name": "demo"}})
    found = namespaces.Namespaces(fake.direct(), list(faults))
    well = [one for one, fault in faults.items() if not fault]
    if not well and {429, 500, 503} & set(faults.values()):
        with pytest.raises(client.KubeError):
            asyncio.run(found.loops())
        assert found.problems == {}
        return
    assert [one["metadata"]["namespace"] for one in asyncio.run(found.loops())] == well
    assert set(found.problems) == set(faults) - set(well)
    assert {one for one in faults if found.served().serves(one)} == set(well)
    assert {one.namespace for one in found.changes()} == set(faults) - set(well)
    asyncio.run(found.loops())
    assert found.changes() == []


def test_a_refused_watch_is_logged_once() -> None:
    assert [
        kopf_watches.FirstOnly().filter(logging.LogRecord("kopf", logging.ERROR, "", 1, message, (), None))
        for message in ("Request attempt #1 failed; will retry: x", "Request attempt #12 failed; will retry: x", "else")
    ] == [True, False, True]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_guard_sees_the_other_namespaces(home: Path, fault: int) -> None:
    async def test() -> None:
        fake = FakeKubernetes(faults={IN_SICK: fault})
        put_loop(fake, WELL)
        place = Place(namespace=RELEASE, pod="rloop-guard-0", watched=(SICK, WELL), patrol_seconds=0.2)
        async with fake.serving() as url, client.connected(kubeconfig(home, url), manager="rloop-guard") as api:
            watching_ = guard.Guard(api, place)
            await watching_.look()
            report, code = health.report(watching_.parts(), curable_only=False)
            assert (code, SICK in report) == (200, True)
            assert len(watching_._behind) == 1

    asyncio.run(test())


def test_the_guard_does_not_blame_the_operator_for_what_it_cannot_reach(home: Path) -> None:
    async def test() -> None:
        fake = FakeKubernetes()
        put_loop(fake, SICK)
        put_loop(fake, WELL)
        place = Place(namespace=RELEASE, pod="rloop-guard-0", watched=(SICK, WELL), patrol_seconds=0.2)
        async with fake.serving() as url, client.connected(kubeconfig(home, url), manager="rloop-guard") as api:
            lease = Lease(api, RELEASE, OPERATOR, "rloop-operator-0")
            await lease.step()
            said = served_namespaces.Served((WELL,), {SICK: "forbidden"})
            await lease.annotate({"rloop.dev/namespaces": said.text()})
            seeing = guard.Guard(api, place)
            await seeing.look()
            assert len(seeing._behind) == 1

    asyncio.run(test())


def test_a_retry_follows_without_end() -> None:
    taken = [seconds for seconds, _ in zip(kopf_watches.Backoffs(), range(1000), strict=False)]
    assert len(taken) == 1000
    assert max(taken) == kopf_watches.LONGEST_SECONDS
