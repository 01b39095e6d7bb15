"""The command `rloop`: its verbs and their options.

The console script starts `main`. Only the grammar stands here; a verb's module is imported when it is called, so that
`rloop status` and `rloop --help` answer at once.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rloop_operator.cli.guard import Commands, quiet_stdout
from rloop_operator.cli.output import Format

app = typer.Typer(
    name="rloop",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="Autonomous research campaigns that keep only gains that are real.",
    epilog="Exit codes: 0 target met (or done), 2 bad input, or a task that fails at its baseline, "
    "3 ended (or suspended) without the target, 130 interrupted.",
)

Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="The run folder; without it, the only one below ./runs."),
]


def _format(given: str) -> Format:
    """Ours and not typer's: its message about a wrong choice has words of a library in it."""
    if given not in list(Format):
        raise typer.BadParameter(f"{given!r} is none of {', '.join(Format)}")
    return Format(given)


Output = Annotated[
    Format,
    typer.Option("--output", "-o", metavar=f"[{'|'.join(Format)}]", parser=_format, help="How it is printed."),
]


class Target(StrEnum):
    """`--for`."""

    LOCAL = "local"
    CLUSTER = "cluster"


def _target(given: str) -> Target:
    if given not in list(Target):
        raise typer.BadParameter(f"{given!r} is none of {', '.join(Target)}")
    return Target(given)


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
    file: Annotated[Path, typer.Argument(metavar="LOOP.yaml", help="The manifest of a ResearchLoop.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="The run folder; without it, runs/NAME.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Makes the seeds of a new campaign the same every time.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
) -> None:
    """Run a campaign on this machine, or go on with it.

    Ctrl-C ends in order, a second one at once; the same command goes on. A finished campaign prints its result. A
    suspended one ends when what runs has ended.
    """
    from rloop_operator.cli.run import run as run_campaign

    raise typer.Exit(run_campaign(file, folder, seed, plain=plain))


@app.command()
def status(folder: Dir = None, output: Output = Format.TABLE) -> None:
    """Where the campaign stands."""
    from rloop_operator.cli.status import status as show_status

    show_status(folder, output)


@app.command()
def experiments(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One experiment in detail.", show_default=False)
    ] = None,
    folder: Dir = None,
    output: Output = Format.TABLE,
    everything: Annotated[bool, typer.Option("--all", help="Also those of long ago that were not kept.")] = False,
) -> None:
    """What was tried, and what came of it.

    With NAME, one experiment: its runs, its changes and its verdict. OVER INCUMBENT is the gain over the best of that
    time, ± half of the value's 95 % interval.
    """
    if name is None:
        from rloop_operator.cli.experiments import experiments as show_experiments

        show_experiments(folder, output, everything=everything)
    else:
        from rloop_operator.cli.detail import detail

        detail(name, folder, output)


@app.command()
def directions(folder: Dir = None, output: Output = Format.TABLE) -> None:
    """The directions that were tried."""
    from rloop_operator.cli.directions import directions as show_directions

    show_directions(folder, output)


@app.command()
def findings(folder: Dir = None, output: Output = Format.TABLE) -> None:
    """What was found out, with its evidence.

    Kept gains, and statements of agents.
    """
    from rloop_operator.cli.directions import findings as show_findings

    show_findings(folder, output)


@app.command()
def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A session, experiment, run, attempt or verification; without it, the orchestrator.",
            show_default=False,
        ),
    ] = None,
    folder: Dir = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the campaign ends.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Without NAME: also what was started and stopped, not only decisions.")
    ] = False,
) -> None:
    """What was decided, or with NAME what a workload printed."""
    from rloop_operator.cli.logs import show_logs

    show_logs(name, folder, follow=follow, everything=everything)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest of a ResearchLoop.")],
    target: Annotated[
        Target, typer.Option("--for", metavar="[local|cluster]", parser=_target, help="Where it is to run.")
    ] = Target.LOCAL,
) -> None:
    """Check a manifest and the folders that it names.

    Every problem is told at once. What is allowed and probably not meant is a note.
    """
    from rloop_operator.cli.validate import validate as check

    check(file, target.value)


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
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no ± is no reason to fail.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    try:
        app()
    except BrokenPipeError:
        quiet_stdout()
