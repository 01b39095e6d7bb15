"""`rloop verify`: whether the ledger is unchanged, and whether every keep follows from the stored runs.

Called by the command line. Prints counts and the hash of the newest entry, by which a person can recognise this ledger
later; or the first thing that does not fit, with exit code 1.
"""

from __future__ import annotations

import time

import typer

from rloop.errors import Conflict
from rloop.ledger_entry import Ledger
from rloop.verify.campaign import Misfit, verify
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal.exit_codes import NOT_VERIFIED, complain

TRIES = 5
PAUSE_SECONDS = 0.2


def verified(source: Source) -> None:
    """Verify the campaign and print the result. Raises typer.Exit if it does not fit together."""
    snapshot, ledger = _same_moment(source)
    found = verify(snapshot.loop, snapshot.experiments, ledger)
    if isinstance(found, Misfit):
        complain(f"not verified: {found.told}")
        raise typer.Exit(NOT_VERIFIED)
    print(
        f"verified: {_counted(found.entries, 'entry', 'entries')}, {_counted(found.keeps, 'keep', 'keeps')} recomputed"
    )
    if found.entries:
        print(f"head {found.head}")
    if found.gone:
        names = ", ".join(map(snapshot.short, found.gone))
        print(f"Verified from the ledger only, because their objects were deleted: {names}")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _same_moment(source: Source) -> tuple[Snapshot, Ledger]:
    """The objects and the ledger of a campaign that may be running: as they were while no entry was appended."""
    before = source.ledger()
    for _ in range(TRIES):
        snapshot, after = source.look(), source.ledger()
        if after == before:
            return snapshot, after
        before = after
        time.sleep(PAUSE_SECONDS)
    raise Conflict("the ledger changed while it was read; try again in a moment")
