"""Parse a manifest file into a typed ResearchLoop and report all problems at once.

Called by `rloop run`, `rloop validate` and `rloop pack`. It treats a manifest as the API server does (drops nulls,
rejects unknown fields, expects camelCase names), so a manifest that runs locally is accepted by a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rloop.api.common import API_VERSION, GROUP
from rloop.api.reading.problems import nearest, problems
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.user_files.yaml_file import NESTED_TOO_DEEP, STANDARD_INPUT, mapping, read_documents, read_mapping

METADATA = (
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
"""All metadata fields of Kubernetes. A user writes the first four; the others come with an exported object."""


def load(path: Path | str) -> ResearchLoop:
    """The ResearchLoop in the file. Raises BadInput with every problem."""
    return parse(read_mapping(Path(path)), str(path))


def load_among(path: Path) -> tuple[ResearchLoop, int]:
    """The only ResearchLoop among the documents of a file or of standard input, for example the output of kustomize,
    and the number of other objects. Raises BadInput.
    """
    documents = read_documents(path)
    file = "standard input" if path == STANDARD_INPUT else str(path)
    if len(documents) == 1:
        return parse(mapping(documents[0], file), file), 0
    loops = [one for one in documents if isinstance(one, dict) and one.get("kind") == "ResearchLoop"]
    if len(loops) != 1:
        found = f"{len(loops)} of them ResearchLoops" if loops else "none of them a ResearchLoop"
        told = f"holds {len(documents)} objects, {found}; give one"
        raise BadInput(InputProblem(file, told))
    return parse(loops[0], file), len(documents) - 1


def parse(document: Mapping[str, Any], file: str) -> ResearchLoop:
    """The ResearchLoop of a parsed manifest. Raises BadInput with every problem."""
    wrong_kind = _kind(document, file)
    if wrong_kind:
        raise BadInput(*wrong_kind)
    metadata = document.get("metadata")
    found = _metadata(metadata)
    kept = {key: value for key, value in document.items() if key != "status"}
    if isinstance(metadata, Mapping):
        kept["metadata"] = {key: metadata[key] for key in METADATA[:4] if key in metadata}
    try:
        loop = ResearchLoop.model_validate(_without_nulls(kept), by_alias=True, by_name=False)
    except ValidationError as error:
        raise BadInput(*found, *problems(error, document)) from None
    except RecursionError:
        raise BadInput(InputProblem(file, NESTED_TOO_DEEP)) from None
    if found:
        raise BadInput(*found)
    return loop


def _kind(document: Mapping[str, Any], file: str) -> list[InputProblem]:
    """Problems of apiVersion and kind. Checked first: errors about the fields of, say, a Deployment would not help."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if version == API_VERSION and kind == "ResearchLoop":
        return []
    wanted = f"apiVersion: {API_VERSION} and kind: ResearchLoop"
    if version is None and kind is None:
        return [InputProblem(file, f"is not a manifest of a ResearchLoop: it must begin with {wanted}")]
    found = []
    if kind != "ResearchLoop":
        said = "is missing" if kind is None else f"{kind} cannot be run"
        found.append(InputProblem("kind", f"{said}; write kind: ResearchLoop"))
    if version != API_VERSION:
        known = f"; this rloop supports only {API_VERSION}" if str(version).startswith(GROUP) else ""
        said = "is missing" if version is None else f"{version} is wrong{known}"
        found.append(InputProblem("apiVersion", f"{said}; write apiVersion: {API_VERSION}"))
    return found


def _metadata(metadata: object) -> list[InputProblem]:
    """Unknown metadata fields. The model itself ignores them, because it also reads the fields of an API server."""
    if not isinstance(metadata, Mapping):
        return []
    found = []
    for name in metadata:
        if name not in METADATA:
            meant = nearest(str(name), METADATA)
            remedy = f"did you mean {meant}?" if meant else "remove it"
            found.append(InputProblem(f"metadata.{name}", f"unknown field; {remedy}"))
    return found


def _without_nulls(document: Any) -> Any:
    """The document without null values: `budget:` without content, or with its lines commented out, counts as unset."""
    if isinstance(document, Mapping):
        return {key: _without_nulls(value) for key, value in document.items() if value is not None}
    if isinstance(document, list):
        return [_without_nulls(value) for value in document]
    return document
