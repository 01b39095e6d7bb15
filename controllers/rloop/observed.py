"""The facts that a decision may use, including the time.

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
from rloop.reasons import Reason

PENDING_DEADLINE = "PendingDeadline"
"""Reason of a workload that was ended because it did not start in time."""
PREFLIGHT = "PreflightFailed"
"""Reason of an attempt whose files the preflight rejected; it would reject them again."""
UNSCORABLE = frozenset({"EvaluatorChanged", "InputsUnavailable"})
"""Reasons of the verifier that last until a person restores held-out data or code."""
INTERRUPTED = "Interrupted"
"""Reason of a process that was ended because the operator itself ends. It implies no result."""
ARTIFACT_LOST = "ArtifactLost"
"""Reason of a scoring that found no artifact of a successful run: its volume was lost."""
DISRUPTED = "Disrupted"
"""Reason of a workload ended by its node, a drain or a preemption. One that vanished without a reason is Lost."""
FILES_LOST = "FilesLost"
"""Reason of an attempt whose experiment's files were deleted. They cannot be recreated."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a workload ended."""

    code: int | None
    """Exit code of the process; None without one of its own (lost, or ended by us).

    A program that could not be executed has that of a shell: 127 if it was not found, otherwise 126.
    """
    reason: str
    """One word in CamelCase: Completed, Error, DeadlineExceeded, CpuExceeded, Killed, Hang, Stopped, Lost, Disrupted,
    StartFailed, PreflightFailed, FilesLost
    """
    finished_at: datetime
    infrastructure: bool = False
    usage: Usage = field(default_factory=Usage)
    log_tail: str = ""
    message: str = ""
    """Termination message. For a verification: a VerifierReport as JSON."""
    claims: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    artifact_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An external condition that blocks the campaign, although nothing in the campaign is wrong."""

    reason: Reason
    about: str
    """Name of the workload or object that cannot be started or created."""
    message: str
    """The obstacle, and the remedy."""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """A workload as the runtime sees it."""

    name: str
    started_at: datetime
    """Start of its program. While it waits: since when it could have started, not counting time in a queue."""
    exit: Exit | None = None
    step: int | None = None
    """The latest step that it reported."""
    step_age_seconds: float = 0
    """Seconds since the step last changed (or since the start), by the shell's own monotonic clock."""
    started: bool = True
    """False while it waits for resources, an image or a volume."""
    obstacle: Obstacle | None = None
    """Why it waits, if known."""
    ending: bool = False
    """Its program has ended, but the workload has no result yet. No event announces the result."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A session's signs of life, by the operator's own monotonic clock."""

    age_seconds: float
    """Seconds since the latest heartbeat, or since we began to wait for one."""
    round: int
    round_age_seconds: float
    """Seconds since the round counter last changed."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A restart by the watchdog of a process that serves all loops."""

    at: datetime
    told: str


@dataclass(frozen=True, slots=True)
class Watchdog:
    """State of the watchdog's outer layers, the same for all loops. The local shell has no guard."""

    guard: LayerState = "Absent"
    """Unknown until it has been observed for long enough."""
    repairs: tuple[Repair, ...] = ()
    """The latest restarts, only those of the last minutes."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot of the world."""

    now: datetime
    loop: ResearchLoop
    seed_keys: SeedKeys
    """The shell's secrets. Only the seeds derived from them are ever written anywhere."""
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    workloads: Mapping[str, WorkloadState]
    beats: Mapping[str, Beat] = field(default_factory=dict)
    """Heartbeats by session name."""
    sealed: SealedTask | None = None
    """The frozen task; None if it could not be sealed."""
    problems: tuple[InputProblem, ...] = ()
    """Why it could not be sealed."""
    obstacles: tuple[Obstacle, ...] = ()
    """Obstacles of objects that could not be created. Those of waiting workloads are in `workloads`."""
    down_since: datetime | None = None
    """On the first pass of an operator: when its predecessor was last alive. That gap is not active time."""
    draining: bool = False
    """The operator is shutting down: work in progress finishes, nothing new starts."""
    watchdog: Watchdog = Watchdog()
