"""The kind ResearchExperiment: one candidate, its runs, their attempts and verifications.

The spec is immutable and written by the gateway on an agent's behalf, or by the operator (the baseline). The
status is the operator's: the intent and the reservation of every run stand here before anything is started.
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
ExperimentPhase = Literal[
    "Queued", "Running", "Verifying", "Accepted", "Rejected", "Superseded", "Invalid", "Failed", "Withdrawn", "Passed"
]
TERMINAL_PHASES: frozenset[ExperimentPhase] = frozenset(
    {"Accepted", "Rejected", "Superseded", "Invalid", "Failed", "Withdrawn", "Passed"}
)
RunKind = Literal["baseline", "screen", "confirm", "audit", "reference", "final", "smoke"]
RunPhase = Literal["Queued", "Running", "Verifying", "Done", "Failed", "Withdrawn"]
WorkPhase = Literal["Pending", "Running", "Succeeded", "Failed"]


class ChangedFile(Model):
    """One file that differs from the task. Files are self-contained: there is no chain of patches."""

    path: Path
    sha256: Sha256
    size: Count
    """Bytes."""


class ResearchExperimentSpec(Model):
    """What is tried; immutable."""

    model_config = cel(IMMUTABLE)

    loop_name: DnsLabel
    """The campaign."""
    iteration: Count
    """0 for the baseline."""
    session: DnsLabel | None = None
    """Who proposed it; absent for the baseline."""
    sequence: Count
    """The agent's own number, so that a retried request is the same experiment."""
    kind: Literal["Baseline", "Candidate", "Probe", "Smoke"]
    """Baseline: the untouched task. Candidate: a proposal. Smoke: a short run that is not scored."""
    title: Line
    """In the agent's words."""
    direction: DnsLabel | None = None
    """The direction that it belongs to."""
    parent: DnsLabel | None = None
    """The experiment its files started from; absent: the task."""
    incumbent: DnsLabel | None = None
    """The incumbent when it was proposed."""
    frame: FrameValues = {}
    """With a space.yaml: one value per structural dimension."""
    point: PointValues = {}
    """With a space.yaml: the value of every dimension that exists in the frame."""
    files: Annotated[list[ChangedFile], Field(max_length=128)] = []
    """What differs from the task; the content stands in a ConfigMap of the experiment's name."""
    digest: Sha256
    """Of the normalised difference from the task; equal digests are the same experiment in other words."""


class Reservation(Model):
    """What a run may spend, set aside before it starts."""

    runs: Count = 1
    cpu_seconds: Count = 0
    gpu_seconds: Count = 0


class Usage(Model):
    """What the loop itself measured of one process tree."""

    wall_seconds: float = 0
    cpu_seconds: float = 0
    gpu_seconds: float = 0
    peak_memory_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0


class Attempt(Model):
    """One try at a run."""

    number: Annotated[int, Field(ge=1, le=1000)]
    phase: WorkPhase = "Pending"
    started_at: Time | None = None
    finished_at: Time | None = None
    exit_code: int | None = None
    """Of the program; none where it did not end by itself."""
    reason: Word | None = None
    """Why it ended, in a word."""
    infrastructure: bool = False
    """It failed through no fault of the candidate, and is not counted against backoffLimit."""
    step: Annotated[int, Field(ge=0, le=MAX_STEP)] | None = None
    """Newest step that it reported, once it has ended."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""
    """The end of what it printed."""
    usage: Usage = Usage()


class Verification(Model):
    """One scoring of a run's artifact."""

    number: Annotated[int, Field(ge=1, le=1_000_000)]
    repeat: Annotated[int, Field(ge=1, le=16)]
    """Which of the evaluation's repeats it serves; a failed scoring is tried again under a new number."""
    retry: Count = 0
    """Failed scorings of this repeat before this one."""
    seed: Seed
    """The scorer's secret seed."""
    phase: WorkPhase = "Pending"
    started_at: Time | None = None
    finished_at: Time | None = None
    reason: Word | None = None
    """Why it failed, in a word."""
    infrastructure: bool = False
    message: Line = ""
    """The end of what the scorer printed, where it failed."""
    metrics: Annotated[dict[MetricName, float], Field(max_length=32)] = {}
    """Of the verdict."""
    checks: Annotated[list[Check], Field(max_length=32)] = []
    """Of the verdict."""


class Run(Model):
    """One training of the candidate with a seed of the operator's choice."""

    number: Annotated[int, Field(ge=1, le=MAX_RUNS)]
    seed: Seed
    """What the program is given as RLOOP_SEED."""
    kind: RunKind
    """Why it is made: to measure the baseline, screen, confirm or audit a candidate, compare with the incumbent,
    conclude, or see whether it starts (smoke).
    """
    phase: RunPhase = "Queued"
    reservation: Reservation | None = None
    """Written together with the first attempt."""
    attempts: Annotated[list[Attempt], Field(max_length=64)] = []
    verifications: Annotated[list[Verification], Field(max_length=64)] = []
    artifact_sha256: Sha256 | None = None
    value: float | None = None
    """Mean of the objective's metric over the repeats."""
    claimed: float | None = None
    """What the run itself believed its metric to be."""
    curves: Annotated[list[Curve], Field(max_length=MAX_CURVES)] = []
    """What the run reported on its way, for people and agents to look at."""
    reason: Word | None = None
    """Why it failed, in a word."""


class Verdict(Model):
    """The decision about a candidate."""

    reason: Word
    """Why, in a word."""
    message: Line = ""
    """Why, in a sentence."""
    compared_with: DnsLabel | None = None
    """The incumbent of its time."""
    value: float | None = None
    """Mean over the runs that decide."""
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    """Over `comparedWith`; positive is better."""
    z: float | None = None
    """How certain the gain is, in standard normal units."""
    n: Count = 0
    """Runs behind `value`."""
    keep: Count | None = None
    """The keep's number, 1 for the campaign's first; the incumbent is the experiment with the largest."""
    unconfirmed: bool = False
    at: Time
    """When it was decided."""


class ExperimentDisplay(Model):
    """Short strings for the columns of `kubectl get`. Programs read the fields of `verdict`."""

    value: Line = ""
    """`verdict.value` with the digits that the noise leaves meaning to."""
    gain: Line = ""
    """`verdict.gain`, in the same digits."""


class ResearchExperimentStatus(Model):
    """Where the experiment stands."""

    phase: ExperimentPhase = "Queued"
    """Passed is a smoke test's only good end."""
    runs: Annotated[list[Run], Field(max_length=MAX_RUNS)] = []
    """With the intent of each before it is started."""
    verdict: Verdict | None = None
    """Absent until it is decided; then final."""
    folded: bool = False
    """It stands in the ledger."""
    display: ExperimentDisplay = ExperimentDisplay()


class ResearchExperiment(Model):
    """A candidate of a campaign."""

    api_version: Literal["rloop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ResearchExperiment"] = "ResearchExperiment"
    metadata: ObjectMeta
    spec: ResearchExperimentSpec
    status: ResearchExperimentStatus = ResearchExperimentStatus()
