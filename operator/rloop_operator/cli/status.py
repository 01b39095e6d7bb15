"""`rloop status`: where a campaign stands, beside a running `rloop run` as well as after it.

Called by the command line. It imports nothing heavy: people call it in a loop.
"""

from __future__ import annotations

from pathlib import Path

from rloop import standing
from rloop_operator.cli import board, result, words
from rloop_operator.cli.output import Format, console, document, emit, is_rich
from rloop_operator.cli.reading import Found, look

RECENT = 5


def status(folder: Path | None, form: Format) -> None:
    """Print it."""
    found = look(folder)
    if form is not Format.TABLE:
        emit(document(found.snapshot.loop), form)
        return
    output = console()
    if is_rich(output):
        output.print(board.panel(found.snapshot))
    else:
        for text in board.plain(found.snapshot):
            print(text)
    for text in _recent(found):
        print(text)
    print(operator(found))


def operator(found: Found) -> str:
    """Whether anybody works on it."""
    where = result.shown(found.folder.root)
    if found.operator is not None:
        return f"operator     alive, process {found.operator}, in {where}"
    if standing.finished(found.snapshot.loop):
        return f"operator     none, the campaign is over; its folder is {where}"
    last = f"{found.snapshot.now:%Y-%m-%d %H:%M:%S} UTC"
    return f"operator     none since {last}: rloop run with the same manifest goes on in {where}"


def _recent(found: Found) -> list[str]:
    """The last verdicts."""
    snapshot = found.snapshot
    told = []
    for one in snapshot.loop.status.recent[-RECENT:]:
        gain = "" if one.gain is None else f", {words.number(one.gain)} over the incumbent"
        told.append(f"{snapshot.short(one.experiment)} {one.phase} ({one.reason}{gain})")
    lines = [f"{'recent' if index == 0 else '':<12} {text}" for index, text in enumerate(told)]
    return lines if found.operator is not None else []
