"""Requests of a user to a campaign (suspend, resume, pivot), stored as rows of `loop.db` until its owner takes them.

`ask` is called by the command line, also while `rloop run` is running; `take` by the holder of the folder's lock. A
request is a row and not an edit of the loop, because only the owner writes objects. Taking a request twice is harmless.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from rloop import names
from rloop.api.researchloop import ResearchLoop
from rloop.errors import InUse
from rloop_operator.local.storage.database import Database
from rloop_operator.local.storage.layout import RunFolder, RunLock
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import Verb

_WAITING = "SELECT key, value FROM meta WHERE key LIKE 'request/%' ORDER BY key"


def ask(layout: RunFolder, verb: Verb, moment: datetime) -> None:
    """Store the request."""
    with closing(Database(layout.database)) as database:
        database.set_meta(f"request/{moment.isoformat(timespec='microseconds')}", verb)


def waiting(layout: RunFolder) -> bool:
    """Whether a request has not been taken yet."""
    with closing(Database(layout.database, read_only=True)) as database:
        return database.row(_WAITING) is not None


async def take(store: LocalStore) -> None:
    """Carry out the requests, oldest first. Only for the owner of the folder."""
    for key, verb in store.database.rows(_WAITING):
        for loop in await store.loops():
            await store.update_spec(_edited(loop, verb, key.removeprefix("request/")))
        with store.database.write() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))


async def take_unowned(layout: RunFolder) -> bool:
    """Carry out the requests in this process if no process owns the folder. Returns whether that was the case."""
    try:
        with RunLock(layout.root), closing(LocalStore(layout.root)) as store:
            await take(store)
    except InUse:
        return False
    return True


def suspended_by_request(loop: ResearchLoop) -> bool:
    """Whether it was suspended by `rloop suspend`, regardless of its manifest."""
    return names.ANNOTATION_SUSPENDED in loop.metadata.annotations


def _edited(loop: ResearchLoop, verb: str, moment: str) -> ResearchLoop:
    kept = {key: text for key, text in loop.metadata.annotations.items() if key != names.ANNOTATION_SUSPENDED}
    match verb:
        case "suspend":
            return _with(loop, {**kept, names.ANNOTATION_SUSPENDED: moment}, suspend=True)
        case "resume":
            return _with(loop, kept, suspend=False)
        case _:
            return _with(loop, {**loop.metadata.annotations, names.ANNOTATION_PIVOT: moment}, suspend=loop.spec.suspend)


def _with(loop: ResearchLoop, annotations: dict[str, str], *, suspend: bool) -> ResearchLoop:
    return loop.changed(
        metadata=loop.metadata.changed(annotations=annotations), spec=loop.spec.changed(suspend=suspend)
    )
