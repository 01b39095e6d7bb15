"""The name of this program in commands that a person can paste.

Called wherever a command is suggested. `make demo` installs `.venv/bin/rloop`, which is not in PATH, so the name alone
would not work.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from rloop_operator.cli.terminal import words

MODULE = "rloop_operator.cli"


def program() -> str:
    """`rloop` if a shell finds it under this name, else its path; `python -m rloop_operator.cli` if started so."""
    started = sys.argv[0]
    match Path(started).name:
        case "__main__.py":
            return f"{_typed(sys.orig_argv[0])} -m {MODULE}"
        case "kubectl-rloop":
            return "kubectl rloop"
        case "rloop" if "/" in started and not _found_by_name(started):
            return _typed(started)
        case _:
            return "rloop"


def _found_by_name(started: str) -> bool:
    """Whether a shell finds this very file by its name. The kernel gives a script its whole path then, too."""
    found = shutil.which(Path(started).name)
    return found is not None and os.path.realpath(found) == os.path.realpath(started)


def _typed(program_: str) -> str:
    """A program as it can be typed here: relative to this folder if it is below it."""
    if "/" not in program_:
        return program_
    near = words.path(Path(program_))
    return shlex.quote(near if "/" in near else f"./{near}")
