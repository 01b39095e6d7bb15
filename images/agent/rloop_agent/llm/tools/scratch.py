"""The scratch: the session's own copy of the task, in which the model reads and writes files and runs commands.

Called by the file tools. It starts as a copy of a parent (the incumbent, the task, any experiment); an experiment is
its difference from that parent. Paths outside it, links and files that are not text are rejected here, with a sentence
for the model; the gateway decides which files may be changed.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from rloop.api.common import FILE_BYTES
from rloop.api.reading.globs import matches
from rloop.api.wire import TaskFiles

LIST_MAX = 500
NEAR_MAX = 5
"""Maximum number of files that are named in place of a missing one."""
SHOWN_MAX = 1000
"""Maximum characters of a file that is shown whole if an edit does not match it."""
DRAFTS = "handoff-drafts"
"""Folder with the unfinished files of the last session: to be read, never part of an experiment."""


class ScratchError(Exception):
    """A message for the model; the session continues."""


@dataclass(slots=True)
class Changes:
    """Differences between the scratch and its parent."""

    files: dict[str, str] = field(default_factory=dict)
    """Changed or new files inside the boundaries."""
    sealed: list[str] = field(default_factory=list)
    """Files of the task that were changed or removed although they must not be."""
    left_out: list[str] = field(default_factory=list)
    """New files outside the boundaries, such as output of commands. They are not part of an experiment."""


class Scratch:
    """A folder with a copy of the task."""

    def __init__(
        self, root: Path, task: TaskFiles, editable: Sequence[str], drafts: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.root = root.resolve()
        self._task = task
        self._editable = editable
        self._drafts = {f"{DRAFTS}/{path}": text for path, text in drafts.items()}
        self.parent = "task"
        self._base: dict[str, str] = {}

    def compare_with(self, parent: str, changed: Mapping[str, str]) -> None:
        """Take the content as it is, as a change of a parent, whose files differ from the task by `changed`."""
        self.parent, self._base = parent, {**self._task.files, **changed}

    def lay(self, parent: str, changed: Mapping[str, str]) -> None:
        """Replace the content by that of a parent, whose files differ from the task by `changed`."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True)
        self.compare_with(parent, changed)
        for path, text in {**self._base, **self._drafts}.items():
            self.write(path, text)

    def files(self) -> list[str]:
        """A line for each file, with its size."""
        lines = [f"{path}  {size} bytes{self._mark(path)}" for path, size in self._walk()]
        lines += [f"{path}  binary: in the task, not in this copy" for path in self._task.binary]
        more = len(lines) - LIST_MAX
        return [*sorted(lines)[:LIST_MAX], *([f"... and {more} more"] if more > 0 else [])]

    def read(self, path: str) -> str:
        """The text of a file, not truncated. Raises ScratchError."""
        found = self._inside(path)
        if not found.is_file():
            there = list(islice(self.paths(), LIST_MAX))
            near = get_close_matches(path, there, n=NEAR_MAX) or there[:NEAR_MAX]
            raise ScratchError(f'there is no file "{path}"; there are {", ".join(near) or "no files at all"}')
        size = found.stat().st_size
        if size > FILE_BYTES * 8:
            raise ScratchError(f'"{path}" has {size} bytes: read parts of it with a command (head, tail, grep)')
        try:
            return found.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ScratchError(f'"{path}" is not text ({size} bytes)') from None

    def write(self, path: str, text: str) -> None:
        """Create or replace a file. Raises ScratchError."""
        found = self._inside(path)
        if len(text.encode(errors="surrogatepass")) > FILE_BYTES:
            raise ScratchError(
                f'"{path}": the maximum size of a file is {FILE_BYTES} bytes; generate data when the program runs'
            )
        if found.is_dir():
            raise ScratchError(f'"{path}" is a folder')
        try:
            found.parent.mkdir(parents=True, exist_ok=True)
            found.write_text(text, encoding="utf-8")
        except (OSError, UnicodeEncodeError) as error:
            raise ScratchError(f'"{path}" cannot be written: {error}') from None

    def editable_texts(self, most: int) -> Iterator[tuple[str, str]]:
        """Files that may be changed, with their texts; those that fit into `most` bytes together."""
        for path, size in self._walk():
            if matches(path, self._editable) and size <= most:
                most -= size
                with contextlib.suppress(ScratchError):
                    yield path, self.read(path)

    def paths(self) -> Iterator[str]:
        """Paths of all files."""
        return (path for path, _ in self._walk())

    def editable(self) -> str:
        """A file that may be changed; without one any file, or an invented name."""
        paths = list(self.paths())
        return next((path for path in paths if matches(path, self._editable)), paths[0] if paths else "notes.txt")

    @property
    def task(self) -> Mapping[str, str]:
        """The text files of the unchanged task."""
        return self._task.files

    def holds(self, path: str, text: str) -> bool:
        """Whether the file already has this content."""
        try:
            return same(path, self.read(path), text)
        except ScratchError:
            return False

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that occurs in the file exactly once. Raises ScratchError."""
        text = self.read(path)
        count = text.count(old) if old else 0
        if count != 1:
            told = "old is empty" if not old else f"old occurs {count} times"
            shown = f". It says:\n{text}" if len(text) <= SHOWN_MAX else ""
            raise ScratchError(f'"{path}": {told}; give a text that occurs exactly once{shown}')
        self.write(path, text.replace(old, new))

    def changes(self) -> Changes:
        """The changes of an experiment made from this scratch."""
        found = Changes()
        seen = set()
        for path in self.paths():
            seen.add(path)
            if path.startswith(f"{DRAFTS}/"):
                continue
            allowed = matches(path, self._editable)
            known = self._base.get(path)
            try:
                text = self.read(path)
            except ScratchError:
                if allowed:
                    raise
                text = None
            if text == known or (allowed and text is not None and known is not None and same(path, known, text)):
                continue
            if allowed and text is not None:
                found.files[path] = text
            else:
                (found.sealed if known is not None else found.left_out).append(path)
        found.sealed += sorted(set(self._base) - seen)
        return found

    def flaw(self, path: str) -> str:
        """The syntax error of a JSON or Python file; empty if it can be parsed."""
        try:
            if path.endswith(".json"):
                json.loads(self.read(path))
            elif path.endswith(".py"):
                ast.parse(self.read(path))
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            return f"{path} is not valid {'JSON' if path.endswith('.json') else 'Python'}: {error}"
        return ""

    def _mark(self, path: str) -> str:
        if path.startswith(f"{DRAFTS}/"):
            return "  (left by the last session)"
        return "" if matches(path, self._editable) else "  (sealed)" if path in self._base else "  (not in the task)"

    def _walk(self) -> Iterator[tuple[str, int]]:
        """Regular files below the root, without links and devices."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    known = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(known.st_mode):
                    yield path.relative_to(self.root).as_posix(), known.st_size

    def _inside(self, path: str) -> Path:
        """The path inside the scratch. Raises ScratchError."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path or len(path) > 255:
            raise ScratchError(f'"{path[:255]}" is not a path of the task; give a relative path such as "src/model.py"')
        found = self.root.joinpath(*parts)
        try:
            real = found.resolve()
            special = found.is_symlink() or (found.exists() and not (found.is_file() or found.is_dir()))
        except (OSError, RuntimeError) as error:
            raise ScratchError(f'"{path}" cannot be read: {error}') from None
        if special or not real.is_relative_to(self.root):
            raise ScratchError(
                f'"{path}" is a link or not a regular file: only regular files inside the task are allowed'
            )
        return found


def same(path: str, before: str, after: str) -> bool:
    """Whether two texts of a file are equivalent, ignoring trailing white space and the layout of JSON."""
    if before.rstrip() == after.rstrip():
        return True
    if not path.endswith(".json"):
        return False
    try:
        return json.dumps(json.loads(before)) == json.dumps(json.loads(after))
    except (ValueError, RecursionError):
        return False
