"""Unpacks a tar.gz of regular files into a folder.

Called by `unpack`. The archive is made by rloop, but an agent proposed its content. So only regular files are accepted,
none outside the folder or through a link, and no more than a task may have. The filter of tarfile does some of this,
but is missing in the first releases of Python 3.11.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zlib
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO

from typing_extensions import override

from rloop.api.digest import manifest_digest
from rloop_sidecar.problems import Refused

MAX_BYTES = 64 * 2**20
"""Total size of files; the same limit as for a sealed task."""
MAX_FILES = 10_000
HEADERS_BYTES = 2048
"""Overhead in the archive per file: its header and the padding of its last block."""
CHUNK = 1 << 20


def unpack(archive: Path, target: Path) -> str:
    """Unpack the archive's files over `target`; returns their manifest digest. Raises Refused, OSError."""
    try:
        with gzip.open(archive) as stream:
            return _Unpacking(target).run(_Bounded(stream, MAX_BYTES + MAX_FILES * HEADERS_BYTES))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Refused("ArchiveDamaged", f"{archive} is not a readable tar.gz archive ({error})") from error


class _Bounded(io.RawIOBase):
    """A stream of which at most `limit` bytes are read: a small archive may unpack into a large one."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = limit

    @override
    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise Refused("ArchiveTooLarge", f"an archive unpacks into more than {MAX_BYTES} bytes of files")
        return content


class _Unpacking:
    """The unpacking of one archive."""

    def __init__(self, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self._root = target.resolve()
        self._hashes: dict[bytes, str] = {}
        self._bytes = 0

    def run(self, stream: _Bounded) -> str:
        # "r|": read sequentially, without seeking.
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    continue  # folders are created when files need them
                if not member.isreg() or member.issparse():
                    raise Refused("ArchiveUnsafe", f"{member.name!r} in the archive is not a regular file")
                content = archive.extractfile(member)
                assert content is not None  # never None for a regular file
                self._take(member, content)
        return manifest_digest(self._hashes)

    def _take(self, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        path = _inside(member.name)
        key = os.fsencode(str(path))
        if key in self._hashes:
            raise Refused("ArchiveUnsafe", f"{member.name!r} is in the archive twice")
        self._bytes += member.size
        if self._bytes > MAX_BYTES or len(self._hashes) >= MAX_FILES:
            raise Refused("ArchiveTooLarge", f"an archive has more than {MAX_BYTES} bytes or {MAX_FILES} files")
        self._hashes[key] = self._write(path, content, executable=bool(member.mode & stat.S_IXUSR))

    def _write(self, path: PurePosixPath, content: IO[bytes], *, executable: bool) -> str:
        """Write one file; returns its sha256. It keeps the executable bit of the file that it replaces."""
        place = self._root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Refused("ArchiveUnsafe", f"{str(path)!r} needs a folder, but a file of that name exists") from None
        if place.parent.resolve() != self._root / path.parent:
            raise Refused("ArchiveUnsafe", f"{str(path)!r} contains a symbolic link")
        if place.is_symlink():
            place.unlink()
        elif place.is_dir():
            raise Refused("ArchiveUnsafe", f"{str(path)!r} is a file, but a folder of that name exists")
        elif place.exists():
            executable = executable or bool(place.stat().st_mode & stat.S_IXUSR)
        digest = sha256()
        with place.open("wb") as file:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        place.chmod(0o755 if executable else 0o644)
        return digest.hexdigest()


def _inside(name: str) -> PurePosixPath:
    """The member's path relative to the folder. Raises Refused if it is outside."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise Refused("ArchiveUnsafe", f"{name!r} in the archive points outside its folder")
    return path
