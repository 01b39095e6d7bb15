# ruff: noqa: PTH123 - pathlib would double the start of the shim
"""CPU time and memory of the descendants of this process.

Called by `supervisor`, a few times a second.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from rloop_operator.local.workloads import processes

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Meter:
    """Usage of the process tree so far. The values never decrease."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_bytes = 0
        self._oom_kills = _oom_kills()

    def sample(self) -> None:
        """Measure the whole tree.

        The usage of an ended process is included in that of the parent that reaped it, and in ours if we
        reaped it. So no usage is lost when a process ends, and none is counted twice.
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
        # A forked child starts with our own peak, so only a larger value is the child's own.
        if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
            self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * _MAXRSS_UNIT)

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process on this machine (most likely ours) for memory since the start."""
        return _oom_kills() > self._oom_kills


def _oom_kills() -> int:
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
