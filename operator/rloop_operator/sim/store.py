"""The simulated shell's store: objects in memory, with the same preconditions as the other stores.

Used by property tests and statistical benchmarks; the contract suite runs against it as well.
"""

from __future__ import annotations

from hashlib import sha256

from rloop import ledger_entry, names
from rloop.actions import Append
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Conflict, NotFound
from rloop.ledger_entry import GENESIS, Entry, Ledger
from rloop_operator import task_files
from rloop_operator.ports import AnyObject, Files, Object


class MemoryStore:
    """A Store in memory."""

    def __init__(self, task: Files, evaluation: Files | None = None, references: Files | None = None) -> None:
        self._task = dict(task)
        self._references = references
        self._evaluation = dict(evaluation or {})
        self._objects: dict[str, dict[str, AnyObject]] = {}
        self._files: dict[str, Files] = {}
        self._version = 0
        self.ledger: dict[str, Entry] = {}
        """The entries by `<loop>/<key>`, oldest first."""
        self._heads: dict[str, str] = {}
        """Hash of the newest entry, by loop."""

    async def get(self, kind: type[Object], name: str) -> Object:
        """See ports.Store."""
        found = self._objects.get(kind.__name__, {}).get(name)
        if found is None:
            message = f"there is no {kind.__name__} {name}"
            raise NotFound(message)
        assert isinstance(found, kind)
        return found

    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        """See ports.Store."""
        by_name = sorted(self._objects.get(kind.__name__, {}).items())
        return [obj for _, obj in by_name if isinstance(obj, kind) and _loop_of(obj) == loop]

    async def create(self, obj: Object) -> Object:
        """See ports.Store."""
        key = (type(obj).__name__, obj.metadata.name)
        if key[1] in self._objects.get(key[0], {}):
            message = f"{key[0]} {key[1]} exists"
            raise Conflict(message)
        uid = obj.metadata.uid or sha256("/".join(key).encode()).hexdigest()[:32]
        return self._put(obj, uid)

    async def apply_status(self, obj: Object) -> Object:
        """See ports.Store."""
        stored = await self.get(type(obj), obj.metadata.name)
        if stored.metadata.resource_version != obj.metadata.resource_version:
            message = f"{obj.metadata.name} was changed since it was read"
            raise Conflict(message)
        return self._put(stored.changed(status=obj.status), stored.metadata.uid)

    async def seal(self, loop: ResearchLoop) -> SealedTask:
        """See ports.Store."""
        sealed = task_files.seal(loop, self._task, self._evaluation, self._references)
        self._files.setdefault(names.task(loop.metadata.name), self._task)
        self._files.setdefault(names.evaluation(loop.metadata.name), self._evaluation)
        if self._references is not None:
            self._files.setdefault(names.references(loop.metadata.name), self._references)
        return sealed

    async def put_files(self, loop: str, name: str, files: Files) -> None:
        """See ports.Store."""
        if self._files.setdefault(name, dict(files)) != dict(files):
            message = f"other files are stored under {name}"
            raise Conflict(message)

    async def files(self, name: str) -> Files:
        """See ports.Store."""
        if name not in self._files:
            message = f"there are no files under {name}"
            raise NotFound(message)
        return self._files[name]

    async def append(self, loop: str, entry: Append) -> str:
        """See ports.Store."""
        key = f"{loop}/{entry.key}"
        if key in self.ledger:
            return ""
        made = ledger_entry.following(self._heads.get(loop, GENESIS), loop, entry)
        self.ledger[key], self._heads[loop] = made, ledger_entry.digest(made.text)
        return ""

    def entries(self, loop: str) -> Ledger:
        """The ledger of a loop."""
        texts = tuple(one.text for one in self.ledger.values() if one.loop == loop)
        return Ledger(texts, self._heads.get(loop, GENESIS))

    def _put(self, obj: Object, uid: str) -> Object:
        self._version += 1
        metadata = obj.metadata.changed(uid=uid, resource_version=str(self._version))
        stored = obj.changed(metadata=metadata)
        self._objects.setdefault(type(obj).__name__, {})[metadata.name] = stored
        return stored


def _loop_of(obj: AnyObject) -> str:
    return obj.metadata.name if isinstance(obj, ResearchLoop) else obj.spec.loop_name
