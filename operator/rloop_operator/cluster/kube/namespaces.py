"""Lists the loops of each watched namespace, and reports namespaces that cannot be listed.

Used by the operator's patrol and by the guard. A namespace that was deleted, is forbidden or fails is skipped until it
can be listed again, so that the other namespaces are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from rloop import names
from rloop.errors import NotFound, RloopError
from rloop_operator.cluster.kube import client, events
from rloop_operator.cluster.kube.lease import Lease
from rloop_operator.cluster.kube.served_namespaces import EVERYWHERE, Served
from rloop_operator.cluster.telemetry import metrics
from rloop_operator.cluster.telemetry.health import Part

log = structlog.get_logger("rloop.namespaces")
REFUSED = (403, 404)
"""HTTP statuses for a namespace that was deleted, or in which the chart created no Role."""


@dataclass(frozen=True, slots=True)
class Change:
    """A namespace that is no longer served, or is served again."""

    namespace: str
    problem: str
    """Why it is not served; empty if it is."""


class Namespaces:
    """The watched namespaces. If none is configured, all namespaces of the cluster, listed together."""

    def __init__(self, api: client.Kube, watched: Sequence[str]) -> None:
        self._api = api
        self._watched = tuple(dict.fromkeys(watched))
        self.problems: dict[str, str] = {}
        """Namespace -> why its loops cannot be served, as of the newest listing."""
        self._changes: list[Change] = []

    async def loops(self) -> list[client.Object]:
        """The loops of all namespaces that can be listed.

        Raises RloopError if all fail and at least one not with 403 or 404: then the API server is at fault.
        """
        if not self._watched:
            return await self._api.all(client.everywhere((), "researchloops")[0])
        paths = client.everywhere(self._watched, "researchloops")
        # In parallel, so that a namespace that times out does not delay the others.
        answers = await asyncio.gather(*(self._answer(path) for path in paths))
        errors = [one for one in answers if isinstance(one, RloopError)]
        broken = [one for one in errors if not _is_refused(one)]
        if len(errors) == len(answers) and broken:
            raise broken[0]
        self._note(dict(zip(self._watched, answers, strict=True)))
        return [loop for one in answers if not isinstance(one, RloopError) for loop in one]

    async def _answer(self, path: str) -> list[client.Object] | RloopError:
        try:
            return await self._api.all(path)
        except RloopError as error:
            return error

    def _note(self, answers: Mapping[str, list[client.Object] | RloopError]) -> None:
        problems = {one: _told(answer) for one, answer in answers.items() if isinstance(answer, RloopError)}
        for namespace in self._watched:
            problem = problems.get(namespace, "")
            metrics.NAMESPACE_SERVED.labels(namespace).set(not problem)
            if bool(problem) == (namespace in self.problems):
                continue
            self._changes.append(Change(namespace, problem))
            if problem:
                log.warning("namespace_not_served", namespace=namespace, detail=problem)
            else:
                log.info("namespace_served_again", namespace=namespace)
        self.problems = problems

    def changes(self) -> list[Change]:
        """The changes since the previous call."""
        taken, self._changes = self._changes, []
        return taken

    def serves(self, namespace: str) -> bool:
        """Whether the namespace could be listed most recently."""
        return namespace not in self.problems

    def served(self) -> Served:
        """The value that the operator publishes on its Lease."""
        if not self._watched:
            return Served((EVERYWHERE,), {})
        return Served([one for one in self._watched if self.serves(one)], self.problems)

    def part(self) -> Part:
        """The line of the health report. It affects no endpoint, because the other namespaces are served."""
        return Part("namespaces", self._problem, required=False)

    def _problem(self) -> str:
        return "; ".join(f"{namespace}: {problem}" for namespace, problem in self.problems.items())


async def announce(api: client.Kube, lease: Lease, namespaces: Namespaces) -> None:
    """Write the served namespaces to the operator's Lease, and an Event in the release's namespace for each change.

    Does nothing while this operator does not hold the Lease. Raises NotFound, KubeError.
    """
    if not lease.held():
        return
    text = namespaces.served().text()
    if lease.annotations.get(names.ANNOTATION_NAMESPACES) != text:
        await lease.annotate({names.ANNOTATION_NAMESPACES: text})
    for change in namespaces.changes():
        type_, reason, told = "Normal", "NamespaceServed", "its loops are served again"
        if change.problem:
            type_, reason, told = "Warning", "NamespaceNotServed", change.problem
        message = f"namespace {change.namespace}: {told}"
        unique = f"{reason}/{change.namespace}"
        await events.write(api, await lease.read(), unique, type_, reason, message, component="operator")


def _is_refused(error: RloopError) -> bool:
    return isinstance(error, NotFound) or (isinstance(error, client.KubeError) and error.status in REFUSED)


def _told(error: RloopError) -> str:
    if not _is_refused(error):
        return f"its loops cannot be listed ({error}); the next patrol retries"
    remedy = "create the namespace and run helm upgrade again, or remove it from watchNamespaces"
    return f"it was deleted, or the release has no Role there ({error}); {remedy}"
