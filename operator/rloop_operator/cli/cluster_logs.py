"""`rloop logs` in a cluster: the Events of a loop, or what its pods printed.

Called by the cluster's source. A pod that is gone has left the end of its log in a status; Events are kept by the API
server for an hour or so, so it is said when the oldest are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from rloop import names, standing
from rloop.errors import NotFound
from rloop_operator.cli import words
from rloop_operator.cli.cluster_source import Cluster
from rloop_operator.cli.guard import complain
from rloop_operator.cli.logs import natural, owners
from rloop_operator.cli.snapshot import Snapshot, near
from rloop_operator.cluster import kube

POLL_SECONDS = 2.0
Look = Callable[[], Snapshot]
OURS = "researchloop-operator"
START_SECONDS = 60.0
"""The first Event of a loop comes within this time."""
JOB_NAME = "batch.kubernetes.io/job-name"


def follow_events(cluster: Cluster, look: Look, *, follow: bool, everything: bool) -> None:
    """Print what was decided, oldest first; with `everything`, also what Kubernetes tells of the loop's pods."""
    told: set[str] = set()
    snapshot = look()
    events = _events(cluster, snapshot.name, everything=everything)
    _say_what_is_gone(events, snapshot)
    _tell(events, told, snapshot.name)
    while follow and not standing.finished(snapshot.loop):
        time.sleep(POLL_SECONDS)
        snapshot = look()
        _tell(_events(cluster, snapshot.name, everything=everything), told, snapshot.name)


def _events(cluster: Cluster, loop: str, *, everything: bool) -> list[kube.Object]:
    path = kube.core(cluster.namespace, "events")
    if not everything:
        found = cluster.run(cluster.api.all(path, f"{names.LABEL_LOOP}={loop}"))
    else:
        found = [one for one in cluster.run(cluster.api.all(path)) if _about(one, loop)]
    return sorted(found, key=lambda one: (_moment(one), int(one["metadata"]["resourceVersion"])))


def _about(event: kube.Object, loop: str) -> bool:
    name = event["involvedObject"].get("name", "")
    return name == loop or any(one.startswith(f"{loop}-") for one in (name, *owners([name])))


def _moment(event: kube.Object) -> str:
    return str(event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _tell(events: list[kube.Object], told: set[str], loop: str) -> None:
    for event in events:
        uid, count = event["metadata"]["uid"], event.get("count") or 1
        if f"{uid}/{count}" in told:
            continue
        told.add(f"{uid}/{count}")
        moment = datetime.fromisoformat(event.get("lastTimestamp") or _moment(event))
        message = words.line(event.get("message", "").replace(f"{loop}-", ""))
        again = f" ({count} times)" if count > 1 else ""
        of = "" if event.get("source", {}).get("component") == OURS else f"{event['involvedObject'].get('name')}: "
        warns = "warning" if event.get("type") == "Warning" else "decision" if not of else "info"
        print(f"{moment:%m-%d %H:%M:%S} {warns:<8} {event.get('reason', ''):<18} {of}{message}{again}", flush=True)


def _say_what_is_gone(events: list[kube.Object], snapshot: Snapshot) -> None:
    """The records of an old loop's beginning are gone; what was found stands in its children for ever."""
    created = snapshot.loop.metadata.creation_timestamp
    kept = "rloop experiments and rloop directions tell what came of it"
    if not events:
        complain(f"there are no Events of {snapshot.name}; the cluster keeps them for an hour or so: {kept}")
    elif created is not None:
        oldest = datetime.fromisoformat(_moment(events[0]))
        if oldest - created > timedelta(seconds=START_SECONDS):
            complain(f"Events before {oldest:%m-%d %H:%M} are gone; {kept}")


def follow_workloads(cluster: Cluster, look: Look, name: str, *, follow: bool) -> None:
    """Print the logs of what `name` stands for: a session, experiment, run, attempt or verification."""
    printed: dict[str, int] = {}
    snapshot = look()
    known = {*_pods(cluster, snapshot.name), *dict(_stored(snapshot))}
    wanted = [one for one in sorted(known, key=natural) if {name, f"{snapshot.name}-{name}"} & set(owners([one]))]
    if not wanted and not (follow and _exists(name, snapshot)):
        everything = dict.fromkeys([*owners(known), *snapshot.experiments, *snapshot.iterations])
        why = "nothing of it has started yet" if _exists(name, snapshot) else ""
        raise NotFound(f'there is no log of "{name}"' + (f": {why}" if why else near(name, everything, snapshot.name)))
    while True:
        live = _print(cluster, snapshot, name, printed)
        if not follow or (printed and not live) or standing.finished(snapshot.loop):
            break
        time.sleep(POLL_SECONDS)
        snapshot = look()
    if not any(printed.values()):
        complain("it has printed nothing")


def _print(cluster: Cluster, snapshot: Snapshot, name: str, printed: dict[str, int]) -> bool:
    """Print what is new; whether any of it still runs."""
    pods, stored = _pods(cluster, snapshot.name), dict(_stored(snapshot))
    wanted = {name, f"{snapshot.name}-{name}"}
    found = [one for one in sorted({*pods, *stored}, key=natural) if wanted & set(owners([one]))]
    live = False
    for one in found:
        pod = pods.get(one)
        ended = pod is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        live = live or not ended
        log = _log(cluster, pod) if pod is not None else None
        text = words.clean(log if log is not None else stored.get(one, ""))
        whole = text if ended else text[: text.rfind("\n") + 1]
        new = whole[printed.get(one, 0) :]
        if new and len(found) > 1:
            print(f"==> {one} <==")
        if new and log is None:
            complain(f"the pod of {one} is gone; this is the end of its log, as the status keeps it:")
        if new:
            print(new.rstrip("\n"), flush=True)
        printed[one] = max(printed.get(one, 0), len(whole))
    return live


def _pods(cluster: Cluster, loop: str) -> dict[str, kube.Object]:
    """The newest pod of each workload."""
    found = cluster.run(cluster.api.all(kube.core(cluster.namespace, "pods"), f"{names.LABEL_LOOP}={loop}"))
    found.sort(key=lambda one: one["metadata"]["creationTimestamp"])
    return {one["metadata"].get("labels", {}).get(JOB_NAME, one["metadata"]["name"]): one for one in found}


def _log(cluster: Cluster, pod: kube.Object) -> str | None:
    """The whole log of the pod's main container; None where there is none (any more)."""
    path = kube.core(cluster.namespace, "pods", pod["metadata"]["name"])
    try:
        return cluster.run(cluster.api.text(f"{path}/log", container=pod["spec"]["containers"][0]["name"]))
    except NotFound:
        return None
    except kube.KubeError as error:
        if error.status == 400:  # the container has not started
            return None
        raise


def _stored(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What the statuses keep of each workload: the end of its log."""
    for iteration in snapshot.iterations.values():
        for session in iteration.status.sessions:
            if session.started_at is not None:
                yield names.agent(session.name, session.attempt), session.log_tail
    for experiment in snapshot.experiments.values():
        own = experiment.metadata.name
        for run in experiment.status.runs:
            for attempt in run.attempts:
                yield names.attempt(own, run.number, attempt.number), attempt.log_tail
            for scoring in run.verifications:
                yield names.verification(own, run.number, scoring.number), scoring.message


def _exists(name: str, snapshot: Snapshot) -> bool:
    sessions = (one.name for it in snapshot.iterations.values() for one in it.spec.sessions)
    return bool({name, f"{snapshot.name}-{name}"} & {*snapshot.experiments, *snapshot.iterations, *sessions})
