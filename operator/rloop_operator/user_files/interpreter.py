"""Find the Python that a command runs, and the modules that its script imports but this Python lacks.

Called by `rloop_operator.user_files.notes` before a campaign, and by the local shim after a run failed because of a
missing module. A run finds its Python in PATH. That can be another one than the Python of rloop, where users have
installed their libraries.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from rloop.errors import InputProblem
from rloop_operator.ports import Files

PYTHON = re.compile(r"python[0-9.]*")
ASK = "import importlib.util, sys; print(*(one for one in sys.argv[1:] if importlib.util.find_spec(one) is None))"
ASK_SECONDS = 20


def found(program: str, search: str | None = None) -> str | None:
    """The file that a run would start. The folder of rloop's own Python is searched last, as in the runs themselves."""
    place = os.environ.get("PATH", os.defpath) if search is None else search
    return shutil.which(program, path=os.pathsep.join([place, str(Path(sys.executable).parent)]))


def is_python(program: str) -> bool:
    """Whether the program of a command is a Python."""
    return PYTHON.fullmatch(Path(program).name) is not None


def notes(command: Sequence[str], files: Files, field: str, search: str | None = None) -> Iterator[InputProblem]:
    """A note about the first module that the command's script imports and its Python lacks."""
    if len(command) < 2 or not is_python(command[0]):
        return
    script, python = files.get(os.path.normpath(command[1])), found(command[0], search)
    wanted = _imports(script.content, files, PurePosixPath(command[1]).parent) if script is not None else []
    missing = _missing(python, wanted) if wanted and python is not None else []
    if not missing:
        return
    told = f'"{command[0]}" is {python}, which has no module "{missing[0]}" that {command[1]} imports'
    yield InputProblem(f"{field}[0]", f"{told}; {remedy(missing[0])}")


def remedy(module: str) -> str:
    """How to fix a missing module."""
    python = Path(sys.executable).with_name("python3")
    if _is_here(module):
        return f"the Python of rloop has it: PATH={python.parent}:$PATH rloop run …, or write {python} as the program"
    return "install it there, or write the path of a Python that has it as the program"


def _imports(content: bytes, files: Files, folder: PurePosixPath) -> list[str]:
    """Packages that the script imports unconditionally, without the standard library and modules beside the script."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    beside = (PurePosixPath(path) for path in files)
    own = {one.relative_to(folder).parts[0].removesuffix(".py") for one in beside if one.is_relative_to(folder)}
    names = (name.split(".")[0] for statement in tree.body for name in _named(statement))
    return [one for one in dict.fromkeys(names) if one not in own and one not in sys.stdlib_module_names]


def _named(statement: ast.stmt) -> list[str]:
    """Modules that a top-level statement imports. Imports inside `try` or `if` are optional and ignored."""
    if isinstance(statement, ast.Import):
        return [one.name for one in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        return [statement.module]
    return []


def _missing(python: str, modules: Sequence[str]) -> list[str]:
    """The modules that this Python lacks; empty if it cannot be started."""
    try:
        # The same environment as in a run: no PYTHONPATH and no user site-packages, because a run has its own home.
        asked = subprocess.run(
            [python, "-E", "-s", "-c", ASK, *modules],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return asked.stdout.split()


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.split(".", maxsplit=1)[0]) is not None
    except (ImportError, ValueError):
        return False
