"""Copies and hashes folders for the verifier, and protects them from the scorer.

Called by `rloop_verifier.job`. Only regular files count and no link is followed, so that neither a scorer's folder nor
an artifact can reach outside itself. The only exception is the link that Kubernetes puts into its own mounts.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path

from rloop.api.digest import manifest_digest


def real_root(folder: Path) -> Path:
    """The folder that contains the files: in a mounted ConfigMap or Secret, the target of its link `..data`."""
    data = folder / "..data"
    return data.resolve() if data.is_symlink() else folder


def regular_files(folder: Path) -> Iterator[Path]:
    """All regular files below `folder`. Raises OSError if a folder cannot be read."""

    def fail(error: OSError) -> None:
        raise error

    for where, _, names in os.walk(real_root(folder), onerror=fail):
        for name in names:
            path = Path(where, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def folder_digest(folder: Path) -> str:
    """The digest of the folder's regular files, as defined by `rloop.api.digest`."""
    root = real_root(folder)
    return manifest_digest({os.fsencode(path.relative_to(root)): _sha256(path) for path in regular_files(folder)})


def copy_folder(source: Path, target: Path) -> None:
    """Copy the regular files; of their modes only the executable bit is kept."""
    root = real_root(source)
    target.mkdir()
    for path in regular_files(source):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy, follow_symlinks=False)
        copy.chmod(0o755 if _executable(path) else 0o644)


def make_read_only(folder: Path) -> None:
    """Remove write permission from every file, where allowed.

    Folders keep it, because otherwise their owner could not delete them. Files do not get it back, because another
    verifier may be reading the same artifact.
    """
    for path in regular_files(folder):
        with suppress(OSError):  # a read-only mount or another user's file is already protected
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~0o222)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _executable(path: Path) -> bool:
    return bool(path.lstat().st_mode & stat.S_IXUSR)
