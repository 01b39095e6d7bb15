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
    """Prose for every agent; what a program must keep belongs into `editable`, `guardrails` or the scorer."""
    editable: Annotated[list[Glob], Field(min_length=1, max_length=64)]
    """Globs in the task's folder, `**` crosses folders. Every other file is sealed by its hash."""
    max_files: Annotated[int, Field(ge=1, le=100)] = 5
    """Files one experiment may change against its parent."""
    max_lines_per_file: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Changed lines (added plus removed) in one file against its parent."""

    @field_validator("editable")
    @classmethod
    def _inside_the_task(cls, editable: list[str]) -> list[str]:
        for glob in editable:
            if glob.startswith("/") or ".." in glob.split("/"):
                message = f'"{glob}" points outside the task; give a glob inside its folder, without ..'
                raise ValueError(message)
        return editable


class Objective(Model):
    """What success is. Frozen once the loop is accepted."""

    model_config = cel(
        (
            "double(self.minimumGain) >= 0.0",
            'must not be negative; it is a distance, for example "0.002"',
            ".minimumGain",
        ),
        (
            "(self.mode == 'Measure') == has(self.design)",
            "design goes with mode: Measure, and mode: Measure needs a design",
        ),
    )

    metric: MetricName
    """A metric of the verifier's verdict, `{"metrics": {"error": 0.12}}`; numbers that a run prints decide nothing."""
    goal: Literal["Minimize", "Maximize"]
    """Which way is better."""
    mode: Literal["Optimize", "Measure"] = "Optimize"
    """Optimize looks for better values; Measure only measures the cells of `design`."""
    design: MeasureDesign | None = None
    """With mode Measure: what is measured."""
    target: Decimal | None = None
    """Success: fresh runs of the incumbent reach it. Without one the campaign runs until its budget ends."""
    minimum_gain: Decimal = "0"
    """A smaller gain is not kept, however certain it is."""
    guardrails: Annotated[list[Guardrail], Field(max_length=16)] = []
    """Bounds on other metrics; an experiment that breaks one is not kept."""

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
            message = "design goes with mode: Measure, and mode: Measure needs a design"
            raise ValueError(message)
        return self


EARLY_ATTENTION = "must be at least pivotAfter (a person is asked for after a pivot was tried); write a larger number"


class Stall(Model):
    """When a plateau forces a change of frame, and when a person is told. Counted in stale iterations."""

    model_config = cel(("self.attentionAfter >= self.pivotAfter", EARLY_ATTENTION, ".attentionAfter"))

    pivot_after: Annotated[int, Field(ge=1, le=100)] = 2
    """So many stale iterations (sessions without a verified gain or finding) demand a new frame."""
    attention_after: Annotated[int, Field(ge=1, le=1000, validate_default=True)] = 4
    """So many stale iterations since the newest keep set the condition NeedsAttention: a person should look."""
    on_attention: Literal["Continue", "Suspend"] = "Continue"
    """What happens then: go on, or suspend."""

    @field_validator("attention_after")
    @classmethod
    def _not_before_a_pivot(cls, attention_after: int, info: ValidationInfo) -> int:
        if attention_after < info.data.get("pivot_after", 1):
            raise ValueError(EARLY_ATTENTION)
        return attention_after


class Watchdog(Model):
    """When silence is taken for death, and how often the dead are brought back."""

    heartbeat_seconds: Seconds = 30
    """How often a session's process says that it is alive."""
    missed_heartbeats: Annotated[int, Field(ge=1, le=100)] = 3
    """So many in a row are taken for its death; it is replaced."""
    progress_seconds: Seconds = 7200
    """A session that beats but makes no round for so long is nudged."""
    max_nudges: Annotated[int, Field(ge=0, le=100)] = 3
    """So many nudges without a new round, and the session is replaced."""
    restart_limit: Annotated[int, Field(ge=0, le=100)] = 5
    """How often one session is replaced before it is given up."""


class Budget(Model):
    """Limits of the whole campaign. What is absent is unlimited."""

    active_seconds: Count | None = None
    """Wall time while the campaign is neither suspended nor without an operator."""
    experiments: Count | None = None
    """Proposals of agents; the baseline is none."""
    runs: Count | None = None
    """Runs of all kinds: of the baseline, of candidates, and the incumbent's for comparison. A keep takes about ten."""
    gpu_seconds: Count | None = None
    """GPUs times seconds, of all runs."""
    cpu_seconds: Count | None = None
    """CPU time of all runs. Each sets `experiment.cpuSeconds` aside before it starts, or one core for its deadline."""
    tokens: Count | None = None
    """Of a language model, by all sessions."""
    cost: Amount | None = None
    """In the currency of the provider's prices."""


class ResearchLoopSpec(Model):
    """A direction, boundaries, what success is, and how it is measured."""

    model_config = cel(
        (
            "self.direction.trim() != ''",
            "is empty: say in a sentence what is to be found out",
            ".direction",
        )
    )

    direction: Text
    """The director's words: what is to be found out. May be edited while it runs: the next session gets it."""
    boundaries: Boundaries
    task: TaskSource
    objective: Objective
    evaluation: Evaluation
    experiment: ExperimentTemplate
    agent: Agent
    parallelism: Annotated[int, Field(ge=1, le=1000)] = 1
    """Runs at once."""
    stall: Stall = Stall()
    watchdog: Watchdog = Watchdog()
    budget: Budget = Budget()
    workspace: Workspace = Workspace()
    suspend: bool = False
    """No new sessions or experiments; what runs finishes or stops by `suspendPolicy`."""
    suspend_policy: Literal["Finish", "Stop"] = "Finish"
    """What a suspension does to what runs: let it finish, or stop it (it is run again after it, and no attempt is
    counted).
    """
    ttl_seconds_after_finished: Count | None = None
    """Delete the loop, with all that belongs to it, so long after its end. Absent: it stays."""
    history_limit: Annotated[int, Field(ge=10, le=100_000)] | None = None
    """How many finished experiments stay as objects; older ones stand in the ledger only. Absent: all."""

    @field_validator("direction")
    @classmethod
    def _says_something(cls, direction: str) -> str:
        if not direction.strip():
            message = "is empty: say in a sentence what is to be found out"
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
            words = f"is no DNS label of at most {LOOP_NAME_MAX} characters (a-z, 0-9, -)"
            message = f'name "{metadata.name}" {words}; choose a shorter one, without a point'
            raise ValueError(message)
        return metadata
