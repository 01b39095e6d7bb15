"""The layout of a run folder, and the lock that reserves it for one process.

```
loop.db                                  objects, files, ledger: the only source of truth (see store.py)
run.lock                                 held by the one process that owns the folder
seeds.json                               keys of all seeds, mode 0600 (see seed_keys.py)
state/ logs/                             written for readers by other modules, mostly rendered from loop.db
logs/workloads/NAME.log                  output of a removed workload
experiments/NAME/runs/rN/artifacts       artifacts of a run's newest attempt
experiments/NAME/runs/rN/checkpoints     kept between the attempts of one run
transcripts/SESSION/                     transcript of a session, written by agents other than policies
join/                                    where an agent waits that a person has started (rloop mcp --join)
workloads/NAME/                          one process tree: spec, shim, exit, output.log, scratch
```
Used by the store, the runtime and the CLI, so that each path is defined in one place.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rloop.errors import InUse
from rloop_operator.local.storage.file_errors import told

LOCK = "run.lock"
REQUEST = "request"
"""Name of a request in the folder `join`; `rloop_agent.clients.seat` has it too."""
DATABASE = "loop.db"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths in one run folder. They are absolute, because workloads run in other folders."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The layout for `folder`. Creates nothing."""
        return cls(Path(os.path.abspath(folder)))  # noqa: PTH100 - resolve() would follow a user's links

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @property
    def seeds(self) -> Path:
        return self.root / "seeds.json"

    @property
    def workloads(self) -> Path:
        return self.root / "workloads"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def join(self) -> Path:
        """Folder in which an agent of a person meets the session that it is given."""
        return self.root / "join"

    def workload(self, name: str) -> Path:
        """Folder of a workload and its shim."""
        return self.workloads / name

    def workload_log(self, name: str) -> Path:
        """File that keeps the output of a removed workload."""
        return self.logs / "workloads" / f"{name}.log"

    def run(self, experiment: str, number: int) -> Path:
        return self.root / "experiments" / experiment / "runs" / f"r{number}"

    def artifacts(self, experiment: str, number: int) -> Path:
        return self.run(experiment, number) / "artifacts"

    def checkpoints(self, experiment: str, number: int) -> Path:
        return self.run(experiment, number) / "checkpoints"

    def transcripts(self, session: str) -> Path:
        """Folder of a session's transcripts, kept after the session ends."""
        return self.root / "transcripts" / session

    def create(self) -> None:
        """Make the folders. Raises NotWritable or StorageFull."""
        with told(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            # The workloads' specs contain tokens and paths of held-out data, so other users must not read them.
            self.workloads.mkdir(mode=0o700, exist_ok=True)
            for folder in (self.logs / "workloads", self.state, self.root / "experiments"):
                folder.mkdir(parents=True, exist_ok=True)

    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return self.database.is_file()


class RunLock:
    """The lock of a run folder. The kernel releases it when its holder ends, for whatever reason."""

    def __init__(self, folder: Path) -> None:
        self._path = RunFolder.at(folder).root / LOCK
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Acquire the lock. Raises InUse with the pid of its holder."""
        with told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Several tries: a reader that queries the lock with `holder` holds it itself for an instant.
        if not any(_locked(descriptor, pause) for pause in (0.0, 0.02, 0.05)):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise InUse(
                f'the run folder "{self._path.parent}" is in use by process {holder};'
                " wait for it, end it with Ctrl-C, or give another folder with --dir"
            )
        with told(self._path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock. The file stays: after a deletion two processes could lock two files of the same name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _locked(descriptor: int, pause: float) -> bool:
    time.sleep(pause)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def holder(folder: Path) -> int | None:
    """The pid that holds the run folder's lock; None if it is free. For `rloop status`."""
    text = _held(RunFolder.at(folder).root / LOCK)
    return int(text) if text is not None and text.isdigit() else None


def waits(folder: Path) -> bool:
    """Whether an agent waits for a session in the folder `join`; it keeps its request locked as long as it lives."""
    return _held(folder / REQUEST) is not None


def _held(path: Path) -> bytes | None:
    """The beginning of a file that another process keeps locked; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.pread(descriptor, 32, 0).strip()
    else:
        return None
    finally:
        os.close(descriptor)
