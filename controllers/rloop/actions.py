"""What a decision may ask the shell to do: a closed set of frozen values.

Made by `rloop.decide`, carried out by `rloop_operator.reconcile`. Each is idempotent, because a crash may make the
shell carry it out twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration

Role = Literal["agent", "run", "verification"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One process (tree) or pod that is to run once, and never again under this name."""

    name: str
    role: Role
    owner: str
    """The iteration of an agent, the experiment of a run or a verification."""
    deadline_seconds: int
    session: str = ""
    """Of an agent."""
    run: int = 0
    """Of a run or a verification: the run's number."""
    number: int = 1
    """Of the attempt or the verification."""
    seed: int = 0
    place: str = ""
    """Of a run or a verification: the name of the run's folder on a workspace that several runs share."""
    kind: str = ""
    """The run's kind; a verification of a `final` run sees the final held-out data."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object of ours, once; one that exists already is left as it is."""

    object: ResearchIteration | ResearchExperiment


@dataclass(frozen=True, slots=True)
class Start:
    """Start a workload whose intent stands in a stored status."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class Stop:
    """End a workload; its exit is observed later."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget a workload whose exit stands in a stored status; what it left in the workspace stays."""

    name: str


@dataclass(frozen=True, slots=True)
class Append:
    """Append to the ledger; an entry with this key is written once."""

    key: str
    kind: Literal["direction", "experiment", "finding", "pivot", "conclusion"]
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Nudge:
    """Answer a session's next beat with a nudge."""

    session: str
    message: str


Action = Create | Start | Stop | Remove | Append | Nudge


@dataclass(frozen=True, slots=True)
class Event:
    """A transition, told once, after the status that it belongs to was written."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    object: str
    """Name of the object that it is about."""
