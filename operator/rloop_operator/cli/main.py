"""The command `rloop`: its verbs and their options.

The console script starts `main`. Only the grammar stands here; a verb's module is imported when it is called, so that
`rloop status` and `rloop --help` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rloop.errors import RloopError
from rloop_operator.cli.guard import Commands, quiet_stdout
from rloop_operator.cli.options import (
    KUBECTL,
    Context,
    Dir,
    Kubeconfig,
    Loop,
    Namespace,
    Output,
    Target,
    target_of,
    where,
)
from rloop_operator.cli.output import Format
from rloop_operator.ports import Verb

if TYPE_CHECKING:  # it brings the models along, and --help must answer at once
    from rloop_operator.cli.source import Source

app = typer.Typer(
    name="rloop",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="Autonomous research campaigns that keep only gains that are real.\n\n"
    "run and validate take a manifest. The others take a LOOP: with --dir a run folder; with -n, --kubeconfig or "
    "--context a ResearchLoop in a cluster; without either a run here or below ./runs, else, if no run has that name, "
    "a ResearchLoop of the kubeconfig's namespace. kubectl rloop always means the cluster.",
    epilog="Exit codes: 0 target met (or done), 2 bad input, or a task that fails at its baseline, "
    "3 ended (or suspended) without the target, 130 interrupted.",
)


@app.callback(invoke_without_command=True)
def _root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"rloop {version_of('rloop')}")
        raise typer.Exit


@app.command()
def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="LOOP.yaml", help="The manifest of a ResearchLoop.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="The run folder; without it, runs/NAME.", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Fixes the seeds of a new campaign's runs.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
) -> None:
    """Run a campaign on this machine, or go on with it.

    Ctrl-C ends in order, a second one at once; the same command goes on. A finished campaign prints its result. A
    suspended one ends when what runs has ended.
    """
    from rloop_operator.cli.run import run as run_campaign

    if context.obj is KUBECTL:
        raise RloopError("run is for this machine; in a cluster a campaign starts with kubectl apply -f")
    raise typer.Exit(run_campaign(file, folder, seed, plain=plain))


def _view(name: str, show: str, told: str) -> None:
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
        from rloop_operator.cli.choice import chosen

        module, function = show.split(".")
        print_it = getattr(import_module(f"rloop_operator.cli.{module}"), function)
        with chosen(where(context, folder, namespace, kubeconfig, cluster), loop) as (source, _):
            print_it(source, output)

    app.command(name, help=told)(command)


_view("status", "status.status", "Where the campaign stands, and whether anybody works on it.")
_view("directions", "directions.directions", "The directions that were tried.")
_view(
    "findings", "directions.findings", "What was found out, with its evidence.\n\nKept gains, and statements of agents."
)


@app.command()
def experiments(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[LOOP|NAME]", help="A campaign, or one experiment in detail.", show_default=False),
    ] = None,
    folder: Dir = None,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    cluster: Context = "",
    output: Output = Format.TABLE,
    everything: Annotated[bool, typer.Option("--all", help="Also those of long ago that were not kept.")] = False,
) -> None:
    """What was tried, and what came of it.

    With the NAME of an experiment (LOOP-i0001-e1, or i0001-e1 where the loop is clear): its runs, its changes and its
    verdict. OVER INCUMBENT is the gain over the best of that time, ± half of the value's 95 % interval.
    """
    from rloop_operator.cli.choice import chosen

    with chosen(where(context, folder, namespace, kubeconfig, cluster), name, parts=True) as (source, one):
        if one is None:
            from rloop_operator.cli.experiments import experiments as show_experiments

            show_experiments(source, output, everything=everything)
        else:
            from rloop_operator.cli.detail import detail

            detail(one, source, output)


def _on_campaign(name: str, do: Callable[[Source], None], told: str) -> None:
    """Add a command that is given a campaign, and no option of its own."""

    def command(
        context: typer.Context,
        loop: Loop = None,
        folder: Dir = None,
        namespace: Namespace = "",
        kubeconfig: Kubeconfig = "",
        cluster: Context = "",
    ) -> None:
        from rloop_operator.cli.choice import chosen

        with chosen(where(context, folder, namespace, kubeconfig, cluster), loop) as (source, _):
            do(source)

    app.command(name, help=told)(command)


def _report(source: Source) -> None:
    from rloop_operator.cli.report import report

    report(source)


_on_campaign(
    "report",
    _report,
    "The campaign in one Markdown text.\n\n"
    "Its numbers, what was found with its evidence, and what was tried. It may be asked for at any time.",
)


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[LOOP|NAME]",
            help="A campaign (what was decided), or a session, experiment, run, attempt or verification of one.",
            show_default=False,
        ),
    ] = None,
    folder: Dir = None,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    cluster: Context = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Of a campaign also what was started and stopped, not only decisions.")
    ] = False,
) -> None:
    """What was decided, or with NAME what a workload printed.

    In a cluster: the campaign's Events, or the logs of its pods; of a pod that is gone, the end that the status keeps.
    """
    from rloop_operator.cli.choice import chosen

    with chosen(where(context, folder, namespace, kubeconfig, cluster), name, parts=True) as (source, one):
        source.logs(one, follow=follow, everything=everything)


def _verb(verb: Verb, told: str) -> None:
    """Add a verb of the director."""

    def ask(source: Source) -> None:
        from rloop_operator.cli.verbs import act

        act(verb, source)

    _on_campaign(verb, ask, told)


_verb(
    "suspend",
    "Start nothing new until it is resumed.\n\n"
    "What runs finishes, or stops by spec.suspendPolicy. A rloop run on this machine then ends with exit code 3.",
)
_verb("resume", "Let a suspended campaign go on.\n\nOn this machine the next rloop run does.")
_verb(
    "pivot",
    "Demand that the frame changes.\n\n"
    "The next direction must change the method, not a number: what a plateau demands by itself.",
)


@app.command()
def validate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest of a ResearchLoop; - reads stdin.")],
    target: Annotated[
        Target | None,
        typer.Option(
            "--for",
            metavar="[local|cluster]",
            parser=target_of,
            help="Where it is to run: local, or with kubectl rloop cluster.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check a manifest and the folders that it names.

    Every problem is told at once. What is allowed and probably not meant is a note.
    """
    from rloop_operator.cli.validate import validate as check

    usual = Target.CLUSTER if context.obj is KUBECTL else Target.LOCAL
    check(file, (target or usual).value)


@app.command()
def pack(
    file: Annotated[Path, typer.Argument(metavar="LOOP.yaml", help="The manifest of a ResearchLoop.")],
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="What runs the command; without it, the manifest says.", show_default=False),
    ] = None,
) -> None:
    """Pack a campaign's folders for a cluster.

    Writes kustomization.yaml beside the manifest, which stays as it is: kubectl apply -k then brings the files along.
    """
    from rloop_operator.cli.pack import pack as write_pack

    write_pack(file, image)


def main() -> None:
    """Run the command line."""
    _start("rloop", None)


def kubectl() -> None:
    """The same as `kubectl rloop`: kubectl finds the program kubectl-rloop in PATH."""
    _start("kubectl rloop", KUBECTL)


def _start(name: str, mode: object) -> None:
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no ± is no reason to fail.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    try:
        app(prog_name=name, obj=mode)
    except BrokenPipeError:
        quiet_stdout()
