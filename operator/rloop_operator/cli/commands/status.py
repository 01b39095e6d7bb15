"""`rloop status`: the state of a campaign, during `rloop run`, after it, or in a cluster.

Called by the command line. It imports nothing that loads slowly, because users call it in a loop.
"""

from __future__ import annotations

from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal.output import Format, console, document, emit, is_rich
from rloop_operator.cli.views import board, facts

RECENT = 5


def status(source: Source, form: Format) -> None:
    """Print the state, or the loop as JSON or YAML."""
    snapshot = source.look()
    if form is not Format.TABLE:
        emit(document(snapshot.loop), form)
        return
    operator = source.operator(snapshot)
    output = console()
    if is_rich(output):
        output.print(board.panel(snapshot))
    else:
        for text in board.plain(snapshot):
            print(text)
    for text in _recent(snapshot) if operator.alive else []:
        print(text)
    print(f"{'operator':<12} {operator.told}")


def _recent(snapshot: Snapshot) -> list[str]:
    """The last verdicts."""
    told = []
    for one in snapshot.loop.status.recent[-RECENT:]:
        experiment = snapshot.experiments.get(one.experiment)
        gain = facts.over_incumbent(experiment, snapshot) if experiment is not None else ""
        gain = f", {gain}" if gain else ""
        told.append(f"{snapshot.short(one.experiment)} {one.phase} ({one.reason}{gain})")
    return [f"{'recent' if index == 0 else '':<12} {text}" for index, text in enumerate(told)]
