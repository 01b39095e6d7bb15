"""Whether a command of the manifest can be started in a copy of its folder: its program, and the script it is to run.

Called by `rloop_operator.folders` for what is surely wrong, and by `rloop_operator.notes` for what probably is; the
local shell asks which files an agent's command means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from rloop.errors import InputProblem
from rloop_operator import interpreter
from rloop_operator.ports import Files

SCRIPTS = frozenset({".awk", ".bash", ".jl", ".js", ".lua", ".mjs", ".php", ".pl", ".py", ".r", ".rb", ".sh", ".ts"})
INTERPRETER = re.compile(r"(python|pypy|(ba|da|k|z)?sh|perl|ruby|node|Rscript|julia|lua|php)[0-9.]*")
"""What takes the first word behind it for the script, when that is no option."""


def problems(command: Sequence[str], files: Files, field: str, search: str | None) -> list[InputProblem]:
    """What is surely wrong. `search` is the command's own PATH, where it has one."""
    found = _program(command[0], files, f"{field}[0]", search)
    return found or [problem for certain, problem in _scripts(command, files, field) if certain]


def beside(command: Sequence[str], base_dir: Path) -> list[str]:
    """An agent's command as this machine runs it: a word that begins with ./ is a file beside the manifest.

    In a cluster the same word is a file in the working directory of the agent's image: so one manifest serves both.
    """
    return [str((base_dir / word).resolve()) if word.startswith("./") else word for word in command]


def of_an_agent(command: Sequence[str], base_dir: Path, field: str) -> list[InputProblem]:
    """What is surely wrong with the command of an agent of the user's own, which runs in an empty folder."""
    found = []
    for index, word in enumerate(command):
        there, meant = (base_dir / word).is_file(), word.startswith("./")
        if Path(word).suffix.lower() not in SCRIPTS or word.startswith("/") or there == meant:
            continue
        told = f'there is no "{word}" beside the manifest; put it there, or mend the path'
        if there:
            told = f'for the file beside the manifest write "./{word}"'
        found.append(InputProblem(f"{field}[{index}]", told))
    return found or problems(beside(command, base_dir), {}, field, None)


def notes(command: Sequence[str], files: Files, field: str) -> list[InputProblem]:
    """What is probably wrong: it may also be a file that the program is to write."""
    return [problem for certain, problem in _scripts(command, files, field) if not certain]


def _scripts(command: Sequence[str], files: Files, field: str) -> Iterator[tuple[bool, InputProblem]]:
    """Words that look like a script which is not there, and whether the program surely wants to read it."""
    for index, word in enumerate(command[1:], start=1):
        if Path(word).suffix.lower() not in SCRIPTS or word.startswith(("-", "~")) or set(word) & set("$*= "):
            continue
        name = os.path.normpath(word)
        if name in files or (name.startswith("/") and Path(name).is_file()):
            continue
        close = get_close_matches(name, files, n=1, cutoff=0.6)
        remedy = f'did you mean "{close[0]}"?' if close else "put it there, or mend the path"
        where = "on this machine" if name.startswith("/") else "in the folder in which the command runs"
        certain = index == 1 and INTERPRETER.fullmatch(Path(command[0]).name) is not None
        yield certain, InputProblem(f"{field}[{index}]", f'there is no "{word}" {where}; {remedy}')


def _program(program: str, files: Files, field: str, search: str | None) -> list[InputProblem]:
    """Whether the command's program can be started in a copy of the folder."""
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
        return [InputProblem(field, f'"{program}" is no program in PATH; for the file beside it write "./{program}"')]
    remedy = "install it, or give a path in the folder such as ./run.sh"
    if " " in program:
        remedy = f"write each word as its own item: {program.split()}"
    return [InputProblem(field, f'there is no program "{program}" in PATH; {remedy}')]
