"""`rloop validate`: report all problems of a manifest and of the folders it names at once.

Called by the command line. It starts nothing and writes nothing.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from rloop.admit.advice import advice
from rloop.admit.loop import unsupported
from rloop.api.agent import PROGRAMS
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.exit_codes import complain
from rloop_operator.cli.terminal.program import program
from rloop_operator.cli.views import board, facts
from rloop_operator.user_files.commands import path_of
from rloop_operator.user_files.folders import check_folders
from rloop_operator.user_files.manifest import load, load_among
from rloop_operator.user_files.notes import folder_notes
from rloop_operator.user_files.reading import read_folders
from rloop_operator.user_files.yaml_file import STANDARD_INPUT


def validate(file: Path, target: Literal["local", "cluster"]) -> None:
    """Print OK and notes. Raises BadInput with every problem.

    For a laptop these are exactly the problems for which `rloop run` would not start on this machine.
    """
    if target == "local" and file == STANDARD_INPUT:
        told = "comes from stdin, so its folders cannot be found: give the file, or add --for cluster"
        raise BadInput(InputProblem("standard input", told))
    loop, others = load_among(file) if target == "cluster" else (load(file), 0)
    if others:
        complain(f"note: not checked: {words.counted(others, 'other object')}")
    problems = unsupported(loop, target)
    folders = read_folders(loop, file.absolute().parent) if target == "local" else None
    if folders is not None:
        problems += [*check_folders(loop, folders), *provider_problems(loop)]
    if problems:
        if target == "cluster" and file != STANDARD_INPUT and any(one.field.endswith(".path") for one in problems):
            pack = f"{program()} pack {shlex.quote(str(file))}"
            complain(f"note: to check what is sent to a cluster: {pack}, then {check(file)}")
        raise BadInput(*problems)
    notes = advice(loop, target)
    if folders is not None:
        notes += folder_notes(loop, folders)
        notes += _preflight(loop, file) + _client(loop)
    for one in notes:
        complain(f"note: {one}")
    print(f"OK {summary(loop)}")


def _preflight(loop: ResearchLoop, file: Path) -> list[InputProblem]:
    """A note that the preflight was not run, with the command to run it by hand."""
    template, folder = loop.spec.experiment, loop.spec.task.path
    if template.preflight is None or folder is None:
        return []
    job = template.py_torch_job
    ranks = f"WORLD_SIZE={job.ranks} " if job is not None else ""
    by_hand = f"cd {shlex.quote(str(file.parent / folder))} && {ranks}{shlex.join(template.preflight)}"
    return [InputProblem("spec.experiment.preflight", f"was not run; run it yourself: {by_hand}")]


def _client(loop: ResearchLoop) -> list[InputProblem]:
    """A note with the version of the agent's client, or with what it prints if it does not start."""
    if loop.spec.agent.client is None:
        return []
    program = PROGRAMS[loop.spec.agent.client.name].executable
    found = shutil.which(program, path=path_of(loop.spec.agent.env)) or program
    try:
        done = subprocess.run(
            [found, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        told = words.line(done.stdout.strip() or done.stderr.strip())
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        return [InputProblem("spec.agent.client.name", f"{program} --version does not work: {error}")]
    if done.returncode != 0:
        told = f"{program} --version exits with {done.returncode}: {told}"
        return [InputProblem("spec.agent.client.name", f"{told}; start it by hand once, and mend its installation")]
    return [InputProblem("spec.agent.client.name", f"{program} --version: {told}")]


def provider_problems(loop: ResearchLoop) -> list[InputProblem]:
    """Problems of the loop's model provider on this machine. The proxy is imported only if the loop uses a model."""
    if loop.spec.agent.llm is None:
        return []
    from rloop_operator.local import llm

    return llm.problems(loop)


def check(file: Path) -> str:
    """The shell command that checks the packed campaign as a cluster gets it."""
    return f"kubectl kustomize {shlex.quote(str(file.parent))} | {program()} validate --for cluster -"


def summary(loop: ResearchLoop) -> str:
    """A summary of the campaign in one line."""
    spec = loop.spec
    return (
        f"{loop.metadata.name}: {words.goal(spec.objective)}; {facts.agent(spec.agent)}, "
        f"{spec.evaluation.baseline_runs} baseline runs, {spec.evaluation.acceptance.lower()} acceptance, "
        f"parallelism {spec.parallelism}; budget: {board.limits(spec.budget)}"
    )
