"""From exceptions to exit codes and sentences: a user of `rloop` never sees a traceback.

Wraps every command. What we raise on purpose is told as it is; what nobody expected goes into a file that can be sent
with a report.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup
from typing_extensions import override

from rloop.errors import BadInput, RloopError

if TYPE_CHECKING:
    from typer._click import Context

CRASHED, BAD_INPUT, INTERRUPTED = 1, 2, 130

_crash_folder: list[Path] = []


def crash_reports_in(folder: Path) -> None:
    """From now on an unexpected exception is described in this folder."""
    _crash_folder[:] = [folder]


def complain(text: str) -> None:
    """Say something on stderr."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class Commands(TyperGroup):
    """The group of all commands."""

    @override
    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except BadInput as error:
            for problem in error.problems:
                complain(str(problem))
            sys.exit(BAD_INPUT)
        except RloopError as error:
            complain(f"rloop: {error}")
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            quiet_stdout()
            sys.exit(0)
        except Exception as error:
            if type(error).__module__.startswith("typer"):
                raise  # usage errors and exits are typer's own business
            complain(f"rloop: unexpected {type(error).__name__}; please report it with {_report(error)}")
            sys.exit(CRASHED)


def quiet_stdout() -> None:
    """Nobody reads any more: what is still written, by us or when Python ends, goes nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _report(error: Exception) -> str:
    """Write the traceback down; the file's path."""
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    for folder in (*_crash_folder, Path(tempfile.gettempdir())):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{' '.join(sys.argv)}\n{sys.version}\n\n{text}", encoding="utf-8")
        except OSError:
            continue
        return str(path)
    return f"this: {text.strip().splitlines()[-1]}"
