"""The cluster's store: our kinds on the API server, files and ledger in ConfigMaps.

Called by reconcile and by the gateway through `rloop_operator.ports.Store`. One store serves one namespace.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from typing_extensions import override

from rloop import names
from rloop.actions import Append
from rloop.api.digest import manifest_digest
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import ConfigMapFiles
from rloop.errors import BadInput, Blocked, Conflict, Corrupt, InputProblem, NotFound, RloopError
from rloop.ledger_entry import Ledger
from rloop.reasons import Reason
from rloop_operator.cluster.kube import children, client
from rloop_operator.cluster.storage import ledger
from rloop_operator.cluster.storage.archive import Cache, NotOurs, pack_to_fit, unpack
from rloop_operator.cluster.storage.merge_patch import merge_patch
from rloop_operator.ports import File, Files, Object, Store
from rloop_operator.task_files import files_digest, seal

log = structlog.get_logger("rloop.store")
PLURALS: dict[type, str] = {
    ResearchLoop: "researchloops",
    ResearchIteration: "researchiterations",
    ResearchExperiment: "researchexperiments",
}
ARCHIVE = "files.tar.gz"


class KubeStore(Store):
    """The store of one namespace."""

    def __init__(
        self, api: client.Kube, namespace: str, *, read_only: bool = False, cache: Cache | None = None
    ) -> None:
        self.api = api
        self.namespace = namespace
        self._read_only = read_only
        """True for a user's command: deleted sealed files are then not created again."""
        self._cache = cache if cache is not None else Cache()
        """Frozen files do not change, so they are fetched once. Several stores can share a cache."""

    @override
    async def get(self, kind: type[Object], name: str) -> Object:
        return _model(kind, await self.api.get(client.objects(self.namespace, PLURALS[kind], name)))

    @override
    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        path = client.objects(self.namespace, PLURALS[kind])
        found = await self.api.all(path, "" if kind is ResearchLoop else f"{names.LABEL_LOOP}={loop}")
        return sorted((_model(kind, one) for one in found), key=lambda one: one.metadata.name)

    @override
    async def create(self, obj: Object) -> Object:
        kind = type(obj)
        body = _wire(obj)
        body.pop("status", None)  # the API server ignores it
        body["metadata"] = _metadata(body["metadata"], self.namespace)
        return _model(kind, await children.create(self.api, client.objects(self.namespace, PLURALS[kind]), body))

    @override
    async def apply_status(self, obj: Object) -> Object:
        kind = type(obj)
        path = client.objects(self.namespace, PLURALS[kind], obj.metadata.name)
        stored = await self.api.get(path)
        if stored["metadata"]["resourceVersion"] != obj.metadata.resource_version:
            raise Conflict(f"{obj.metadata.name} was changed since it was read")
        patch = merge_patch(stored.get("status", {}), _wire(obj).get("status", {}))
        if not patch:
            return obj
        body = {"metadata": {"resourceVersion": obj.metadata.resource_version}, "status": patch}
        return _model(kind, await self.api.patch(f"{path}/status", body))

    @override
    async def seal(self, loop: ResearchLoop) -> SealedTask:
        name, spec, papers = loop.metadata.name, loop.spec, loop.spec.agent.references
        frozen, read = dict[str, Files](), dict[str, Files]()  # all is checked before anything is frozen
        for kept, field, source in (
            (names.task(name), "spec.task", spec.task.config_map),
            (names.evaluation(name), "spec.evaluation.code", spec.evaluation.code.config_map),
            (names.references(name), "spec.agent.references", papers.config_map if papers else None),
        ):
            if source is None:
                continue  # no references; of the others, other sources are rejected earlier (`rloop.admit.loop`)
            if await self._is_frozen(loop, kept):
                frozen[kept] = await self.files(kept)
            else:
                read[kept] = await self._of_user(source, field)
                pack_to_fit(read[kept], kept)
        files = {**read, **frozen}
        references = files[names.references(name)] if papers is not None else None
        sealed = seal(loop, files[names.task(name)], files[names.evaluation(name)], references)
        for kept, content in read.items():
            await self.put_files(name, kept, content)
        return sealed

    async def _is_frozen(self, loop: ResearchLoop, name: str) -> bool:
        """Whether there are files under the name. Raises Blocked if they are of somebody else."""
        try:
            found = await self.api.get(client.core(self.namespace, "configmaps", name))
        except NotFound:
            return False
        children.check_ours("ConfigMap", found, {"ownerReferences": [{"uid": loop.metadata.uid}]})
        return True

    async def _of_user(self, source: ConfigMapFiles, field: str) -> Files:
        """The files of a user's ConfigMap."""
        try:
            found = await self.api.get(client.core(self.namespace, "configmaps", source.name))
        except NotFound as error:
            told = f'there is no ConfigMap "{source.name}" in namespace {self.namespace}; create it'
            raise BadInput(InputProblem(f"{field}.configMap.name", told)) from error
        return _from_config_map(found, source, field)

    @override
    async def put_files(self, loop: str, name: str, files: Files) -> None:
        owner = await self.api.get(client.objects(self.namespace, PLURALS[ResearchLoop], loop))
        archive = pack_to_fit(files, name)
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "immutable": True,
            "metadata": {
                "name": name,
                "labels": names.labels(loop, "files"),
                "ownerReferences": [client.owner_reference(owner)],
                "annotations": {names.ANNOTATION_DIGEST: files_digest(files)},
            },
            "binaryData": {ARCHIVE: base64.b64encode(archive).decode()},
        }
        try:
            await children.create(self.api, client.core(self.namespace, "configmaps"), body)
        except Conflict:
            if files_digest(await self.files(name)) != files_digest(files):
                raise Conflict(f"other files are stored under {name}") from None

    @override
    async def files(self, name: str) -> Files:
        path = client.core(self.namespace, "configmaps", name)
        try:
            uid = await self.api.uid(path)
        except NotFound:
            if self._read_only:
                raise
            return await self._sealed_again(name)
        if (kept := self._cache.get(uid)) is not None:
            return kept
        found = await self.api.get(path)
        frozen = await self._frozen(name)
        try:
            if ARCHIVE not in found.get("binaryData", {}):
                raise NotOurs(f"has no key {ARCHIVE}")
            files = unpack(base64.b64decode(found["binaryData"][ARCHIVE]))
            if frozen is not None and files_digest(files) != frozen.digest:
                raise NotOurs("holds other files")
        except NotOurs as error:
            raise _replaced(name, str(error), frozen) from error
        if frozen is not None:  # otherwise it was compared with nothing
            self._cache.put(found["metadata"]["uid"], files)
        return files

    async def _frozen(self, name: str) -> _Frozen | None:
        """The facts that a status or spec stores about the files under a name; None before that, and for drafts."""
        owner, _, what = name.rpartition("-")
        try:
            if what in ("task", "evaluation", "references"):
                return _sealed_files(await self.get(ResearchLoop, owner)).get(name)
            if what == "drafts":
                return None
            described = (await self.get(ResearchExperiment, name)).spec.files
        except NotFound:
            return None
        digest = manifest_digest({one.path.encode(): one.sha256 for one in described})
        return _Frozen(digest) if described else None

    async def _sealed_again(self, name: str) -> Files:
        """Create deleted sealed files again from an unchanged source, and return them.

        Raises NotFound if nothing was sealed under the name, Blocked if the source has changed.
        """
        owner = name.rpartition("-")[0]
        if not owner:  # an empty name would address the list of all loops
            raise NotFound(f"no files are frozen under {name}")
        frozen = _sealed_files(await self.get(ResearchLoop, owner)).get(name)
        if frozen is None or frozen.source is None:
            raise NotFound(f"no files are frozen under {name}")
        try:
            found = await self.api.get(client.core(self.namespace, "configmaps", frozen.source.name))
            files = _from_config_map(found, frozen.source, frozen.field)
        except (NotFound, BadInput):
            files = {}
        if files_digest(files) != frozen.digest:
            told = (
                f"the sealed files were deleted, and {frozen.whence} no longer has them; "
                f"apply it as it was when the campaign was accepted (files-sha256 {frozen.digest}), "
                "and the campaign continues"
            )
            raise Blocked(Reason.SEALED_FILES_LOST, name, told)
        await self.put_files(owner, name, files)
        log.warning("sealed_again", name=name, source=frozen.source.name)
        return files

    @override
    async def append(self, loop: str, entry: Append) -> str:
        return await ledger.append(self.api, self.namespace, loop, entry)

    async def ledger(self, loop: str) -> Ledger:
        """The ledger of a loop."""
        return await ledger.stored(self.api, self.namespace, loop)


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Stored facts about frozen files."""

    digest: str
    field: str = ""
    """Field of the spec that names the source of sealed files; empty for files of an experiment."""
    source: ConfigMapFiles | None = None

    @property
    def whence(self) -> str:
        """The source, for messages."""
        return f'ConfigMap "{self.source.name}" ({self.field})' if self.source is not None else "its source"


def _sealed_files(loop: ResearchLoop) -> dict[str, _Frozen]:
    """Stored facts about a loop's sealed files, by name of their ConfigMap."""
    name, spec, sealed, papers = loop.metadata.name, loop.spec, loop.status.sealed, loop.spec.agent.references
    if sealed is None:
        return {}
    found = {
        names.task(name): _Frozen(sealed.task, "spec.task", spec.task.config_map),
        names.evaluation(name): _Frozen(sealed.evaluation, "spec.evaluation.code", spec.evaluation.code.config_map),
    }
    if sealed.references is not None:
        source = papers.config_map if papers is not None else None
        found[names.references(name)] = _Frozen(sealed.references, "spec.agent.references", source)
    return found


def _replaced(name: str, why: str, frozen: _Frozen | None) -> RloopError:
    """The error for a foreign ConfigMap under the name of ours."""
    if frozen is None:
        told = f"a foreign ConfigMap of this name exists (it {why}); rename it: the campaign needs its name"
        return Blocked(Reason.NAME_TAKEN, name, told)
    if not frozen.field:
        return NotFound(f'the ConfigMap "{name}" was replaced (it {why}): the files of the experiment are lost')
    told = (
        f'the ConfigMap "{name}" was replaced: it {why}, and not what was sealed (files-sha256 {frozen.digest}); '
        f"delete it, and the sealed files are made again from {frozen.whence}, if that is as it was"
    )
    return Blocked(Reason.SEALED_FILES_LOST, name, told)


def _from_config_map(found: dict[str, Any], source: ConfigMapFiles, field: str) -> dict[str, File]:
    data = {key: text.encode() for key, text in found.get("data", {}).items()}
    data |= {key: base64.b64decode(text) for key, text in found.get("binaryData", {}).items()}
    paths = source.items or {key: key for key in data}
    missing = sorted(set(paths) - set(data))
    if missing:
        told = f'ConfigMap "{source.name}" has no key {", ".join(missing)}; it has {", ".join(sorted(data)) or "none"}'
        raise BadInput(InputProblem(f"{field}.configMap.items", told))
    if not paths:
        raise BadInput(InputProblem(f"{field}.configMap.name", f'ConfigMap "{source.name}" is empty'))
    # A ConfigMap stores no file modes: a file that begins with #! is executable.
    return {path: File(data[key], executable=data[key].startswith(b"#!")) for key, path in paths.items()}


def _wire(obj: Object) -> dict[str, Any]:
    document: dict[str, Any] = obj.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document


def _metadata(metadata: dict[str, Any], namespace: str) -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("name", "labels", "annotations", "ownerReferences") if key in metadata}
    return kept | {"namespace": namespace}


def _model(kind: type[Object], document: dict[str, Any]) -> Object:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Corrupt(f"{kind.__name__} {document['metadata']['name']}: {where}: {first['msg']}") from error
