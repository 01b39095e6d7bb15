# ruff: noqa: PTH103, PTH118, PTH120, PTH123, PTH208 - works relative to descriptors, as pathlib cannot
"""Trees of regular files on disk: walk, digest and copy them, within limits and without following links.

Called by the local shim (digest of a run's artifacts, copy of them for the verifier) and by
`rloop_operator.task_files`. A module of its own that imports only the standard library and
`rloop.api.digest`, because the shim must start in milliseconds.

The digest of a tree is the sha256 of the output of `sha256sum` for its files, ordered by their paths as
bytes: `<sha256 of the content><space><space><path><newline>`. The executable bit is not included, because a
ConfigMap does not keep it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256

from rloop.api.digest import manifest_digest, too_large

MAX_FILES = 100_000
"""A tree with more files is rejected, because listing it would already be too expensive."""
MAX_DEPTH = 64
CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Write = Callable[[bytes], object]


class TreeProblem(Exception):
    """A tree is missing or exceeds the limits. `reason` is one CamelCase word, used as the reason of an exit."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def digest_tree(folder: str, max_bytes: int) -> str:
    """The digest of the regular files under `folder`. Links, pipes, sockets and devices are ignored."""
    hashes: dict[bytes, str] = {}
    budget = max_bytes
    for path, descriptor in _regular_files(folder):
        hashes[path], size = _consume(descriptor, budget, folder, max_bytes)
        budget -= size
    return manifest_digest(hashes)


def copy_tree(source: str, target: str, max_bytes: int) -> str:
    """Copy the regular files under `source` into the new folder `target`. Returns the digest of the copy.

    The digest is computed from the bytes that are written, so it matches the copy even if a file changes
    meanwhile. Only the owner of the copy may have write access to it, and the copied files are left read-only.
    """
    os.makedirs(target)
    hashes: dict[bytes, str] = {}
    budget = max_bytes
    for path, descriptor in _regular_files(source):
        place = os.path.join(os.fsencode(target), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        executable = bool(os.fstat(descriptor).st_mode & stat.S_IXUSR)
        with open(place, "xb") as copy:
            hashes[path], size = _consume(descriptor, budget, source, max_bytes, copy.write)
            os.fchmod(copy.fileno(), 0o555 if executable else 0o444)
        budget -= size
    return manifest_digest(hashes)


def _consume(descriptor: int, budget: int, root: str, max_bytes: int, write: Write | None = None) -> tuple[str, int]:
    """Hash (and write) one file. Returns its sha256 and size. Raises TreeProblem if it exceeds `budget` bytes."""
    digest = sha256()
    size = 0
    while chunk := os.read(descriptor, CHUNK):
        size += len(chunk)
        if size > budget:
            total = sum(os.fstat(one).st_size for _, one in _regular_files(root))
            raise TreeProblem("ArtifactTooLarge", too_large(total, max_bytes))
        digest.update(chunk)
        if write is not None:
            write(chunk)
    return digest.hexdigest(), size


def _regular_files(folder: str) -> Iterator[tuple[bytes, int]]:
    """Yield the relative path of every regular file under `folder`, and a descriptor that is open until the next one.

    Each step opens relative to the parent folder's descriptor and rejects links, so that nobody can replace a
    folder by a link between the check and the open.
    """
    try:
        root = os.open(folder, _FLAGS | os.O_DIRECTORY)
    except OSError as error:
        raise TreeProblem("ArtifactMissing", f"the artifacts' folder cannot be read: {error.strerror}") from None
    seen = 0
    pending: list[tuple[bytes, int]] = [(b"", root)]
    try:
        while pending:
            prefix, parent = pending.pop()
            try:
                for name in os.listdir(parent):
                    seen += 1
                    path = prefix + os.fsencode(name)
                    if seen > MAX_FILES or path.count(b"/") > MAX_DEPTH:
                        limit = f"more than {MAX_FILES} files, or folders more than {MAX_DEPTH} deep"
                        raise TreeProblem("ArtifactTooLarge", f"the artifacts are {limit}; leave fewer")
                    descriptor = _open_entry(parent, name, path)
                    if descriptor is None:
                        continue
                    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                        pending.append((path + b"/", descriptor))
                        continue
                    try:
                        yield path, descriptor
                    finally:
                        os.close(descriptor)
            finally:
                os.close(parent)
    finally:
        for _, descriptor in pending:
            os.close(descriptor)


def _open_entry(parent: int, name: str, path: bytes) -> int | None:
    """Open a regular file or a folder. None for anything else, and for an entry that has vanished meanwhile."""
    try:
        before = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not (stat.S_ISREG(before.st_mode) or stat.S_ISDIR(before.st_mode)):
            return None
        # O_NONBLOCK: if the entry has meanwhile been replaced by a pipe, the open must not wait for its other end.
        descriptor = os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=parent)
    except PermissionError:
        raise TreeProblem("ArtifactUnreadable", f"{os.fsdecode(path)!r} in the artifacts cannot be read") from None
    except OSError:
        return None
    if stat.S_IFMT(os.fstat(descriptor).st_mode) == stat.S_IFMT(before.st_mode):
        return descriptor
    os.close(descriptor)
    return None
