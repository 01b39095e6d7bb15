"""The status of a ResearchLoop: where the campaign stands, bounded to less than 64 KiB.

Written by the operator only, one write a reconcile. Numbers here are plain JSON numbers: nobody edits them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import Condition, Count, DnsLabel, FrameValues, Line, Model, PointValues, Sha256, Time, Word

LoopPhase = Literal["Pending", "Baseline", "Iterating", "Concluding", "Reporting", "Complete", "Failed"]
LayerState = Literal["Unknown", "Alive", "Silent", "Absent"]
RECENT_LIMIT = 20


class Baseline(Model):
    """The untouched task, measured."""

    experiment: DnsLabel
    """The untouched task as an experiment."""
    value: float
    """Mean over the runs."""
    stddev: float
    """Between runs with different seeds, in the metric's unit."""
    n: Count
    """Runs."""
    deterministic: bool = False
    """All runs were equal: a second run is a reproduction and not a sample."""


class Best(Model):
    """The incumbent. Its value comes from runs made after the selecting run, never from that run itself."""

    experiment: DnsLabel
    """Its name, for `kubectl get rexp`."""
    value: float
    """Mean over the runs after the selecting one."""
    low: float
    high: float
    """Bounds of the 95 % interval of `value`."""
    gain: float
    """Against the baseline, positive is better."""
    claimed: float | None = None
    """What the experiments' own claims said, mean over the same runs."""
    n: Count
    """Runs behind `value`."""
    unconfirmed: bool = False
    """Provisional acceptance: one run, shown, never a claim."""
    verified_at: Time
    """When it was kept, or measured again."""


class Final(Model):
    """The conclusion: fresh runs of the incumbent."""

    experiment: DnsLabel
    """The incumbent's name."""
    value: float
    """Mean over the fresh runs."""
    low: float
    """Lower bound of its 95 % interval."""
    high: float
    """Upper bound of that interval."""
    n: Count
    """Fresh runs."""
    gap: float
    """`value` minus the incumbent's value before, in the metric's unit (the dev-final gap)."""
    met: bool
    """Whether they confirmed the target."""


class Ending(Model):
    """How the campaign ends, once that is certain: what Complete is going to say."""

    reason: Word
    message: Line
    active_seconds: Annotated[float, Field(ge=0)] = 0
    """Of the campaign when that was drawn: its report has a limited time."""
    generation: Count = 0
    """Of the spec when that was drawn."""


class Lead(Model):
    """The best candidate that the end of the budget left undecided; no result."""

    experiment: DnsLabel
    value: float
    """Mean over the runs it has, the screening run included: it flatters."""
    gain: float
    """Over the best; positive is better."""
    n: Count
    """Runs behind the value."""
    runs_left: Count
    """Most of its own runs that would decide."""


class ExperimentCounts(Model):
    """Candidates by where they stand."""

    queued: Count = 0
    running: Count = 0
    verifying: Count = 0
    accepted: Count = 0
    rejected: Count = 0
    superseded: Count = 0
    invalid: Count = 0
    failed: Count = 0
    withdrawn: Count = 0


class Used(Model):
    """What the campaign has spent. Reservations of running work are part of it."""

    active_seconds: Annotated[float, Field(ge=0)] = 0
    """Without suspensions and without the time that no operator was there. As of the newest write."""
    experiments: Count = 0
    """Proposals of agents."""
    runs: Count = 0
    """Runs of all kinds, running ones included."""
    gpu_seconds: Annotated[float, Field(ge=0)] = 0
    cpu_seconds: Annotated[float, Field(ge=0)] = 0
    tokens: Count = 0
    cost: Annotated[float, Field(ge=0)] = 0


class BudgetStatus(Model):
    """Spent so far."""

    used: Used = Used()


class Clock(Model):
    """How `budget.used.activeSeconds` is counted without a write a second."""

    accumulated_seconds: Annotated[float, Field(ge=0)] = 0
    """Of the stretches that are over."""
    active_since: Time | None = None
    """Start of the present stretch; absent while suspended or finished."""


class SealedSpace(Model):
    """A space.yaml whose points can all be tried, because it has finitely many and nothing else may be changed."""

    points: Count
    task: PointValues
    """The point of the untouched task."""
    extent: Line
    """The dimensions and their values, for the message that all were tried."""


class SealedTask(Model):
    """Hashes of what must not change once the loop is Accepted."""

    task: Sha256
    evaluation: Sha256
    held_out: Sha256 | None = None
    final_held_out: Sha256 | None = None
    references: Sha256 | None = None
    space: SealedSpace | None = None


class CurrentDirection(Model):
    """The direction that experiments now belong to."""

    name: DnsLabel
    title: Line
    """In the agent's words."""
    frame: FrameValues = {}
    """With a space.yaml: one value per structural dimension."""


class RecentResult(Model):
    """One finished experiment, for a glance."""

    experiment: DnsLabel
    phase: Word
    value: float | None = None
    gain: float | None = None
    reason: Word = "Unknown"


class LayerStatus(Model):
    """One layer of the watchdog. Changes on transitions only; ages are metrics."""

    state: LayerState = "Unknown"


class WatchdogStatus(Model):
    """The layered watchdog: agent (L2), patrol (L1), guard (L0)."""

    agent: LayerStatus = LayerStatus()
    patrol: LayerStatus = LayerStatus()
    guard: LayerStatus = LayerStatus(state="Absent")
    restarts: Count = 0
    """Processes of sessions that were replaced."""
    nudges: Count = 0
    """How often a silent session was reminded."""
    evidence: Annotated[list[Line], Field(max_length=RECENT_LIMIT)] = []
    """What the watchdog did and why, newest last."""


class LastHandled(Model):
    """The newest annotation of each verb that was answered."""

    pivot: Line = ""
    approve: Line = ""
    retry: Line = ""


class LoopDisplay(Model):
    """Short strings for the columns of `kubectl get`. Programs read the fields that they are made from."""

    phase: Line = ""
    """The phase, and after a colon what a glance must not miss: `Complete:TargetMet`, `Iterating:Suspended`."""
    best: Line = ""
    """`best.value` with the digits that the noise leaves meaning to; a question mark while it is unconfirmed."""
    gain: Line = ""
    """`best.gain`, in the same digits."""
    budget: Line = ""
    """What is used of the limit that is nearest: `97/200 runs`."""


class ResearchLoopStatus(Model):
    """Where the campaign stands."""

    phase: LoopPhase = "Pending"
    """Derived, for columns and people; programs match conditions."""
    observed_generation: Count = 0
    """The newest generation of the spec that the operator has acted on."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """Facts for programs: Accepted, Progressing, Complete, Failed, Degraded, NeedsAttention, PlateauDetected,
    Suspended, Ready.
    """
    sealed: SealedTask | None = None
    clock: Clock = Clock()
    iteration: Count = 0
    """Number of the newest iteration."""
    generation: Count = 0
    """Keeps plus pivots."""
    stale_count: Count = 0
    """Stale iterations since the newest keep; spec.stall acts on it."""
    pivots: Count = 0
    """Changes of frame that were demanded."""
    directional_inputs: Count = 0
    """How often the director's words were changed."""
    direction_sha256: Sha256 | None = None
    """Of the director's words as last seen: a change of them is a directional input."""
    baseline: Baseline | None = None
    best: Best | None = None
    final: Final | None = None
    misses: Count = 0
    """Conclusions that did not confirm the target."""
    ending: Ending | None = None
    """Nothing is measured any more, and the last sessions write and check the report. Absent before and after."""
    lead: Lead | None = None
    """Once the budget is used up: what it would be worth to go on for, with a larger one."""
    experiments: ExperimentCounts = ExperimentCounts()
    budget: BudgetStatus = BudgetStatus()
    current_direction: CurrentDirection | None = None
    recent: Annotated[list[RecentResult], Field(max_length=RECENT_LIMIT)] = []
    """The last verdicts, newest last."""
    watchdog: WatchdogStatus = WatchdogStatus()
    last_handled: LastHandled = LastHandled()
    display: LoopDisplay = LoopDisplay()
