"""The facts that a decision may look at, including the time.

Gathered by `rloop_operator.reconcile` from the three ports, read by `rloop.decide`. A decision sees nothing else, so
the same facts always give the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rloop.api.experiment import ResearchExperiment, Usage
from rloop.api.helpers import Curve
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import LayerState, SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.errors import InputProblem
from rloop.names import SeedKeys

PENDING_DEADLINE = "PendingDeadline"
"""Reason of a workload that was ended because it never began."""
PREFLIGHT = "PreflightFailed"
"""Reason of an attempt whose files the preflight refused, and would again."""
ARTIFACT_LOST = "ArtifactLost"
"""Reason of a scoring that found no artifact of a run that has succeeded: its volume was lost."""
DISRUPTED = "Disrupted"
"""Reason of a workload that its node, a drain or a preemption ended. One that vanished without a reason is Lost."""
FILES_LOST = "FilesLost"
"""Reason of an attempt whose experiment's files were deleted: nothing can make them again."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a workload ended."""

    code: int | None
    """The process' exit code; None where it has none of its own (lost, or ended by us). A program that could not be
    executed has a shell's: 127 where it is not there, 126 else.
    """
    reason: str
    """One CamelCase word: Completed, Error, DeadlineExceeded, CpuExceeded, Killed, Hang, Stopped, Lost, Disrupted,
    StartFailed, PreflightFailed, FilesLost"""
    finished_at: datetime
    infrastructure: bool = False
    usage: Usage = field(default_factory=Usage)
    log_tail: str = ""
    message: str = ""
    """Termination message: of a verification a VerifierReport as JSON."""
    claims: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    artifact_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps the campaign from going on, though nothing in it is at fault."""

    reason: str
    """One CamelCase word of `rloop.reasons`."""
    about: str
    """Name of the workload or object that cannot start or be made."""
    message: str
    """What is in the way, and the remedy."""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """A workload as the runtime sees it."""

    name: str
    started_at: datetime
    """When its program began; of one that still waits, since when it might have: time in a queue does not count."""
    exit: Exit | None = None
    step: int | None = None
    """The newest step it reported."""
    step_age_seconds: float = 0
    """Since the step last moved (or the start), by the shell's own monotonic clock."""
    started: bool = True
    """False while it waits for a place, an image or a volume."""
    obstacle: Obstacle | None = None
    """Why it waits, where that is known."""
    ending: bool = False
    """Its program has ended, but the workload has no result yet; no event announces it."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A session's signs of life, by the operator's own monotonic clock."""

    age_seconds: float
    """Since the newest beat, or since we began to wait for one."""
    round: int
    round_age_seconds: float
    """Since the round counter last moved."""


@dataclass(frozen=True, slots=True)
class Repair:
    """The watchdog restarted a process that serves all loops."""

    at: datetime
    told: str


@dataclass(frozen=True, slots=True)
class Watchdog:
    """What the watchdog's outer layers show; the same for all loops. A laptop has no guard."""

    guard: LayerState = "Absent"
    """Unknown: it was not looked at for long enough to say."""
    repairs: tuple[Repair, ...] = ()
    """The newest few, and only those of the last minutes."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot of the world."""

    now: datetime
    loop: ResearchLoop
    seed_keys: SeedKeys
    """The shell's secrets; only the seeds made from them are ever written anywhere."""
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    workloads: Mapping[str, WorkloadState]
    beats: Mapping[str, Beat] = field(default_factory=dict)
    """By name of the session."""
    sealed: SealedTask | None = None
    """The frozen task; None while it could not be sealed."""
    problems: tuple[InputProblem, ...] = ()
    """Why it could not."""
    obstacles: tuple[Obstacle, ...] = ()
    """What could not be made; those of waiting workloads stand with them."""
    down_since: datetime | None = None
    """On the first pass of an operator: when its predecessor was last alive. That gap is not active time."""
    draining: bool = False
    """The operator is asked to end in order: what runs finishes, nothing new starts."""
    watchdog: Watchdog = Watchdog()
