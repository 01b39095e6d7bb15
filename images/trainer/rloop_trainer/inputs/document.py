"""Reads the recipe's file, and reports why it cannot be read.

Called by `rloop_trainer.inputs.check`. Of duplicate keys YAML silently uses the last one, and programs edit recipes, so
duplicate keys are rejected.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override


class Unreadable(ValueError):
    """The reason, without the file's name."""


def read(path: Path) -> dict[str, Any]:
    """The mapping in the file. Raises Unreadable."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except IsADirectoryError:
        raise Unreadable("is a folder; name the file in it") from None
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8; save it as UTF-8") from None
    try:
        found = json.loads(text, object_pairs_hook=_unique) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise Unreadable(f"is not valid YAML: {where}{error.problem}") from None
    except yaml.YAMLError:
        raise Unreadable("contains a character that YAML forbids; save it as plain text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg.lower()}") from None
    except Unreadable:
        raise
    except ValueError as error:  # a number or a date that the parser recognises but cannot convert
        raise Unreadable(f"contains a value that cannot be read: {error}") from None
    except RecursionError:
        raise Unreadable("is nested too deep") from None
    if not isinstance(found, dict):
        raise Unreadable("is not a mapping; write keys and values, as in images/trainer/README.md")
    return found


class _Loader(yaml.SafeLoader):
    """Rejects duplicate keys."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise Unreadable(f'line {key.start_mark.line + 1}: "{key.value}" occurs twice; remove one')
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise Unreadable(f'"{key}" occurs twice in one mapping; remove one')
    return dict(pairs)
