# ruff: noqa: PTH123, PTH208 - pathlib would double the start of the shim
"""Processes identified by pid and start time, their trees and their resource usage.

Called by the shim (for its own tree) and by the runtime (to check that a shim is still the one it started). A pid
alone is never trusted, because it may have been reused. On Linux /proc is read directly, because a sample must
take microseconds and the shim must start in milliseconds; psutil is imported only on other systems.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LINUX = sys.platform == "linux"
COOKIE = "RLOOP_WORKLOAD_COOKIE"
"""Variable in the environment of every process of a workload, by which its orphans are found anywhere."""


class Process(NamedTuple):
    """State and usage of one process."""

    start: str
    """Start time; identifies the process together with the pid, even across reboots."""
    parent: int
    zombie: bool
    cpu_seconds: float
    """CPU seconds of the process and of the children it has reaped."""
    rss_bytes: int


def _linux_constants() -> tuple[int, int, str]:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE"), file.read().strip()[:8]


_TICKS, _PAGE, _BOOT = _linux_constants() if LINUX else (100, 4096, "")


def look(pid: int) -> Process | None:
    """The process with this pid; None if it does not exist."""
    if not LINUX:
        return _look_elsewhere(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may contain blanks and brackets, so only the fields after the last bracket are parsed.
    fields = text[text.rindex(b")") + 2 :].split()
    cpu = sum(map(int, fields[11:15])) / _TICKS
    start = f"{_BOOT}:{fields[19].decode()}"
    return Process(start, int(fields[1]), fields[0] in b"ZX", cpu, int(fields[21]) * _PAGE)


def _look_elsewhere(pid: int) -> Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            zombie = process.status() == psutil.STATUS_ZOMBIE
            times = None if zombie else process.cpu_times()
            cpu = sum((times.user, times.system)) if times else 0.0
            rss = 0 if zombie else process.memory_info().rss
            return Process(str(process.create_time()), process.ppid(), zombie, cpu, rss)
    except psutil.Error:
        return None


def is_alive(pid: int, start: str) -> bool:
    """Whether the process with this pid and this start time still runs."""
    found = look(pid)
    return found is not None and found.start == start and not found.zombie


def send(pid: int, start: str, number: signal.Signals) -> bool:
    """Send a signal if the process with this pid still has this start time. False if it has ended."""
    if not LINUX:
        if not is_alive(pid, start):
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        return True
    try:
        # The descriptor pins the process, so that the pid cannot be reused between the check and the signal.
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_alive(pid, start):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """All descendants of a process, zombies included, parents first."""
    found: list[int] = []
    pending = [pid]
    while pending:
        children = list(_children(pending.pop()))
        found += children
        pending += children
    return found


def _children(pid: int) -> Iterator[int]:
    if not LINUX:
        import psutil

        with contextlib.suppress(psutil.Error):
            yield from (child.pid for child in psutil.Process(pid).children())
        return
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                yield from map(int, file.read().split())


def carriers(cookie: str) -> dict[int, str]:
    """Readable processes that carry the cookie, and their descendants, without zombies: pid -> start time."""
    marked = [pid for pid in _pids() if pid != os.getpid() and _carries(pid, cookie)]
    found: dict[int, str] = {}
    for pid in {*marked, *(child for parent in marked for child in descendants(parent))}:
        process = look(pid)
        if process is not None and not process.zombie:
            found[pid] = process.start
    return found


def _pids() -> Iterable[int]:
    if LINUX:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return psutil.pids()


def _carries(pid: int, cookie: str) -> bool:
    if not LINUX:
        import psutil

        try:
            return psutil.Process(pid).environ().get(COOKIE) == cookie
        except (psutil.Error, OSError):
            return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{COOKIE}={cookie}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def kill_carriers(cookie: str) -> bool:
    """Send SIGKILL to every process that carries the cookie. Returns True if none was found."""
    found = carriers(cookie)
    for pid, start in found.items():
        send(pid, start, signal.SIGKILL)
    return not found


def free_port() -> int:
    """A port that is free now, as the rendezvous of the processes of one PyTorchJob."""
    import socket  # the shim needs none

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
