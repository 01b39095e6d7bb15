"""One namespace of a cluster, reached with the user's own permissions, and the loops in it.

Opened by `choice`, which imports it only if a cluster is selected, because the Kubernetes library takes a second to
load. The commands are plain functions, so one event loop exists for the whole command and is entered for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rloop.errors import NotFound, RloopError
from rloop_operator.cli.sources.snapshot import within
from rloop_operator.cluster.kube import client

Answer = TypeVar("Answer")
CRDS = "helm upgrade --install rloop helm/rloop, or kubectl apply --server-side -f crds/"


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, runner: asyncio.Runner, api: client.Kube, namespace: str) -> None:
        self._runner = runner
        self.api = api
        self.namespace = namespace

    def run(self, request: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for the response to a request."""
        return self._runner.run(request)

    def find(self, name: str | None, *, parts: bool) -> tuple[str, str | None]:
        """The loop of this name and the name of an object in it; without a name, the only loop.

        Raises NotFound with a list of the existing loops.
        """
        loops = {one["metadata"]["name"]: one for one in self._loops()}
        found = within(name, loops) if name is not None else None
        if found is not None and (parts or found[1] is None):
            return found
        if len(loops) == 1 and (name is None or parts):
            return next(iter(loops)), name
        here = f'in namespace "{self.namespace}"'
        if not loops:
            raise NotFound(f"there is no ResearchLoop {here}; start one with kubectl apply, or name another with -n")
        listed = "\n".join(f"  {one}  {loops[one].get('status', {}).get('phase', 'Pending')}" for one in sorted(loops))
        if name is None:
            raise NotFound(f"there are {len(loops)} ResearchLoops {here}; select one:\n{listed}")
        whole = ", or the full name of an experiment, session or run (LOOP-i0001-e1)" if parts else ""
        raise NotFound(f'there is no ResearchLoop "{name}" {here}; use one of these{whole}:\n{listed}')

    def _loops(self) -> list[client.Object]:
        try:
            found = self.run(self.api.all(client.objects(self.namespace, "researchloops")))
        except NotFound as error:
            told = f"the cluster {self.api.server} does not know the kind ResearchLoop"
            raise RloopError(f"{told}: install it with {CRDS}") from error
        if not found:
            self._exists()
        return found

    def _exists(self) -> None:
        """Raise NotFound if the namespace is missing. An API server lists a missing namespace as empty."""
        try:
            self.run(self.api.get(f"/api/v1/namespaces/{self.namespace}"))
        except NotFound as error:
            told = f'there is no namespace "{self.namespace}" in the cluster {self.api.server}; name another with -n'
            raise NotFound(told) from error
        except client.KubeError as error:
            if error.status != 403:
                raise


@contextmanager
def in_cluster(namespace: str, kubeconfig: str, context: str) -> Iterator[Cluster]:
    """Yield the selected namespace. Errors of the API server are raised as RloopError with a remedy."""
    with asyncio.Runner() as runner:
        connection = client.connected(kubeconfig, context)
        api = runner.run(connection.__aenter__())
        try:
            yield Cluster(runner, api, namespace or api.namespace)
        except client.KubeError as error:
            raise RloopError(explained(error, api.server)) from error
        finally:
            runner.run(connection.__aexit__(None, None, None))


def explained(error: client.KubeError, server: str) -> str:
    """A message with the API server's error and a remedy."""
    if error.status == 0:
        cause = type(error.__cause__).__name__
        return f"the API server {server} cannot be reached ({cause}); check the current context: kubectl cluster-info"
    if error.status == 401:
        return f"the API server {server} does not accept these credentials; log in again, or give another --context"
    if error.status == 403:
        return f"{error}; ask for a Role that allows it (kubectl auth can-i --list shows what you may do)"
    return f"the API server {server} refused: {error}"
