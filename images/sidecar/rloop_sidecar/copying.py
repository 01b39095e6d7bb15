"""Copies the files of a run for the verifier, or removes them before the next attempt.

Called by `unpack`. A run wrote these files, so they are not trusted: only regular files are copied, at most the allowed
number and size, no link is followed, a pipe is never waited for, and sizes are counted while reading. The digest is
that of the bytes that were written.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from rloop.api.digest import manifest_digest, too_large
from rloop_sidecar.problems import Refused

MAX_FILES = 100_000
MAX_DEPTH = 64
CHUNK = 1 << 20


def copy_tree(source: Path, target: Path, max_bytes: int) -> str:
    """Copy the regular files below `source` into `target`; returns their manifest digest. Raises Refused, OSError."""
    hashes: dict[bytes, str] = {}
    left = max_bytes
    target.mkdir(parents=True, exist_ok=True)
    for path, descriptor in _regular_files(source):
        place = target / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        executable = bool(os.fstat(descriptor).st_mode & stat.S_IXUSR)
        place.unlink(missing_ok=True)  # read-only, left by an interrupted try
        digest = sha256()
        with place.open("xb") as copy:
            while chunk := os.read(descriptor, CHUNK):
                left -= len(chunk)
                if left < 0:
                    total = sum(os.fstat(one).st_size for _, one in _regular_files(source))
                    raise Refused("ArtifactTooLarge", too_large(total, max_bytes))
                digest.update(chunk)
                copy.write(chunk)
        place.chmod(0o555 if executable else 0o444)
        hashes[path] = digest.hexdigest()
    return manifest_digest(hashes)


def remove_content(folder: Path) -> None:
    """Remove everything in the folder, but not the folder, which may be a mount. Raises OSError."""
    if not folder.is_dir():
        return
    for where, names, _ in os.walk(folder):
        for name in names:
            inside = Path(where, name)
            if not inside.is_symlink():
                inside.chmod(0o700)  # otherwise a folder that its run made read-only would stay
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _regular_files(root: Path) -> Iterator[tuple[bytes, int]]:
    """Each regular file's relative path, with a descriptor that is open until the next file."""
    seen = 0
    for where, folders, names, parent in os.fwalk(os.fsencode(root), onerror=_unreadable):
        seen += len(folders) + len(names)
        inside = os.path.relpath(where, os.fsencode(root))
        if seen > MAX_FILES or (folders and inside.count(b"/") >= MAX_DEPTH):
            limit = f"more than {MAX_FILES} files, or folders more than {MAX_DEPTH} deep"
            raise Refused("ArtifactTooLarge", f"the artifacts are {limit}; leave fewer")
        for name in names:
            descriptor = _open(name, parent)
            if descriptor is None:
                continue
            try:
                yield os.path.normpath(os.path.join(inside, name)), descriptor  # noqa: PTH118 - bytes
            finally:
                os.close(descriptor)


def _open(name: bytes, parent: int) -> int | None:
    """Open a regular file; None for anything else, and for a file that has disappeared."""
    # O_NONBLOCK: opening a pipe must not wait for its other end.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # Checked before opening: opening a device may already have effects.
        if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return None
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        raise Refused("ArtifactUnreadable", f"{os.fsdecode(name)!r} in the artifacts cannot be read") from None
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _unreadable(error: OSError) -> None:
    """Raise Refused: skipping an unreadable folder would silently make the artifact smaller."""
    raise Refused("ArtifactUnreadable", f"{error.filename!r} in the artifacts cannot be read ({error.strerror})")
