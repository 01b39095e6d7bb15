"""The status of a ResearchLoop: the state of the campaign, bounded to less than 64 KiB.

Written by the operator only, one write a reconcile. Numbers here are plain JSON numbers: nobody edits them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import Condition, Count, DnsLabel, FrameValues, Line, Model, PointValues, Sha256, Time, Word
from rloop.api.experiment import RecentResult

LoopPhase = Literal["Pending", "Baseline", "Iterating", "Concluding", "Reporting", "Complete", "Failed"]
LayerState = Literal["Unknown", "Alive", "Silent", "Absent"]
RECENT_LIMIT = 20


class Baseline(Model):
    """Measurement of the unchanged task."""

    experiment: DnsLabel
    """Name of the baseline experiment."""
    value: float
    """Mean of the runs."""
    stddev: float
    """Standard deviation between runs with different seeds, in the metric's unit."""
    n: Count
    """Number of runs."""
    deterministic: bool = False
    """True if all runs had the same value; further runs then only reproduce it."""


class Best(Model):
    """The incumbent with its later value: that of all its runs after the screening run, which selected it, including
    runs added after its keep.
    """

    experiment: DnsLabel
    """Name of the experiment."""
    value: float
    """Mean of these runs. The value on which it was kept is in its verdict."""
    low: float
    """Lower bound of the 95 % confidence interval of `value`."""
    high: float
    """Upper bound of the 95 % confidence interval of `value`."""
    gain: float
    """Gain of `value` over the baseline; positive is better."""
    claimed: float | None = None
    """Mean of the values that the same runs reported themselves."""
    n: Count
    """Number of runs behind `value`."""
    unconfirmed: bool = False
    """True if only one run supports it (Provisional acceptance)."""
    verified_at: Time
    """Time when it was kept or last measured again."""


class Final(Model):
    """The conclusion: fresh runs of the incumbent."""

    experiment: DnsLabel
    """Name of the incumbent."""
    value: float
    """Mean of the fresh runs."""
    low: float
    """Lower bound of the 95 % confidence interval."""
    high: float
    """Upper bound of the 95 % confidence interval."""
    n: Count
    """Number of fresh runs."""
    gap: float
    """`value` minus the incumbent's earlier value, in the metric's unit (the dev-final gap)."""
    met: bool
    """Whether the fresh runs confirmed the target."""


class Ending(Model):
    """How the campaign ends, once that is certain. Becomes the condition Complete."""

    reason: Word
    """Reason, in CamelCase."""
    message: Line
    """Explanation for people."""
    active_seconds: Annotated[float, Field(ge=0)] = 0
    """Active seconds of the campaign at that time. The time for the report is counted from here."""
    generation: Count = 0
    """Generation of the spec at that time."""


class Lead(Model):
    """The best candidate that was undecided when the budget was used up. It is not a result."""

    experiment: DnsLabel
    """Name of the experiment."""
    value: float
    """Mean of its runs so far. It is biased, because the screening run is included."""
    gain: float
    """Gain over the incumbent; positive is better."""
    n: Count
    """Number of runs behind `value`."""
    runs_left: Count
    """Maximum number of further runs of its own until it is decided."""


class ExperimentCounts(Model):
    """Number of candidates by phase."""

    queued: Count = 0
    """Candidates that wait for a run."""
    running: Count = 0
    """Candidates with a run in progress."""
    verifying: Count = 0
    """Candidates whose artifact is being scored."""
    accepted: Count = 0
    """Candidates that were kept: each became the incumbent."""
    rejected: Count = 0
    """Candidates that were measured and not kept."""
    superseded: Count = 0
    """Candidates that beat the incumbent of their proposal, but not the current one."""
    invalid: Count = 0
    """Candidates with a failed check, or without a valid verdict of the scorer."""
    failed: Count = 0
    """Candidates with a failed run."""
    withdrawn: Count = 0
    """Candidates that were withdrawn before they were decided."""


class Used(Model):
    """Consumption of the campaign, including reservations of work in progress."""

    active_seconds: Annotated[float, Field(ge=0)] = 0
    """Seconds of wall time without suspensions and without operator downtime, as of the last write."""
    experiments: Count = 0
    """Number of proposals by agents."""
    runs: Count = 0
    """Number of runs of all kinds, including runs in progress."""
    gpu_seconds: Annotated[float, Field(ge=0)] = 0
    """GPU seconds (GPUs times seconds) of all runs."""
    cpu_seconds: Annotated[float, Field(ge=0)] = 0
    """CPU seconds of all runs."""
    tokens: Count = 0
    """Language model tokens of all sessions."""
    cost: Annotated[float, Field(ge=0)] = 0
    """Cost of all model calls, in the currency of the provider's prices."""


class BudgetStatus(Model):
    """Consumption of the budget."""

    used: Used = Used()
    blocked_by: Word | None = None
    """The limit that allows none of the queued runs; null while a run is in progress, or one of them fits."""


class Clock(Model):
    """Basis of `budget.used.activeSeconds`, so that no write per second is needed."""

    accumulated_seconds: Annotated[float, Field(ge=0)] = 0
    """Seconds of all past active periods."""
    active_since: Time | None = None
    """Start of the current active period. Unset while suspended or finished."""


class SealedSpace(Model):
    """A finite space.yaml. All its points can be tried, because agents may change nothing else."""

    points: Count
    """Number of points."""
    task: PointValues
    """Values of the unchanged task, by dimension."""
    extent: Line
    """Dimensions and their values, for messages."""


class SealedTask(Model):
    """Hashes of the inputs that are frozen once the loop is accepted."""

    task: Sha256
    """SHA-256 of the task's files."""
    evaluation: Sha256
    """SHA-256 of the scorer's code."""
    held_out: Sha256 | None = None
    """SHA-256 of the held-out data. Unset without `evaluation.heldOut`."""
    final_held_out: Sha256 | None = None
    """SHA-256 of the held-out data of the conclusion. Unset without `evaluation.finalHeldOut`."""
    references: Sha256 | None = None
    """SHA-256 of the papers and documents. Unset without `agent.references`."""
    space: SealedSpace | None = None
    one_frame: bool = False
    """`space.yaml` has no structural dimension, so a plateau forces no pivot."""


class CurrentDirection(Model):
    """The current direction."""

    name: DnsLabel
    """Name of the direction."""
    title: Line
    """Title, written by the agent."""
    frame: FrameValues = {}
    """Value of each structural dimension, for tasks with a space.yaml."""


class LayerStatus(Model):
    """State of one layer of the watchdog. Written when it changes; ages are in the metrics."""

    state: LayerState = "Unknown"
    """Alive, Silent (running without a sign of life), Absent (not running) or Unknown (not observed yet)."""


class WatchdogStatus(Model):
    """The layered watchdog: agent (L2), patrol (L1), guard (L0)."""

    agent: LayerStatus = LayerStatus()
    patrol: LayerStatus = LayerStatus()
    guard: LayerStatus = LayerStatus(state="Absent")
    restarts: Count = 0
    """Number of restarts of session processes."""
    nudges: Count = 0
    """Number of nudges to sessions without progress."""
    evidence: Annotated[list[Line], Field(max_length=RECENT_LIMIT)] = []
    """Actions of the watchdog and their reasons, newest last."""


class LastHandled(Model):
    """Last handled annotation of each command: pivot, approve, retry."""

    pivot: Line = ""
    """Last handled value of the annotation `rloop.dev/pivot-requested-at`."""
    approve: Line = ""
    """Reserved for a later version."""
    retry: Line = ""
    """Reserved for a later version."""


class LoopDisplay(Model):
    """Strings for the columns of `kubectl get`. Programs should read the source fields instead."""

    phase: Line = ""
    """Phase with the most important reason: `Complete:TargetMet`, `Iterating:Suspended`."""
    best: Line = ""
    """`best.value`, rounded to the significant digits; with a question mark while unconfirmed."""
    gain: Line = ""
    """`best.gain`, rounded in the same way."""
    budget: Line = ""
    """Consumption of the limit that is closest to its end: `97/200 runs`."""


class ResearchLoopStatus(Model):
    """Observed state of the campaign."""

    phase: LoopPhase = "Pending"
    """Phase, for people. Programs should use conditions."""
    observed_generation: Count = 0
    """Generation of the spec that the operator has last acted on."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """Conditions: Accepted, Progressing, Complete, Failed, Finished, Degraded, NeedsAttention, PlateauDetected,
    Suspended, Ready, Reconciling, Stalled.
    """
    sealed: SealedTask | None = None
    clock: Clock = Clock()
    iteration: Count = 0
    """Number of the latest iteration."""
    generation: Count = 0
    """Number of keeps plus number of pivots."""
    stale_count: Count = 0
    """Number of stale iterations since the last keep (see spec.stall)."""
    pivots: Count = 0
    """Number of pivots."""
    directional_inputs: Count = 0
    """Number of edits of spec.direction."""
    direction_sha256: Sha256 | None = None
    """SHA-256 of spec.direction as last seen, to detect edits."""
    baseline: Baseline | None = None
    best: Best | None = None
    final: Final | None = None
    misses: Count = 0
    """Number of conclusions that did not confirm the target."""
    ending: Ending | None = None
    """Set while the last sessions write and check the report. No new runs are started."""
    lead: Lead | None = None
    """The best undecided candidate once the budget is used up; a larger budget continues it."""
    experiments: ExperimentCounts = ExperimentCounts()
    budget: BudgetStatus = BudgetStatus()
    current_direction: CurrentDirection | None = None
    recent: Annotated[list[RecentResult], Field(max_length=RECENT_LIMIT)] = []
    """The latest verdicts, newest last."""
    watchdog: WatchdogStatus = WatchdogStatus()
    last_handled: LastHandled = LastHandled()
    display: LoopDisplay = LoopDisplay()
