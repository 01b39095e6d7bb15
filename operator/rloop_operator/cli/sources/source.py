"""The protocol `Source`: read a campaign with its files and logs, and send requests to it.

The verbs of the command line are written against `Source`; `choice` selects the implementation. The output is the same
for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rloop.ledger_entry import Ledger
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.ports import Files, Verb


@dataclass(frozen=True, slots=True)
class Operator:
    """Whether an operator works on the campaign, as far as known, and an explanation."""

    alive: bool
    told: str


class Source(Protocol):
    """One campaign, in a run folder or in a cluster."""

    def look(self) -> Snapshot:
        """The current state of the campaign. Raises NotFound, Corrupt."""

    def ledger(self) -> Ledger:
        """The ledger of the campaign."""

    def operator(self, snapshot: Snapshot) -> Operator:
        """The operator that works on the campaign."""

    def files(self, name: str) -> Files:
        """Frozen files of an experiment or of the task; empty if they are missing."""

    def artifacts_of(self, experiment: str, run: int, snapshot: Snapshot) -> str:
        """The location of the artifacts of one run of an experiment, as text."""

    def log_of(self, workload: str) -> str:
        """The location of the whole log of a workload, as text."""

    def end_of_log(self, workload: str) -> str:
        """The last lines of a workload's log; empty if they cannot be read."""

    def logs(self, name: str | None, *, follow: bool, everything: bool) -> None:
        """Print the decisions; with `name`, the logs of the workloads that belong to it."""

    def ask(self, verb: Verb) -> str:
        """Send the request. Returns text about the next steps that depends on the source. Raises Conflict, NotFound."""
