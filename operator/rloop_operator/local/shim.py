# ruff: noqa: PTH110, PTH118 - pathlib would double the start of the shim
"""The shim: one process beside each workload, which outlives the operator, as containerd's does.

Started by `rloop_operator.local.runtime` as `python -m rloop_operator.local.shim FOLDER`. FOLDER/spec.json
says what to run; what came of it is written into FOLDER/exit.json in one piece. It exists because a parent
that dies must not take its workloads with it, and because deadlines, CPU limits and exit codes can only be
kept by a parent that stays.

At most one execution a folder, ever: the lock decides between shims that are started at once, and shim.json,
written before the first fork, tells every later one that it is too late. It is no security boundary: the
workload runs as the same user and can undo whatever it likes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time

from rloop_operator.local import processes
from rloop_operator.local.documents import read_json, write_json

_PR_SET_CHILD_SUBREAPER = 36


def _adopt_orphans() -> None:
    """Make the orphans of our tree our children, so that a daemon that forks twice stays within reach."""
    if processes.LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(folder: str) -> int:
    """Run the workload of a folder, unless it was run before."""
    wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if processes.LINUX else _pipe()
    # First: a stop that comes now must find a handler, or it would end the shim without an exit.json.
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
    # Imported only by the shim that won: the others are gone already.
    from rloop_operator.local.supervisor import Supervisor

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
    # Nothing is left to be done, and the interpreter's own end takes longer than all of main for a short run.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
