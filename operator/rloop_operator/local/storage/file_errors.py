"""Translate errors of SQLite and the file system about a run folder into rloop's own, with a message and a remedy.

Called by `database` and `layout`, so that a user whose disk is full does not see a traceback of SQLite.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rloop.errors import Corrupt, InUse, RloopError


class StorageFull(RloopError):
    """The disk of the run folder is full."""


class NotWritable(RloopError):
    """The run folder cannot be written (or, for a reader, cannot be opened)."""


class TooNew(Corrupt):
    """The run folder was written by a newer version."""


def _full(place: Path) -> StorageFull:
    return StorageFull(
        f'no space is left on the disk of "{place}"; free some and run the same command again: it continues there'
    )


def _not_writable(place: Path, why: str) -> NotWritable:
    return NotWritable(
        f'"{place}" cannot be written ({why}); give another folder with --dir, or change its permissions'
    )


def _translate_sqlite(error: sqlite3.Error, place: Path) -> RloopError:
    # Programming errors have no error code. They are bugs of rloop, but the message must still name the file.
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return _full(place)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _not_writable(place, str(error))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InUse(f'another program holds "{place}" ({error}); close it and try again')
    if primary == sqlite3.SQLITE_IOERR:
        return RloopError(f'the disk of "{place}" reports an error ({error}); check it and its free space')
    return Corrupt(
        f'"{place}" cannot be read as a run\'s database ({error}); restore it from a copy,'
        " or move the folder away and start afresh"
    )


@contextmanager
def told(place: Path) -> Iterator[None]:
    """Convert errors of SQLite and of the file system about `place` into rloop's own errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate_sqlite(error, place) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(place) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
            raise _not_writable(place, error.strerror or str(error)) from error
        raise RloopError(f'"{place}": {error.strerror or error}; check the folder and its disk') from error
