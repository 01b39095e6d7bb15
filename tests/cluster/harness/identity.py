"""Who a process is: its number, when it started, and since which boot of the machine.

Used by `node` to end only what the harness itself started. A number alone is no identity: after a crash or a
reboot it may belong to anybody.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process, for ever: no other ever has all three."""

    pid: int
    start: int
    boot: str

    def exists(self) -> bool:
        """Whether it is there, be it as a zombie: its namespaces are in use until it is reaped."""
        return self.boot == boot() and _start(self.pid) == self.start

    def gone(self) -> bool:
        """The opposite, to wait for."""
        return not self.exists()

    def kill(self) -> None:
        """Kill this very process. The descriptor is taken before the check, so no other can be hit."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.exists():
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)

    def children(self) -> list["Process"]:
        """Its direct children."""
        numbers = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return [child for pid in numbers if _field(pid, 4) == self.pid and (child := look(pid))]

    def dump(self) -> str:
        """One line, for a file that outlives us."""
        return f"{self.pid} {self.start} {self.boot}\n"


def boot() -> str:
    """The machine's name for the time since its last boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def look(pid: int) -> Process | None:
    """The process that has this number now."""
    start = _start(pid)
    return None if start is None else Process(pid, start, boot())


def load(file: Path) -> Process | None:
    """What dump wrote; a file cut short by a crash names nobody."""
    try:
        pid, start, since = file.read_text().split()
        return Process(int(pid), int(start), since)
    except (OSError, ValueError):
        return None


def _start(pid: int) -> int | None:
    return _field(pid, 22)


def _field(pid: int, number: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold blanks and brackets itself.
    return int(text.rpartition(")")[2].split()[number - 3])
