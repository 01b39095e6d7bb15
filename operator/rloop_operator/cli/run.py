"""`rloop run`: one campaign from its manifest to its end, shown as it goes.

Called by the command line. The campaign itself is `rloop_operator.local.campaign`'s business; here it gets a folder,
a log, somebody who shows it, and an exit code.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from rloop import standing
from rloop.admit.loop import advice, changed_frozen_fields, unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, NotFound
from rloop_operator.cli import facts, result
from rloop_operator.cli.guard import complain, crash_reports_in
from rloop_operator.cli.output import console
from rloop_operator.cli.reading import RUNS, look
from rloop_operator.local.folder import RunFolder
from rloop_operator.manifest import check_folders, load


def run(file: Path, folder: Path | None, seed: int | None, *, plain: bool) -> int:
    """Run the campaign; the exit code."""
    loop = load(file)
    base = file.absolute().parent
    layout = RunFolder.at(folder or RUNS / loop.metadata.name)
    if not layout.exists():
        _check_new(loop, base)
    elif _is_finished(layout, loop):
        return _tell_result(layout, file)
    crash_reports_in(layout.logs)
    for one in advice(loop, "local"):
        complain(f"note: {one}")
    _campaign(loop, layout, base, seed, plain=plain)
    return _tell_result(layout, file)


def _check_new(loop: ResearchLoop, base: Path) -> None:
    """Before a folder is made: a manifest that cannot run leaves nothing behind."""
    problems = [*unsupported(loop, "local"), *check_folders(loop, base)]
    if problems:
        raise BadInput(*problems)


def _is_finished(layout: RunFolder, loop: ResearchLoop) -> bool:
    """Whether the folder holds the end of this very campaign, which then has only to be told."""
    try:
        stored = look(layout.root).snapshot.loop
    except NotFound:
        return False  # made, and never accepted
    if stored.metadata.name != loop.metadata.name or not standing.finished(stored):
        return False
    changed = changed_frozen_fields(stored, loop)
    if changed:
        raise BadInput(*changed)
    return True


def _campaign(loop: ResearchLoop, layout: RunFolder, base: Path, seed: int | None, *, plain: bool) -> None:
    # Here and not above: a finished campaign is told without loading what runs one.
    from rloop_operator.cli.orchestrator_log import LoggedView, logging_to
    from rloop_operator.cli.views import LiveView, PlainView, is_plain
    from rloop_operator.local import campaign

    output = console()
    view = PlainView() if is_plain(output, asked=plain) else LiveView(output)
    view.begin(loop, layout)
    with logging_to(layout.logs / "orchestrator.jsonl"), view:
        asyncio.run(campaign.run(loop, layout.root, base, LoggedView(view), seed=seed))


def _tell_result(layout: RunFolder, file: Path) -> int:
    found = look(layout.root)
    code = facts.exit_code(found.snapshot.loop)
    print()
    result.show(found, console(), file)
    for text in result.failure(found):
        complain(text)
    return code
