"""The ledger in the run folder: one row for each entry, in the format of `rloop.ledger_entry`.

Called by `store`. A row has the entry's text, its hash, and its number and key, by which rows are found.
"""

from __future__ import annotations

from rloop import ledger_entry
from rloop.actions import Append
from rloop.ledger_entry import GENESIS, Ledger
from rloop_operator.local.storage.database import Database


def append(database: Database, loop: str, entry: Append) -> bool:
    """Append an entry. False if an entry with this key exists already."""
    if database.row("SELECT 1 FROM ledger WHERE loop = ? AND key = ?", loop, entry.key):
        return False
    with database.write() as connection:
        newest = "SELECT number, sha256 FROM ledger WHERE loop = ? ORDER BY number DESC LIMIT 1"
        number, previous = connection.execute(newest, (loop,)).fetchone() or (0, GENESIS)
        text = ledger_entry.following(previous, loop, entry).text
        connection.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?)",
            (loop, number + 1, entry.key, text, ledger_entry.digest(text)),
        )
    return True


def stored(database: Database, loop: str) -> Ledger:
    """The ledger of a loop."""
    rows = database.rows("SELECT text, sha256 FROM ledger WHERE loop = ? ORDER BY number", loop)
    return Ledger(tuple(text for text, _ in rows), rows[-1][1] if rows else GENESIS)
