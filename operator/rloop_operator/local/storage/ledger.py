"""The hash-chained ledger: a permanent record of every direction, experiment, verdict and finding.

Called by `store`; read by reports. The hash of each entry covers the hash of the previous one, so that a changed
or removed entry is detected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rloop.actions import Append
from rloop.errors import Corrupt
from rloop_operator.local.storage.database import Database, chain_hash

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger."""

    seq: int
    loop: str
    key: str
    kind: str
    body: dict[str, Any]
    prev_sha256: str
    sha256: str


def append(database: Database, loop: str, entry: Append) -> bool:
    """Append an entry. False if an entry with this key exists already."""
    if database.row("SELECT 1 FROM ledger WHERE loop = ? AND key = ?", loop, entry.key):
        return False
    body = json.dumps(entry.body, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
    with database.write() as connection:
        last = connection.execute("SELECT seq, sha256 FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        digest = chain_hash(previous, loop, entry.key, entry.kind, body)
        connection.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, loop, entry.key, entry.kind, body, previous, digest),
        )
    return True


def entries(database: Database, loop: str) -> list[LedgerEntry]:
    """All entries of a loop, oldest first."""
    rows = database.rows(
        "SELECT seq, loop, key, kind, body, prev_sha256, sha256 FROM ledger WHERE loop = ? ORDER BY seq", loop
    )
    return [LedgerEntry(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6]) for row in rows]


def verify(database: Database) -> int:
    """Verify the whole chain. Returns the number of entries. Raises Corrupt and names the first entry that differs."""
    previous, count = GENESIS, 0
    rows = database.rows("SELECT seq, loop, key, kind, body, prev_sha256, sha256 FROM ledger ORDER BY seq")
    for count, (seq, loop, key, kind, body, prev, digest) in enumerate(rows, start=1):
        if (seq, prev, digest) != (count, previous, chain_hash(previous, loop, key, kind, body)):
            raise Corrupt(
                f'the ledger in "{database.path}" was changed at entry {count} ("{key}"):'
                " its hash does not follow from what stands before it; nothing after it can be relied on"
            )
        previous = digest
    return count
