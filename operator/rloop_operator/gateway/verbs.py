"""The table of the gateway's verbs: everything that an agent or a relay can ask, once.

Read by `gateway.app`, which makes routes of it, by `gateway.tools`, which makes tools, and by `gateway.openapi`. What a
verb does stands in `gateway.service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import Direction, Finding
from rloop.api.wire import (
    Context,
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
from rloop_operator.gateway.service import Gateway
from rloop_operator.ports import Caller

Handler = Callable[[Gateway, Caller, Any, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the gateway."""

    method: str
    path: str
    summary: str
    request: type[BaseModel] | None
    reply: Any
    """Type of the reply's body; None: 204."""
    handler: Handler
    of_a_relay: bool = False
    """A run's relay calls it, and no agent: it is no tool."""


VERBS = (
    Verb(
        "GET",
        "/v1/context",
        "All that a fresh session needs",
        None,
        Context,
        lambda g, c, _b, _n: g.context(c),
    ),
    Verb("GET", "/v1/task", "The sealed task's files", None, TaskFiles, lambda g, c, _b, _n: g.task(c)),
    Verb(
        "POST",
        "/v1/directions",
        "Propose a direction",
        DirectionRequest,
        Direction,
        lambda g, c, b, _n: g.propose_direction(c, b),
    ),
    Verb(
        "POST",
        "/v1/experiments",
        "Propose an experiment; idempotent by sequence",
        ExperimentRequest,
        ExperimentView,
        lambda g, c, b, _n: g.propose_experiment(c, b),
    ),
    Verb(
        "GET",
        "/v1/experiments",
        "All experiments",
        None,
        list[ExperimentView],
        lambda g, c, _b, _n: g.experiments(c),
    ),
    Verb(
        "GET",
        "/v1/experiments/{name}",
        "One experiment with its difference, curves and log; discards too",
        None,
        ExperimentDetail,
        lambda g, c, _b, n: g.experiment(c, n),
    ),
    Verb(
        "GET",
        "/v1/references",
        "Papers and documents to read",
        None,
        list[Reference],
        lambda g, c, _b, _n: g.references(c),
    ),
    Verb(
        "GET",
        "/v1/references/{name}",
        "What one of them says, by its path",
        None,
        ReferenceText,
        lambda g, c, _b, n: g.reference(c, n),
    ),
    Verb(
        "POST",
        "/v1/findings",
        "Record a finding with its evidence",
        FindingRequest,
        Finding,
        lambda g, c, b, _n: g.propose_finding(c, b),
    ),
    Verb(
        "POST",
        "/v1/findings/{name}/verdict",
        "Say whether its evidence supports a finding (a checker's)",
        FindingVerdict,
        Finding,
        lambda g, c, b, n: g.judge_finding(c, n, b),
    ),
    Verb(
        "POST",
        "/v1/heartbeat",
        "Alive, and in which round",
        HeartbeatRequest,
        HeartbeatReply,
        lambda g, c, b, _n: g.heartbeat(c, b.round),
    ),
    Verb(
        "POST",
        "/v1/progress",
        "A run's step and claims, from its relay",
        ProgressRequest,
        None,
        lambda g, c, b, _n: g.progress(c, b),
        of_a_relay=True,
    ),
    Verb("POST", "/v1/finish", "The session is done", FinishRequest, None, lambda g, c, b, _n: g.finish(c, b)),
)


def operation_id(verb: Verb) -> str:
    """The verb in one word; as a tool it has the same name."""
    words = verb.path.removeprefix("/v1").replace("{", "").replace("}", "")
    return verb.method.lower() + words.replace("/", "_")
