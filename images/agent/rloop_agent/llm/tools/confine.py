"""Runs one command of the model with limits: a separate program that watches the command from outside.

Started by `command` as `python -I -S confine.py LIMITS COMMAND`. It imports only the standard library and stays above
the command in the process tree: it adopts processes that the command leaves behind (as a subreaper), counts processes
and memory of the whole tree, and kills all of it at a limit, at a signal, and at the end. The kernel enforces limits of
a single process (its data, its files). The kernel counts other limits per user; these are counted here, because in a
cluster many pods share one user. This is not a sandbox: in a cluster the container is, on a laptop there is no sandbox.

The last line on standard output is the report; the command's own output goes to the file that LIMITS names.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import FrameType

POLL_SECONDS = 0.005
LOOK_SECONDS = 0.1
"""Seconds between two scans of all processes; a jump in the machine's number of tasks is detected at each poll."""
NICE = 10
SWEEP_SECONDS = 5.0
"""A process stuck in the kernel (a failed disk) cannot be killed, and is not waited for."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Run the command; print the report as a line of JSON."""
    limits, command = json.loads(sys.argv[1]), sys.argv[2]
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    began = time.monotonic()
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
    ):
        lower(kind, most)
    with open(limits["output"], "wb") as output:  # noqa: PTH123 - without pathlib it starts in half the time
        shell = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # A thousand processes of the command must not starve this one; runs of experiments have priority too.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, shell.pid, NICE)
    why, most = "", 1
    quiet, looked_at = tasks(), began
    while shell.poll() is None:
        now = time.monotonic()
        if now - looked_at > LOOK_SECONDS or tasks() - quiet > limits["processes"]:
            below, looked_at = descendants(shell.pid, limits["processes"]), now
            most = max(most, len(below))
            if len(below) > limits["processes"]:
                why = "processes"
            elif sum(below.values()) > limits["memory_bytes"]:
                why = "memory"
        if stopped:
            why = "stopped"
        elif now - began > limits["seconds"]:
            why = "time"
        if why:
            break
        time.sleep(POLL_SECONDS)
    left = sweep(shell)
    code = shell.wait()
    report = {"code": code, "why": why, "seconds": round(time.monotonic() - began, 1), "processes": most, "left": left}
    print(json.dumps(report), flush=True)
    return 0


def lower(kind: int, most: int) -> None:
    """Set a limit, or the hard limit if that is lower."""
    hard = resource.getrlimit(kind)[1]
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (wanted, wanted))


def tasks() -> int:
    """Number of tasks on the machine. One short read; a scan of all processes takes milliseconds."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:  # noqa: PTH123 - see above
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def descendants(session: int = 0, enough: int = 0) -> dict[int, int]:
    """Memory of each process below this one, by pid; empty if there is no /proc.

    Stops as soon as more than `enough` processes of one session were seen: scanning all of a fork bomb takes too long.
    """
    parents: dict[int, int] = {}
    memory: dict[int, int] = {}
    same: dict[int, int] = {}
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - see above
    except OSError:
        return {}
    for pid in reversed(pids):  # the newest first: these are the command's
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - see above
                text = file.read()
        except OSError:
            continue
        fields = text[text.rindex(b")") + 2 :].split()
        if fields[0] in b"ZX":
            continue
        parents[pid], memory[pid] = int(fields[1]), int(fields[21]) * PAGE
        if session and int(fields[3]) == session:
            same[pid] = memory[pid]
            if len(same) > enough:
                return same
    found: dict[int, int] = {}
    newest = {os.getpid()}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest and pid not in found}
        found |= {pid: memory[pid] for pid in newest}
    return found


def sweep(shell: subprocess.Popen[bytes]) -> int:
    """Kill all processes left by the command. Returns the number of processes besides the shell."""
    # The group at once, because a fork bomb would outrun a list of pids; then processes that have left the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(shell.pid, signal.SIGKILL)
    left: set[int] = set()
    ends_at = time.monotonic() + SWEEP_SECONDS
    while (below := descendants()) and time.monotonic() < ends_at:
        left |= set(below) - {shell.pid}
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        reap(shell)
    reap(shell)
    return len(left)


def reap(shell: subprocess.Popen[bytes]) -> None:
    """Collect the exit codes of adopted processes; the shell's is collected by Popen."""
    shell.poll()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG) if shell.returncode is not None else (0, 0)
        except ChildProcessError:
            return
        if pid == 0:
            return


if __name__ == "__main__":
    sys.exit(main())
