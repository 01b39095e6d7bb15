"""The implementation of the tool `run_command`: a shell command in the scratch, with limits.

Called by the tools. The command's environment contains neither token nor gateway, and its HOME is a temporary folder.
Processes that it leaves running are killed. It gets the variables of a run, so that the task can be started by hand.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from rloop_agent.llm.fence import clip, fenced

CONFINE = Path(__file__).with_name("confine.py")
PASSED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RLOOP_WORKLOAD_COOKIE",
)
"""The cookie is not a secret: the local shell uses it to find processes that outlive their session."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
MEMORY_BYTES = 4 * 1024**3
MEMORY_SHARE = 0.7
"""Share of the container's memory. At the container's own limit the kernel would kill the session too."""
POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
"""Seconds for killing all processes after a limit was reached."""
OUTPUT_SHOWN = 12_000
LISTED_MAX = 50
"""Maximum number of artifact files that are listed after a command."""
WHY = {
    "time": "stopped: it ran longer than {seconds:g} s",
    "processes": "stopped: it had more than {processes} processes",
    "memory": "stopped: it used more than {memory_bytes} bytes of memory",
    "stopped": "stopped: the session is ending",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one command."""

    seconds: float = 60.0
    processes: int = 64
    memory_bytes: int = field(default_factory=lambda: memory(CGROUP))
    file_bytes: int = 256 * 1024**2
    """Maximum size of each file that it writes, including its output."""


def memory(limit: Path) -> int:
    """Memory for all processes of a command together; `limit` is the file with the container's limit."""
    try:
        text = limit.read_text(encoding="ascii").strip()
    except OSError:
        return MEMORY_BYTES
    return min(MEMORY_BYTES, int(MEMORY_SHARE * int(text))) if text.isdigit() else MEMORY_BYTES


def run(
    command: str,
    folder: Path,
    limits: Limits,
    stop: Callable[[], bool],
    shown: int = OUTPUT_SHOWN,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The result as text for the model. `extra` are environment variables besides those of a run."""
    with tempfile.TemporaryDirectory(prefix="command-") as own:
        output, artifacts, checkpoints = Path(own, "output"), Path(own, "artifacts"), Path(own, "checkpoints")
        artifacts.mkdir()
        checkpoints.mkdir()
        of_a_run = {
            "RLOOP_SEED": "1",
            "RLOOP_ARTIFACTS": str(artifacts),
            "RLOOP_CHECKPOINTS": str(checkpoints),
            "RLOOP_EXPERIMENT": "try",
            "RLOOP_ATTEMPT": "1",
        }
        report = _confined(command, folder, limits, output, Path(own), stop, {**of_a_run, **extra})
        left = _listed(artifacts)
        told = _told(report, limits, clip(_ends(output, shown), shown))
        return f"{told}\nleft in RLOOP_ARTIFACTS:\n{fenced('artifacts', left)}" if left else told


def _confined(
    command: str,
    folder: Path,
    limits: Limits,
    output: Path,
    own: Path,
    stop: Callable[[], bool],
    extra: Mapping[str, str],
) -> Mapping[str, object]:
    environment = {name: os.environ[name] for name in PASSED if name in os.environ} | dict(extra)
    environment |= {"HOME": str(own), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}
    told = {
        "seconds": limits.seconds,
        "processes": limits.processes,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "output": str(output),
    }
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(CONFINE), json.dumps(told), command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as watcher:
        left = limits.seconds + GRACE_SECONDS
        stopped = False
        while left > 0:
            try:
                printed, _ = watcher.communicate(timeout=POLL_SECONDS)
                return _read(printed, stopped=stopped)
            except subprocess.TimeoutExpired:
                left -= POLL_SECONDS
                stopped = stopped or stop()
                if stopped:
                    watcher.send_signal(signal.SIGTERM)
        watcher.kill()
    return _read(b"", stopped=stopped)


def _listed(folder: Path) -> str:
    """A line for each file below the folder, with its size."""
    lines: list[str] = []
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            found = Path(path, name)
            lines.append(f"{found.relative_to(folder).as_posix()}  {found.lstat().st_size} bytes")
    more = f"\n... and {len(lines) - LISTED_MAX} more" if len(lines) > LISTED_MAX else ""
    return "\n".join(sorted(lines)[:LISTED_MAX]) + more


def _read(printed: bytes, *, stopped: bool) -> Mapping[str, object]:
    """The watcher's report. It is missing if the watcher was killed, by the command or by this process."""
    try:
        report: Mapping[str, object] = json.loads(printed.splitlines()[-1])
        return report
    except (IndexError, ValueError):
        return {"code": None, "why": "stopped" if stopped else "", "left": 0}


def _ends(output: Path, shown: int) -> str:
    """The beginning and the end of the output; what is between is not read."""
    try:
        size = output.stat().st_size
        with output.open("rb") as file:
            if size <= 4 * shown:
                return file.read().decode(errors="replace")
            head = file.read(shown)
            file.seek(-2 * shown, os.SEEK_END)
            tail = file.read()
    except OSError as error:
        return f"(its output cannot be read: {error})"
    left = size - len(head) - len(tail)
    return f"{head.decode(errors='replace')}\n[... {left} bytes omitted ...]\n{tail.decode(errors='replace')}"


def _told(report: Mapping[str, object], limits: Limits, printed: str) -> str:
    why = WHY.get(str(report["why"]), "").format(
        seconds=round(limits.seconds, 1), processes=limits.processes, memory_bytes=limits.memory_bytes
    )
    code = report["code"]
    ended = why or (f"exit code {code}" if code is not None else "no exit code: its supervisor was killed")
    left = f"; {report['left']} leftover processes were stopped" if report["left"] and not why else ""
    return f"{ended}{left}\n{fenced('output', printed)}"
