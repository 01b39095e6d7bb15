"""Pack a campaign's folders for a cluster: build the kustomization.yaml that `kubectl apply -k` reads.

Called by `rloop pack`, and by `rloop_operator.generate` for the examples. The manifest is not changed and still works
on the local machine: the kustomization puts the files into ConfigMaps and Secrets, and patches the manifest to use
these as sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from rloop.admit.loop import unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import Files
from rloop_operator.task_files import read_folder
from rloop_operator.user_files.folders import check_folders
from rloop_operator.user_files.manifest import parse
from rloop_operator.user_files.reading import Folders, read_folders
from rloop_operator.user_files.yaml_file import read_mapping
from rloop_operator.user_files.yaml_text import Block, dump

FILE = "kustomization.yaml"
MARK = "# Written by `rloop pack "
"""First characters of every kustomization.yaml that `rloop pack` writes."""
MAX_BYTES = 900 * 1024
"""A ConfigMap or Secret can hold 1 MiB, and the frozen copy of its content must fit as well."""
KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pack:
    """The packed campaign, and a figure for the CLI output."""

    text: str
    """The kustomization.yaml."""
    bytes: int
    """Size of the largest ConfigMap or Secret."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder of the manifest, and the ConfigMap or Secret made from it."""

    field: str
    path: str
    name: str
    """Name of the ConfigMap or Secret. Not LOOP-task or LOOP-evaluation, which the operator uses for frozen files."""
    files: Files
    secret: bool = False

    @property
    def place(self) -> str:
        """JSON pointer to the field that names the source."""
        return "/" + self.field.removesuffix(".path").replace(".", "/")

    def keys(self) -> dict[str, str]:
        """Key -> path in the folder."""
        keys: dict[str, str] = {}
        for path in self.files:
            key = path.replace("/", "--")
            if not KEY.fullmatch(key) or key in keys:
                key = f"{re.sub(r'[^-_a-zA-Z0-9]', '_', key)[:200]}-{sha256(path.encode()).hexdigest()[:8]}"
            keys[key] = path
        return keys

    def source(self) -> Document:
        """The source in the patched manifest."""
        if self.secret:
            return {"secret": self.name}
        keys = self.keys()
        items = {} if all(key == path for key, path in keys.items()) else {"items": keys}
        return {"configMap": {"name": self.name, **items}}

    def generator(self) -> Document:
        """The kustomize generator of the ConfigMap or Secret."""
        files = [f"{key}={PurePosixPath(self.path, path)}" for key, path in self.keys().items()]
        return {"name": self.name, "files": files}


def pack(file: Path, image: str | None = None) -> Pack:
    """Pack the campaign of a manifest. Raises BadInput with every problem."""
    document = read_mapping(file)
    loop = parse(document, str(file))
    base = file.absolute().parent
    read = read_folders(loop, base)
    found = check_folders(loop, read)
    if found:
        raise BadInput(*found)
    folders = _folders(loop, read)
    patches = [{"op": "replace", "path": one.place, "value": one.source()} for one in folders]
    if image is not None:
        patches.append({"op": "add", "path": "/spec/experiment/image", "value": image})
    found = [problem for one in folders for problem in _problems(one, base)]
    found += _refused(_patched(document, patches), str(file))
    if found:
        raise BadInput(*found)
    asked = f"{file.name}{'' if image is None else f' --image {image}'}"
    comment = f"{MARK}{asked}`.\n# Do not edit: run it again when a file is added or removed.\n"
    text = dump(_kustomization(file.name, document["metadata"], folders, patches), comment)
    return Pack(text, max((_size(one.files) for one in folders), default=0))


def _folders(loop: ResearchLoop, read: Folders) -> list[_Folder]:
    """The folders that the manifest names by path, with their content."""
    name, evaluation = loop.metadata.name, loop.spec.evaluation
    asked = (
        ("spec.task", loop.spec.task, "task-files", read.task),
        ("spec.evaluation.code", evaluation.code, "evaluation-files", read.evaluation),
        ("spec.agent.references", loop.spec.agent.references, "reference-files", read.references),
        ("spec.evaluation.heldOut", evaluation.held_out, "held-out", None),
        ("spec.evaluation.finalHeldOut", evaluation.final_held_out, "final-held-out", None),
    )
    return [
        _Folder(
            field := f"{place}.path",
            path,
            f"{name}-{suffix}",
            read_folder(read.base / path, field) if files is None else files,
            secret=files is None,
        )
        for place, source, suffix, files in asked
        if source is not None and (path := source.path) is not None
    ]


def _problems(folder: _Folder, base: Path) -> Iterator[InputProblem]:
    if not (base / folder.path).resolve().is_relative_to(base.resolve()):
        told = f'"{folder.path}" is outside the manifest\'s folder, so kubectl apply -k cannot read it: move it there'
        yield InputProblem(folder.field, told)
    size = _size(folder.files)
    if size > MAX_BYTES:
        told = (
            f'"{folder.path}" has {size // 1024} KiB, but a ConfigMap or Secret is limited to {MAX_BYTES // 1024}: '
            "remove files, or put large files into the image"
        )
        yield InputProblem(folder.field, told)
    for path in folder.files:
        if "=" in path:
            yield InputProblem(folder.field, f'"{path}": kustomize does not allow "=" in names; rename it')
        if folder.secret and "/" in path:
            told = (
                f'"{path}": a Secret cannot contain folders; put the file into "{folder.path}" itself, or use a volume'
            )
            yield InputProblem(folder.field, told)


def _size(files: Files) -> int:
    return sum(len(file.content) for file in files.values())


def _patched(document: Mapping[str, Any], patches: list[Document]) -> Document:
    """The manifest after kustomize has applied the patches."""
    patched = deepcopy(dict(document))
    for patch in patches:
        *parents, last = patch["path"].strip("/").split("/")
        place = patched
        for part in parents:
            place = place[part]
        place[last] = patch["value"]
    return patched


def _refused(document: Document, file: str) -> list[InputProblem]:
    """Problems that a cluster would have with the packed manifest, with remedies for `rloop pack`."""
    try:
        problems = unsupported(parse(document, file), "cluster")
    except BadInput as error:
        return list(error.problems)
    missing = "is missing: a cluster runs the command in an image; write it there, or give --image"
    field = "spec.experiment.image"
    return [InputProblem(field, missing) if one.field == field else one for one in problems]


def _kustomization(file: str, metadata: Mapping[str, Any], folders: list[_Folder], patches: list[Document]) -> Document:
    config_maps = [one.generator() for one in folders if not one.secret]
    secrets = [one.generator() for one in folders if one.secret]
    # kustomize does not know the fields that refer to these names, so it must not append a hash to the names.
    generated = {"configMapGenerator": config_maps, "secretGenerator": secrets}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **({"namespace": namespace} if (namespace := metadata.get("namespace")) else {}),
        "resources": [file],
        "generatorOptions": {"disableNameSuffixHash": True},
        **{key: value for key, value in generated.items() if value},
        "patches": [{"target": {"kind": "ResearchLoop", "name": metadata["name"]}, "patch": Block(dump(patches))}],
    }
