"""Which campaign is meant: a run folder here or a ResearchLoop in a cluster, and what in it.

Called by every command that reads or asks. The rule, which `rloop --help` tells: --dir is a folder; -n, --kubeconfig
and --context are a cluster; else a run below ./runs, and a cluster for a name that no run here has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rloop.errors import BadInput, InputProblem, NotFound, RloopError
from rloop_operator.cli.local_source import LocalSource
from rloop_operator.cli.reading import RUNS, find
from rloop_operator.cli.snapshot import CHILD, within
from rloop_operator.cli.source import Source
from rloop_operator.local.database import Database
from rloop_operator.local.folder import RunFolder

if TYPE_CHECKING:
    from rloop_operator.cli.cluster_source import Cluster


@dataclass(frozen=True, slots=True)
class Where:
    """What the options say."""

    folder: Path | None = None
    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""
    only_cluster: bool = False
    """As `kubectl rloop`."""

    @property
    def names_a_cluster(self) -> bool:
        """Whether a cluster was asked for."""
        return bool(self.only_cluster or self.namespace or self.kubeconfig or self.context)


@contextmanager
def chosen(where: Where, name: str | None, *, parts: bool = False) -> Iterator[tuple[Source, str | None]]:
    """The campaign, and what of it is meant; None for the campaign itself.

    `parts`: the name may be of something in it, an experiment say. Raises NotFound, and lists what there is.
    """
    if where.names_a_cluster and where.folder is not None:
        told = "is a run folder on this machine; leave it out"
        told += " with kubectl rloop" if where.only_cluster else ", or leave out -n, --kubeconfig and --context"
        raise BadInput(InputProblem("--dir", told))
    if not where.names_a_cluster:
        local = _local(where.folder, name, parts=parts)
        if local is not None:
            layout, rest = local
            yield LocalSource(layout), rest
            return
    with ExitStack() as stack:
        try:
            in_cluster = _way_to_a_cluster()
            cluster = stack.enter_context(in_cluster(where.namespace, where.kubeconfig, where.context))
            loop, rest = cluster.find(name, parts=parts)
        except RloopError as error:
            if where.names_a_cluster:
                raise
            runs = ", ".join(_named()) or "none"
            told = f'there is no run "{name}" on this machine (here and below "{RUNS}": {runs}), and {error}'
            raise NotFound(told) from error
        yield cluster.source(loop), rest


def _way_to_a_cluster() -> Callable[[str, str, str], AbstractContextManager[Cluster]]:
    """The function that connects; its library is large, and no part of the base install."""
    try:
        from rloop_operator.cli.cluster_source import in_cluster
    except ModuleNotFoundError as error:
        told = f"a cluster cannot be asked without the Kubernetes library (no module {error.name})"
        raise RloopError(f"{told}: run make cli in the checkout, which installs it") from error
    return in_cluster


def _local(folder: Path | None, name: str | None, *, parts: bool) -> tuple[RunFolder, str | None] | None:
    """The run folder that is meant, and what of it; None: none of this machine's."""
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
            raise NotFound(f'there are {len(layouts)} runs of "{found[0]}"; say which one:\n{listed}')
        return layouts[0], found[1]
    if parts and (len(named) == 1 or (named and CHILD.fullmatch(name))):
        return find(None), name  # several: it says so
    return None


def _named() -> dict[str, list[RunFolder]]:
    """The runs here and below ./runs, by the campaign's name."""
    here = [RunFolder.at(Path()), *(RunFolder.at(path.parent) for path in sorted(RUNS.glob("*/loop.db")))]
    found: dict[str, list[RunFolder]] = {}
    for layout in here:
        loop = _loop(layout) if layout.exists() else None
        if loop is not None:
            found.setdefault(loop, []).append(layout)
    return found


def _loop(layout: RunFolder) -> str | None:
    """The name of the campaign in a run folder; None where none was accepted, or nobody can read it."""
    try:
        with closing(Database(layout.database, read_only=True)) as database:
            row = database.row("SELECT name FROM objects WHERE kind = 'ResearchLoop'")
    except RloopError:
        return None
    return None if row is None else str(row[0])
