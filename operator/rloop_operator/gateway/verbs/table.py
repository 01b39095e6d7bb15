"""The table of the gateway's verbs: everything that an agent or a relay can ask, once.

Read by `gateway.protocols.app`, which makes routes of it, by `gateway.protocols.mcp_server`, which makes tools, and by
`gateway.protocols.openapi`. The implementation of a verb is in `gateway.verbs.service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import Direction, Finding, Role
from rloop.api.session_context import Context
from rloop.api.wire import (
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishReply,
    FinishRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller

EXPLORERS: frozenset[Role] = frozenset({"Investigate", "Refute", "Analogy"})
CHECKER: frozenset[Role] = frozenset({"Check"})
WRITER: frozenset[Role] = frozenset({"Report"})
EVERY_ROLE = EXPLORERS | CHECKER | WRITER
NOBODY: frozenset[Role] = frozenset()
Handler = Callable[[Gateway, Caller, Any, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the gateway."""

    method: str
    path: str
    tool: str
    """Name of its MCP tool, and its operationId in the OpenAPI document."""
    title: str
    """Of its tool, in two or three words."""
    summary: str
    request: type[BaseModel] | None
    reply: Any
    """Type of the reply's body; None: 204."""
    handler: Handler
    roles: frozenset[Role] = EVERY_ROLE
    """Roles of the sessions that are offered it as a tool."""
    of_a_relay: bool = False
    """A run's relay calls it, and no agent: it is no tool."""


VERBS = (
    Verb(
        "GET",
        "/v1/context",
        "read_context",
        "Campaign context",
        "Everything a new session needs: the direction, the limits, the incumbent, and the results so far",
        None,
        Context,
        lambda g, c, _b, _n: g.context(c),
    ),
    Verb(
        "GET",
        "/v1/task",
        "read_task",
        "Task files",
        "The sealed task's files, and which of them may be changed",
        None,
        TaskFiles,
        lambda g, c, _b, _n: g.task(c),
        EXPLORERS,
    ),
    Verb(
        "POST",
        "/v1/directions",
        "propose_direction",
        "Propose a direction",
        "Propose a direction for the next experiments; when a pivot is required, it must change the frame",
        DirectionRequest,
        Direction,
        lambda g, c, b, _n: g.propose_direction(c, b),
        EXPLORERS,
    ),
    Verb(
        "POST",
        "/v1/experiments",
        "submit_experiment",
        "Propose an experiment",
        "Propose an experiment: whole files, laid over the parent's; idempotent by sequence",
        ExperimentRequest,
        ExperimentView,
        lambda g, c, b, _n: g.propose_experiment(c, b),
        EXPLORERS,
    ),
    Verb(
        "GET",
        "/v1/experiments",
        "read_results",
        "All experiments",
        "All experiments that this session may see, oldest first, with verified values",
        None,
        list[ExperimentView],
        lambda g, c, _b, _n: g.experiments(c),
    ),
    Verb(
        "GET",
        "/v1/experiments/{name}",
        "read_experiment",
        "One experiment",
        "One experiment with its difference, curves and log; also a discarded one",
        None,
        ExperimentDetail,
        lambda g, c, _b, n: g.experiment(c, n),
    ),
    Verb(
        "GET",
        "/v1/references",
        "read_references",
        "List references",
        "Papers and documents to read",
        None,
        list[Reference],
        lambda g, c, _b, _n: g.references(c),
        EXPLORERS | WRITER,
    ),
    Verb(
        "GET",
        "/v1/references/{name}",
        "read_reference",
        "Read a reference",
        "The text of one paper or document, by its path",
        None,
        ReferenceText,
        lambda g, c, _b, n: g.reference(c, n),
        EXPLORERS | WRITER,
    ),
    Verb(
        "POST",
        "/v1/findings",
        "record_finding",
        "Record a finding",
        "Record a finding: a statement, and the measured experiments that show it",
        FindingRequest,
        Finding,
        lambda g, c, b, _n: g.propose_finding(c, b),
        EXPLORERS | WRITER,
    ),
    Verb(
        "POST",
        "/v1/findings/{name}/verdict",
        "judge_finding",
        "Judge a finding",
        "State whether its evidence supports a finding (checkers only)",
        FindingVerdict,
        Finding,
        lambda g, c, b, n: g.judge_finding(c, n, b),
        CHECKER,
    ),
    Verb(
        "POST",
        "/v1/heartbeat",
        "heartbeat",
        "Heartbeat",
        "Heartbeat with the number of the current round",
        HeartbeatRequest,
        HeartbeatReply,
        lambda g, c, b, _n: g.heartbeat(c, b.round),
        NOBODY,  # the process beats, not the model
    ),
    Verb(
        "POST",
        "/v1/usage",
        "report_usage",
        "Tokens of the session",
        "Tokens that the session's model has used so far, for agents whose calls the LLM proxy does not serve",
        UsageReport,
        UsageReply,
        lambda g, c, b, _n: g.report_usage(c, b),
        NOBODY,  # the process that runs the client reports, not the model
    ),
    Verb(
        "POST",
        "/v1/progress",
        "report_progress",
        "Progress of a run",
        "Step and claims of a run, from its sidecar",
        ProgressRequest,
        None,
        lambda g, c, b, _n: g.progress(c, b),
        NOBODY,
        of_a_relay=True,
    ),
    Verb(
        "POST",
        "/v1/finish",
        "finish",
        "Finish the session",
        "End the session. Only the first call counts; a later call with another handoff only gets a note",
        FinishRequest,
        FinishReply,
        lambda g, c, b, _n: g.finish(c, b),
    ),
)
