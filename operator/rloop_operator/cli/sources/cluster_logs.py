"""`rloop logs` in a cluster: the Events of a loop, or the logs of its pods.

Called by the cluster's source. For a deleted pod the end of its log is read from a status. The API server keeps Events
for about an hour, so a message reports if the oldest are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rloop import campaign_state, names
from rloop.errors import NotFound
from rloop_operator.cli.sources.agent_lines import log_line
from rloop_operator.cli.sources.cluster_connection import Cluster
from rloop_operator.cli.sources.local_logs import natural, owners
from rloop_operator.cli.sources.snapshot import CHILD, Snapshot, near
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.exit_codes import complain
from rloop_operator.cluster.kube import client

POLL_SECONDS = 2.0
Look = Callable[[], Snapshot]
OURS = "researchloop-operator"
START_SECONDS = 60.0
"""Seconds after its creation within which the first Event of a loop occurs."""


def follow_events(cluster: Cluster, look: Look, *, follow: bool, everything: bool) -> None:
    """Print the decisions, oldest first; with `everything`, also the Events of Kubernetes about the loop's pods."""
    told: set[str] = set()
    snapshot = look()
    events = _events(cluster, snapshot, everything=everything)
    _say_what_is_gone(events, snapshot)
    _tell(events, told, snapshot.name)
    while follow and not campaign_state.finished(snapshot.loop):
        time.sleep(POLL_SECONDS)
        snapshot = look()
        _tell(_events(cluster, snapshot, everything=everything), told, snapshot.name)
    if follow:
        time.sleep(POLL_SECONDS)  # an Event is written after the status that it belongs to
        _tell(_events(cluster, snapshot, everything=everything), told, snapshot.name)


def _events(cluster: Cluster, snapshot: Snapshot, *, everything: bool) -> list[client.Object]:
    """The Events of this campaign, without those of an earlier campaign of the same name."""
    loop, born = snapshot.name, snapshot.loop.metadata.creation_timestamp
    path = client.core(cluster.namespace, "events")
    if not everything:
        found = cluster.run(cluster.api.all(path, f"{names.LABEL_LOOP}={loop}"))
    else:
        found = [one for one in cluster.run(cluster.api.all(path)) if _about(one, loop)]
    uid = snapshot.loop.metadata.uid
    found = [one for one in found if one["involvedObject"].get("uid") == uid or one["involvedObject"]["name"] != loop]
    found = [one for one in found if born is None or datetime.fromisoformat(_moment(one)) >= born]
    return sorted(found, key=lambda one: (_moment(one), int(one["metadata"]["resourceVersion"])))


def _about(event: client.Object, loop: str) -> bool:
    """Whether the Event is about the loop, an object that belongs to it, or its volume."""
    name = event["involvedObject"].get("name", "")
    part = name.removeprefix(f"{loop}-")
    return name == loop or (part != name and (CHILD.match(part) is not None or part == "workspace"))


def _moment(event: client.Object) -> str:
    return str(event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _tell(events: list[client.Object], told: set[str], loop: str) -> None:
    for event in events:
        uid, count = event["metadata"]["uid"], event.get("count") or 1
        if f"{uid}/{count}" in told:
            continue
        told.add(f"{uid}/{count}")
        moment = datetime.fromisoformat(event.get("lastTimestamp") or _moment(event))
        message = words.line(words.inside(event.get("message", ""), loop))
        again = f" ({count} times)" if count > 1 else ""
        of = "" if event.get("source", {}).get("component") == OURS else f"{event['involvedObject'].get('name')}: "
        warns = "warning" if event.get("type") == "Warning" else "decision" if not of else "info"
        print(f"{moment:%m-%d %H:%M:%S} {warns:<8} {event.get('reason', ''):<18} {of}{message}{again}", flush=True)


def _say_what_is_gone(events: list[client.Object], snapshot: Snapshot) -> None:
    """Report that the first Events of an old loop are deleted. Its results are kept in its child objects."""
    created = snapshot.loop.metadata.creation_timestamp
    kept = "see the results with rloop experiments and rloop directions"
    if not events:
        complain(f"there are no Events of {snapshot.name}; the cluster keeps Events for about an hour: {kept}")
    elif created is not None:
        oldest = datetime.fromisoformat(_moment(events[0]))
        if oldest - created > timedelta(seconds=START_SECONDS):
            complain(f"Events before {oldest:%m-%d %H:%M} have expired; {kept}")


def follow_workloads(cluster: Cluster, look: Look, name: str, *, follow: bool) -> None:
    """Print the logs of the session, experiment, run, attempt or verification `name`. Raises NotFound."""
    told = _Told()
    snapshot = look()
    if not _known(name, snapshot) and not _matching(name, snapshot, _pods(cluster, snapshot.name)):
        everything = dict.fromkeys([*owners(dict(_stored(snapshot))), *snapshot.experiments, *_sessions(snapshot)])
        raise NotFound(f'there is no log of "{name}"{near(name, everything, snapshot.name)}')
    while True:
        pods = _pods(cluster, snapshot.name)
        matching = _matching(name, snapshot, pods)
        live = [one for one in matching if _print(cluster, one, pods.get(one), dict(_stored(snapshot)), told)]
        if not follow or (matching and not live) or campaign_state.finished(snapshot.loop):
            break
        time.sleep(POLL_SECONDS)
        snapshot = look()
    if not matching:
        complain("it has not started yet")
    elif not any(told.printed.values()):
        gone = all(one not in pods for one in matching)
        complain("its pods were deleted, and its output is lost" if gone else "it printed nothing")


@dataclass(slots=True)
class _Told:
    """Log output that was printed already."""

    printed: dict[str, int] = field(default_factory=dict)
    """Workload -> number of printed characters of its log."""
    heading: str = ""


def _matching(name: str, snapshot: Snapshot, pods: Mapping[str, client.Object]) -> list[str]:
    """The workloads that belong to the object of this name, in natural order."""
    wanted = {name, f"{snapshot.name}-{name}"}
    return [one for one in sorted({*pods, *dict(_stored(snapshot))}, key=natural) if wanted & set(owners([one]))]


def _print(cluster: Cluster, name: str, pod: client.Object | None, stored: Mapping[str, str], told: _Told) -> bool:
    """Print the new part of a workload's log. Returns whether it still runs."""
    live = pod is not None and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    log = _log(cluster, pod) if pod is not None else None
    lines = words.clean(log if log is not None else stored.get(name, "")).split("\n")
    text = "\n".join(log_line(name, line) for line in lines)
    whole = text[: text.rfind("\n") + 1] if live else text
    before = told.printed.get(name, 0)
    told.printed[name] = max(before, len(whole))
    # If the pod's log has been printed before, the end of it in the status is nothing new.
    if len(whole) <= before or (before and log is None):
        return live
    if log is None:
        complain(f"the pod of {name} was deleted; this is the end of its log, from the status:")
    if len(told.printed) > 1 and told.heading != name:
        print(f"==> {name} <==")
    told.heading = name
    print(whole[before:].rstrip("\n"), flush=True)
    return live


def _pods(cluster: Cluster, loop: str) -> dict[str, client.Object]:
    """The newest pod of each workload."""
    found = cluster.run(cluster.api.all(client.core(cluster.namespace, "pods"), f"{names.LABEL_LOOP}={loop}"))
    found.sort(key=lambda one: one["metadata"]["creationTimestamp"])
    return {one["metadata"].get("labels", {}).get(names.LABEL_WORKLOAD, one["metadata"]["name"]): one for one in found}


def _log(cluster: Cluster, pod: client.Object) -> str | None:
    """The whole log of the pod's main container; None if it does not exist (any more)."""
    path = client.core(cluster.namespace, "pods", pod["metadata"]["name"])
    try:
        return cluster.run(cluster.api.text(f"{path}/log", container=pod["spec"]["containers"][0]["name"]))
    except NotFound:
        return None
    except client.KubeError as error:
        if error.status == 400:  # the container has not started
            return None
        raise


def _stored(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Each started workload, with the end of its log or the message of its verification from the statuses."""
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


def _sessions(snapshot: Snapshot) -> list[str]:
    return [one.name for iteration in snapshot.iterations.values() for one in iteration.spec.sessions]


def _known(name: str, snapshot: Snapshot) -> bool:
    """Whether an object of this name exists, even if it has not started yet."""
    parts = {*snapshot.experiments, *snapshot.iterations, *_sessions(snapshot), *owners(dict(_stored(snapshot)))}
    return bool({name, f"{snapshot.name}-{name}"} & parts)
