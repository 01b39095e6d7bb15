"""Check that a command of the manifest can start in a copy of its folder: its program, and the script that it runs.

Called by `rloop_operator.user_files.folders` for definite errors and by `rloop_operator.user_files.notes` for probable
ones. The local shell calls `beside` to resolve the files in an agent's command.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from rloop.api.agent import PROGRAMS, Agent
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


def of_an_agent(command: Sequence[str], base_dir: Path, field: str) -> list[InputProblem]:
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
    return found or problems(beside(command, base_dir), {}, field, None)


def of_a_client(agent: Agent) -> list[InputProblem]:
    """Why the agent's client, or a variable of its environment, is not there on this machine."""
    found = [
        InputProblem(f"spec.agent.env[{index}].fromEnv", f"{one.from_env} is not set in your environment: export it")
        for index, one in enumerate(agent.env)
        if one.from_env is not None and one.from_env not in os.environ
    ]
    if agent.client is not None and shutil.which((program := PROGRAMS[agent.client.name]).executable) is None:
        told = f"there is no {program.executable} in PATH; install it: npm install -g {program.package}"
        found.append(InputProblem("spec.agent.client.name", told))
    return found


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
