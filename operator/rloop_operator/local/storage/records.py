"""Records of all workloads that were ever started, and the hashes of their tokens.

Called by the runtime and by the identity. The rows are kept after the workloads' folders: because of its row a
removed name is never started again, and a folder that was deleted counts as lost instead of being started anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rloop.actions import Role
from rloop_operator.local.storage.database import Database

_SELECT = "SELECT name, loop, role, owner, session, removed FROM workloads"


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """One workload that was started."""

    name: str
    loop: str
    role: Role
    owner: str
    session: str
    removed: bool = False


def _record(row: tuple[Any, ...]) -> WorkloadRecord:
    return WorkloadRecord(row[0], row[1], row[2], row[3], row[4], bool(row[5]))


def add(database: Database, record: WorkloadRecord, token_sha256: str | None) -> None:
    """Record a start, after the folder was created and before the process is. A name that exists is not changed."""
    with database.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO workloads VALUES (?, ?, ?, ?, ?, ?, 0)",
            (record.name, record.loop, record.role, record.owner, record.session, token_sha256),
        )


def find(database: Database, name: str) -> WorkloadRecord | None:
    """The workload, even if it was removed; None if this name was never started."""
    row = database.row(_SELECT + " WHERE name = ?", name)
    return None if row is None else _record(row)


def find_by_token(database: Database, token_sha256: str) -> WorkloadRecord | None:
    """The workload whose token has this hash; None if the token is unknown."""
    row = database.row(_SELECT + " WHERE token_sha256 = ?", token_sha256)
    return None if row is None else _record(row)


def present(database: Database) -> list[WorkloadRecord]:
    """All workloads that were started and not removed."""
    return [_record(row) for row in database.rows(_SELECT + " WHERE removed = 0")]


def mark_removed(database: Database, name: str) -> None:
    """Mark a workload as removed, permanently, and delete its token."""
    with database.write() as connection:
        connection.execute("UPDATE workloads SET removed = 1, token_sha256 = NULL WHERE name = ?", (name,))
