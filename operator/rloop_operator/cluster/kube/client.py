"""Client of a Kubernetes API server; no other module sends requests of our own to it.

Called by the cluster's store, runtime, identity, lease and operator. Objects are plain dicts, errors are those of
`rloop.errors`: an ApiException never leaves this module.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from rloop.errors import Conflict, NotFound, RloopError
from rloop_operator.cluster.telemetry import metrics

Object = dict[str, Any]

REQUEST_SECONDS = 30
PAGE = 500
PARALLEL_REQUESTS = 16
"""Limit of concurrent requests, so that a burst of workloads does not open a connection each."""
PARALLEL_LEASE_REQUESTS = 4
"""Separate limit for Leases (our own, the ping): a renewal never queues behind the requests of passes."""
LEASES = "/apis/coordination.k8s.io/"
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_UNUSABLE = (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, AttributeError, ValueError)
"""Exceptions that the library raises for an invalid kubeconfig."""
MERGE_PATCH = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class KubeError(RloopError):
    """The API server rejected a request or cannot be reached, or our Lease has expired."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        """HTTP status; 0 if the server did not respond, or if our Lease had expired."""
        self.reason = reason
        super().__init__(message)


class Kube:
    """A client for one API server."""

    def __init__(self, api: client.ApiClient, server: str, namespace: str, manager: str = "rloop") -> None:
        self._api = api
        self._api.user_agent = manager
        self._manager = manager
        """Our name in managedFields: it distinguishes the writes of our processes and of users' commands."""
        self.server = server
        """Address of the API server, for messages."""
        self.namespace = namespace
        """Our own namespace: that of the pod or of the kubeconfig context."""
        self._slots = asyncio.Semaphore(PARALLEL_REQUESTS)
        self._lease_slots = asyncio.Semaphore(PARALLEL_LEASE_REQUESTS)
        self.may_write: Callable[[], bool] = lambda: True
        """Called before every write except to Leases. The operator sets it: no write after its Lease has expired."""

    async def get(self, path: str) -> Object:
        """The object. Raises NotFound, KubeError."""
        return _object(await self._raw("GET", path))

    async def uid(self, path: str) -> str:
        """The uid of an object, without fetching its content. Raises NotFound, KubeError."""
        found = _object(await self._raw("GET", path, accept=METADATA_ONLY))
        uid: str = found["metadata"]["uid"]
        return uid

    async def all(self, path: str, selector: str = "", *, fields: str = "") -> list[Object]:
        """All objects that match the label selector and the field selector, fetched in pages."""
        found: list[Object] = []
        token = ""
        while True:
            query = [("limit", str(PAGE))]
            query += [("labelSelector", selector)] if selector else []
            query += [("fieldSelector", fields)] if fields else []
            query += [("continue", token)] if token else []
            page = _object(await self._raw("GET", path, query=query))
            found += page["items"]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    async def text(self, path: str, **query: str) -> str:
        """The raw text of a response (a pod's log)."""
        return (await self._raw("GET", path, query=list(query.items()))).decode(errors="replace")

    async def create(self, path: str, body: Object) -> Object:
        """POST. Raises Conflict if the name is taken, KubeError."""
        return _object(await self._raw("POST", path, body=body))

    async def patch(self, path: str, body: Object) -> Object:
        """Apply a merge patch; conditional if it contains a resourceVersion. Raises Conflict, NotFound, KubeError."""
        return _object(await self._raw("PATCH", path, body=body, content_type=MERGE_PATCH))

    async def delete(self, path: str, uid: str, *, grace_seconds: int | None = None) -> None:
        """Delete the object if it has this uid. An object that is gone or has another uid is ignored."""
        body: Object = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._raw("DELETE", path, body=body)
        except (NotFound, Conflict):
            return

    async def _raw(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        of_a_lease = path.startswith(LEASES)
        if method != "GET" and not of_a_lease and not self.may_write():
            metrics.WRITES_REFUSED.inc()
            raise KubeError(
                0, "LeaseExpired", "the operator's Lease has expired: nothing is written until it is renewed"
            )
        begun, code = time.monotonic(), 0
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            async with self._lease_slots if of_a_lease else self._slots:
                verb, url, sent, content, _ = await self._api.param_serialize(
                    method,
                    path,
                    query_params=[*(query or []), *self._owned(method)],
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                answer = await self._api.call_api(verb, url, sent, content, _request_timeout=REQUEST_SECONDS)
                data: bytes = await answer.read()
                code = answer.status
        except ApiException as error:
            code = error.status or 0
            raise _ours(error.status or 0, error.body or error.reason or "", path) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            told = f"the API server cannot be reached ({type(error).__name__}); the request is retried"
            raise KubeError(0, "Unreachable", told) from error
        finally:
            metrics.api_request(method, code, time.monotonic() - begun)
        if answer.status >= 300:
            raise _ours(answer.status, data, path)
        return data

    def _owned(self, method: str) -> list[tuple[str, str]]:
        return [("fieldManager", self._manager)] if method in ("POST", "PATCH") else []


def _object(data: bytes) -> Object:
    answer: Object = json.loads(data)
    return answer


def _ours(status: int, body: str | bytes, path: str) -> RloopError:
    """The error of ours that corresponds to a Status object of the API server."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    reason = document.get("reason") or "Unknown"
    message = document.get("message") or text[:500]
    if status == 404:
        return NotFound(message or f"{path} does not exist")
    if status == 409:
        return Conflict(message)
    return KubeError(status, reason, message)


@asynccontextmanager
async def connected(kubeconfig: str = "", context: str = "", *, manager: str = "rloop") -> AsyncIterator[Kube]:
    """A client with the pod's ServiceAccount, or with a kubeconfig: the given one, KUBECONFIG or ~/.kube/config.

    `manager` is the name of the writer in managedFields: a process, or a user's command.

    Raises RloopError if neither exists or the kubeconfig cannot be used.
    """
    configuration = client.Configuration()
    namespace = ""
    try:
        if kubeconfig or context or os.environ.get("KUBECONFIG"):
            raise config.ConfigException
        config.load_incluster_config(client_configuration=configuration)
        namespace = OWN_NAMESPACE.read_text().strip()
    except config.ConfigException:
        namespace = await _from_kubeconfig(configuration, kubeconfig, context)
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)
    # Otherwise aiohttp reads the environment and ~/.netrc again for each request, in a thread.
    configuration.client_session_kwargs = {"trust_env": False}
    async with client.ApiClient(configuration) as api:
        yield Kube(api, configuration.host, namespace or "default", manager)


def proxy_for(server: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY and so on) sets for this API server, if any."""
    url = urlsplit(server)
    if not url.hostname or proxy_bypass(url.netloc):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


async def _from_kubeconfig(configuration: client.Configuration, kubeconfig: str, context: str) -> str:
    """Load server and credentials into the configuration. Returns the context's namespace."""
    given = kubeconfig or os.environ.get("KUBECONFIG", "") or "~/.kube/config"
    if not any(Path(one).expanduser().is_file() for one in given.split(os.pathsep) if one):
        told = f'there is no kubeconfig "{given}": give one with --kubeconfig, or set KUBECONFIG'
        raise RloopError(f"no cluster is configured: {told}")
    try:
        loader = await config.load_kube_config(
            config_file=given, context=context or None, client_configuration=configuration
        )
        return str(loader.current_context["context"].get("namespace", ""))
    except _UNUSABLE as error:
        told = " ".join(str(error).split())
        of = f'the context "{context}" of ' if context else ""
        remedy = "list the contexts with kubectl config get-contexts"
        raise RloopError(f'{of}the kubeconfig "{given}" cannot be used ({told}); {remedy}') from error


def owner_reference(owner: Object) -> Object:
    """The ownerReference of a child to its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def objects(namespace: str, plural: str, name: str = "") -> str:
    """Path of our own kinds."""
    return _path(f"/apis/rloop.dev/v1alpha1/namespaces/{namespace}/{plural}", name)


def everywhere(namespaces: Sequence[str], plural: str) -> list[str]:
    """Paths of one of our kinds in these namespaces; if the list is empty, one path for all namespaces."""
    return [objects(one, plural) for one in namespaces] or [f"/apis/rloop.dev/v1alpha1/{plural}"]


def core(namespace: str, plural: str, name: str = "") -> str:
    """Path of the core group's kinds."""
    return _path(f"/api/v1/namespaces/{namespace}/{plural}", name)


def group(group_version: str, namespace: str, plural: str, name: str = "") -> str:
    """Path of a named group's kinds."""
    return _path(f"/apis/{group_version}/namespaces/{namespace}/{plural}", name)


def _path(base: str, name: str) -> str:
    return f"{base}/{name}" if name else base
