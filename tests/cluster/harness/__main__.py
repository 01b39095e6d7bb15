"""The harness as a command: `python3 -m tests.cluster.harness up|down|env|status|build|image|load|volumes|...`.

Called by people, make and CI, before anything is installed: it needs Python and nothing else. What a shell is to
evaluate goes to stdout, everything else to stderr.
"""

import argparse
import shlex
import sys
from pathlib import Path

from tests.cluster.harness import binaries, cluster, node, packages, paths
from tests.cluster.harness.shell import Failure, locked, say


def main() -> int:
    """Do what the command line says; 1 and one message if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.cluster.harness", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a cluster unless there is one; prints what to evaluate")
    commands.add_parser("down", help="stop what up started and remove it")
    commands.add_parser("env", help="print what to evaluate: KUBECONFIG and PATH")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("build", help="only build the programs, for example to fill the cache")
    image = commands.add_parser("image", help="build an image on the base image, and load it")
    image.add_argument("dockerfile", type=Path)
    image.add_argument("tag")
    load = commands.add_parser("load", help="load an image from an archive")
    load.add_argument("archive", type=Path)
    volumes = commands.add_parser("volumes", help="provide volumes, one for each claim that is to be made")
    volumes.add_argument("number", type=int)
    commands.add_parser("training-operator", help="install the Kubeflow training operator, for PyTorchJobs")
    arguments = parser.parse_args()
    try:
        return _do(arguments)
    except Failure as failure:
        say(str(failure))
        return 1


def _do(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            _print_environment(cluster.up())
        case "down":
            cluster.down()
        case "env":
            _print_environment(cluster.current())
        case "status":
            return _status()
        case "build":
            packages.check_host()
            with locked(paths.cache() / "lock"):
                binaries.build()
        case "image":
            cluster.current().build_image(arguments.dockerfile, arguments.tag)
        case "load":
            cluster.current().load_archive(arguments.archive)
        case "volumes":
            cluster.current().make_volumes(arguments.number)
        case "training-operator":
            cluster.current().install_training_operator()
        case _:
            raise Failure(f"no such command: {arguments.command}")
    return 0


def _print_environment(found: cluster.Cluster) -> None:
    sys.stdout.write(f"export KUBECONFIG={shlex.quote(found.kubeconfig)}\n")
    if found.own:
        sys.stdout.write(f"export PATH={shlex.quote(str(paths.state() / 'bin'))}:$PATH\n")


def _status() -> int:
    found = cluster.current()
    say(f"up: {found.kubeconfig}")
    dead = node.ended() if found.own else []
    if dead:
        say(f"ended: {', '.join(dead)} (logs: {paths.state() / 'log'})")
    return len(dead)


if __name__ == "__main__":
    sys.exit(main())
