"""Immutable sets of files: the sealed task and evaluation, and each experiment's changed files.

Called by `store`. The content is stored in the database and not in a folder, so that it is written in the same
transaction as the objects that refer to it, and so that it cannot be changed with an editor.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from rloop.errors import Conflict, Corrupt, NotFound
from rloop_operator.local.storage.database import Database
from rloop_operator.ports import File, Files
from rloop_operator.task_files import files_digest


def insert(connection: sqlite3.Connection, name: str, files: Files, digest: str) -> None:
    """Freeze `files`, whose digest is given, under `name` within a transaction."""
    connection.execute("INSERT INTO file_sets VALUES (?, ?)", (name, digest))
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
        [
            (name, path, int(file.executable), sha256(file.content).hexdigest(), file.content)
            for path, file in sorted(files.items())
        ],
    )


def put(database: Database, name: str, files: Files) -> None:
    """Freeze `files` under `name`, unless they are stored already. Raises Conflict if `name` has other files."""
    if database.row("SELECT 1 FROM file_sets WHERE name = ?", name):
        if dict(read(database, name)) != dict(files):
            raise Conflict(f'other files are frozen under "{name}"; frozen files never change')
        return
    with database.write() as connection:
        insert(connection, name, files, files_digest(files))


def read(database: Database, name: str) -> dict[str, File]:
    """The files, checked against their hash. Raises NotFound, Corrupt."""
    known = database.row("SELECT sha256 FROM file_sets WHERE name = ?", name)
    if known is None:
        raise NotFound(f'no files are frozen under "{name}"')
    rows = database.rows("SELECT path, executable, content FROM files WHERE name = ? ORDER BY path", name)
    files = {path: File(content, bool(executable)) for path, executable, content in rows}
    if files_digest(files) != known[0]:
        raise Corrupt(f'the files "{name}" in "{database.path}" do not match their hash; restore it from a copy')
    return files
