# ruff: noqa: PTH102, PTH103, PTH118, PTH123 - pathlib would double the start of the shim
"""Supervise one process tree from start to end: deadlines, CPU time, memory, output and termination.

Called by `shim` once it owns the folder. `_verdict` has all reasons to end it, in order; `leavings` reads its results.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from typing import Any

from rloop_operator.local.workloads import leavings, processes
from rloop_operator.local.workloads.documents import read_json
from rloop_operator.local.workloads.meter import Meter
from rloop_operator.local.workloads.output import Output
from rloop_operator.tree import TreeProblem, copy_tree

SAMPLE_SECONDS, SLOW_SAMPLE_SECONDS = 0.05, 0.25
"""Seconds between two samples of the tree: while it is young or close to a limit, and otherwise."""
YOUNG_SECONDS = 1.0
LONGEST_GRACE = {"Interrupted": 1.5}  # maximum by reason of the stop: after Ctrl-C the user waits at the terminal
KILL_SECONDS = 30
"""Seconds for which SIGKILL is repeated; only a process that hangs in the kernel survives it."""
OOM_SCORE = 500
"""oom_score_adj of a workload, so that the kernel kills it before the operator or the user's editor."""


class Supervisor:
    """One execution. `spec` was written by `runtime`; `wakeup` becomes readable with every signal."""

    def __init__(self, folder: str, spec: dict[str, Any], wakeup: int) -> None:
        self.folder = folder
        self.spec = spec
        self.wakeup = wakeup
        self.output = Output(os.path.join(folder, "output.log"))
        self.artifact_sha256: str | None = None
        self.running: dict[int, int] = {}
        """Pid of each main process -> its rank."""
        self.codes: list[int] = []
        self.reason: str | None = None
        """Reason why the shim ended the workload; None if it did not."""
        self.started = time.monotonic()
        self.kill_at: float | None = None
        self.terminated = False
        self.infrastructure = False
        self.meter = Meter()

    def run(self) -> dict[str, Any]:
        """Run the workload, from the creation of its folders to its end. Returns the document for exit.json."""
        failure = self._stop_request() or self._prepare() or self._preflight()
        failure = failure or self._start(self.spec["command"], self.spec.get("ranks") or [{}])
        if failure is None:
            self._watch()
        else:
            self._end_tree()
        self.output.drain()
        return self._document(failure)

    # Before.

    def _stop_request(self) -> str | None:
        request = read_json(self.folder, "stop.json")
        return None if request is None else str(request.get("reason") or "Stopped")

    def _prepare(self) -> str | None:
        """Do preparations that may be slow or fail, so not in the operator. Returns a reason if they failed."""
        try:
            for path in self.spec.get("fresh", ()):
                # Emptied, so that files of an earlier attempt are not considered results of this one.
                shutil.rmtree(path, ignore_errors=True)
                os.makedirs(path)
            for path in self.spec.get("folders", ()):
                os.makedirs(path, exist_ok=True)
            for path in self.spec.get("temporary", ()):
                # In /tmp, where other users can write too: the folder must be new and accessible only to us.
                shutil.rmtree(path, ignore_errors=True)
                os.mkdir(path, 0o700)
            copy = self.spec.get("copy")
            if copy:
                self.artifact_sha256 = copy_tree(copy["source"], copy["target"], copy["max_bytes"])
                if copy["sha256"] and copy["sha256"] != self.artifact_sha256:
                    self.output.note("the artifacts have changed since the run ended (other sha256)")
                    return "ArtifactChanged"
        except TreeProblem as problem:
            self.output.note(str(problem))
            return problem.reason
        except OSError as error:
            self.output.note(f"the workload's folder could not be created: {error}; check the disk")
            return "StartFailed"
        return None

    def _preflight(self) -> str | None:
        """Run the preflight, which must succeed before the ranks start. Returns a reason if it failed."""
        command = self.spec.get("preflight")
        failure = self._start(command, [self.spec["preflight_env"]]) if command else None
        if not command or failure is not None:
            return failure
        self._watch()
        self.output.drain()
        refused = "PreflightFailed" if any(self.codes) else None
        if refused is None:
            self.codes.clear()
        return self.reason or refused

    def _start(self, command: list[str], ranks: list[dict[str, str]]) -> str | None:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        self.output.source = read_end
        self.started = time.monotonic()
        try:
            for rank, extra in enumerate(ranks):
                process = subprocess.Popen(
                    command,
                    cwd=self.spec["cwd"],
                    env={**self.spec["env"], **extra},
                    stdin=subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    process_group=0,
                )
                self.running[process.pid] = rank
                # `_reap` reaps all processes of the tree, so the Popen object must neither wait nor warn.
                process.returncode = 0
                with contextlib.suppress(OSError), open(f"/proc/{process.pid}/oom_score_adj", "w") as file:
                    file.write(str(OOM_SCORE))
        except (OSError, ValueError) as error:
            program = command[0]
            why = getattr(error, "strerror", None) or str(error)
            told = f'"{program}" could not be started: {why}; check that it is installed, and in PATH or in the task'
            self.output.note(told)
            if getattr(error, "filename", None) == program:  # the exit codes of a shell
                self.codes = [127 if isinstance(error, FileNotFoundError) else 126]
            return "StartFailed"
        finally:
            os.close(write_end)
        return None

    # Meanwhile.

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.wakeup, selectors.EVENT_READ)
            assert self.output.source is not None
            selector.register(self.output.source, selectors.EVENT_READ)
            # Sample by time and not after each line of output, which would be too often for a verbose workload.
            next_look = self.started
            while self.running:
                for key, _ in selector.select(max(0.0, next_look - time.monotonic())):
                    if key.fd == self.wakeup:
                        self._take_signals()
                        next_look = 0.0
                    elif not self.output.pump():
                        selector.unregister(key.fd)
                self._reap()
                if self.running and time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._look_around()
        self._end_tree()

    def _take_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.terminated |= signal.SIGTERM in os.read(self.wakeup, 4096)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if self.running.pop(pid, None) is not None:
                    self.codes.append(os.waitstatus_to_exitcode(status))
                    if self.codes[-1] != 0 and self.running:
                        # One rank failed. The others would otherwise wait for it until their deadline.
                        self._ask(self.reason)

    def _look_around(self) -> float:
        """Sample the tree and enforce the limits. Returns the seconds until the next sample."""
        now = time.monotonic()
        self.meter.sample()
        if self.kill_at is None:
            verdict = self._verdict(now)
            if verdict is not None:
                self._ask(verdict)
        elif now >= self.kill_at:
            self._signal(signal.SIGKILL)
            return SAMPLE_SECONDS
        return self._pause(now)

    def _verdict(self, now: float) -> str | None:
        """Reason why the workload must end now; None if it may continue."""
        stop = self._stop_request()
        if stop is not None:
            return stop
        if self.terminated:
            self.output.note("ended by a SIGTERM from outside the campaign, for example at a shutdown")
            self.infrastructure = True
            return "Stopped"
        if now - self.started >= self.spec["deadline_seconds"]:
            self.output.note(f"stopped after its deadline of {self.spec['deadline_seconds']} s")
            return "DeadlineExceeded"
        limit = self.spec.get("cpu_seconds")
        if limit is not None and self.meter.cpu_seconds >= limit:
            self.output.note(f"ended after {self.meter.cpu_seconds:.1f} s of CPU time; the limit is {limit} s")
            return "CpuExceeded"
        return None

    def _pause(self, now: float) -> float:
        """Seconds to the next sample, which costs CPU: few for a young workload (peak memory) or near a limit."""
        age = now - self.started
        pause = SAMPLE_SECONDS if age < YOUNG_SECONDS else SLOW_SAMPLE_SECONDS
        until = [self.spec["deadline_seconds"] - age]
        if self.kill_at is not None:
            until.append(self.kill_at - now)
        if self.spec.get("cpu_seconds") is not None:
            until.append((self.spec["cpu_seconds"] - self.meter.cpu_seconds) / (os.cpu_count() or 1))
        return float(max(0.01, min(pause, *until)))

    # After.

    def _ask(self, reason: str | None) -> None:
        """Send SIGTERM now; SIGKILL follows after the grace period."""
        self.reason = reason
        grace = self.spec["grace_seconds"]
        self.kill_at = time.monotonic() + min(grace, LONGEST_GRACE.get(reason or "", grace))
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> int:
        """Signal the whole tree. Returns the number of processes. Zombies do not count, because `_reap` reaps ours."""
        found = 0
        for pid in self._tree():
            process = processes.look(pid)
            if process is not None and not process.zombie:
                found += 1
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
                    os.kill(pid, signal.SIGCONT)  # a suspended process does not handle the other signal
        return found

    def _tree(self) -> set[int]:
        tree = set(processes.descendants(os.getpid()))
        if not processes.LINUX:  # other systems have no subreaper; find orphans by their cookie
            tree |= processes.carriers(self.spec["env"][processes.COOKIE]).keys()
        return tree

    def _end_tree(self) -> None:
        """Kill all processes that remain after the end of the main processes at once, as in a container."""
        limit = time.monotonic() + KILL_SECONDS
        while self._signal(signal.SIGKILL) and time.monotonic() < limit:
            time.sleep(0.005)
            self._reap()
        self._reap()
        self.meter.sample()

    def _document(self, failure: str | None) -> dict[str, Any]:
        wall = time.monotonic() - self.started
        own_end = self.codes and self.reason is None
        code = next((code for code in self.codes if code != 0), 0) if own_end else None
        reason = failure or self.reason or self._reason(code)
        found = leavings.collect(self.spec, self.output, succeeded=reason == "Completed")
        if reason == "Completed" and found.problem is not None:
            reason = found.problem
        self.output.close()
        for path in self.spec.get("temporary", ()):
            shutil.rmtree(path, ignore_errors=True)
        return {
            # 128 + the signal's number, as in a shell or a container.
            "code": code if code is None or code >= 0 else 128 - code,
            "reason": reason,
            "infrastructure": self.infrastructure,
            "finished_at": time.time(),
            "usage": {
                "wall_seconds": wall,
                "cpu_seconds": self.meter.cpu_seconds,
                "peak_memory_bytes": self.meter.peak_bytes,
            },
            "log_tail": self.output.tail(),
            "message": found.message,
            "claims": found.claims,
            "curves": found.curves,
            "artifact_sha256": self.artifact_sha256 or found.artifact_sha256,
        }

    def _reason(self, code: int | None) -> str:
        if code == 0:
            return "Completed"
        if code == -signal.SIGKILL:
            if self.meter.out_of_memory():
                self.output.note("killed by the kernel: the machine is out of memory")
                return "OutOfMemory"
            self.output.note("killed with SIGKILL from outside the campaign")
            return "Killed"
        if code is not None and code < 0:
            self.output.note(f"ended by the signal {signal.Signals(-code).name}")
        return "Error"
