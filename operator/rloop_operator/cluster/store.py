"""The cluster's store: our kinds on the API server, files and ledger in ConfigMaps.

Called by reconcile and by the gateway through `rloop_operator.ports.Store`. One store serves one namespace.
"""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from typing import Any

import structlog
from pydantic import ValidationError
from typing_extensions import override

from rloop import names
from rloop.actions import Append
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import ConfigMapFiles
from rloop.errors import BadInput, Blocked, Conflict, Corrupt, InputProblem, NotFound
from rloop.reasons import SEALED_FILES_LOST
from rloop_operator.cluster import children, kube, ledger
from rloop_operator.cluster.merge import merge_patch
from rloop_operator.ports import File, Files, Object, Store
from rloop_operator.task_files import files_digest

log = structlog.get_logger("rloop.store")
PLURALS: dict[type, str] = {
    ResearchLoop: "researchloops",
    ResearchIteration: "researchiterations",
    ResearchExperiment: "researchexperiments",
}
ARCHIVE = "files.tar.gz"
ARCHIVE_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB, and base64 is not counted; some room for metadata."""


class KubeStore(Store):
    """The store of one namespace."""

    def __init__(self, api: kube.Kube, namespace: str, *, read_only: bool = False) -> None:
        self.api = api
        self.namespace = namespace
        self._read_only = read_only
        """A user looks: sealed files that somebody deleted are not made again."""
        self._files: dict[str, tuple[str, Files]] = {}
        """Frozen files do not change, so they are fetched once; with the uid, for a later campaign of the same name."""

    @override
    async def get(self, kind: type[Object], name: str) -> Object:
        return _model(kind, await self.api.get(kube.objects(self.namespace, PLURALS[kind], name)))

    @override
    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        path = kube.objects(self.namespace, PLURALS[kind])
        found = await self.api.all(path, "" if kind is ResearchLoop else f"{names.LABEL_LOOP}={loop}")
        return sorted((_model(kind, one) for one in found), key=lambda one: one.metadata.name)

    @override
    async def create(self, obj: Object) -> Object:
        kind = type(obj)
        body = _wire(obj)
        body.pop("status", None)  # the API server drops it
        body["metadata"] = _metadata(body["metadata"], self.namespace)
        return _model(kind, await children.create(self.api, kube.objects(self.namespace, PLURALS[kind]), body))

    @override
    async def apply_status(self, obj: Object) -> Object:
        kind = type(obj)
        path = kube.objects(self.namespace, PLURALS[kind], obj.metadata.name)
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
        name = loop.metadata.name
        task = await self._sealed(loop, f"{name}-task", "spec.task", loop.spec.task.config_map)
        code = await self._sealed(
            loop, f"{name}-evaluation", "spec.evaluation.code", loop.spec.evaluation.code.config_map
        )
        papers = loop.spec.agent.references
        if papers is None:
            return SealedTask(task=files_digest(task), evaluation=files_digest(code))
        references = await self._sealed(loop, f"{name}-references", "spec.agent.references", papers.config_map)
        return SealedTask(task=files_digest(task), evaluation=files_digest(code), references=files_digest(references))

    async def _sealed(self, loop: ResearchLoop, name: str, field: str, source: ConfigMapFiles | None) -> Files:
        """The frozen files under `name`; frozen now, from the user's ConfigMap, if this is the first time."""
        assert source is not None  # anything else is refused before (`rloop.admit.loop`)
        try:
            frozen = await self.api.get(kube.core(self.namespace, "configmaps", name))
        except NotFound:
            frozen = None
        if frozen is not None:
            children.check_ours("ConfigMap", frozen, {"ownerReferences": [{"uid": loop.metadata.uid}]})
            return await self.files(name)
        try:
            found = await self.api.get(kube.core(self.namespace, "configmaps", source.name))
        except NotFound as error:
            told = f'there is no ConfigMap "{source.name}" in namespace {self.namespace}; create it'
            raise BadInput(InputProblem(f"{field}.configMap.name", told)) from error
        files = _from_config_map(found, source, field)
        await self.put_files(loop.metadata.name, name, files)
        return files

    @override
    async def put_files(self, loop: str, name: str, files: Files) -> None:
        owner = await self.api.get(kube.objects(self.namespace, PLURALS[ResearchLoop], loop))
        archive = pack(files)
        if len(archive) > ARCHIVE_BYTES:
            told = f"{len(archive)} bytes when packed; a ConfigMap holds {ARCHIVE_BYTES}: use a smaller task"
            raise BadInput(InputProblem(name, told))
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "immutable": True,
            "metadata": {
                "name": name,
                "labels": names.labels(loop, "files"),
                "ownerReferences": [kube.owner_reference(owner)],
                "annotations": {names.ANNOTATION_DIGEST: files_digest(files)},
            },
            "binaryData": {ARCHIVE: base64.b64encode(archive).decode()},
        }
        try:
            await children.create(self.api, kube.core(self.namespace, "configmaps"), body)
        except Conflict:
            if files_digest(await self.files(name)) != files_digest(files):
                raise Conflict(f"other files stand under {name}") from None

    @override
    async def files(self, name: str) -> Files:
        path = kube.core(self.namespace, "configmaps", name)
        try:
            uid = await self.api.uid(path)
        except NotFound:
            if self._read_only:
                raise
            return await self._sealed_again(name)
        if name not in self._files or self._files[name][0] != uid:
            found = await self.api.get(path)
            if ARCHIVE not in found.get("binaryData", {}):
                told = "a ConfigMap of this name exists that is not ours; rename it: frozen files are kept there"
                raise Blocked("NameTaken", name, told)
            self._files[name] = found["metadata"]["uid"], unpack(base64.b64decode(found["binaryData"][ARCHIVE]))
        return self._files[name][1]

    async def _sealed_again(self, name: str) -> Files:
        """Sealed files that somebody deleted, made again from an unchanged source.

        Raises NotFound if nothing was sealed under the name, Blocked if the source has changed.
        """
        owner = name.rpartition("-")[0]
        if not owner:  # it would name all loops
            raise NotFound(f"no files are frozen under {name}")
        loop = await self.get(ResearchLoop, owner)
        field, source, digest = _sources(loop).get(name, ("", None, None))
        if source is None or digest is None:
            raise NotFound(f"no files are frozen under {name}")
        try:
            found = await self.api.get(kube.core(self.namespace, "configmaps", source.name))
            files = _from_config_map(found, source, field)
        except (NotFound, BadInput):
            files = {}
        if files_digest(files) != digest:
            told = (
                f'the sealed files were deleted, and ConfigMap "{source.name}" ({field}) does not hold them any more; '
                f"apply it as it was when the campaign was accepted (files-sha256 {digest}), and the campaign goes on"
            )
            raise Blocked(SEALED_FILES_LOST, name, told)
        await self.put_files(loop.metadata.name, name, files)
        log.warning("sealed_again", name=name, source=source.name)
        return files

    @override
    async def append(self, loop: str, entry: Append) -> str:
        return await ledger.append(self.api, self.namespace, loop, entry)


def _sources(loop: ResearchLoop) -> dict[str, tuple[str, ConfigMapFiles | None, str | None]]:
    """What a loop has sealed: name -> field, ConfigMap and digest."""
    name, spec, sealed, papers = loop.metadata.name, loop.spec, loop.status.sealed, loop.spec.agent.references
    if sealed is None:
        return {}
    return {
        f"{name}-task": ("spec.task", spec.task.config_map, sealed.task),
        f"{name}-evaluation": ("spec.evaluation.code", spec.evaluation.code.config_map, sealed.evaluation),
        names.references(name): ("spec.agent.references", papers.config_map if papers else None, sealed.references),
    }


def pack(files: Files) -> bytes:
    """A tar.gz with these files and nothing of the moment: equal files give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size = len(file.content)
            info.mode = 0o755 if file.executable else 0o644
            archive.addfile(info, io.BytesIO(file.content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def unpack(archive: bytes) -> dict[str, File]:
    """The files of an archive that `pack` made."""
    found: dict[str, File] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for info in tar:
            content = tar.extractfile(info)
            if content is not None:
                found[info.name] = File(content.read(), executable=bool(info.mode & 0o100))
    return found


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
    # A ConfigMap keeps no modes: what begins with #! is a program.
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
