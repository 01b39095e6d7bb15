"""What a session may ask of the gateway: the verbs, and the four ways in which an answer can fail to come.

Implemented over HTTP by `rloop_agent.client`, in memory by `rloop_agent.testing` and by simulations. A
session is written against this alone, so that a thousand of them run in a second where no network is the
point.
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
)


class AgentError(Exception):
    """Base of all that a gateway may raise; the message is a sentence for a person."""


class Refused(AgentError):
    """The gateway said no to this one request; others may pass."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class Closed(AgentError):
    """The session is over, in order: the operator ended it."""


class Unauthorized(AgentError):
    """The token is not (or no longer) ours to use."""


class Unreachable(AgentError):
    """No answer within the patience of the caller."""


def refusal(reason: str, message: str) -> AgentError:
    """The error to raise for a problem's reason: Closed ends the session, others only refuse the request."""
    return Closed(message) if reason == "Closed" else Refused(reason, message)


class Gateway(Protocol):
    """The verbs. Each raises AgentErrors only; `post_experiment` is idempotent by its sequence."""

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

    def finish(self, request: FinishRequest) -> None: ...
