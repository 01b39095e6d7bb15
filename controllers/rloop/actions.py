"""Actions that a decision may request from the shell: a closed set of frozen values.

Created by `rloop.decide`, carried out by `rloop_operator.reconcile`. Each action is idempotent, because after a crash
the shell may carry it out twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration

Role = Literal["agent", "run", "verification"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One process (tree) or pod that is run once, and never again under this name."""

    name: str
    role: Role
    owner: str
    """The iteration of an agent; the experiment of a run or a verification."""
    deadline_seconds: int
    session: str = ""
    """Name of the session, for an agent."""
    run: int = 0
    """Number of the run, for a run or a verification."""
    number: int = 1
    """Number of the attempt or the verification."""
    seed: int = 0
    place: str = ""
    """Name of the run's folder on a workspace that several runs share, for a run or a verification."""
    kind: str = ""
    """Kind of the run. A verification of a `final` run sees the final held-out data."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create one of our objects. An existing object is left unchanged."""

    object: ResearchIteration | ResearchExperiment


@dataclass(frozen=True, slots=True)
class Start:
    """Start a workload whose intent is recorded in a stored status."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a workload. Its exit is observed later."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a workload whose exit is recorded in a stored status. Its files in the workspace are kept."""

    name: str


@dataclass(frozen=True, slots=True)
class Append:
    """Append to the ledger. An entry with this key is written only once."""

    key: str
    kind: Literal["direction", "experiment", "finding", "pivot", "conclusion"]
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Nudge:
    """Send a nudge in the response to a session's next heartbeat."""

    session: str
    message: str


Action = Create | Start | Stop | Remove | Append | Nudge


@dataclass(frozen=True, slots=True)
class Event:
    """A transition, reported once, after the status that it belongs to was written."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    object: str
    """Name of the object that the event is about."""
