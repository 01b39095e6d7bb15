"""Options shared by several verbs of the command line: which campaign, in a folder or a cluster, and the output format.

Used by `main`. `choice` interprets their combination and is imported only when a verb is called.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rloop_operator.cli.terminal.output import Format

if TYPE_CHECKING:
    from rloop_operator.cli.sources.choice import Where

KUBECTL = object()
"""The context's object if the command was started as `kubectl rloop`."""

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
    """Values of `--for`."""

    LOCAL = "local"
    CLUSTER = "cluster"


def target_of(given: str) -> Target:
    """Parse `--for`, with our own error message, like `_format`."""
    if given not in list(Target):
        raise typer.BadParameter(f"{given!r} is not one of {', '.join(Target)}")
    return Target(given)


def where(context: typer.Context, folder: Path | None, namespace: str, kubeconfig: str, cluster: str) -> Where:
    """The values of the options as a `Where`."""
    from rloop_operator.cli.sources.choice import Where

    return Where(folder, namespace, kubeconfig, cluster, only_cluster=context.obj is KUBECTL)


def _format(given: str) -> Format:
    """Parse `-o`. Not typer's parser, whose error message about an invalid choice contains library terms."""
    if given not in list(Format):
        raise typer.BadParameter(f"{given!r} is not one of {', '.join(Format)}")
    return Format(given)


Output = Annotated[
    Format,
    typer.Option("--output", "-o", metavar=f"[{'|'.join(Format)}]", parser=_format, help="Output format."),
]
