"""Options that several verbs of the command line share: which campaign, in a folder or a cluster, and how to print it.

Used by `main`. What they mean together is `choice`'s business, which is imported only when a verb is called.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rloop_operator.cli.output import Format

if TYPE_CHECKING:
    from rloop_operator.cli.choice import Where

KUBECTL = object()
"""The context's object when we are started as `kubectl rloop`."""

Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Run folder on this machine.", show_default=False),
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NS", help="Namespace in a cluster.", show_default=False)
]
Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig of the cluster.", show_default=False)
]
Context = Annotated[
    str, typer.Option("--context", metavar="NAME", help="Context in the kubeconfig.", show_default=False)
]
Loop = Annotated[
    str | None,
    typer.Argument(metavar="[LOOP]", help="Name of the campaign. Optional if there is only one.", show_default=False),
]


class Target(StrEnum):
    """`--for`."""

    LOCAL = "local"
    CLUSTER = "cluster"


def target_of(given: str) -> Target:
    """Ours, as `_format` is."""
    if given not in list(Target):
        raise typer.BadParameter(f"{given!r} is none of {', '.join(Target)}")
    return Target(given)


def where(context: typer.Context, folder: Path | None, namespace: str, kubeconfig: str, cluster: str) -> Where:
    """What the options say."""
    from rloop_operator.cli.choice import Where

    return Where(folder, namespace, kubeconfig, cluster, only_cluster=context.obj is KUBECTL)


def _format(given: str) -> Format:
    """Ours and not typer's: its message about a wrong choice has words of a library in it."""
    if given not in list(Format):
        raise typer.BadParameter(f"{given!r} is none of {', '.join(Format)}")
    return Format(given)


Output = Annotated[
    Format,
    typer.Option("--output", "-o", metavar=f"[{'|'.join(Format)}]", parser=_format, help="Output format."),
]
