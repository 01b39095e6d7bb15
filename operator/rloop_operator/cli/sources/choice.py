"""Resolve the options and the name of a command to a run folder or a ResearchLoop in a cluster, and an object in it.

Called by every command that reads a campaign or sends a request to it. The rule (see `rloop --help`): --dir selects a
folder; -n, --kubeconfig or --context select a cluster; otherwise a run below ./runs is used, or a cluster if no run
has that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from rloop.errors import BadInput, InputProblem, NotFound, RloopError
from rloop_operator.cli.sources.read_folder import RUNS, find
from rloop_operator.cli.sources.run_folder import LocalSource
from rloop_operator.cli.sources.snapshot import CHILD, within
from rloop_operator.cli.sources.source import Source
from rloop_operator.local.storage.database import Database
from rloop_operator.local.storage.layout import RunFolder

if TYPE_CHECKING:
    from rloop_operator.cli.sources.cluster import ClusterSource
    from rloop_operator.cli.sources.cluster_connection import Cluster


@dataclass(frozen=True, slots=True)
class Where:
    """Values of the options that select a campaign."""

    folder: Path | None = None
    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""
    only_cluster: bool = False
    """Whether the command was started as `kubectl rloop`."""

    @property
    def names_a_cluster(self) -> bool:
        """Whether the options select a cluster."""
        return bool(self.only_cluster or self.namespace or self.kubeconfig or self.context)


@contextmanager
def chosen(where: Where, name: str | None, *, parts: bool = False) -> Iterator[tuple[Source, str | None]]:
    """Yield the selected campaign and the name of an object in it; None for the campaign itself.

    `parts`: the name may be that of an object in a campaign, for example an experiment. Raises BadInput, and NotFound
    with a list of the existing campaigns.
    """
    if where.names_a_cluster and where.folder is not None:
        told = "selects a run folder on this machine"
        told += (
            ", which kubectl rloop cannot use; remove it"
            if where.only_cluster
            else "; remove it, or remove -n, --kubeconfig and --context"
        )
        raise BadInput(InputProblem("--dir", told))
    if not where.names_a_cluster:
        local = _local(where.folder, name, parts=parts)
        if local is not None:
            layout, rest = local
            yield LocalSource(layout), rest
            return
    with ExitStack() as stack:
        try:
            in_cluster, source = _way_to_a_cluster()
            cluster = stack.enter_context(in_cluster(where.namespace, where.kubeconfig, where.context))
            loop, rest = cluster.find(name, parts=parts)
        except RloopError as error:
            if where.names_a_cluster:
                raise
            told = f"{_unknown(name or '')}. If you mean a ResearchLoop in a cluster: {error}"
            raise NotFound(told) from error
        yield source(cluster, loop), rest


def _way_to_a_cluster() -> tuple[Callable[[str, str, str], AbstractContextManager[Cluster]], type[ClusterSource]]:
    """What connects, and the source there. Imported here: their library is large and not part of the base install."""
    try:
        from rloop_operator.cli.sources.cluster import ClusterSource
        from rloop_operator.cli.sources.cluster_connection import in_cluster
    except ModuleNotFoundError as error:
        told = f"the Kubernetes library is required to access a cluster (no module {error.name})"
        raise RloopError(f"{told}: run make cli in the checkout, which installs it") from error
    return in_cluster, ClusterSource


def _local(folder: Path | None, name: str | None, *, parts: bool) -> tuple[RunFolder, str | None] | None:
    """The selected run folder and the name of an object in it; None if no run on this machine matches."""
    if name is None:
        return find(folder), None
    if folder is not None:
        layout = find(folder)
        known = _loop(layout)
        if known is None or name == known:
            return layout, None if name == known else name
        if parts:
            return layout, name
        raise NotFound(f'the run in "{layout.root}" is "{known}", not "{name}"')
    named = _named()
    found = within(name, named)
    if found is not None and (parts or found[1] is None):
        layouts = named[found[0]]
        if len(layouts) > 1:
            listed = "\n".join(f"  --dir {one.root}" for one in layouts)
            raise NotFound(f'there are {len(layouts)} runs of "{found[0]}"; select one:\n{listed}')
        return layouts[0], found[1]
    if parts and (len(named) == 1 or (named and CHILD.fullmatch(name))):
        return find(None), name  # with several runs, `find` raises NotFound and lists them
    return None


def _unknown(name: str) -> str:
    """Says where a campaign was looked for on this machine, and which ones are there. Ends without a full stop."""
    named = list(_named())
    told = f'there is no run of "{name}" in "{Path.cwd()}" or its "{RUNS}"'
    if not named:
        return f"{told}: start one with rloop run LOOP.yaml, or give its folder with --dir"
    if (found := within(name, named)) is not None:
        return f"{told}: that is an object of {found[0]}, and this command takes the name of a campaign only"
    close = get_close_matches(name, named, n=1)
    meant = f"did you mean {close[0]}? Otherwise" if close else f"use {' or '.join(named)}, or"
    return f"{told}: {meant} give its folder with --dir"


def _named() -> dict[str, list[RunFolder]]:
    """The runs in the current directory and below ./runs, by name of the campaign."""
    here = [RunFolder.at(Path()), *(RunFolder.at(path.parent) for path in sorted(RUNS.glob("*/loop.db")))]
    found: dict[str, list[RunFolder]] = {}
    for layout in here:
        loop = _loop(layout) if layout.exists() else None
        if loop is not None:
            found.setdefault(loop, []).append(layout)
    return found


def _loop(layout: RunFolder) -> str | None:
    """The name of the campaign in a run folder; None if none was accepted or the folder cannot be read."""
    try:
        with closing(Database(layout.database, read_only=True)) as database:
            row = database.row("SELECT name FROM objects WHERE kind = 'ResearchLoop'")
    except RloopError:
        return None
    return None if row is None else str(row[0])
