"""`rloop run`: run one campaign from its manifest to its end and show its progress.

Called by the command line. `rloop_operator.local.campaign` runs the campaign itself; this module provides its folder,
its log, the view and the exit code.
"""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from rloop import campaign_state, names
from rloop.admit.advice import advice
from rloop.admit.loop import changed_frozen_fields, unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem, NotFound
from rloop_operator.cli.commands.validate import provider_problems
from rloop_operator.cli.sources.read_folder import RUNS, folder_at, look
from rloop_operator.cli.terminal.exit_codes import complain, crash_reports_in
from rloop_operator.cli.terminal.output import console
from rloop_operator.cli.terminal.program import program
from rloop_operator.cli.views import facts, result
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.user_files.commands import lost_since_the_start
from rloop_operator.user_files.folders import check_folders
from rloop_operator.user_files.manifest import load
from rloop_operator.user_files.notes import folder_notes, frozen_notes
from rloop_operator.user_files.reading import Folders, read_folders


def run(file: Path, folder: Path | None, seed: int | None, *, plain: bool) -> int:
    """Run the campaign. Returns the exit code. Raises BadInput."""
    loop = load(file)
    folders = read_folders(loop, file.absolute().parent)
    layout = folder_at(folder or RUNS / loop.metadata.name)
    stored = _stored(layout, loop)
    over = stored is not None and campaign_state.finished(stored) and not campaign_state.may_go_on(stored, loop)
    if stored is None:
        _reject([*unsupported(loop, "local"), *check_folders(loop, folders), *provider_problems(loop)])
        found = [*advice(loop, "local"), *folder_notes(loop, folders)]
    else:
        if not over:
            _reject([*lost_since_the_start(loop, folders.base), *provider_problems(loop)])
        found = _ignored(stored, folders, seed)
        found += [] if campaign_state.finished(stored) else advice(loop, "local")
    for one in found:
        complain(f"note: {one}")
    left, stopped = list[str](), list[str]()
    if not over:
        crash_reports_in(layout.logs)
        command = f"{program()} run {shlex.quote(str(file))}" + (f" --dir {shlex.quote(str(folder))}" if folder else "")
        left, stopped = _campaign(loop, layout, folders, seed, plain=plain, command=command)
    return _tell_result(layout, file, left, stopped)


def _reject(problems: list[InputProblem]) -> None:
    """Called before the run folder is created or changed: an invalid manifest leaves no files. Raises BadInput."""
    if problems:
        raise BadInput(*problems)


def _stored(layout: RunFolder, loop: ResearchLoop) -> ResearchLoop | None:
    """This campaign as stored in the folder; None if it is new. Raises BadInput if frozen fields were changed.

    Also None if the folder belongs to another campaign, which `local.campaign` rejects.
    """
    if not layout.exists():
        return None
    try:
        stored = look(layout.root).snapshot.loop
    except NotFound:
        return None  # created, but never accepted
    if stored.metadata.name != loop.metadata.name:
        return None
    changed = changed_frozen_fields(stored, loop)
    if changed:
        raise BadInput(*changed)
    return stored


def _ignored(stored: ResearchLoop, folders: Folders, seed: int | None) -> list[InputProblem]:
    """Notes about changes by the user that have no effect on a started campaign."""
    sealed = stored.status.sealed
    found = [] if sealed is None else frozen_notes(stored, sealed, folders)
    if seed is not None and stored.metadata.uid != names.uid_of_seed(seed, stored.metadata.name):
        message = (
            f"the seeds were fixed when this campaign started; {seed} is ignored (use another --dir to start with it)"
        )
        found.append(InputProblem("--seed", message))
    return found


def _campaign(
    loop: ResearchLoop, layout: RunFolder, folders: Folders, seed: int | None, *, plain: bool, command: str
) -> tuple[list[str], list[str]]:
    """Run the campaign. Returns the workloads that continue in the background, and those that were stopped."""
    # Imported here, so that the result of a finished campaign is shown without loading these modules.
    from rloop_operator.cli.commands.orchestrator_log import LoggedView, logging_to
    from rloop_operator.cli.views.live import LiveView, PlainView, is_plain
    from rloop_operator.local import campaign
    from rloop_operator.local.interrupt import Interrupt

    output = console()
    view = PlainView(layout) if is_plain(output, asked=plain) else LiveView(layout, output, command)
    interrupt = Interrupt()
    try:
        with logging_to(layout.logs / "orchestrator.jsonl"), view:
            asyncio.run(campaign.run(loop, layout.root, folders, LoggedView(view), interrupt, seed=seed))
    finally:
        interrupt.disarm()
    return interrupt.left, interrupt.stopped


def _tell_result(layout: RunFolder, file: Path, left: list[str], stopped: list[str]) -> int:
    found = look(layout.root)
    code = facts.exit_code(found.snapshot.loop)
    print()
    result.show(found, console(), file, left, stopped)
    for text in result.failure(found):
        complain(text)
    return code
