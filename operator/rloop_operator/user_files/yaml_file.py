"""Read a YAML or JSON file written by a person or by kustomize, with clear messages if it cannot be read.

Called by `rloop_operator.user_files.manifest` and `rloop_operator.user_files.folders`. Stricter than PyYAML, which
silently uses the last of two equal keys.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from rloop.errors import BadInput, InputProblem

MAX_BYTES = 2**20
"""Size limit of one file in bytes; etcd does not accept larger objects either."""
MAX_BYTES_OF_SEVERAL = 16 * 2**20
"""Size limit in bytes of a stream of documents: kustomize prints a loop together with its ConfigMaps and Secrets."""
STANDARD_INPUT = Path("-")
NESTED_TOO_DEEP = "is nested too deep"
EXAMPLE = "start from a manifest in examples/"
"""Remedy for an empty manifest."""


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in the file, which must hold exactly one document. Raises BadInput."""
    return parse_mapping(_read(path), str(path))


def read_documents(path: Path) -> list[Any]:
    """All documents (at least one) of the file or of standard input. Raises BadInput."""
    most, file = MAX_BYTES_OF_SEVERAL, "standard input" if path == STANDARD_INPUT else str(path)
    if path != STANDARD_INPUT:
        return parse_documents(_read(path, most), file)
    if sys.stdin is None:
        raise BadInput(InputProblem(file, "is closed: pipe a manifest to stdin, or give a file"))
    return parse_documents(_limited(sys.stdin.buffer.read(most + 1), file, most), file)


def parse_mapping(content: bytes, file: str, empty: str = EXAMPLE) -> dict[str, Any]:
    """The only document in `content`, which must be a mapping. Raises BadInput.

    `file` is the name in messages, `empty` the remedy for a file without content.
    """
    return mapping(parse(content, file, empty), file)


def mapping(document: Any, file: str) -> dict[str, Any]:
    """The document, which must be a mapping. Raises BadInput."""
    if not isinstance(document, dict):
        what = "a list" if isinstance(document, list) else "a single value"
        raise BadInput(InputProblem(file, f"holds {what}; a mapping (name: value) is expected"))
    return document


def parse(content: bytes, file: str, empty: str = EXAMPLE) -> Any:
    """The only document in `content`, of any type. Raises BadInput."""
    documents = parse_documents(content, file, empty)
    if len(documents) > 1:
        message = f"holds {len(documents)} documents (divided by ---); leave one in this file"
        raise BadInput(InputProblem(file, message))
    return documents[0]


def parse_documents(content: bytes, file: str, empty: str = EXAMPLE) -> list[Any]:
    """All documents (at least one) in `content`. Raises BadInput."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = f"is not UTF-8 (byte {error.start + 1} is invalid); save it as UTF-8"
        raise BadInput(InputProblem(file, remedy)) from None
    try:
        documents = [_json(text)] if file.endswith(".json") and text.strip() else _yaml(text)
    except _Twice as error:
        raise BadInput(InputProblem(file, str(error))) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadInput(InputProblem(file, f"is not valid JSON: {where}: {error.msg.lower()}")) from None
    except yaml.YAMLError as error:
        raise BadInput(InputProblem(file, _complaint(error, text))) from None
    except (RecursionError, OverflowError):
        raise BadInput(InputProblem(file, NESTED_TOO_DEEP)) from None
    except ValueError as error:  # an invalid date such as 2024-02-31, which YAML parses as a date
        raise BadInput(InputProblem(file, f"contains a value that cannot be read ({error}); quote it")) from None
    if not documents or documents == [None]:
        raise BadInput(InputProblem(file, f"is empty; {empty}"))
    return documents


def _read(path: Path, most: int = MAX_BYTES) -> bytes:
    try:
        if path.is_dir():
            message = "is a folder; give the file in it, for example loop.yaml"
            raise BadInput(InputProblem(str(path), message))
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except FileNotFoundError:
        raise BadInput(InputProblem(str(path), "there is no such file")) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = error.strerror if isinstance(error, OSError) else "not a valid path"
        raise BadInput(InputProblem(str(path), f"cannot be read ({why})")) from None
    return _limited(content, str(path), most)


def _limited(content: bytes, file: str, most: int) -> bytes:
    if len(content) > most:
        message = f"is larger than {most // 1024} KiB; put data into the task's folder"
        raise BadInput(InputProblem(file, message))
    return content


class _Twice(Exception):
    """A key occurs twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects a key that occurs twice in a mapping."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                message = f'line {line}: "{key.value}" occurs twice, first in line {seen[key.value]}; remove one'
                raise _Twice(message)
            seen[key.value] = line
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> list[Any]:
    documents: Sequence[Any] = list(yaml.load_all(text, Loader=_Loader))
    # A file may end with --- and no document after it.
    return [document for document in documents if document is not None]


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for index, (key, _) in enumerate(pairs):
            if any(key == earlier for earlier, _ in pairs[:index]):
                raise _Twice(f'"{key}" occurs twice in one mapping; remove one')
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


def _complaint(error: yaml.YAMLError, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        # The YAML reader itself rejects only control characters.
        return "contains a character that YAML forbids; save it as plain text in UTF-8"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    if "\t" in line[: mark.column + 1]:
        return f"{where}: a tab; YAML requires spaces"
    if "{{" in line:
        return f"{where}: a template that was not filled in; render it first"
    said = str(getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be understood")
    hint = "; quote text that contains a colon or starts with a special character" if ":" in line else ""
    return f"is not valid YAML: {where}: {said}{hint}"
