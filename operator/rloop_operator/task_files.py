"""Sets of files in memory: read them from a folder, hash them, overlay them and write them into a new folder.

Called by the stores when they seal a task, by the gateway when an experiment is proposed, and by the runtimes
when they create a workload's folder. One module, because all of them must agree on what a file is and on its
digest.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path, PurePosixPath

from rloop.admit.space import look
from rloop.api.digest import manifest_digest
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import File, Files
from rloop_operator.tree import TreeProblem, copy_tree, digest_tree

__all__ = [
    "MAX_FOLDER_BYTES",
    "TreeProblem",
    "copy_tree",
    "digest_tree",
    "files_digest",
    "overlay",
    "read_folder",
    "write_files",
]

MAX_FOLDER_BYTES = 64 * 2**20
MAX_FOLDER_FILES = 10_000
LEFT_OUT = frozenset({".git", "__pycache__", ".DS_Store", ".ipynb_checkpoints", ".mypy_cache", ".ruff_cache"})
"""Never part of a task: these files change without an edit of the task and would change its hash."""


def files_digest(files: Files) -> str:
    """The sha256 manifest digest, as `rloop_operator.tree` defines it."""
    return manifest_digest({path.encode(): sha256(file.content).hexdigest() for path, file in files.items()})


def overlay(base: Files, changed: Files) -> dict[str, File]:
    """`base` with the files of `changed` added or replaced. A replaced file keeps its executable bit."""
    merged = dict(base)
    for path, file in changed.items():
        executable = file.executable or (path in base and base[path].executable)
        merged[path] = File(file.content, executable)
    return merged


def write_files(folder: Path, files: Files) -> None:
    """Write the files into `folder`, which must not exist yet."""
    folder.mkdir(parents=True)
    for path, file in files.items():
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise BadInput(InputProblem(path, "the path points outside its folder; give a path relative to the task"))
        place = folder / pure
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
        place.chmod(0o755 if file.executable else 0o644)


def read_folder(folder: Path, field: str, *, max_bytes: int = MAX_FOLDER_BYTES) -> dict[str, File]:
    """All regular files of a user's folder. Raises BadInput with every problem; `field` names it in the
    manifest.
    """
    reader = _Reader(folder, field, max_bytes)
    reader.read()
    if reader.problems:
        raise BadInput(*reader.problems)
    return reader.files


class _Reader:
    """One walk over a folder that collects all problems instead of stopping at the first."""

    def __init__(self, folder: Path, field: str, max_bytes: int) -> None:
        self.folder = folder
        self.field = field
        self.max_bytes = max_bytes
        self.files: dict[str, File] = {}
        self.problems: list[InputProblem] = []

    def read(self) -> None:
        if not self.folder.is_dir():
            found = "is a file" if self.folder.exists() else "does not exist"
            self._problem(f'the folder "{self.folder}" {found}; give a folder relative to the manifest')
            return
        size = 0
        for path in self._paths():
            try:
                status = path.stat(follow_symlinks=False)
                size += status.st_size
                if size > self.max_bytes or len(self.files) >= MAX_FOLDER_FILES:
                    self._problem(
                        f'"{self.folder}" is larger than {self.max_bytes // 2**20} MiB or'
                        f" {MAX_FOLDER_FILES} files, and every run gets its own copy;"
                        " remove environments and old runs from it, and pass"
                        " the absolute path of large data in experiment.env"
                    )
                    return
                content = path.read_bytes()
            except OSError as error:
                self._problem(f'"{path}" cannot be read ({error.strerror}); make it readable or remove it')
                continue
            name = path.relative_to(self.folder).as_posix()
            self.files[name] = File(content, bool(status.st_mode & stat.S_IXUSR))
        if not self.files and not self.problems:
            self._problem(f'the folder "{self.folder}" has no files')

    def _paths(self) -> list[Path]:
        """The regular files, sorted. Everything else is recorded as a problem."""
        found: list[Path] = []
        for parent, folders, names in os.walk(self.folder, onerror=self._unreadable):
            folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
            for name in sorted([*folders, *names]):
                path = Path(parent, name)
                if name in LEFT_OUT:
                    continue
                if path.is_symlink():
                    self._problem(f'"{path}" is a link; put the file itself there, because a link cannot be sealed')
                elif not name.isprintable():
                    self._problem(f"{str(path)!r} has a name that is not printable UTF-8; rename it")
                elif path.is_file():
                    found.append(path)
                elif name not in folders:
                    self._problem(f'"{path}" is neither a file nor a folder; remove it')
        return found

    def _unreadable(self, error: OSError) -> None:
        self._problem(f'"{error.filename}" cannot be read ({error.strerror}); make it readable or remove it')

    def _problem(self, message: str) -> None:
        self.problems.append(InputProblem(self.field, message))


def seal(loop: ResearchLoop, task: Files, evaluation: Files, references: Files | None) -> SealedTask:
    """What is recorded of these files once they are frozen. Raises BadInput with every problem of space.yaml."""
    found = look(texts(task), loop.spec.boundaries.editable)
    return SealedTask(
        task=files_digest(task),
        evaluation=files_digest(evaluation),
        references=None if references is None else files_digest(references),
        space=found.space,
        one_frame=found.one_frame,
    )


def texts(files: Files) -> dict[str, str]:
    """The content of all files that are valid UTF-8, by path."""
    found = {}
    for path, file in files.items():
        try:
            found[path] = file.content.decode()
        except UnicodeDecodeError:
            continue
    return found
