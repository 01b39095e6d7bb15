"""The interface of the gateway for a session: the verbs, and the four errors that they raise.

Implemented over HTTP by `rloop_agent.client`, in memory by `rloop_agent.testing` and by simulations. A session depends
only on this interface, so that a simulation runs a thousand of them in a second, without a network.
"""

from __future__ import annotations

from typing import Protocol

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
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)


class AgentError(Exception):
    """Base of all errors that a gateway may raise. The message is a sentence for a person."""


class Refused(AgentError):
    """The gateway refused this one request; others may be accepted."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class Closed(AgentError):
    """The session is over: the operator ended it normally."""


class Unauthorized(AgentError):
    """The token is not valid, or no longer."""


class Unreachable(AgentError):
    """No response within the caller's retry time."""


def refusal(reason: str, message: str) -> AgentError:
    """The error for a problem's reason: Closed ends the session, others only refuse the request."""
    return Closed(message) if reason == "Closed" else Refused(reason, message)


class Gateway(Protocol):
    """The verbs. They raise only AgentError; `post_experiment` is idempotent by its sequence."""

    def context(self) -> Context: ...

    def task(self) -> TaskFiles: ...

    def post_direction(self, request: DirectionRequest) -> Direction: ...

    def post_experiment(self, request: ExperimentRequest) -> ExperimentView: ...

    def experiments(self) -> list[ExperimentView]: ...

    def experiment(self, name: str) -> ExperimentDetail: ...

    def references(self) -> list[Reference]: ...

    def reference(self, path: str) -> ReferenceText: ...

    def post_finding(self, request: FindingRequest) -> Finding: ...

    def judge_finding(self, name: str, verdict: FindingVerdict) -> Finding: ...

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply: ...

    def report_usage(self, request: UsageReport) -> UsageReply: ...

    def finish(self, request: FinishRequest) -> None: ...
