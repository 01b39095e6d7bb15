"""The local store: typed objects, frozen files and the ledger in one SQLite file.

Called by reconcile and the gateway through `rloop_operator.ports.Store`, by the local runtime, and, read
only, by the CLI while a campaign runs. One process owns the file, so parsed objects are cached in memory and
a list needs no parsing. The models are frozen, so cached objects are returned without a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

from pydantic import ValidationError
from typing_extensions import override

from rloop import names
from rloop.actions import Append
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, Conflict, Corrupt, InputProblem, NotFound
from rloop.ledger_entry import Ledger
from rloop_operator.local.storage import frozen_files, ledger, sealing
from rloop_operator.local.storage.database import Database, put_meta
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.ports import Files, Object, Store
from rloop_operator.user_files.reading import Folders, read_folders

AnyObject = ResearchLoop | ResearchIteration | ResearchExperiment
KINDS: dict[str, type[AnyObject]] = {
    kind.__name__: kind for kind in (ResearchLoop, ResearchIteration, ResearchExperiment)
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _loop_of(obj: AnyObject) -> str:
    return obj.metadata.name if isinstance(obj, ResearchLoop) else obj.spec.loop_name


class LocalStore(Store):
    """The store of one run folder. All methods run in the event loop's thread. A write is durable when it returns."""

    def __init__(
        self,
        folder: Path,
        base: Path | None = None,
        *,
        seed: int | None = None,
        folders: Folders | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Open or create it. `base` is the manifest's folder, kept from the first run. `seed` fixes the loop's uid.

        `folders` are the folders in `base` if the caller has read them. `seal` reads them otherwise, and again after a
        failure.
        """
        self.folder = RunFolder.at(folder)
        self.folder.create()
        self._seed = seed
        self._folders = folders
        self._clock = clock
        self._adopt(Database(self.folder.database))
        if base is not None and self.database.meta("base") is None:
            self.database.set_meta("base", str(base.absolute()))

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """A read-only store for a process other than the owner. It sees each write of the owner immediately."""
        store = cls.__new__(cls)
        store.folder = RunFolder.at(folder)
        store._seed = None  # noqa: SLF001 - the other constructor of this class
        store._folders = None  # noqa: SLF001
        store._clock = _utc_now  # noqa: SLF001
        store._adopt(Database(store.folder.database, read_only=True))  # noqa: SLF001
        return store

    def _adopt(self, database: Database) -> None:
        self.database = database
        self._objects: dict[tuple[str, str], AnyObject] = {}
        self._revision = 0
        self._data_version = -1
        self._announced = 0
        self._changed = asyncio.Event()
        self._refresh()

    def _refresh(self) -> None:
        """Parse the objects that other processes wrote since the last call: all of them in the first call, and none
        afterwards in the owner, which is the only writer.
        """
        version = self.database.data_version()
        if version == self._data_version:
            return
        rows = self.database.rows(
            "SELECT kind, name, json, resource_version FROM objects WHERE resource_version > ?",
            self._revision,
        )
        for kind, name, text, revision in rows:
            try:
                self._objects[kind, name] = KINDS[kind].model_validate_json(text)
            except (ValidationError, KeyError) as error:
                raise Corrupt(
                    f'{kind} "{name}" in "{self.database.path}" cannot be read: {error};'
                    " it was written by another version of rloop, or the file is damaged"
                ) from error
            self._revision = max(self._revision, revision)
        self._data_version = version

    # Objects.

    @override
    async def get(self, kind: type[Object], name: str) -> Object:
        self._refresh()
        found = self._objects.get((kind.__name__, name))
        if not isinstance(found, kind):
            raise NotFound(f'there is no {kind.__name__} "{name}"')
        return found

    @override
    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        self._refresh()
        found = [obj for obj in self._objects.values() if isinstance(obj, kind) and _loop_of(obj) == loop]
        return sorted(found, key=lambda obj: obj.metadata.name)

    async def loops(self) -> Sequence[ResearchLoop]:
        """All loops of the folder, usually one."""
        self._refresh()
        return [obj for obj in self._objects.values() if isinstance(obj, ResearchLoop)]

    @override
    async def create(self, obj: Object) -> Object:
        name = obj.metadata.name
        if (obj.kind, name) in self._objects:
            raise Conflict(f'{obj.kind} "{name}" exists already; read it and decide again')
        uid = str(uuid4())
        if self._seed is not None and isinstance(obj, ResearchLoop):
            uid = names.uid_of_seed(self._seed, name)
        metadata = obj.metadata.changed(
            uid=uid, creation_timestamp=self._clock(), generation=1, deletion_timestamp=None
        )
        return self._put(obj.changed(metadata=metadata), new=True)

    @override
    async def apply_status(self, obj: Object) -> Object:
        stored = await self.get(type(obj), obj.metadata.name)
        self._same_version(stored, obj)
        if stored.status == obj.status:
            return stored
        return self._put(stored.changed(status=obj.status))

    async def update_spec(self, loop: ResearchLoop) -> ResearchLoop:
        """Apply a user's edit of spec, labels and annotations. A changed spec increments the generation.

        Raises Conflict if a resourceVersion is given that differs from the stored one.
        """
        stored = await self.get(ResearchLoop, loop.metadata.name)
        if loop.metadata.resource_version:
            self._same_version(stored, loop)
        metadata = stored.metadata.changed(
            labels=loop.metadata.labels,
            annotations=loop.metadata.annotations,
            generation=stored.metadata.generation + (stored.spec != loop.spec),
        )
        if metadata == stored.metadata and stored.spec == loop.spec:
            return stored
        return self._put(stored.changed(spec=loop.spec, metadata=metadata))

    @staticmethod
    def _same_version(stored: AnyObject, given: AnyObject) -> None:
        if stored.metadata.resource_version != given.metadata.resource_version:
            raise Conflict(
                f'{stored.kind} "{stored.metadata.name}" is at version {stored.metadata.resource_version},'
                f" not {given.metadata.resource_version or 'none'}; read it and decide again"
            )

    def _put(self, obj: Object, *, new: bool = False) -> Object:
        revision = self._revision + 1
        metadata = obj.metadata.changed(resource_version=str(revision))
        stored = obj.changed(metadata=metadata)
        values = (
            stored.kind,
            metadata.name,
            _loop_of(stored),
            metadata.uid,
            revision,
            stored.model_dump_json(by_alias=True),
        )
        verb = "INSERT" if new else "INSERT OR REPLACE"
        with self.database.write() as connection:
            connection.execute(f"{verb} INTO objects VALUES (?, ?, ?, ?, ?, ?)", values)
        # Update the cache only now, so that an object that could not be written is not visible.
        self._revision = revision
        self._objects[stored.kind, metadata.name] = stored
        self._announce()
        return stored

    # Files.

    @override
    async def seal(self, loop: ResearchLoop) -> SealedTask:
        name = loop.metadata.name
        kept = self.database.meta(f"sealed/{name}")
        if kept is not None:
            return SealedTask.model_validate_json(kept)
        base = self.database.meta("base")
        if base is None:
            raise BadInput(
                InputProblem("spec.task.path", "the manifest's folder is unknown; start the campaign with rloop run")
            )
        # In a thread: hashing large held-out data must not block the event loop, which receives heartbeats.
        folders, self._folders = self._folders, None
        if folders is None or folders.base != Path(base):
            folders = await asyncio.to_thread(read_folders, loop, Path(base))
        sealed = await asyncio.to_thread(sealing.hashes, loop, folders, self.folder.root)
        kept = self.database.meta(f"sealed/{name}")
        if kept is not None:  # of two concurrent calls the first result is kept
            return SealedTask.model_validate_json(kept)
        with self.database.write() as connection:
            for suffix, files, digest in (
                ("task", folders.task, sealed.task),
                ("evaluation", folders.evaluation, sealed.evaluation),
                ("references", folders.references, sealed.references),
            ):
                if digest is not None:
                    frozen_files.insert(connection, f"{name}-{suffix}", files, digest)
            put_meta(connection, f"sealed/{name}", sealed.model_dump_json(by_alias=True))
        self._announce()
        return sealed

    @property
    def base(self) -> Path | None:
        """The manifest's folder, to which its paths are relative."""
        kept = self.database.meta("base")
        return None if kept is None else Path(kept)

    @override
    async def put_files(self, loop: str, name: str, files: Files) -> None:
        frozen_files.put(self.database, name, files)

    @override
    async def files(self, name: str) -> Files:
        return frozen_files.read(self.database, name)

    # Ledger.

    @override
    async def append(self, loop: str, entry: Append) -> str:
        if ledger.append(self.database, loop, entry):
            self._announce()
        return ""  # a database does not lose single rows, so no entries can be missing

    def ledger(self, loop: str) -> Ledger:
        """The ledger of a loop."""
        return ledger.stored(self.database, loop)

    # Change notification and the operator's sign of life.

    @property
    def revision(self) -> int:
        """A counter that increases with every write of an object, sealed files or the ledger by this process."""
        return self._announced

    async def changed(self, since: int) -> int:
        """Wait until `revision` is greater than `since`. Returns the new revision."""
        while self._announced <= since:
            await self._changed.wait()
        return self._announced

    def _announce(self) -> None:
        self._announced += 1
        # Waiting tasks hold the old event. Replacing it wakes all of them, and no one has to clear it.
        self._changed.set()
        self._changed = asyncio.Event()

    def beat(self, moment: datetime) -> None:
        """Record that the operator is alive at this moment."""
        self.database.set_meta("last_alive", moment.isoformat())

    def last_alive(self) -> datetime | None:
        """The last time recorded by `beat`, in this process or an earlier one; None if there was no operator yet."""
        kept = self.database.meta("last_alive")
        return None if kept is None else datetime.fromisoformat(kept)

    def close(self) -> None:
        """Close the file. All writes are already on disk."""
        self.database.close()
