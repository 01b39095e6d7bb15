# ruff: noqa: PTH123 - pathlib would double the start of the shim
"""CPU time and memory of the process tree below this process.

Called by `supervisor`, a few times a second.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from rloop_operator.local import processes

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Meter:
    """What the tree has used so far; never goes down."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_bytes = 0
        self._oom_kills = _oom_kills()

    def sample(self) -> None:
        """Look at the whole tree.

        What has ended and was reaped by its parent is in that parent's figures, and what we reaped is in
        ours, so nothing is lost when a process ends, and nothing is counted twice.
        """
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, memory = usage.ru_utime + usage.ru_stime, 0
        for pid in processes.descendants(os.getpid()):
            process = processes.look(pid)
            if process is not None:
                cpu += process.cpu_seconds
                memory += process.rss_bytes
        self.cpu_seconds = max(self.cpu_seconds, cpu)
        self.peak_bytes = max(self.peak_bytes, memory)
        # A forked child starts with our own peak on its account: a smaller one says nothing about the child.
        if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
            self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * _MAXRSS_UNIT)

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed for memory since we began: somebody on this machine, most likely
        ours.
        """
        return _oom_kills() > self._oom_kills


def _oom_kills() -> int:
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
