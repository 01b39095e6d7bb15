"""Running commands, waiting, and saying so.

Used by all steps of the harness. Messages go to stderr, because stdout is for what a shell evaluates
(`eval "$(python3 -m tests.cluster.harness up)"`).
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


class Failure(Exception):
    """The cluster cannot be had, and why: one line for a person, with the tail of what the command said."""


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"cluster: {text}\n")
    sys.stderr.flush()


def run(
    *command: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 600,
) -> str:
    """Run a command to its end and return its output; a Failure carries the last lines of what it said."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failure(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{' '.join(words)} did not end within {timeout:.0f} s") from error
    if done.returncode:
        raise Failure(f"{' '.join(words)} failed ({done.returncode}):\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def tail(text: str, lines: int = 15) -> str:
    """The end of a log, where the reason mostly stands."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def succeeds(*command: str | Path, env: Mapping[str, str] | None = None, timeout: float = 10) -> bool:
    """Whether a command works; its output is of no interest."""
    try:
        run(*command, env=env, timeout=timeout)
    except Failure:
        return False
    return True


def wait(what: str, check: Callable[[], bool], *, seconds: float, every: float = 0.2) -> None:
    """Poll until the check holds. The check may raise a Failure itself when waiting has become pointless."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what was done and how long it took, so that a slow step is seen."""
    begin = time.monotonic()
    yield
    say(f"{what} ({time.monotonic() - begin:.1f} s)")


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """One at a time on this machine: two test runs that start together share one build and one cluster."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another run of the harness")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write(file: Path, text: str, *, mode: int = 0o644) -> Path:
    """Write a file in one piece, with its folder; keys and tokens are given mode 0600."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as handle:
        handle.write(text)
    part.rename(file)
    return file
