"""The command `rloop`: its verbs and their options.

The console script starts `main`. Only the grammar is here; a verb's module is imported when it is called, so that
`rloop status` and `rloop --help` answer at once.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rloop.errors import RloopError
from rloop_operator.cli.on_campaign import add_on_campaign, add_view, call_command
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
from rloop_operator.cli.terminal.exit_codes import Commands, quiet_stdout
from rloop_operator.cli.terminal.output import Format
from rloop_operator.ports import Verb

app = typer.Typer(
    name="rloop",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="Run autonomous research campaigns that keep only verified gains.\n\n"
    "run, validate and pack take a manifest. All other commands take a campaign: --dir selects a run folder; -n, "
    "--kubeconfig or --context select a ResearchLoop in a cluster. Without these options the run in the current folder "
    "or below ./runs is used, or else the ResearchLoop of that name. kubectl rloop always uses the cluster.",
    epilog="Exit codes: 0 target met (or done), 1 not verified, 2 invalid input or a failed baseline, 3 ended "
    "(or suspended) without the target, 130 interrupted.",
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
    file: Annotated[Path, typer.Argument(metavar="LOOP.yaml", help="Manifest of a ResearchLoop.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Run folder. Default: runs/NAME.", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Determines the seeds of a new campaign's runs.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print lines instead of a live view.")] = False,
) -> None:
    """Start or continue a campaign on this machine.

    Ctrl-C stops the campaign cleanly, a second Ctrl-C immediately; the same command continues it. For a finished
    campaign the result is printed. A suspended campaign ends when its work in progress has ended.
    """
    from rloop_operator.cli.commands.run import run as run_campaign

    if context.obj is KUBECTL:
        raise RloopError("rloop run runs a campaign on this machine; in a cluster, start one with kubectl apply -f")
    raise typer.Exit(run_campaign(file, folder, seed, plain=plain))


add_view(app, "status", "status.status", "Show the state of a campaign and of its operator.")
add_view(app, "directions", "directions.directions", "List the directions and frames.")
add_view(
    app,
    "findings",
    "directions.findings",
    "List the findings with their evidence.\n\nKept gains, and statements of agents.",
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
    everything: Annotated[bool, typer.Option("--all", help="Also list old experiments that were not kept.")] = False,
) -> None:
    """List the experiments, or show one in detail.

    NAME is LOOP-i0001-e1, or i0001-e1 if the campaign is clear; it shows runs, changes and verdict. VALUE is what it
    was judged on, RUNS the number of runs behind it, ± half of its 95 % confidence interval, GAIN the gain over the
    incumbent of that time, which OVER names.
    """
    from rloop_operator.cli.sources.choice import chosen

    with chosen(where(context, folder, namespace, kubeconfig, cluster), name, parts=True) as (source, one):
        if one is None:
            from rloop_operator.cli.commands.experiments import experiments as show_experiments

            show_experiments(source, output, everything=everything)
        else:
            from rloop_operator.cli.commands.detail import detail

            detail(one, source, output)


add_on_campaign(
    app,
    "report",
    partial(call_command, "report.report"),
    "Print a report of the campaign in Markdown.\n\n"
    "Numbers, findings with their evidence, and experiments. Available at any time.",
)
add_on_campaign(
    app,
    "verify",
    partial(call_command, "verify.verified"),
    "Verify the ledger, and recompute every keep.\n\n"
    "Prints the first mismatch, with exit code 1. Keep the printed head to recognise the ledger later.",
)


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[LOOP|NAME]",
            help="A campaign, or one of its sessions, experiments, runs, attempts or verifications.",
            show_default=False,
        ),
    ] = None,
    folder: Dir = None,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    cluster: Context = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until it ends.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also print starts and stops of workloads, not only decisions.")
    ] = False,
) -> None:
    """Print decisions, or the output of a workload.

    In a cluster: Events of the campaign, or logs of its pods. If a pod is gone, the end of its log is shown.
    """
    from rloop_operator.cli.sources.choice import chosen

    with chosen(where(context, folder, namespace, kubeconfig, cluster), name, parts=True) as (source, one):
        source.logs(one, follow=follow, everything=everything)


def _verb(verb: Verb, told: str) -> None:
    """Add a verb of the director."""
    add_on_campaign(app, verb, partial(call_command, "steering.act", verb), told)


_verb(
    "suspend",
    "Suspend a campaign: start nothing new.\n\n"
    "Work in progress finishes or is stopped (spec.suspendPolicy). rloop run then ends with exit code 3.",
)
_verb("resume", "Resume a suspended campaign.\n\nOn this machine it continues with the next rloop run.")
_verb(
    "pivot",
    "Force a pivot: the next direction must change the frame.\n\nThe same happens automatically after a plateau.",
)


@app.command()
def mcp(
    loop: Loop = None,
    folder: Dir = None,
    *,
    join: Annotated[bool, typer.Option("--join", help="Take the next sessions of a running campaign.")] = False,
) -> None:
    """Let your own agent take sessions, over MCP.

    A coding agent starts `rloop mcp --join --dir DIR` as an MCP server over stdio, in the folder in which it works. Its
    tool take_session waits for the next session of the campaign that rloop run works on.
    """
    from rloop_operator.cli.commands.mcp import join as take_sessions

    if not join:
        raise typer.BadParameter("give --join: the tools of a session that rloop has started are served by the agent")
    take_sessions(folder, loop)


@app.command()
def validate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Manifest of a ResearchLoop; - reads stdin.")],
    target: Annotated[
        Target | None,
        typer.Option(
            "--for",
            metavar="[local|cluster]",
            parser=target_of,
            help="Where the campaign will run. Default: local; kubectl rloop: cluster.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check a manifest and the folders that it refers to.

    All problems of the fields are listed at once, then all of the folders and programs. Notes are warnings about
    values that are valid but probably unintended.
    """
    from rloop_operator.cli.commands.validate import validate as check

    usual = Target.CLUSTER if context.obj is KUBECTL else Target.LOCAL
    check(file, (target or usual).value)


@app.command()
def pack(
    file: Annotated[Path, typer.Argument(metavar="LOOP.yaml", help="Manifest of a ResearchLoop.")],
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Image of the runs. Default: that in the manifest.", show_default=False),
    ] = None,
) -> None:
    """Package a campaign with its folders for a cluster.

    Writes kustomization.yaml next to the manifest, which is not changed. kubectl apply -k then applies it.
    """
    from rloop_operator.cli.commands.pack import pack as write_pack

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
