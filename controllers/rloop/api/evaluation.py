"""The parts of a ResearchLoop's spec that say how an artifact is scored and what it takes to be kept.

Used by `rloop.api.researchloop`. Apart from `rloop.api.workload`, because these are the goalposts: all of it
freezes once a loop is Accepted.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from rloop.api.common import (
    Argument,
    Command,
    Decimal,
    Labels,
    MetricName,
    Model,
    ObjectName,
    Resources,
    Seconds,
    Word,
    cel,
)
from rloop.api.workload import CodeSource, HeldOut, Toleration, Volume


class CandidateServer(Model):
    """The candidate's own code served in a second container for the scorer to question."""

    command: Command
    """Starts the server in the candidate's files."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Absent: the experiment's."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Where it listens; the scorer reads it as RLOOP_PORT."""
    readiness_seconds: Seconds = 60
    """How long it may take to listen."""
    resources: Resources = Resources()
    """Of its container."""


class Evaluation(Model):
    """How a run's artifact is scored, and what it takes to be kept."""

    model_config = cel(
        (
            "double(self.falseKeepRate) > 0.0 && double(self.falseKeepRate) < 1.0",
            'must lie between 0 and 1, for example "0.01"',
            ".falseKeepRate",
        )
    )

    code: CodeSource
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Only where scoring needs more than the verifier's own image; built on it, for its program starts the scorer."""
    command: Command
    """Run in a fresh copy of `code`; writes $RLOOP_VERDICT."""
    held_out: HeldOut | None = None
    final_held_out: HeldOut | None = None
    """Touched once, at the conclusion."""
    repeats: Annotated[int, Field(ge=1, le=16)] = 3
    """Scorings of one artifact, each with its own secret seed; their mean is the run's value."""
    baseline_runs: Annotated[int, Field(ge=3, le=11)] = 5
    """Runs of the untouched task with different seeds: the value to beat and the noise between runs."""
    acceptance: Literal["Standard", "Economy", "Provisional"] = "Standard"
    """Standard: about ten runs a keep. Economy: fewer runs, and it misses more. Provisional: one run, shown as
    unconfirmed, never the end of a campaign.
    """
    false_keep_rate: Decimal = "0.01"
    """Expected false keeps per proposal that has no effect."""
    comparison: Literal["Single", "Paired"] = "Single"
    """Paired: the incumbent's artifact is scored beside the candidate's, interleaved (for timings)."""
    candidate: CandidateServer | None = None
    timeout_seconds: Seconds = 600
    """Wall time of one scoring."""
    resources: Resources = Resources()
    """Of the scorer's container."""
    volumes: Annotated[list[Volume], Field(max_length=16)] = []
    """Data for the scorer."""
    node_selector: Labels = {}
    """Labels that its node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that its node may have."""
    runtime_class_name: ObjectName | None = None
    """A RuntimeClass, for example a sandbox."""
    queue_name: ObjectName | None = None
    """A queue of Kueue."""

    @field_validator("false_keep_rate")
    @classmethod
    def _a_rate(cls, false_keep_rate: str) -> str:
        if not 0 < float(false_keep_rate) < 1:
            message = 'must lie between 0 and 1, for example "0.01"'
            raise ValueError(message)
        return false_keep_rate


MeasuredMetric = Literal["run.wallSeconds", "run.cpuSeconds", "run.gpuSeconds", "run.peakMemoryBytes"]
"""What the loop itself measures of a run."""


class Guardrail(Model):
    """A bound that a kept experiment must respect, on another metric than the objective's."""

    model_config = cel(
        ("has(self.min) || has(self.max)", "a guardrail needs min, max or both"),
        (
            "!(has(self.min) && has(self.max)) || double(self.min) <= double(self.max)",
            "min is above max",
            ".min",
        ),
        (
            f"!self.metric.startsWith('run.') || self.metric in {list(get_args(MeasuredMetric))}",
            f"the loop measures {', '.join(get_args(MeasuredMetric))}; no other metric starts with run.",
            ".metric",
        ),
    )

    metric: MetricName
    """The loop measures `run.{wallSeconds,cpuSeconds,gpuSeconds,peakMemoryBytes}`, the verifier the rest."""
    min: Decimal | None = None
    """The mean over the runs must not be below."""
    max: Decimal | None = None
    """The mean over the runs must not be above."""

    @model_validator(mode="after")
    def _a_bound(self) -> Self:
        if self.min is None and self.max is None:
            message = "a guardrail needs min, max or both"
            raise ValueError(message)
        if self.min is not None and self.max is not None and float(self.min) > float(self.max):
            message = f"min ({self.min}) is above max ({self.max})"
            raise ValueError(message)
        return self

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        measured = get_args(MeasuredMetric)
        if metric.startswith("run.") and metric not in measured:
            message = f"the loop measures {', '.join(measured)}; no other metric starts with run."
            raise ValueError(message)
        return metric


class MeasureDesign(Model):
    """The cells of a measuring campaign: every combination of the factors' values, each with `seeds` runs."""

    factors: Annotated[
        dict[Word, Annotated[list[Argument], Field(min_length=1, max_length=32)]],
        Field(min_length=1, max_length=8),
    ]
    """Factor -> its values."""
    seeds: Annotated[int, Field(ge=1, le=16)] = 5
    """Runs of each cell."""
