# ruff: noqa: PTH110, PTH118 - pathlib would double the start of the shim
"""The shim: the parent process of each workload, which outlives the operator, like the shim of containerd.

Started by `rloop_operator.local.workloads.runtime` as `python -m rloop_operator.local.workloads.shim FOLDER`. It runs
the workload that FOLDER/spec.json describes and writes the result to FOLDER/exit.json atomically. It exists because
workloads must survive the end of the operator, and because only a parent that stays can enforce deadlines and CPU
limits and read exit codes.

A folder is executed at most once: the lock decides between shims that start at the same time, and shim.json,
written before the first fork, makes every later shim exit. It is no security boundary: the workload runs as
the same user and can undo all of this.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time

from rloop_operator.local.workloads import processes
from rloop_operator.local.workloads.documents import read_json, write_json

_PR_SET_CHILD_SUBREAPER = 36


def _adopt_orphans() -> None:
    """Make the orphans of our tree our children, so that a daemon that forks twice remains in the tree."""
    if processes.LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(folder: str) -> int:
    """Run the workload of a folder, unless it was run before. Returns the exit status of the shim."""
    wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if processes.LINUX else _pipe()
    # Install handlers first: a stop request at this point would otherwise end the shim without an exit.json.
    # Handlers and not SIG_IGN, because an ignored signal would stay ignored in the workload.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    if os.path.exists(os.path.join(folder, "shim.json")) or os.path.exists(os.path.join(folder, "exit.json")):
        return 0
    spec = read_json(folder, "spec.json")
    if spec is None:
        return 1
    own = processes.look(os.getpid())
    start = own.start if own else ""
    write_json(folder, "shim.json", {"pid": os.getpid(), "start": start, "started_at": time.time()})
    _adopt_orphans()
    # Imported here, so that only the shim that runs the workload pays for the import.
    from rloop_operator.local.workloads.supervisor import Supervisor

    exit_document = Supervisor(folder, spec, wakeup).run()
    write_json(folder, "exit.json", exit_document)
    return 0


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


if __name__ == "__main__":
    status = main(sys.argv[1])
    # os._exit, because everything is done and a regular exit of the interpreter takes longer than a short run.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
