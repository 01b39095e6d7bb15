"""The scorer's process: the user's command in its own process group, with a deadline.

Called by `rloop_verifier.job`. All processes that the command starts are killed when it ends: a remaining process could
write a second verdict, or hold a GPU after the run. Its output goes to the log and is never parsed for numbers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ECHO_BYTES = 64 * 1024
"""Bytes of output that go to the log. The rest is read and dropped, because a full pipe would block the scorer."""
TAIL_BYTES = 4096
DRAIN_SECONDS = 5.0
"""Seconds to wait for the output of a process that left the group and still holds the pipe."""
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Variables of the image about its programs and its GPU. No others are passed on: a scorer must not get a token."""
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process ended."""

    exit_code: int | None
    """None: it reached the deadline; negative: the signal that killed it."""
    tail: str
    """The end of its output."""


def clean_environment(scratch: Path, ours: Mapping[str, str]) -> dict[str, str]:
    """The scorer's environment: `ours`, and what every program needs."""
    return {
        "PATH": os.defpath,
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        # One thread each: a sum computed with another number of threads has another rounding.
        **{f"{library}_NUM_THREADS": "1" for library in THREADS},
        "VECLIB_MAXIMUM_THREADS": "1",
        **ours,
    }


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float) -> Ended:
    """Run the command to its end or to the deadline. Raises OSError if it cannot be started."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    output = _Output(process.stdout)
    try:
        exit_code: int | None = process.wait(timeout)
    except subprocess.TimeoutExpired:
        exit_code = None
    finally:
        # Also after a normal end, and when this process is asked to end.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Ended(exit_code, output.tail())


class _Output:
    """Reads a pipe to its end: echoes the beginning, keeps the end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._tail = b""
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        self._thread.join(DRAIN_SECONDS)
        return self._tail.decode(errors="replace")

    def _read(self) -> None:
        left = ECHO_BYTES
        descriptor = self._pipe.fileno()
        with self._pipe:
            while piece := os.read(descriptor, 64 * 1024):
                _echo(piece[:left])
                if left and len(piece) >= left:
                    _echo(b"\n[the rest of the scorer's output is not shown]\n")
                left = max(0, left - len(piece))
                self._tail = (self._tail + piece)[-TAIL_BYTES:]


def _echo(piece: bytes) -> None:
    with suppress(OSError):  # nobody may be reading the log; the verdict still counts
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
