"""One look at a run folder: the stored objects, whether an operator is alive, and what time it is there.

Called by every command that only reads. It works beside a running `rloop run`, and imports nothing that decides
(`rloop.decide` brings scipy along): `rloop status` must answer at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from rloop import standing
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem, NotFound
from rloop_operator.cli.words import short
from rloop_operator.local.folder import RunFolder, holder
from rloop_operator.local.store import LocalStore

NEAR = 5
"""Names that are offered instead of one that is not there."""
RUNS = Path("runs")
"""Where `rloop run` puts a campaign, below the current directory."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The campaign as it stood at one moment."""

    loop: ResearchLoop
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    now: datetime
    """When no operator is alive: when it last was, because nothing has happened since."""

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.loop.metadata.name

    @property
    def iteration(self) -> int:
        """The number of the newest iteration."""
        return max((one.spec.number for one in self.iterations.values()), default=0)

    @property
    def base_frame(self) -> Mapping[str, str]:
        """The frame that others are compared with: the first direction's."""
        tried = standing.directions(self.iterations)
        return tried[0].frame if tried else {}

    @property
    def active_seconds(self) -> float:
        """How long the campaign has been active, to this moment."""
        return standing.active_seconds(self.loop.status.clock, self.now)

    def ordered(self) -> list[ResearchExperiment]:
        """All experiments in order of their proposal, the baseline first."""
        return sorted(self.experiments.values(), key=place)

    def short(self, name: str) -> str:
        """A name without the campaign's own."""
        return short(name, self.name)


def place(experiment: ResearchExperiment) -> tuple[int, str, int]:
    """The order of proposal."""
    return experiment.spec.iteration, experiment.spec.session or "", experiment.spec.sequence


@dataclass(frozen=True, slots=True)
class Found:
    """A run folder and what stands in it."""

    folder: RunFolder
    snapshot: Snapshot
    operator: int | None
    """The pid of the operator that owns the folder now."""


def look(folder: Path | None) -> Found:
    """Read a run folder; without one, the only run below ./runs. Raises NotFound, Corrupt."""
    found = find(folder)
    with closing(LocalStore.read_only(found.root)) as store:
        return look_into(store, found)


def look_into(store: LocalStore, folder: RunFolder) -> Found:
    """The same with a store that is open already, for those who look again and again."""
    # Asked first: an operator that ends after this has written all that is read below.
    pid = holder(folder.root)
    loops = asyncio.run(_read(store))
    if not loops:
        raise NotFound(f'the run in "{folder.root}" was never accepted; start it again with rloop run')
    loop, iterations, experiments = loops[0]
    now = datetime.now(UTC)
    if pid is None:
        now = store.last_alive() or now
    return Found(
        folder,
        Snapshot(
            loop,
            {one.metadata.name: one for one in iterations},
            {one.metadata.name: one for one in experiments},
            now,
        ),
        pid,
    )


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
    """The run folder that is meant. Raises NotFound, and lists those there are."""
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
    raise NotFound(f'there are {len(below)} runs below "{RUNS}"; say which one:\n{listed}')


def folder_at(folder: Path) -> RunFolder:
    """The layout of a folder that a user named. Raises BadInput where a file stands in its place."""
    layout = RunFolder.at(folder)
    for place in (layout.root, *layout.root.parents):
        if os.path.isdir(place):  # noqa: PTH112 - Path's own raises where it may not look
            break
        if os.path.exists(place):  # noqa: PTH110
            raise BadInput(InputProblem("--dir", f'"{place}" is a file; give the folder of a run, or a new one'))
    return layout


def full_name(name: str, names: Mapping[str, object], loop: str, noun: str) -> str:
    """The one of `names` that `name` stands for, with or without the campaign's own name before it.

    Raises NotFound with the names that are near.
    """
    for wanted in (name, f"{loop}-{name}"):
        if wanted in names:
            return wanted
    raise NotFound(f'there is no {noun} "{name}"{near(name, names, loop)}')


def near(name: str, names: Mapping[str, object], loop: str) -> str:
    """`; did you mean …`, or the last ones that there are."""
    shorts = [short(one, loop) for one in names]
    close = get_close_matches(short(name, loop), shorts, n=NEAR, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; the last ones are {', '.join(shorts[-NEAR:])}" if shorts else "; there is none yet"
