"""Frozen files as stored in a ConfigMap: one tar.gz, and a cache of the files that this process has read.

Called by the cluster's store. Anyone who may create ConfigMaps in a namespace can create one under our name, so its
content is not trusted: a small archive may unpack into a very large one, and one process serves all namespaces.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections import OrderedDict

from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import File, Files

MAX_FILES = 2000
"""Maximum files per archive. Reading this many takes a tenth of a second, during which the event loop is blocked."""
ARCHIVE_BYTES = 900 * 1024
"""Maximum size of an archive. A ConfigMap holds 1 MiB, not counting base64; the rest is for metadata."""
MAX_BYTES = 4 * 2**20
"""Maximum uncompressed size of an archive: the content of a ConfigMap (1 MiB), plus up to 1.5 KiB for each file."""
BLOCK = 512
LONG_NAME = re.compile(rb"[0-9]+ path=(.+)\n", re.DOTALL)
"""The only extended header that `pack` writes: before a file whose path is long or not ASCII."""
KEPT_BYTES = 64 * 2**20
"""Maximum size of all cached files of a process, which has 1 GiB of memory: enough for thirty campaigns or more."""
PER_FILE_BYTES = 512
"""Memory that Python needs for a file in addition to its content."""


class NotOurs(Exception):
    """The bytes are not an archive made by `pack`; the message says why."""


def pack_to_fit(files: Files, name: str) -> bytes:
    """The archive of these files. Raises BadInput, about `name`, if a ConfigMap cannot hold it."""
    archive = pack(files)
    if len(archive) > ARCHIVE_BYTES or len(files) > MAX_FILES:
        has = f"{len(files)} files with {len(archive)} bytes when packed"
        told = f"{has}; at most {MAX_FILES} files and {ARCHIVE_BYTES} bytes fit: use a smaller task"
        raise BadInput(InputProblem(name, told))
    return archive


def pack(files: Files) -> bytes:
    """A tar.gz of these files, without timestamps: equal files give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size = len(file.content)
            info.mode = 0o755 if file.executable else 0o644
            archive.addfile(info, io.BytesIO(file.content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def unpack(archive: bytes) -> dict[str, File]:
    """The files of an archive made by `pack`. Raises NotOurs.

    Parsed here because tarfile also reads headers that `pack` never writes: with them a small archive takes seconds.
    """
    try:
        with gzip.open(io.BytesIO(archive)) as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise NotOurs(f"unpacks into more than {MAX_BYTES // 2**20} MiB")
        return _members(content)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise NotOurs(f"is not a valid archive ({error})") from error


def _members(content: bytes) -> dict[str, File]:
    found: dict[str, File] = {}
    start, long_name = 0, ""
    while any(header := content[start : start + BLOCK]):  # the end is a block of zeros
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        inside = content[start + BLOCK : start + BLOCK + max(0, info.size)]
        if len(inside) != info.size or len(found) >= MAX_FILES:
            raise NotOurs(f"ends too early, or has more than {MAX_FILES} files")
        start += BLOCK + -(-info.size // BLOCK) * BLOCK
        if info.type == tarfile.XHDTYPE and (record := LONG_NAME.fullmatch(inside)) and not long_name:
            long_name = record[1].decode()
        elif info.type == tarfile.REGTYPE:
            found[long_name or info.name] = File(inside, executable=bool(info.mode & 0o100))
            long_name = ""
        else:
            raise NotOurs("contains an entry that is not a regular file")
    if not header:
        raise NotOurs("ends too early")
    return found


class Cache:
    """Files by the uid of their ConfigMap; above `most_bytes` the least recently used ones are dropped."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[str, tuple[Files, int]] = OrderedDict()
        self._bytes = 0

    def get(self, uid: str) -> Files | None:
        """The cached files, or None."""
        if uid not in self._kept:
            return None
        self._kept.move_to_end(uid)
        return self._kept[uid][0]

    def put(self, uid: str, files: Files) -> None:
        """Cache the files, unless they alone exceed the limit."""
        size = sum(len(path) + len(file.content) + PER_FILE_BYTES for path, file in files.items())
        if uid in self._kept or size > self._most:
            return
        self._kept[uid] = files, size
        self._bytes += size
        while self._bytes > self._most:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone
