"""The recipe: the file of the task that contains the values of a point.

Called by `rloop_agent.start` and by tools of the LLM agent. Reads and writes .json, .yaml and .yml. Layout, quotes and
comments are kept, so that a diff shows only the changed values.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

from rloop.api.space import Point, Space


class BadRecipe(ValueError):
    """The file is missing, or its content does not match the space."""


def parse(space: Space, files: Mapping[str, str]) -> dict[str, Any]:
    """The parsed recipe among `files`; an empty file is an empty mapping."""
    if space.file not in files:
        raise BadRecipe(f"{space.file}: the file is missing or is not text")
    text = files[space.file]
    try:
        document = _read(space, text)
    except ValueError as error:
        raise BadRecipe(f"{space.file}: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadRecipe(f"{space.file}: expected a mapping of keys to values")
    return document


def point(space: Space, document: Mapping[str, Any]) -> Point:
    """The point that the recipe represents."""
    try:
        return space.read(document)
    except ValueError as error:
        raise BadRecipe(f"{space.file}: {error}") from error


def render(space: Space, original: str, document: Mapping[str, Any], values: Point) -> str:
    """The recipe's new text: `original`, which was parsed to `document`, with the point's values."""
    try:
        if space.file.endswith(".json"):
            return _json_dump(original, space.write(document, values))
        text = _yaml_edit(space, original, values)
        if space.read(_read(space, text)) == values:
            return text
    except ValueError as error:
        raise BadRecipe(f"{space.file}: the keys of space.yaml do not match the file: {error}") from error
    raise BadRecipe(f"{space.file}: its values cannot be changed in place; write it as plain YAML, or as JSON")


def _read(space: Space, text: str) -> Any:
    # Imported here: a session should start fast, and reads one file.
    from rloop.api.reading import document

    return document.read(space.file, text)


def _json_dump(original: str, changed: Mapping[str, Any]) -> str:
    indented = re.search(r'\n([ \t]+)"', original)
    return json.dumps(changed, indent=indented[1] if indented else None, ensure_ascii=False) + "\n"


def _yaml_edit(space: Space, original: str, values: Point) -> str:
    # Imported here: most recipes are JSON.
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 2**18  # no line is folded
    nested = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#.*)?\n\1( +)[^\s#-]", original, re.MULTILINE)
    listed = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#.*)?\n\1( *)- ", original, re.MULTILINE)
    offset = len(listed[2]) if listed else 0
    editor.indent(mapping=len(nested[2]) if nested else 2, sequence=offset + 2, offset=offset)
    try:
        edited = editor.load(original)
        edited = CommentedMap() if edited is None else edited
        space.change(edited, values)
        written = io.StringIO()
        editor.dump(edited, written)
    except YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return written.getvalue()
