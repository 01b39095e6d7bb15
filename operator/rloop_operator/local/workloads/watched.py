"""The state of one workload, read from its folder; only changed files are read again.

Called by `runtime`. The state of an ended workload is cached; observing a live one costs a few system calls.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from rloop.api.experiment import Usage
from rloop.api.helpers import Curve, curves_of
from rloop.observed import Exit, WorkloadState
from rloop_operator.local.storage.records import WorkloadRecord
from rloop_operator.local.workloads import processes
from rloop_operator.local.workloads.documents import read_json, write_json
from rloop_operator.local.workloads.output import TAIL_BYTES, clean

PROGRESS_BYTES = 8192
"""Bytes read from the end of progress.jsonl, because the newest step is in the last lines."""


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


class Watched:
    """A workload that was started and not removed."""

    def __init__(self, record: WorkloadRecord, folder: Path) -> None:
        self.record = record
        self.folder = folder
        self.spawned: Popen[bytes] | None = None
        """Its shim, if this process is the shim's parent."""
        self.exit: Exit | None = None
        self.since = time.monotonic()
        self._shim: dict[str, Any] | None = None
        self._started_at = datetime.now(UTC)
        self._progress: Path | None = None
        self._progress_seen: tuple[int, int] | None = None
        self._step: int | None = None
        self._step_since = time.monotonic()

    @property
    def live(self) -> bool:
        """Whether it has no exit, and its shim has begun or is starting."""
        return self.exit is None and (self.ran or self.starting)

    @property
    def ran(self) -> bool:
        """Whether its shim has begun or an exit exists. Then it is never started again."""
        if self._shim is None:
            self._shim = read_json(str(self.folder), "shim.json")
            if self._shim is not None and "started_at" in self._shim:
                self._started_at = _moment(self._shim["started_at"])
        return self._shim is not None or self.exit is not None or self.exit_written

    @property
    def starting(self) -> bool:
        """Whether a shim spawned by this process has not ended."""
        return self.spawned is not None and self.spawned.poll() is None

    @property
    def exit_written(self) -> bool:
        return (self.folder / "exit.json").exists()

    @property
    def shim_alive(self) -> bool:
        if self.spawned is not None and self.spawned.poll() is None:
            return True
        return bool(self.ran and self._shim and processes.is_alive(self._shim["pid"], self._shim["start"]))

    def signal_shim(self) -> None:
        """Make the shim check for a stop request now, even if the shim is suspended."""
        if self.ran and self._shim:
            for number in (signal.SIGTERM, signal.SIGCONT):
                processes.send(self._shim["pid"], self._shim["start"], number)

    def kill(self) -> None:
        """Kill the shim and all processes of the workload."""
        if self.ran and self._shim:
            processes.send(self._shim["pid"], self._shim["start"], signal.SIGKILL)
        spec = read_json(str(self.folder), "spec.json") or {}
        if cookie := spec.get("env", {}).get(processes.COOKIE):
            _all_gone(cookie)

    def let_go(self) -> None:
        """Give up the Popen object of the shim. A shim that has ended is reaped."""
        if self.spawned is None:
            return
        if self.exit is not None:
            # It ends within moments, because it writes exit.json last.
            with suppress(TimeoutExpired):
                self.spawned.wait(1)
        if self.spawned.poll() is None:
            # Otherwise Popen would warn about a running process; here it is meant to keep running.
            self.spawned.returncode = 0
        self.spawned = None

    def state(self) -> WorkloadState | None:
        """The state for `observe`; None if no shim has begun and none is starting."""
        self._look()
        if self.exit is None and not self.ran and not self.starting:
            return None
        age = time.monotonic() - self._step_since
        return WorkloadState(self.record.name, self._started_at, self.exit, self._step, age)

    def _look(self) -> None:
        if self.exit is not None:
            return
        if not self.folder.exists():
            self.exit = self._lost("its folder was deleted", self._started_at)
            return
        # Check the shim before its exit. In the other order a shim that ends in between would count as lost.
        alive = self.shim_alive
        document = read_json(str(self.folder), "exit.json")
        if document is None and self.ran and not alive:
            document = self._bury()
        if document is not None:
            self._read_step()
            self.exit = _exit(document)
            if self.spawned is not None:
                self.spawned.poll()
        elif alive:
            self._read_step()

    def _bury(self) -> dict[str, Any] | None:
        """Write the exit of a workload whose shim died without one. Its processes may still run, so kill them first.

        Returns the exit document; None while some of them still run.
        """
        tail = "[rloop] its supervisor was killed, or the machine shut down\n"
        spec = read_json(str(self.folder), "spec.json") or {}
        cookie = spec.get("env", {}).get(processes.COOKIE)
        if cookie and not _all_gone(cookie):
            return None
        for path in spec.get("temporary", ()):
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            said = (self.folder / "output.log").read_bytes()[-TAIL_BYTES // 2 :]
            tail = clean(said) + tail
        document = {
            "code": None,
            "reason": "Lost",
            "infrastructure": True,
            "finished_at": time.time(),
            "log_tail": tail,
        }
        with suppress(OSError):
            write_json(str(self.folder), "exit.json", document)
        return document

    @staticmethod
    def _lost(why: str, moment: datetime) -> Exit:
        return Exit(None, "Lost", moment, infrastructure=True, log_tail=f"[rloop] {why}\n")

    def _read_step(self) -> None:
        if self._progress is None:
            spec = read_json(str(self.folder), "spec.json") or {}
            self._progress = Path(spec.get("artifacts") or self.folder / "none", "progress.jsonl")
        try:
            status = self._progress.lstat()
        except OSError:
            return
        seen = (status.st_size, status.st_mtime_ns)
        if seen == self._progress_seen or not stat.S_ISREG(status.st_mode):
            return
        self._progress_seen = seen
        step = newest_step(self._progress)
        if step is not None and step != self._step:
            self._step, self._step_since = step, time.monotonic()


def _all_gone(cookie: str) -> bool:
    """Kill the processes that carry the cookie; True if none is left. Waits only briefly; the next call continues."""
    for _ in range(10):
        if processes.kill_carriers(cookie):
            return True
        time.sleep(0.002)
    return False


def newest_step(path: Path) -> int | None:
    """The step in the last complete line that has one; None if no line has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        tail = os.pread(descriptor, PROGRESS_BYTES, max(0, status.st_size - PROGRESS_BYTES))
        del file
    for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        with suppress(ValueError, RecursionError):
            document = json.loads(line)
            step = document.get("step") if isinstance(document, dict) else None
            if isinstance(step, int) and not isinstance(step, bool):
                return step
    return None


def _curves(points: Any) -> list[Curve]:
    try:
        return curves_of(points or {})
    except (AttributeError, TypeError, ValueError):
        return []


def _exit(document: dict[str, Any]) -> Exit:
    """The exit from the document of the shim. Parsed tolerantly, because the file may have been changed on disk."""
    usage = document.get("usage") or {}
    finished_at = document.get("finished_at")
    return Exit(
        code=document.get("code"),
        reason=str(document.get("reason") or "Lost"),
        finished_at=_moment(finished_at) if isinstance(finished_at, int | float) else datetime.now(UTC),
        # A document without a reason is damaged, which counts as an infrastructure failure.
        infrastructure=bool(document.get("infrastructure", "reason" not in document)),
        usage=Usage(
            wall_seconds=float(usage.get("wall_seconds", 0)),
            cpu_seconds=float(usage.get("cpu_seconds", 0)),
            peak_memory_bytes=int(usage.get("peak_memory_bytes", 0)),
        ),
        log_tail=str(document.get("log_tail") or ""),
        message=str(document.get("message") or ""),
        claims=document.get("claims") or {},
        curves=_curves(document.get("curves")),
        artifact_sha256=document.get("artifact_sha256"),
    )
