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
    """A server that runs the candidate's code in a second container, for the scorer to query. Not supported yet."""

    command: Command
    """Command that starts the server, in a copy of the candidate's files."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Container image. Default: the experiment's."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the server, passed to the scorer as RLOOP_PORT."""
    readiness_seconds: Seconds = 60
    """Maximum seconds until the server listens (default 60)."""
    resources: Resources = Resources()
    """Compute resources of its container."""


class Evaluation(Model):
    """How an artifact is scored, and when a candidate is kept."""

    model_config = cel(
        (
            "double(self.falseKeepRate) > 0.0 && double(self.falseKeepRate) < 1.0",
            'must be between 0 and 1, for example "0.01"',
            ".falseKeepRate",
        )
    )

    code: CodeSource
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image of the scorer, built on the verifier's image. Default: the verifier's image."""
    command: Command
    """Command of the scorer, run in a fresh copy of `code`. It writes $RLOOP_VERDICT."""
    held_out: HeldOut | None = None
    final_held_out: HeldOut | None = None
    """Held-out data that is used only for the final measurement."""
    repeats: Annotated[int, Field(ge=1, le=16)] = 3
    """Scorings per artifact (default 3), each with its own secret seed. Their mean is the run's value."""
    baseline_runs: Annotated[int, Field(ge=3, le=11)] = 5
    """Runs of the unchanged task with different seeds (default 5): the baseline and the noise between runs."""
    acceptance: Literal["Standard", "Economy", "Provisional"] = "Standard"
    """Acceptance procedure. Standard: about ten runs per keep. Economy: fewer runs, more missed gains. Provisional: one
    run; the result is marked as unconfirmed and never ends a campaign.
    """
    false_keep_rate: Decimal = "0.01"
    """Accepted probability that a proposal without effect is kept (default 0.01)."""
    comparison: Literal["Single", "Paired"] = "Single"
    """Single scores the candidate alone; Paired interleaves it with the incumbent, for timings (not supported yet)."""
    candidate: CandidateServer | None = None
    timeout_seconds: Seconds = 600
    """Maximum seconds of one scoring (default 600)."""
    resources: Resources = Resources()
    """Compute resources of the scorer's container."""
    volumes: Annotated[list[Volume], Field(max_length=16)] = []
    """Volumes with data for the scorer. Not supported yet."""
    node_selector: Labels = {}
    """Labels that the scorer's node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints of nodes that the scorer tolerates."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the scorer's pod, for example a sandbox."""
    queue_name: ObjectName | None = None
    """Kueue LocalQueue of the scorer's Job."""

    @field_validator("false_keep_rate")
    @classmethod
    def _a_rate(cls, false_keep_rate: str) -> str:
        if not 0 < float(false_keep_rate) < 1:
            message = 'must be between 0 and 1, for example "0.01"'
            raise ValueError(message)
        return false_keep_rate


MeasuredMetric = Literal["run.wallSeconds", "run.cpuSeconds", "run.gpuSeconds", "run.peakMemoryBytes"]
"""What the loop itself measures of a run."""


class Guardrail(Model):
    """A bound on a metric other than the objective's. An experiment that violates it is not kept."""

    model_config = cel(
        ("has(self.min) || has(self.max)", "a guardrail needs min, max or both"),
        (
            "!(has(self.min) && has(self.max)) || double(self.min) <= double(self.max)",
            "min is above max",
            ".min",
        ),
        (
            f"!self.metric.startsWith('run.') || self.metric in {list(get_args(MeasuredMetric))}",
            f"the loop measures {', '.join(get_args(MeasuredMetric))}; no other name may start with run.",
            ".metric",
        ),
    )

    metric: MetricName
    """`run.{wallSeconds,cpuSeconds,gpuSeconds,peakMemoryBytes}` (measured by the loop), or a metric of the verdict."""
    min: Decimal | None = None
    """Smallest allowed mean over the runs."""
    max: Decimal | None = None
    """Largest allowed mean over the runs."""

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
            message = f"the loop measures {', '.join(measured)}; no other name may start with run."
            raise ValueError(message)
        return metric


class MeasureDesign(Model):
    """Cells of a Measure campaign: each combination of factor values, with `seeds` runs per cell."""

    factors: Annotated[
        dict[Word, Annotated[list[Argument], Field(min_length=1, max_length=32)]],
        Field(min_length=1, max_length=8),
    ]
    """Values of each factor."""
    seeds: Annotated[int, Field(ge=1, le=16)] = 5
    """Runs per cell (default 5)."""
