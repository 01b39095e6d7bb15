"""The recipe: the one file of the task that holds the values of a point.

Called by `rloop_agent.session`. Reads and writes .json, .yaml and .yml; in JSON the indentation is kept, so
that the difference a person reads is the values that changed. Comments in YAML are lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rloop.api.space import Point, Space


class BadRecipe(ValueError):
    """The file is missing, or cannot be read as the space describes it."""


def parse(space: Space, files: Mapping[str, str]) -> dict[str, Any]:
    """The parsed recipe among `files`; an empty file is an empty mapping."""
    if space.file not in files:
        raise BadRecipe(f"{space.file}: there is no such text file")
    text = files[space.file]
    try:
        document = json.loads(text) if _is_json(space) else _yaml_load(text)
    except (ValueError, RecursionError) as error:
        raise BadRecipe(f"{space.file}: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadRecipe(f"{space.file}: expected a mapping of keys to values")
    return document


def point(space: Space, document: Mapping[str, Any]) -> Point:
    """The point that the recipe stands for."""
    try:
        return space.read(document)
    except ValueError as error:
        raise BadRecipe(f"{space.file}: {error}") from error


def render(space: Space, original: str, document: Mapping[str, Any], values: Point) -> str:
    """The recipe's new text: `document` with the point's values, laid out like `original`."""
    try:
        changed = space.write(document, values)
    except ValueError as error:
        raise BadRecipe(f"{space.file}: the keys of space.yaml do not fit the file: {error}") from error
    if not _is_json(space):
        return _yaml_dump(changed)
    indented = re.search(r'\n([ \t]+)"', original)
    return json.dumps(changed, indent=indented[1] if indented else None, ensure_ascii=False) + "\n"


def _is_json(space: Space) -> bool:
    return space.file.endswith(".json")


def _yaml_load(text: str) -> Any:
    # Imported where used: most recipes are JSON, and a session should start fast.
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _yaml_dump(document: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
