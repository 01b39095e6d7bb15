"""Client of the gateway over HTTP.

Created by `__main__`, once for the session and once for its heartbeat. The gateway is unavailable whenever the operator
is restarted or moved. If that ended a session, its whole iteration would be lost, so a request is retried for
`patience` seconds. Each retry is safe: experiments are idempotent by their sequence, and a session checks whether a
refused direction is its own.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Generator
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from rloop.api.common import Model
from rloop.api.iteration import Direction, Finding
from rloop.api.session_context import Context
from rloop.api.wire import (
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Problem,
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)
from rloop_agent.gateway import AgentError, Unauthorized, Unreachable, refusal
from rloop_agent.log import Log, silent

T = TypeVar("T")
PATIENCE_SECONDS = 300.0
"""Seconds of retries. An operator is back within a minute or two; a cluster that moves nodes needs longer."""
FIRST_DELAY, LONGEST_DELAY = 0.25, 15.0
TIMEOUT_SECONDS = 30.0


class _Bearer(httpx.Auth):
    """Reads the token for each request: in a cluster it is in a file that the kubelet rotates."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    @override
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


class Client:
    """Implements `rloop_agent.gateway.Gateway`. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        patience: float = PATIENCE_SECONDS,
        wait: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
        log: Log = silent,
    ) -> None:
        """`wait` has the signature of Event.wait: it returns True if the process was asked to end.

        With a `patience` of 0 no request is repeated.
        """
        # A plain address needs no certificates; loading them takes longer than the rest of the start.
        verify = True if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(
            base_url=url,
            auth=_Bearer(token),
            timeout=TIMEOUT_SECONDS,
            trust_env=False,  # a proxy from the environment must never see the token
            verify=verify,
        )
        self._patience = patience
        self._wait = wait or threading.Event().wait
        self._clock = clock
        self._log = log
        self._jitter = Random()

    def context(self) -> Context:
        return self._ask(Context.model_validate_json, "GET", "/v1/context")

    def task(self) -> TaskFiles:
        return self._ask(TaskFiles.model_validate_json, "GET", "/v1/task")

    def post_direction(self, request: DirectionRequest) -> Direction:
        return self._ask(Direction.model_validate_json, "POST", "/v1/directions", request)

    def post_experiment(self, request: ExperimentRequest) -> ExperimentView:
        return self._ask(ExperimentView.model_validate_json, "POST", "/v1/experiments", request)

    def experiments(self) -> list[ExperimentView]:
        return self._ask(TypeAdapter(list[ExperimentView]).validate_json, "GET", "/v1/experiments")

    def experiment(self, name: str) -> ExperimentDetail:
        path = f"/v1/experiments/{quote(name, safe='')}"
        return self._ask(ExperimentDetail.model_validate_json, "GET", path)

    def references(self) -> list[Reference]:
        return self._ask(TypeAdapter(list[Reference]).validate_json, "GET", "/v1/references")

    def reference(self, path: str) -> ReferenceText:
        return self._ask(ReferenceText.model_validate_json, "GET", f"/v1/references/{quote(path)}")

    def post_finding(self, request: FindingRequest) -> Finding:
        return self._ask(Finding.model_validate_json, "POST", "/v1/findings", request)

    def judge_finding(self, name: str, verdict: FindingVerdict) -> Finding:
        return self._ask(Finding.model_validate_json, "POST", f"/v1/findings/{quote(name, safe='')}/verdict", verdict)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        return self._ask(HeartbeatReply.model_validate_json, "POST", "/v1/heartbeat", request)

    def report_usage(self, request: UsageReport) -> UsageReply:
        return self._ask(UsageReply.model_validate_json, "POST", "/v1/usage", request)

    def finish(self, request: FinishRequest) -> None:
        self._ask(lambda _: None, "POST", "/v1/finish", request)

    def close(self) -> None:
        self._http.close()

    def _ask(self, read: Callable[[bytes], T], verb: str, path: str, body: Model | None = None) -> T:
        response = self._answer(verb, path, body)
        if response.is_success:
            try:
                return read(response.content)
            except ValidationError as error:
                raise Unreachable(
                    f"{verb} {path}: unexpected response of the gateway; "
                    f"agent and gateway may have different versions: {error}"
                ) from error
        raise _problem(response)

    def _answer(self, verb: str, path: str, body: Model | None) -> httpx.Response:
        """A response of the gateway, after as many retries as necessary. Raises Unreachable."""
        content = body.model_dump_json(by_alias=True, exclude_none=True) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        deadline = self._clock() + self._patience
        delay = FIRST_DELAY
        while True:
            trouble, response = self._try(verb, path, content=content, headers=headers)
            if response is not None:
                return response
            # Full jitter: a hundred sessions that lost the same gateway must not retry in step.
            pause = self._jitter.uniform(0, delay)
            if self._clock() + pause >= deadline:
                tried = f"no answer within {self._patience:g} s; last attempt: " if self._patience else ""
                raise Unreachable(f"{verb} {path}: {tried}{trouble}")
            self._log("warning", "gateway away", request=f"{verb} {path}", error=trouble, pause=round(pause, 3))
            if self._wait(pause):
                raise Unreachable(f"{verb} {path}: interrupted while waiting for the gateway: {trouble}")
            delay = min(delay * 2, LONGEST_DELAY)

    def _try(self, verb: str, path: str, **request: Any) -> tuple[str, httpx.Response | None]:
        try:
            response = self._http.request(verb, path, **request)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}", None
        # 5xx: it is starting, stopping, or could not write; 429 and Busy: too many concurrent requests.
        busy = response.status_code == 409 and _read_problem(response).reason == "Busy"
        if response.status_code >= 500 or response.status_code == 429 or busy:
            return f"HTTP {response.status_code}: {response.text[:200]}", None
        return "", response


def _read_problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return Problem(reason=f"Http{response.status_code}", message=response.text[:200])


def _problem(response: httpx.Response) -> AgentError:
    problem = _read_problem(response)
    if response.status_code == 401:
        return Unauthorized(f"The gateway rejects this session's token: {problem.message or problem.reason}")
    return refusal(problem.reason, problem.message)
