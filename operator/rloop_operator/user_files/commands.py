"""Check that a command of the manifest can start in a copy of its folder: its program, and the script that it runs.

Called by `rloop_operator.user_files.folders` for definite errors and by `rloop_operator.user_files.notes` for probable
ones, and by `rloop run` before it continues a campaign. The local shell calls `beside` to resolve the files in an
agent's command.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from rloop.api.agent import PROGRAMS, Agent, AgentEnvVar
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import EnvVar
from rloop.errors import InputProblem
from rloop_operator.ports import Files
from rloop_operator.user_files import interpreter

SCRIPTS = frozenset({".awk", ".bash", ".jl", ".js", ".lua", ".mjs", ".php", ".pl", ".py", ".r", ".rb", ".sh", ".ts"})
INTERPRETER = re.compile(r"(python|pypy|(ba|da|k|z)?sh|perl|ruby|node|Rscript|julia|lua|php)[0-9.]*")
"""Programs that run their first argument as a script, unless it is an option."""


def problems(command: Sequence[str], files: Files, field: str, search: str | None) -> list[InputProblem]:
    """Definite errors of the command. `search` is the command's own PATH; None: the PATH of this process."""
    found = _program(command[0], files, f"{field}[0]", search)
    return found or [problem for certain, problem in _scripts(command, files, field) if certain]


def beside(command: Sequence[str], base_dir: Path) -> list[str]:
    """An agent's command for this machine: a word that begins with ./ is resolved to a file beside the manifest.

    In a cluster the same word is a file in the working directory of the agent's image, so one manifest works for both.
    """
    return [str((base_dir / word).resolve()) if word.startswith("./") else word for word in command]


def lost_since_the_start(loop: ResearchLoop, base_dir: Path) -> list[InputProblem]:
    """What the next session or run needs of this machine, and what is not there; the sealed files need no check."""
    spec, found = loop.spec, of_an_agent(loop.spec.agent, base_dir)
    for field, command, search in (
        ("spec.experiment.command", spec.experiment.command, path_of(spec.experiment.env)),
        ("spec.evaluation.command", spec.evaluation.command, None),
    ):
        if command[0].startswith("/") or "/" not in command[0]:
            found += _program(command[0], {}, f"{field}[0]", search)
    return found


def path_of(variables: Sequence[EnvVar | AgentEnvVar]) -> str | None:
    """PATH among the variables of a manifest; None if it is not set there."""
    return next((one.value for one in variables if one.name == "PATH"), None)


def of_an_agent(agent: Agent, base_dir: Path) -> list[InputProblem]:
    """What a session needs of this machine, and what is not there: a program, or a variable of its environment."""
    found = [
        InputProblem(f"spec.agent.env[{index}].fromEnv", f"{one.from_env} is not set in your environment: export it")
        for index, one in enumerate(agent.env)
        if one.from_env is not None and one.from_env not in os.environ
    ]
    search = path_of(agent.env)
    if agent.command is not None:
        found += _of_own_agent(agent.command, base_dir, "spec.agent.command", search)
    if agent.client is not None:
        program = PROGRAMS[agent.client.name]
        if shutil.which(program.executable, path=search) is None:
            where = "PATH" if search is None else f"the PATH of spec.agent.env, {search}"
            told = f"there is no {program.executable} in {where}; install it: npm install -g {program.package}"
            found.append(InputProblem("spec.agent.client.name", told))
    return found


def _of_own_agent(command: Sequence[str], base_dir: Path, field: str, search: str | None) -> list[InputProblem]:
    """Definite errors in the command of a user's own agent, which runs in an empty folder."""
    found = []
    for index, word in enumerate(command):
        there, meant = (base_dir / word).is_file(), word.startswith("./")
        if Path(word).suffix.lower() not in SCRIPTS or word.startswith("/") or there == meant:
            continue
        told = f'there is no "{word}" next to the manifest; put it there, or correct the path'
        if there:
            told = f'for the file next to the manifest write "./{word}"'
        found.append(InputProblem(f"{field}[{index}]", told))
    return found or problems(beside(command, base_dir), {}, field, search)


def notes(command: Sequence[str], files: Files, field: str) -> list[InputProblem]:
    """Probable errors: missing scripts, which may also be files that the program will write."""
    return [problem for certain, problem in _scripts(command, files, field) if not certain]


def _scripts(command: Sequence[str], files: Files, field: str) -> Iterator[tuple[bool, InputProblem]]:
    """A pair for each word that is a missing script: whether the program definitely reads it, and the problem."""
    for index, word in enumerate(command[1:], start=1):
        if Path(word).suffix.lower() not in SCRIPTS or word.startswith(("-", "~")) or set(word) & set("$*= "):
            continue
        name = os.path.normpath(word)
        if name in files or (name.startswith("/") and Path(name).is_file()):
            continue
        close = get_close_matches(name, files, n=1, cutoff=0.6)
        remedy = f'did you mean "{close[0]}"?' if close else "put it there, or correct the path"
        where = "on this machine" if name.startswith("/") else "in the folder in which the command runs"
        certain = index == 1 and INTERPRETER.fullmatch(Path(command[0]).name) is not None
        yield certain, InputProblem(f"{field}[{index}]", f'there is no "{word}" {where}; {remedy}')


def _program(program: str, files: Files, field: str, search: str | None) -> list[InputProblem]:
    """Why the command's program cannot be started in a copy of the folder; empty if it can."""
    if not program.strip():
        return [InputProblem(field, "is empty; the first word of a command is the program")]
    if program.startswith("/"):
        if os.access(program, os.X_OK) and Path(program).is_file():
            return []
        return [InputProblem(field, f'there is no executable program "{program}" on this machine')]
    if "/" in program:
        name = os.path.normpath(program)
        if name not in files:
            return [InputProblem(field, f'"{name}" is not in the folder in which the command runs')]
        if not files[name].executable:
            return [InputProblem(field, f'"{name}" is not executable: chmod +x, or start it with its interpreter')]
        return []
    if interpreter.found(program, search):
        return []
    if program in files:
        return [
            InputProblem(field, f'"{program}" is not a program in PATH; for the file in the folder write "./{program}"')
        ]
    remedy = "install it, or give a path in the folder such as ./run.sh"
    if " " in program:
        remedy = f"write each word as its own item: {program.split()}"
    return [InputProblem(field, f'there is no program "{program}" in PATH; {remedy}')]
