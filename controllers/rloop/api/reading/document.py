"""Read a recipe or space file: the text of a .json or .yaml file as plain data.

Called by the gateway's admission, by the policies and at Accept, so that all of them see the same values in the same
text. The text may be hostile: what it costs to read is bounded by its length, and every refusal is a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

import yaml
from typing_extensions import override

try:
    from yaml import CSafeLoader as _Fast
except ImportError:  # a PyYAML that was built without libyaml: the same values, about fifteen times slower
    from yaml import SafeLoader as _Fast  # type: ignore[assignment]

MAX_CHARACTERS = {"JSON": 2**18, "YAML": 2**14}
"""A recipe holds settings; data belongs in a file of its own. YAML is slow to read, and the operator reads it at Accept
in the one event loop that serves all campaigns: the worst text of this length takes less than 0.1 s.
"""
MAX_DEPTH = 64
MAX_INTEGER = 2**63
"""What every language can hold. Python refuses to write integers of thousands of digits."""


def read(path: str, text: str) -> Any:
    """Mappings with text keys, lists, text, numbers, booleans and null; in YAML a date stays the text that it is.

    YAML is read as version 1.1, as PyYAML does in most tasks' programs. Raises ValueError with a sentence.
    """
    kind = "JSON" if path.endswith(".json") else "YAML"
    if len(text) > (most := MAX_CHARACTERS[kind]):
        remedy = (
            "keep data in another file" if kind == "JSON" else f"make it smaller ({MAX_CHARACTERS['JSON']} of JSON)"
        )
        message = f"it has {len(text)} characters; the maximum for {kind} is {most}: {remedy}"
        raise ValueError(message)
    try:
        document = json.loads(text) if kind == "JSON" else _yaml(text)
        _check(document)
    except RecursionError:
        message = f"it is nested deeper than {MAX_DEPTH} levels"
        raise ValueError(message) from None
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        message = f"it cannot be read as {kind}: {_sentence(error)}"
        raise ValueError(message) from None
    return document


def _check(document: object) -> None:
    """Level by level, so that no depth of nesting is a depth of calls."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(one, int) and abs(one) > MAX_INTEGER for one in level):
            message = "a number has more than 19 digits; write it as a string"
            raise ValueError(message)
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _within(outer)]
    if level:
        raise RecursionError


def _within(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _yaml(text: str) -> Any:
    depth = 0
    # Events first: they need neither memory nor recursion, whatever the text holds.
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*) are not supported; write the value out", event)
        if (tag := getattr(event, "tag", None)) not in (None, "tag:yaml.org,2002:str"):
            raise _refusal(f"the type {tag} is not supported; write the plain value", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader that constructs even less


def _refusal(said: str, at: Any) -> yaml.MarkedYAMLError:
    """`at`: an event or a node."""
    return yaml.MarkedYAMLError(None, None, said, at.start_mark)


class _Loader(_Fast):
    """Constructs only the types of JSON. Dates remain text, keys become text, and duplicate keys are rejected."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be plain text", key)
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refusal("merge keys (<<) are not supported; write the keys out", key)
            if key.value in found:
                raise _refusal(f'the key "{key.value}" occurs twice', key)
            found[key.value] = self.construct_object(value, deep=True)
        return found


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


# Dates, and the "=" of YAML 1.1, are text.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def _sentence(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or error).splitlines()[0]
    return said if mark is None else f"line {mark.line + 1}: {said}"
