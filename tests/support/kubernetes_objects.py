"""What an API server does with one object: whether a path, a selector or a precondition fits it, and merge patches.

Used by `fake_kubernetes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from typing import Any

Object = dict[str, Any]


def differs(stored: Object, wanted: Mapping[str, str]) -> bool:
    """Whether a precondition on the metadata fails."""
    return any(stored["metadata"][key] != value for key, value in wanted.items())


def within(path: str, collection: str) -> bool:
    """Whether an object of this path is in the collection: of its namespace, or of all."""
    holder = path.rpartition("/")[0]
    return collection in (holder, re.sub(r"/namespaces/[^/]+(?=/)", "", holder))


def merged(old: Object, patch: Object) -> Object:
    """RFC 7386."""
    made = dict(old)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            before = made.get(key)
            made[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            made[key] = value
    return made


def selected(obj: Object, query: Mapping[str, str]) -> bool:
    """Whether labelSelector and fieldSelector of a query fit."""
    labels = obj["metadata"].get("labels", {})
    for term in re.findall(r"(?:[^,(]|\([^)]*\))+", query.get("labelSelector", "")):
        key, one_of, values = term.partition(" in ")
        if one_of:
            fits = labels.get(key) in values.strip("()").split(",")
        elif term.startswith("!"):
            fits = term[1:] not in labels
        else:
            key, equals, value = term.partition("=")
            fits = key in labels and (not equals or labels[key] == value)
        if not fits:
            return False
    fields = [one.partition("=") for one in query.get("fieldSelector", "").split(",") if one]
    return all(_at(obj, path) == value for path, _, value in fields)


def _at(obj: Any, path: str) -> Any:
    return reduce(lambda at, key: at.get(key, {}), path.split("."), obj)
