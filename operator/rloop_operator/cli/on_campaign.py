"""Commands that are given a campaign, and at most an output format.

Used by `main`, which names them. A command's module is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from rloop_operator.cli.options import Context, Dir, Kubeconfig, Loop, Namespace, Output, where
from rloop_operator.cli.terminal.output import Format

if TYPE_CHECKING:  # it brings the models along, and --help must answer at once
    from rloop_operator.cli.sources.source import Source


def call_command(path: str, *arguments: object) -> None:
    """Call `module.function` of the package of commands, which is imported now."""
    module, function = path.split(".")
    getattr(import_module(f"rloop_operator.cli.commands.{module}"), function)(*arguments)


def add_view(app: typer.Typer, name: str, show: str, told: str) -> None:
    """Add a command that prints one table; `show` is `module.function` of this package, imported when it is called."""

    def command(
        context: typer.Context,
        loop: Loop = None,
        folder: Dir = None,
        namespace: Namespace = "",
        kubeconfig: Kubeconfig = "",
        cluster: Context = "",
        output: Output = Format.TABLE,
    ) -> None:
        from rloop_operator.cli.sources.choice import chosen

        with chosen(where(context, folder, namespace, kubeconfig, cluster), loop) as (source, _):
            call_command(show, source, output)

    app.command(name, help=told)(command)


def add_on_campaign(app: typer.Typer, name: str, do: Callable[[Source], None], told: str) -> None:
    """Add a command that is given a campaign, and no option of its own."""

    def command(
        context: typer.Context,
        loop: Loop = None,
        folder: Dir = None,
        namespace: Namespace = "",
        kubeconfig: Kubeconfig = "",
        cluster: Context = "",
    ) -> None:
        from rloop_operator.cli.sources.choice import chosen

        with chosen(where(context, folder, namespace, kubeconfig, cluster), loop) as (source, _):
            do(source)

    app.command(name, help=told)(command)
