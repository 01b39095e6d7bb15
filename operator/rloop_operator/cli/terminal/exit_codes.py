"""Convert exceptions to exit codes and messages, so that a user of `rloop` never sees a traceback.

Wraps every command. The project's own errors are printed as they are; an unexpected exception is written to a file
that can be sent with a bug report.
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
NOT_VERIFIED = 1
"""Of `rloop verify`, for a campaign that could be read and does not fit together."""

_crash_folder: list[Path] = []


def crash_reports_in(folder: Path) -> None:
    """Write reports of unexpected exceptions to this folder from now on."""
    _crash_folder[:] = [folder]


def complain(text: str) -> None:
    """Print a message to stderr."""
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
                raise  # typer handles usage errors and exits itself
            complain(f"rloop: unexpected {type(error).__name__}; please report it with {_report(error)}")
            sys.exit(CRASHED)


def quiet_stdout() -> None:
    """Discard all further output of this process, because the reader has closed the pipe."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _report(error: Exception) -> str:
    """Write the traceback to a file. Returns its path; if it cannot be written, the last line of the traceback."""
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
