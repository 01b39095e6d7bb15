"""The kind ResearchIteration: a session (or several in parallel) and all experiments it proposed.

The operator writes the spec (the sessions' allowances) and the status, except `status.reported`, which the
gateway and the LLM proxy write on the sessions' behalf. Small, and never pruned while the loop lives: the tried
directions stand here.
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
SESSION_OVER: frozenset[SessionPhase] = frozenset({"Finished", "Failed"})
Role = Literal["Investigate", "Refute", "Analogy", "Check", "Report"]
Outcome = Literal["Keep", "Finding", "Stale", "Neutral", "Void"]
MAX_SESSIONS = 4
"""Of one iteration: three explorers, and a checker of earlier findings beside them."""


class SessionSpec(Model):
    """One fresh agent process and its allowances."""

    name: DnsLabel
    role: Role = "Investigate"
    """Check: a fresh look at the evidence of earlier findings. Report: says at the end what was found. The others
    explore.
    """
    max_rounds: Count
    session_seconds: Seconds
    max_experiments: Count
    max_tokens: Count = 0
    """Of a language model; 0 for an agent that uses none."""


class ResearchIterationSpec(Model):
    """Written once, when the iteration opens."""

    model_config = cel(IMMUTABLE)

    loop_name: DnsLabel
    """The campaign."""
    number: Count
    """1 for the first."""
    generation: Count
    """Keeps plus pivots when it opened; a settled iteration of an older generation is neutral."""
    pivots: Count
    """Pivots when it opened."""
    pivot_demanded: bool = False
    """Its first direction had to change the frame."""
    sessions: Annotated[list[SessionSpec], Field(min_length=1, max_length=MAX_SESSIONS)]
    """The agents' processes, with their allowances."""


class SessionStatus(Model):
    """The life of one session."""

    name: DnsLabel
    phase: SessionPhase = "Pending"
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    """2 after its first process died and was replaced."""
    started_at: Time | None = None
    died_at: Time | None = None
    """When its newest process did; the next one starts after a pause."""
    finished_at: Time | None = None
    reason: Word | None = None
    """Why it ended, in a word."""
    message: Line = ""
    """The cause of a failed session, and the remedy."""
    done_at: Time | None = None
    """When the operator saw that the session had called finish: its process must then end within 30 seconds."""
    infrastructure: bool = False
    """It ended through no fault of the agent."""
    nudges: Count = 0
    waiting: bool = False
    """It waits for its provider of a language model; kept here to see the end of it."""
    answered_at: Time | None = None
    """When its provider answered again after such a time: rounds are missed only since then."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""
    """The end of what its process printed."""


class Direction(Model):
    """A direction that passed the gate."""

    name: DnsLabel
    """Name of the direction."""
    title: Line
    """The direction in a line."""
    fields: Annotated[dict[StructuralField, Line], Field(max_length=5)]
    """What is believed, done, fed, represented and optimised; absent: as before."""
    frame: FrameValues = {}
    """With a space.yaml: one value per structural dimension."""
    pivot: Count
    """Pivots demanded when it was admitted: a demand is met by a direction that carries its number."""
    session: DnsLabel
    """Session that proposed it."""
    at: Time
    """When it was admitted."""


class Finding(Model):
    """A statement with experiments as evidence."""

    name: DnsLabel
    """Name of the finding."""
    statement: Text
    """What was found."""
    evidence: Annotated[list[DnsLabel], Field(min_length=1, max_length=32)]
    """Names of the experiments that show it."""
    session: DnsLabel
    """Session that stated it."""
    at: Time
    """When it was stated."""
    checked: Literal["Supported", "Refuted"] | None = None
    """By a session that saw only the claim and what was measured. Absent: nobody has, and it counts for nothing."""
    reason: Line = ""
    """Why, in the checker's words."""
    checked_by: DnsLabel | None = None
    """Session that checked it."""


class Handoff(Model):
    """What a session leaves to the next one."""

    session: DnsLabel
    text: Annotated[str, Field(max_length=2048)]
    drafts: Count = 0
    """Files that go with it; they are frozen under the session's name."""


class RefusedCall(Model):
    """What a call would have taken at the least."""

    tokens: Count
    cost: Amount


class CallFailure(Model):
    """Why a model call had no usable answer. Such a call is not repeated by the LLM proxy."""

    reason: Word
    """AllowanceSpent, BudgetSpent, ContextTooLong, RequestRefused, StreamBroken or AnswerEmpty."""
    message: Line = ""
    """What the provider or the LLM proxy answered."""


class SessionUsage(Model):
    """What one session spent of a language model, and what is set aside for it: together an upper bound at any time."""

    session: DnsLabel
    calls: Count = 0
    input_tokens: Count = 0
    cached_tokens: Count = 0
    """Part of `inputTokens`."""
    output_tokens: Count = 0
    cost: Amount = "0"
    """Of the calls that have a price."""
    held_tokens: Count = 0
    """Set aside by the LLM proxy and not spent yet; of a proxy that died it stays, because nobody knows."""
    held_cost: Amount = "0"
    waiting: Word | None = None
    """Why its calls get no answer, in a word: ProviderDown, ProviderRefused, ProviderUnknown, ModelUnknown,
    PriceUnknown, HourCap, CapTooSmall. Absent while they do.
    """
    waiting_message: Line = ""
    failure: CallFailure | None = None
    """Failure of its newest call; absent after an answered one. Calls after finish do not change it."""
    signs: Count = 0
    """Grows while the session's calls arrive or are in progress: a sign of life beside its heartbeat."""
    refused_call: RefusedCall | None = None
    """Its first call, refused for want of the session's tokens or of the campaign's budget. Whether that was too little
    left is for the decision to say; where `calls` is not 0 another call was answered.
    """


class Reported(Model):
    """What gateway and LLM proxy write on the sessions' behalf."""

    directions: Annotated[list[Direction], Field(max_length=32)] = []
    findings: Annotated[list[Finding], Field(max_length=64)] = []
    proposed: Annotated[list[DnsLabel], Field(max_length=MAX_SESSIONS)] = []
    """Sessions that proposed a direction, an experiment or a finding, or judged one; also if it was refused."""
    finished: Annotated[list[DnsLabel], Field(max_length=MAX_SESSIONS)] = []
    """Sessions that said they were done."""
    handoffs: Annotated[list[Handoff], Field(max_length=MAX_SESSIONS)] = []
    usage: Annotated[list[SessionUsage], Field(max_length=MAX_SESSIONS)] = []
    """Of a language model, by session; written by the LLM proxy."""


class ResearchIterationStatus(Model):
    """Where the iteration stands."""

    phase: Literal["Open", "Settled"] = "Open"
    """Open until its sessions ended, each of its experiments has a verdict, and its findings were looked at."""
    sessions: Annotated[list[SessionStatus], Field(max_length=MAX_SESSIONS)] = []
    reported: Reported = Reported()
    outcome: Outcome | None = None
    """Keep or Finding: it brought a verified one. Stale: it counts for a plateau. Neutral and Void: it does not."""
    keeps_at_settlement: Count = 0
    """Keeps of the loop when it settled: staleCount counts the Stale iterations since the newest keep."""
    settled_at: Time | None = None
    """When the last of its experiments was done."""


class ResearchIteration(Model):
    """An iteration of a campaign."""

    api_version: Literal["rloop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ResearchIteration"] = "ResearchIteration"
    metadata: ObjectMeta
    spec: ResearchIterationSpec
    status: ResearchIterationStatus = ResearchIterationStatus()
