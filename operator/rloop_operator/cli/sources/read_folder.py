"""Read a run folder: the stored objects, whether an operator is alive, and the time of this state.

Called by `rloop run` and by the local source of the commands that only read. It also works during a `rloop run`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem, NotFound
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.local.storage import user_requests
from rloop_operator.local.storage.layout import RunFolder, holder
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads.documents import read_json
from rloop_operator.local.workloads.processes import is_alive

RUNS = Path("runs")
"""Folder below the current directory in which `rloop run` creates run folders."""


@dataclass(frozen=True, slots=True)
class Found:
    """A run folder and its content."""

    folder: RunFolder
    snapshot: Snapshot
    operator: int | None
    """The pid of the operator that owns the folder now; None if it has no owner."""


def look(folder: Path | None) -> Found:
    """Read a run folder; None: the current directory, or the only run below ./runs. Raises NotFound, Corrupt."""
    found = find(folder)
    with closing(LocalStore.read_only(found.root)) as store:
        return look_into(store, found)


def look_into(store: LocalStore, folder: RunFolder) -> Found:
    """The same as `look` with an open store, for callers that read repeatedly."""
    # Read the holder first: if the operator ends after this, the objects read below include all its writes.
    pid = holder(folder.root)
    loops = asyncio.run(_read(store))
    if not loops:
        raise NotFound(f'the run in "{folder.root}" was never accepted; start it again with rloop run')
    loop, iterations, experiments = loops[0]
    now, live = datetime.now(UTC), None
    if pid is None:
        now, live = store.last_alive() or now, _live(folder)
    return Found(
        folder,
        Snapshot(
            loop,
            {one.metadata.name: one for one in iterations},
            {one.metadata.name: one for one in experiments},
            now,
            live,
            user_requests.suspended_by_request(loop),
        ),
        pid,
    )


def _live(folder: RunFolder) -> frozenset[str]:
    """Names of the workloads whose shim is alive."""
    found = set()
    for path in folder.workloads.glob("*/shim.json"):
        shim = read_json(str(path.parent), path.name)
        if shim and not (path.parent / "exit.json").exists() and is_alive(shim["pid"], shim["start"]):
            found.add(path.parent.name)
    return frozenset(found)


Parts = tuple[ResearchLoop, list[ResearchIteration], list[ResearchExperiment]]


async def _read(store: LocalStore) -> list[Parts]:
    return [
        (
            loop,
            await store.list(ResearchIteration, loop.metadata.name),
            await store.list(ResearchExperiment, loop.metadata.name),
        )
        for loop in await store.loops()
    ]


def find(folder: Path | None) -> RunFolder:
    """The run folder `folder`; None: the current directory, or the only run below ./runs.

    Raises NotFound with a list of the existing runs.
    """
    if folder is not None:
        return folder_at(folder)
    here = RunFolder.at(Path())
    if here.exists():
        return here
    below = sorted(path.parent for path in RUNS.glob("*/loop.db"))
    if len(below) == 1:
        return RunFolder.at(below[0])
    if not below:
        raise NotFound(
            f'there is no run below "{RUNS.absolute()}";'
            " start one with rloop run LOOP.yaml, or give its folder with --dir"
        )
    listed = "\n".join(f"  --dir {path}" for path in below)
    raise NotFound(f'there are {len(below)} runs below "{RUNS}"; select one:\n{listed}')


def folder_at(folder: Path) -> RunFolder:
    """The layout of a folder that a user named. Raises BadInput if the path or one of its parents is a file."""
    layout = RunFolder.at(folder)
    for place in (layout.root, *layout.root.parents):
        if os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises without permission
            break
        if os.path.exists(place):  # noqa: PTH110
            raise BadInput(InputProblem("--dir", f'"{place}" is a file; give the folder of a run, or a new one'))
    return layout
