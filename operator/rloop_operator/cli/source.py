"""Where a campaign is read from: one look at it, its files and logs, and what may be asked of it.

The verbs of the command line are written against `Source`; which one answers is chosen in `choice`. What is shown is
the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rloop_operator.cli.snapshot import Snapshot
from rloop_operator.ports import Files, Verb


@dataclass(frozen=True, slots=True)
class Operator:
    """Whether anybody works on the campaign, as far as that can be told."""

    alive: bool
    told: str


class Source(Protocol):
    """One campaign, in a run folder or in a cluster."""

    def look(self) -> Snapshot:
        """The campaign as it stands now. Raises NotFound, Corrupt."""

    def operator(self, snapshot: Snapshot) -> Operator:
        """Who works on it."""

    def files(self, name: str) -> Files:
        """Frozen files of an experiment, or of the task; none where there are none."""

    def artifacts_of(self, experiment: str, run: int, snapshot: Snapshot) -> str:
        """Where the artifacts of one of its runs lie."""

    def log_of(self, workload: str) -> str:
        """Where the whole log of a workload is."""

    def end_of_log(self, workload: str) -> str:
        """The last lines of it; empty where they cannot be read."""

    def logs(self, name: str | None, *, follow: bool, everything: bool) -> None:
        """Print what was decided, or what the workloads that `name` stands for printed."""

    def ask(self, verb: Verb) -> str:
        """Have it done; what happens next, as only this source knows. Raises Conflict, NotFound."""
