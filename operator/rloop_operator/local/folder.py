"""The layout of a run folder, and the lock that gives it to one process.

```
loop.db                                  objects, files, ledger: the only truth (see store.py)
run.lock                                 held by the one process that owns the folder
seeds.json                               keys of all seeds, mode 0600 (see seed_keys.py)
state/ logs/                             rendered from loop.db by others; logs/workloads/NAME.log is ours
experiments/NAME/runs/rN/artifacts       what a run's newest attempt left
experiments/NAME/runs/rN/checkpoints     survives the attempts of one run
transcripts/SESSION/                     what a session of an agent that is no policy leaves of its thoughts
workloads/NAME/                          one process tree: spec, shim, exit, output.log, scratch
```
Used by the store, the runtime and the CLI, so that a path is spelled in one place.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rloop.errors import InUse
from rloop_operator.local.failures import told

LOCK = "run.lock"
DATABASE = "loop.db"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths under one run folder. Absolute, because workloads run in other folders."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The layout for `folder`; nothing is created."""
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

    def workload(self, name: str) -> Path:
        """The shim's folder."""
        return self.workloads / name

    def workload_log(self, name: str) -> Path:
        """Where the output of a removed workload is kept."""
        return self.logs / "workloads" / f"{name}.log"

    def run(self, experiment: str, number: int) -> Path:
        return self.root / "experiments" / experiment / "runs" / f"r{number}"

    def artifacts(self, experiment: str, number: int) -> Path:
        return self.run(experiment, number) / "artifacts"

    def checkpoints(self, experiment: str, number: int) -> Path:
        return self.run(experiment, number) / "checkpoints"

    def transcripts(self, session: str) -> Path:
        """Kept when the session is over."""
        return self.root / "transcripts" / session

    def create(self) -> None:
        """Make the folders. Raises NotWritable or StorageFull."""
        with told(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            # Tokens and held-out paths stand in the workloads' specs: other users have no business there.
            self.workloads.mkdir(mode=0o700, exist_ok=True)
            for folder in (self.logs / "workloads", self.state, self.root / "experiments"):
                folder.mkdir(parents=True, exist_ok=True)

    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return self.database.is_file()


class RunLock:
    """The lock of a run folder; the kernel gives it back when its holder dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = RunFolder.at(folder).root / LOCK
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise InUse with the pid of its holder."""
        with told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # More than one try: a reader that asks who holds the lock (`holder`) holds it itself for an instant.
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
        """Give it back. The file stays: deleting it would let two processes lock two files of one name."""
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
    """The pid that holds the run folder's lock now; None when it is free. For `rloop status`."""
    path = RunFolder.at(folder).root / LOCK
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
