"""A campaign in a cluster, read with the user's own permissions.

Created by `choice`, which imports it only if a cluster is selected, because the Kubernetes library takes a second to
load.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from typing_extensions import override

from rloop import names
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import NotFound
from rloop.ledger_entry import Ledger
from rloop_operator.cli.sources import cluster_health
from rloop_operator.cli.sources.cluster_connection import Cluster
from rloop_operator.cli.sources.cluster_logs import follow_events, follow_workloads
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Operator, Source
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage.store import KubeStore
from rloop_operator.cluster.workloads import pod_parts
from rloop_operator.ports import Files, Verb


class ClusterSource(Source):
    """The source for a campaign in a cluster."""

    def __init__(self, cluster: Cluster, loop: str) -> None:
        self._cluster = cluster
        self._loop = loop
        self._store = KubeStore(cluster.api, cluster.namespace, read_only=True)

    @override
    def look(self) -> Snapshot:
        return self._cluster.run(self._look())

    async def _look(self) -> Snapshot:
        loop, iterations, experiments = await asyncio.gather(
            self._store.get(ResearchLoop, self._loop),
            self._store.list(ResearchIteration, self._loop),
            self._store.list(ResearchExperiment, self._loop),
        )
        return Snapshot(
            loop,
            {one.metadata.name: one for one in iterations},
            {one.metadata.name: one for one in experiments},
            datetime.now(UTC),
        )

    @override
    def ledger(self) -> Ledger:
        return self._cluster.run(self._store.ledger(self._loop))

    @override
    def operator(self, snapshot: Snapshot) -> Operator:
        path = client.objects(self._cluster.namespace, "researchloops", self._loop)
        stored = self._cluster.run(self._cluster.api.get(path))
        leases = self._cluster.run(cluster_health.leases(self._cluster.api))
        return cluster_health.operator(stored, leases, snapshot.now)

    @override
    def files(self, name: str) -> Files:
        try:
            return self._cluster.run(self._store.files(name))
        except NotFound:
            return {}

    @override
    def artifacts_of(self, experiment: str, run: int, snapshot: Snapshot) -> str:
        one = next(one for one in snapshot.experiments[experiment].status.runs if one.number == run)
        place = names.place(snapshot.loop.metadata.uid, experiment, run, one.seed)
        return f"{pod_parts.place_of(place)}/artifacts in the volume of the claim {names.workspace(snapshot.name)}"

    @override
    def log_of(self, workload: str) -> str:
        return f"the log of {workload}"

    @override
    def end_of_log(self, workload: str) -> str:
        return ""  # the pod is deleted or being deleted; the status has the end of its log

    @override
    def logs(self, name: str | None, *, follow: bool, everything: bool) -> None:
        if name is None:
            follow_events(self._cluster, self.look, follow=follow, everything=everything)
        else:
            follow_workloads(self._cluster, self.look, name, follow=follow)

    @override
    def ask(self, verb: Verb) -> str:
        path = client.objects(self._cluster.namespace, "researchloops", self._loop)
        if verb == "pivot":
            moment = datetime.now(UTC).isoformat(timespec="microseconds")
            patch: client.Object = {"metadata": {"annotations": {names.ANNOTATION_PIVOT: moment}}}
        else:
            patch = {"spec": {"suspend": verb == "suspend"}}
        self._cluster.run(self._cluster.api.patch(path, patch))
        told = self.operator(self.look())
        return "" if told.alive else f"Nothing happens yet; operator: {told.told}."
