"""The kind ResearchExperiment: one candidate, its runs, their attempts and verifications.

The spec is immutable and written by the gateway on an agent's behalf, or by the operator (the baseline). The
status is the operator's: the intent and the reservation of every run are stored before anything is started.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import (
    API_VERSION,
    IMMUTABLE,
    Count,
    DnsLabel,
    FrameValues,
    Line,
    MetricName,
    Model,
    ObjectMeta,
    Path,
    PointValues,
    Seed,
    Sha256,
    Time,
    Word,
    cel,
)
from rloop.api.curves import MAX_CURVES, MAX_STEP
from rloop.api.helpers import Check, Curve

MAX_RUNS = 24
RunNumber = Annotated[int, Field(ge=1, le=MAX_RUNS)]
ExperimentPhase = Literal[
    "Queued", "Running", "Verifying", "Accepted", "Rejected", "Superseded", "Invalid", "Failed", "Withdrawn", "Passed"
]
LIVE_RUN = frozenset({"Running", "Verifying"})
OPEN_RUN = frozenset({"Queued", "Running", "Verifying"})
"""Phases of a run that is queued or live."""
TERMINAL_PHASES: frozenset[ExperimentPhase] = frozenset(
    {"Accepted", "Rejected", "Superseded", "Invalid", "Failed", "Withdrawn", "Passed"}
)
RunKind = Literal["baseline", "screen", "confirm", "audit", "reference", "final", "smoke"]
RunPhase = Literal["Queued", "Running", "Verifying", "Done", "Failed", "Withdrawn"]
WorkPhase = Literal["Pending", "Running", "Succeeded", "Failed"]


class ChangedFile(Model):
    """A file that differs from the task. Its whole content is stored, not a patch."""

    path: Path
    """Path relative to the task's folder."""
    sha256: Sha256
    """SHA-256 of the content, in hex."""
    size: Count
    """Size in bytes."""


class ResearchExperimentSpec(Model):
    """The proposal. Immutable."""

    model_config = cel(IMMUTABLE)

    loop_name: DnsLabel
    """Name of the ResearchLoop."""
    iteration: Count
    """Number of the iteration; 0 for the baseline."""
    session: DnsLabel | None = None
    """Session that proposed it. Unset for the baseline."""
    sequence: Count
    """Sequence number given by the agent; it makes retried requests idempotent."""
    kind: Literal["Baseline", "Candidate", "Probe", "Smoke"]
    """Baseline: the unchanged task. Candidate: a proposal. Smoke: a short run that is not scored."""
    title: Line
    """Title, written by the agent."""
    direction: DnsLabel | None = None
    """Name of the direction."""
    parent: DnsLabel | None = None
    """Experiment that its files are based on. Unset: the task."""
    incumbent: DnsLabel | None = None
    """Incumbent at the time of the proposal."""
    frame: FrameValues = {}
    """Value of each structural dimension, for tasks with a space.yaml."""
    point: PointValues = {}
    """Value of each dimension that exists in the frame, for tasks with a space.yaml."""
    files: Annotated[list[ChangedFile], Field(max_length=128)] = []
    """Files that differ from the task. Their content is in the ConfigMap with the experiment's name."""
    digest: Sha256
    """SHA-256 of the normalised difference from the task. Equal digests mean equal experiments."""


class Reservation(Model):
    """Budget reserved for a run before it starts."""

    runs: Count = 1
    """Number of runs."""
    cpu_seconds: Count = 0
    """CPU seconds."""
    gpu_seconds: Count = 0
    """GPU seconds: GPUs times seconds."""


class Usage(Model):
    """Resource usage of one process tree, measured by the loop."""

    wall_seconds: float = 0
    """Seconds of wall time."""
    cpu_seconds: float = 0
    """CPU seconds."""
    gpu_seconds: float = 0
    """GPU seconds: GPUs times seconds of wall time."""
    peak_memory_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    """Peak memory in bytes."""


class Attempt(Model):
    """One attempt of a run."""

    number: Annotated[int, Field(ge=1, le=1000)]
    """Number of the attempt, from 1."""
    phase: WorkPhase = "Pending"
    """Pending, Running, Succeeded or Failed."""
    started_at: Time | None = None
    """Time when its process started. Unset while it is pending."""
    finished_at: Time | None = None
    """Time when it ended."""
    exit_code: int | None = None
    """Exit code of the program. Unset if it was ended from outside."""
    reason: Word | None = None
    """Reason of its end, in CamelCase."""
    infrastructure: bool = False
    """True if the infrastructure caused the failure; it does not count towards backoffLimit."""
    step: Annotated[int, Field(ge=0, le=MAX_STEP)] | None = None
    """Last reported step, set once it has ended."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""
    """End of its output."""
    usage: Usage = Usage()


class Verification(Model):
    """One scoring of an artifact."""

    number: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of the scoring within its run, from 1."""
    repeat: Annotated[int, Field(ge=1, le=16)]
    """Index of the repeat (spec.evaluation.repeats). A failed scoring is retried under a new `number`."""
    retry: Count = 0
    """Number of earlier failed scorings of the same repeat."""
    seed: Seed
    """Secret seed of the scorer."""
    phase: WorkPhase = "Pending"
    """Pending, Running, Succeeded or Failed."""
    started_at: Time | None = None
    """Time when the scorer started. Unset while it is pending."""
    finished_at: Time | None = None
    """Time when it ended."""
    reason: Word | None = None
    """Reason of the failure, in CamelCase."""
    infrastructure: bool = False
    """True if the infrastructure caused the failure."""
    message: Line = ""
    """End of the scorer's output, if it failed."""
    metrics: Annotated[dict[MetricName, float], Field(max_length=32)] = {}
    """Metrics of the scorer's verdict."""
    checks: Annotated[list[Check], Field(max_length=32)] = []
    """Checks of the scorer's verdict."""


class Run(Model):
    """One execution of the candidate, with a seed chosen by the operator."""

    number: RunNumber
    """Number of the run within its experiment, from 1."""
    seed: Seed
    """Seed, passed to the program as RLOOP_SEED."""
    kind: RunKind
    """Purpose: measure the baseline; screen, confirm or audit a candidate; repeat the incumbent (reference);
    conclude (final); check that it starts (smoke).
    """
    phase: RunPhase = "Queued"
    """Queued, Running, Verifying, Done, Failed or Withdrawn."""
    reservation: Reservation | None = None
    """Reserved budget, written together with the first attempt."""
    attempts: Annotated[list[Attempt], Field(max_length=64)] = []
    """Attempts, oldest first."""
    verifications: Annotated[list[Verification], Field(max_length=64)] = []
    """Scorings of the artifact, oldest first."""
    artifact_sha256: Sha256 | None = None
    """SHA-256 of the artifact that is scored. Unset until the run has produced one."""
    value: float | None = None
    """Mean of the objective's metric over the repeats."""
    claimed: float | None = None
    """Value that the run reported itself, for information only."""
    curves: Annotated[list[Curve], Field(max_length=MAX_CURVES)] = []
    """Curves that the run reported, for information only."""
    reason: Word | None = None
    """Reason of the failure, in CamelCase."""


class Verdict(Model):
    """The decision about a candidate."""

    reason: Word
    """Reason, in CamelCase."""
    message: Line = ""
    """Explanation for people."""
    compared_with: DnsLabel | None = None
    """Incumbent at the time of the decision."""
    compared_runs: Annotated[list[RunNumber], Field(max_length=MAX_RUNS)] = []
    """Numbers of the runs of `comparedWith` behind a keep or a rejection; `rloop verify` repeats the decision."""
    value: float | None = None
    """Value on which it was judged: mean of the deciding runs."""
    low: float | None = None
    """Lower bound of the 95 % confidence interval of `value`."""
    high: float | None = None
    """Upper bound of the 95 % confidence interval of `value`."""
    gain: float | None = None
    """Gain of `value` over `comparedWith`; positive is better."""
    z: float | None = None
    """Significance of the gain, as a standard normal score."""
    n: Count = 0
    """Number of runs behind `value`."""
    keep: Count | None = None
    """Number of the keep, from 1. The experiment with the largest number is the incumbent."""
    unconfirmed: bool = False
    """True if only one run supports the keep (Provisional acceptance)."""
    at: Time
    """Time of the decision."""


class RecentResult(Model):
    """Summary of a finished experiment in the status of its loop."""

    experiment: DnsLabel
    """Name of the experiment."""
    phase: Word
    """Final phase of the experiment."""
    value: float | None = None
    """Mean of the runs that decided the verdict, in the metric's unit."""
    gain: float | None = None
    """Gain over the incumbent at that time; positive is better."""
    reason: Word = "Unknown"
    """Reason of the verdict, in CamelCase."""


class ExperimentDisplay(Model):
    """Strings for the columns of `kubectl get`. Programs should read `verdict` instead."""

    value: Line = ""
    """`verdict.value`, rounded to the significant digits."""
    gain: Line = ""
    """`verdict.gain`, rounded in the same way."""


class ResearchExperimentStatus(Model):
    """Observed state of the experiment."""

    phase: ExperimentPhase = "Queued"
    """Phase. Passed is the successful end of a smoke test."""
    runs: Annotated[list[Run], Field(max_length=MAX_RUNS)] = []
    """Runs. Each is recorded before it is started."""
    verdict: Verdict | None = None
    """The decision. Unset until it is made; final afterwards."""
    folded: bool = False
    """True if the experiment has been appended to the ledger."""
    display: ExperimentDisplay = ExperimentDisplay()


class ResearchExperiment(Model):
    """A candidate of a campaign."""

    api_version: Literal["rloop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ResearchExperiment"] = "ResearchExperiment"
    metadata: ObjectMeta
    spec: ResearchExperimentSpec
    status: ResearchExperimentStatus = ResearchExperimentStatus()
