"""The file `loop.db`: connection, schema and transactions.

Called by `store` and `records`. One process writes it (ensured by `layout.RunLock`), any number of processes
may read it at the same time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rloop.errors import Corrupt, NotFound
from rloop_operator.local.storage.file_errors import TooNew, told

SCHEMA_VERSION = 1
APPLICATION_ID = 0x726C6F70  # "rlop": identifies our databases, so that a foreign one is rejected
BUSY_SECONDS = 5

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (
  kind TEXT NOT NULL, name TEXT NOT NULL, loop TEXT NOT NULL, uid TEXT NOT NULL,
  resource_version INTEGER NOT NULL, json TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX objects_by_version ON objects (resource_version);
CREATE TABLE file_sets (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  name TEXT NOT NULL, path TEXT NOT NULL, executable INTEGER NOT NULL,
  sha256 TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (name, path)
);
CREATE TABLE ledger (
  loop TEXT NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, sha256 TEXT NOT NULL,
  PRIMARY KEY (loop, number), UNIQUE (loop, key)
);
CREATE TABLE workloads (
  name TEXT PRIMARY KEY, loop TEXT NOT NULL, role TEXT NOT NULL, owner TEXT NOT NULL, session TEXT NOT NULL,
  token_sha256 TEXT, removed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX workloads_by_token ON workloads (token_sha256);
"""


class Database:
    """One open connection, used by one thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        if read_only and not path.is_file():
            raise NotFound(
                f'there is no run in "{path.parent}"; start one with rloop run, or give its folder with --dir'
            )
        with told(path):
            self._connection = self._open_to_read() if read_only else self._open_to_write()

    def _open_to_write(self) -> sqlite3.Connection:
        # isolation_level=None: only `write` begins and ends transactions.
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # NORMAL could lose the newest commits in a power failure, and with them the intent of a workload that
            # has been started already. "Exactly once" needs the intent on disk before the process starts.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._check_version(connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
                    f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise Corrupt(f'"{self.path}" is damaged ({verdict}); restore it from a copy, or start in a new folder')
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        # mode=ro: a reader cannot modify the run.
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if version > SCHEMA_VERSION and owner == APPLICATION_ID:
            raise TooNew(
                f'"{self.path}" was written by a newer rloop (schema {version}; this one knows'
                f" {SCHEMA_VERSION}); install that version, or start in a new folder"
            )
        if owner != APPLICATION_ID and not (empty and not self.read_only):
            raise Corrupt(f'"{self.path}" is not the database of a run; give another folder with --dir')

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One atomic transaction. It is durable on disk when the context ends."""
        with told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # If the disk is full, SQLite may have rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with told(self.path):
            return self._connection.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row of a query; None if it has no rows."""
        found = self.rows(query, *parameters)
        return found[0] if found else None

    def data_version(self) -> int:
        """A number that changes when another process has written."""
        found = self.row("PRAGMA data_version")
        return int(found[0]) if found else 0

    def meta(self, key: str) -> str | None:
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found[0])

    def set_meta(self, key: str, value: str) -> None:
        with self.write() as connection:
            put_meta(connection, key, value)

    def close(self) -> None:
        """Close the connection. Written data is not affected."""
        with told(self.path):
            self._connection.close()


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set a key of the meta table within a transaction."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )
