"""The kind ResearchLoop: what a user writes to start a campaign.

Read by the operator, the gateway and the CLI. The spec is written by the user only, the status
(`rloop.api.loop_status`) by the operator only.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rloop.api.agent import Agent
from rloop.api.common import (
    API_VERSION,
    LOOP_NAME_MAX,
    Amount,
    Count,
    Decimal,
    Glob,
    Line,
    MetricName,
    Model,
    ObjectMeta,
    Seconds,
    Text,
    cel,
)
from rloop.api.evaluation import Evaluation, Guardrail, MeasureDesign
from rloop.api.loop_status import ResearchLoopStatus
from rloop.api.workload import (
    ExperimentTemplate,
    TaskSource,
    Workspace,
)


class Boundaries(Model):
    """What an agent may change."""

    model_config = cel(
        (
            r"self.editable.all(glob, !glob.matches('^/|(^|/)[.][.](/|$)'))",
            "a glob points outside the task; give globs inside its folder, without ..",
            ".editable",
        )
    )

    rules: Annotated[list[Line], Field(max_length=64)] = []
    """Instructions shown to every agent. They are not enforced; enforce with `editable`, `guardrails` or the scorer."""
    editable: Annotated[list[Glob], Field(min_length=1, max_length=64)]
    """Globs of the task's files that agents may change; `**` crosses folders. All other files are sealed by hash."""
    max_files: Annotated[int, Field(ge=1, le=100)] = 5
    """Maximum number of files that one experiment may change relative to its parent."""
    max_lines_per_file: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Maximum number of changed lines (added plus removed) per file relative to the parent."""

    @field_validator("editable")
    @classmethod
    def _inside_the_task(cls, editable: list[str]) -> list[str]:
        for glob in editable:
            if glob.startswith("/") or ".." in glob.split("/"):
                message = f'"{glob}" points outside the task; give a glob inside its folder, without ..'
                raise ValueError(message)
        return editable


class Objective(Model):
    """The success criterion. Frozen once the loop is accepted."""

    model_config = cel(
        (
            "double(self.minimumGain) >= 0.0",
            'must not be negative; it is a distance, for example "0.002"',
            ".minimumGain",
        ),
        (
            "(self.mode == 'Measure') == has(self.design)",
            "design needs mode: Measure, and mode: Measure needs design",
        ),
    )

    metric: MetricName
    """Metric of the scorer's verdict, `{"metrics": {"error": 0.12}}`. Numbers that a run prints are ignored."""
    goal: Literal["Minimize", "Maximize"]
    """Whether smaller or larger values are better."""
    mode: Literal["Optimize", "Measure"] = "Optimize"
    """Optimize searches for better values; Measure only measures the cells of `design` (not supported yet)."""
    design: MeasureDesign | None = None
    """The cells to measure, with mode Measure. Not supported yet."""
    target: Decimal | None = None
    """Value that fresh runs of the incumbent must reach. Unset: the campaign runs until its budget is used up, or
    every point of a finite space was tried.
    """
    minimum_gain: Decimal = "0"
    """Smallest gain that is kept, in the metric's unit (default 0). Significant smaller gains are not kept."""
    guardrails: Annotated[list[Guardrail], Field(max_length=16)] = []
    """Bounds on other metrics. An experiment that violates one is not kept."""

    @field_validator("minimum_gain")
    @classmethod
    def _a_distance(cls, minimum_gain: str) -> str:
        if float(minimum_gain) < 0:
            message = 'must not be negative; it is a distance, for example "0.002"'
            raise ValueError(message)
        return minimum_gain

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "Measure") != (self.design is not None):
            message = "design needs mode: Measure, and mode: Measure needs design"
            raise ValueError(message)
        return self


EARLY_ATTENTION = (
    "must be at least pivotAfter (attention is requested only after a pivot was tried); write a larger number"
)


class Stall(Model):
    """When a plateau forces a pivot and when it raises NeedsAttention, in stale iterations."""

    model_config = cel(("self.attentionAfter >= self.pivotAfter", EARLY_ATTENTION, ".attentionAfter"))

    pivot_after: Annotated[int, Field(ge=1, le=100)] = 2
    """Stale iterations (no verified gain or finding) since the last keep that force a pivot: a change of frame
    (default 2). After a pivot, one more forces the next.
    """
    attention_after: Annotated[int, Field(ge=1, le=1000, validate_default=True)] = 4
    """Stale iterations since the last keep that set the condition NeedsAttention (default 4)."""
    on_attention: Literal["Continue", "Suspend"] = "Continue"
    """Whether the campaign continues or is suspended (not supported yet) when NeedsAttention is set."""

    @field_validator("attention_after")
    @classmethod
    def _not_before_a_pivot(cls, attention_after: int, info: ValidationInfo) -> int:
        if attention_after < info.data.get("pivot_after", 1):
            raise ValueError(EARLY_ATTENTION)
        return attention_after


class Watchdog(Model):
    """When a silent agent session is considered dead, and how often it is restarted."""

    heartbeat_seconds: Seconds = 30
    """Seconds between two heartbeats of a session (default 30)."""
    missed_heartbeats: Annotated[int, Field(ge=1, le=100)] = 3
    """Missed heartbeats in a row after which a session is considered dead and is restarted (default 3)."""
    progress_seconds: Seconds = 7200
    """Seconds without a new round after which a session is nudged although it sends heartbeats (default 7200)."""
    max_nudges: Annotated[int, Field(ge=0, le=100)] = 3
    """Nudges without a new round after which the session is ended (default 3)."""
    restart_limit: Annotated[int, Field(ge=0, le=100)] = 5
    """Restarts of one session before it fails (default 5)."""


class Budget(Model):
    """Limits of the whole campaign. An unset limit is unlimited."""

    active_seconds: Count | None = None
    """Seconds of wall time, not counting suspensions and time without an operator."""
    experiments: Count | None = None
    """Number of proposals by agents, without the baseline."""
    runs: Count | None = None
    """Number of runs of all kinds: baseline, candidates, comparison runs of the incumbent. About ten per keep."""
    gpu_seconds: Count | None = None
    """GPU seconds (GPUs times seconds) of all runs."""
    cpu_seconds: Count | None = None
    """CPU seconds of all runs. A run reserves `experiment.cpuSeconds` at its start, or one core for its deadline."""
    tokens: Count | None = None
    """Language model tokens of all sessions: those that the LLM proxy counts, and those that a `client` with its own
    login reports.
    """
    cost: Amount | None = None
    """Cost of all model calls through the LLM proxy, in the currency of the provider's prices."""


class ResearchLoopSpec(Model):
    """Direction, boundaries, success criterion and measurement of a campaign."""

    model_config = cel(
        (
            "self.direction.trim() != ''",
            "is empty: state the research question in a sentence",
            ".direction",
        )
    )

    direction: Text
    """The research question in plain words. It may be edited at any time; the next session reads the new text."""
    boundaries: Boundaries
    task: TaskSource
    objective: Objective
    evaluation: Evaluation
    experiment: ExperimentTemplate
    agent: Agent
    parallelism: Annotated[int, Field(ge=1, le=1000)] = 1
    """Maximum number of runs at the same time (default 1)."""
    stall: Stall = Stall()
    watchdog: Watchdog = Watchdog()
    budget: Budget = Budget()
    workspace: Workspace = Workspace()
    suspend: bool = False
    """Start no new sessions or runs. `suspendPolicy` says what happens to those in progress."""
    suspend_policy: Literal["Finish", "Stop"] = "Finish"
    """What a suspension does to work in progress: Finish lets it end; Stop ends it, and it is repeated after the
    suspension without counting as an attempt.
    """
    ttl_seconds_after_finished: Count | None = None
    """Seconds after its end at which the loop and all its objects are deleted. Unset: never. Not supported yet."""
    history_limit: Annotated[int, Field(ge=10, le=100_000)] | None = None
    """Number of finished experiments that remain as objects (unset: all); the ledger has all. Not supported yet."""

    @field_validator("direction")
    @classmethod
    def _says_something(cls, direction: str) -> str:
        if not direction.strip():
            message = "is empty: state the research question in a sentence"
            raise ValueError(message)
        return direction


FROZEN_FIELDS = (
    ("objective",),
    ("task",),
    ("evaluation",),
    ("experiment", "job"),
    ("experiment", "pyTorchJob"),
    ("experiment", "trainJob"),
    ("experiment", "image"),
    ("experiment", "command"),
    ("experiment", "volumes"),
    ("agent", "references"),
)
"""What no edit may change once the loop is Accepted: a campaign cannot move its own goalposts."""


def _frozen(path: tuple[str, ...]) -> tuple[str, str, str]:
    *holder, name = ("spec", *path)
    field = ".".join([*holder, name])
    accepted = (
        "has(oldSelf.status) && has(oldSelf.status.conditions) && "
        "oldSelf.status.conditions.exists(c, c.type == 'Accepted' && c.status == 'True')"
    )
    given, before = f"has(self.{field})", f"has(oldSelf.{field})"
    same = f"{given} == {before} && (!{given} || self.{field} == oldSelf.{field})"
    message = f"{field} is frozen once the loop is accepted; start a new campaign under another name"
    return f"!({accepted}) || ({same})", message, f".{field}"


class ResearchLoop(Model):
    """A research campaign."""

    model_config = cel(
        (
            f"size(self.metadata.name) <= {LOOP_NAME_MAX} && !self.metadata.name.contains('.')",
            f"metadata.name must be a DNS label of at most {LOOP_NAME_MAX} characters (a-z, 0-9, -)",
        ),
        *map(_frozen, FROZEN_FIELDS),
    )

    api_version: Literal["rloop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ResearchLoop"] = "ResearchLoop"
    metadata: ObjectMeta
    spec: ResearchLoopSpec
    status: ResearchLoopStatus = ResearchLoopStatus()

    @field_validator("metadata")
    @classmethod
    def _short_name(cls, metadata: ObjectMeta) -> ObjectMeta:
        if len(metadata.name) > LOOP_NAME_MAX or "." in metadata.name:
            words = f"is not a DNS label of at most {LOOP_NAME_MAX} characters (a-z, 0-9, -)"
            message = f'name "{metadata.name}" {words}; choose a shorter name without dots'
            raise ValueError(message)
        return metadata
