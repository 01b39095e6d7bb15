"""The kind ResearchIteration: a session (or several in parallel) and all experiments it proposed.

The operator writes the spec (the sessions' allowances) and the status, except `status.reported`, which the
gateway and the LLM proxy write on the sessions' behalf. Small, and never pruned while the loop exists: it holds
the tried directions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import (
    API_VERSION,
    IMMUTABLE,
    Amount,
    Count,
    DnsLabel,
    FrameValues,
    Line,
    Model,
    ObjectMeta,
    Seconds,
    StructuralField,
    Text,
    Time,
    Word,
    cel,
)

SessionPhase = Literal["Pending", "Running", "Finished", "Failed"]
Checked = Literal["Supported", "Refuted"]
SESSION_OVER: frozenset[SessionPhase] = frozenset({"Finished", "Failed"})
Role = Literal["Investigate", "Refute", "Analogy", "Check", "Report"]
Outcome = Literal["Keep", "Finding", "Stale", "Neutral", "Void"]
MAX_SESSIONS = 4
"""Of one iteration: three explorers, and a checker of earlier findings beside them."""


class SessionSpec(Model):
    """A session: a fresh agent process with its limits."""

    name: DnsLabel
    """Name of the session."""
    role: Role = "Investigate"
    """Role. Check examines the evidence of earlier findings; Report writes the final report; the others propose
    experiments.
    """
    max_rounds: Count
    """Maximum number of rounds."""
    session_seconds: Seconds
    """Maximum duration in seconds."""
    max_experiments: Count
    """Maximum number of experiments that it may propose."""
    max_tokens: Count = 0
    """Maximum number of language model tokens; 0 for agents without a model."""


class ResearchIterationSpec(Model):
    """Written once, when the iteration opens. Immutable."""

    model_config = cel(IMMUTABLE)

    loop_name: DnsLabel
    """Name of the ResearchLoop."""
    number: Count
    """Number of the iteration, from 1."""
    generation: Count
    """Number of keeps plus pivots when it opened. An iteration without a gain or a finding is Stale if this number is
    still current when it settles, otherwise Neutral.
    """
    pivots: Count
    """Number of pivots when it opened."""
    pivot_demanded: bool = False
    """True if its first direction must change the frame."""
    sessions: Annotated[list[SessionSpec], Field(min_length=1, max_length=MAX_SESSIONS)]
    """Sessions and their limits."""


class SessionStatus(Model):
    """State of one session."""

    name: DnsLabel
    """Name of the session."""
    phase: SessionPhase = "Pending"
    """Pending, Running, Finished or Failed."""
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of the current process: 2 after the first restart."""
    started_at: Time | None = None
    """Time when its first process started."""
    died_at: Time | None = None
    """Time when the latest process died. The next one starts after a backoff."""
    finished_at: Time | None = None
    """Time when the session ended."""
    reason: Word | None = None
    """Reason of its end, in CamelCase."""
    message: Line = ""
    """Cause of the failure and remedy."""
    done_at: Time | None = None
    """Time when the operator saw its call of finish. The process must end within 30 seconds after it."""
    infrastructure: bool = False
    """True if the infrastructure ended it."""
    nudges: Count = 0
    """Number of nudges for lack of progress."""
    waiting: bool = False
    """True while it waits for its language model provider."""
    answered_at: Time | None = None
    """Time when the provider last answered again after an outage. Progress is expected only after it."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""
    """End of the output of its process."""


class Direction(Model):
    """An admitted direction."""

    name: DnsLabel
    """Name of the direction."""
    title: Line
    """Title in one line."""
    fields: Annotated[dict[StructuralField, Line], Field(max_length=5)]
    """Hypothesis, method, data, representation and objective. Unset: unchanged."""
    frame: FrameValues = {}
    """Value of each structural dimension, for tasks with a space.yaml."""
    pivot: Count
    """Number of pivots at admission. A pivot is done once a direction has its number."""
    session: DnsLabel
    """Session that proposed it."""
    at: Time
    """Time of admission."""


class Finding(Model):
    """A statement with experiments as evidence."""

    name: DnsLabel
    """Name of the finding."""
    statement: Text
    """The statement."""
    evidence: Annotated[list[DnsLabel], Field(min_length=1, max_length=32)]
    """Names of the experiments that support it."""
    session: DnsLabel
    """Session that stated it."""
    at: Time
    """Time of the statement."""
    checked: Checked | None = None
    """Result of the check by a session that saw only claim and measurements. Unset: not checked and not counted."""
    reason: Line = ""
    """Reason, written by the checker."""
    checked_by: DnsLabel | None = None
    """Session that checked it."""


class Handoff(Model):
    """Message of a session to the next one."""

    session: DnsLabel
    """Session that wrote it."""
    text: Annotated[str, Field(max_length=2048)]
    """Text of the message."""
    drafts: Count = 0
    """Number of draft files that go with it. They are stored under the session's name."""


class RefusedCall(Model):
    """Minimum that a refused model call would have used."""

    tokens: Count
    """Number of tokens."""
    cost: Amount
    """Cost, in the currency of the provider's prices."""


class CallFailure(Model):
    """Why a model call had no usable response. The LLM proxy does not retry such a call."""

    reason: Word
    """AllowanceSpent, BudgetSpent, ContextTooLong, RequestRefused, StreamBroken or AnswerEmpty."""
    message: Line = ""
    """Response of the provider or the LLM proxy."""


class SessionUsage(Model):
    """Model usage of one session. Used plus held amounts are an upper bound at any time."""

    session: DnsLabel
    """Name of the session."""
    calls: Count = 0
    """Number of model calls that were answered."""
    input_tokens: Count = 0
    """Number of input tokens, including cached ones."""
    cached_tokens: Count = 0
    """Cached tokens, included in `inputTokens`."""
    output_tokens: Count = 0
    """Number of output tokens."""
    cost: Amount = "0"
    """Cost of the calls with a known price."""
    held_tokens: Count = 0
    """Tokens reserved by the LLM proxy for calls in progress, and for calls that a proxy restart interrupted."""
    held_cost: Amount = "0"
    """Cost reserved in the same way."""
    waiting: Word | None = None
    """Why its calls get no response: ProviderDown, ProviderRefused, ProviderUnknown, ModelUnknown, PriceUnknown,
    HourCap, CapTooSmall. Unset while they are answered.
    """
    waiting_message: Line = ""
    """Details of `waiting`, for people."""
    failure: CallFailure | None = None
    """Failure of its latest call. Unset after a successful one. Calls after finish do not change it."""
    signs: Count = 0
    """Counter that grows with each call and while calls are in progress: a sign of life besides heartbeats."""
    refused_call: RefusedCall | None = None
    """Its first call, if it was refused because the rest of the session's tokens or of the budget was too small. If
    `calls` is not 0, a later call was answered.
    """


class Reported(Model):
    """Reports of the sessions, written by the gateway and the LLM proxy."""

    directions: Annotated[list[Direction], Field(max_length=32)] = []
    """Admitted directions, oldest first."""
    findings: Annotated[list[Finding], Field(max_length=64)] = []
    """Findings, oldest first."""
    proposed: Annotated[list[DnsLabel], Field(max_length=MAX_SESSIONS)] = []
    """Sessions that proposed a direction, experiment or finding, or judged a finding, even if it was refused."""
    finished: Annotated[list[DnsLabel], Field(max_length=MAX_SESSIONS)] = []
    """Sessions that have called finish."""
    handoffs: Annotated[list[Handoff], Field(max_length=MAX_SESSIONS)] = []
    """Messages of the sessions to the next session."""
    usage: Annotated[list[SessionUsage], Field(max_length=MAX_SESSIONS)] = []
    """Model usage by session, written by the LLM proxy."""


class ResearchIterationStatus(Model):
    """Observed state of the iteration."""

    phase: Literal["Open", "Settled"] = "Open"
    """Open until all its sessions have ended, its experiments are decided and its findings are checked."""
    sessions: Annotated[list[SessionStatus], Field(max_length=MAX_SESSIONS)] = []
    """State of each session."""
    reported: Reported = Reported()
    outcome: Outcome | None = None
    """Keep or Finding: it produced a verified one. Stale: counts towards a plateau. Neutral, Void: does not count."""
    keeps_at_settlement: Count = 0
    """Number of keeps of the loop when it settled, to count stale iterations since the last keep."""
    settled_at: Time | None = None
    """Time when its last experiment was done."""


class ResearchIteration(Model):
    """An iteration of a campaign."""

    api_version: Literal["rloop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ResearchIteration"] = "ResearchIteration"
    metadata: ObjectMeta
    spec: ResearchIterationSpec
    status: ResearchIterationStatus = ResearchIterationStatus()
