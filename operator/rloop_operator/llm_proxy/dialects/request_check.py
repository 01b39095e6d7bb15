"""Checks a request and creates the document that is sent instead: parsed once, copied by the table of its dialect.

Called by `reservations`. Two parsers may interpret one text differently (a duplicate key, `Model` for `model`), so the
provider never gets the client's bytes. It gets the serialised copy, which contains only checked fields.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rloop_operator.llm_proxy.dialects.allowed.chat import CHAT_FIELDS
from rloop_operator.llm_proxy.dialects.allowed.messages import MESSAGES_FIELDS
from rloop_operator.llm_proxy.dialects.allowed.responses import RESPONSES_FIELDS
from rloop_operator.llm_proxy.dialects.allowed.shapes import Fields, LeftOut, NotAllowed
from rloop_operator.llm_proxy.dialects.apis import Dialect, Name
from rloop_operator.llm_proxy.terms.denied import Denied

FIELDS: Mapping[Name, Fields] = {
    "chat": CHAT_FIELDS,
    "responses": RESPONSES_FIELDS,
    "messages": MESSAGES_FIELDS,
    "count": MESSAGES_FIELDS,
}
DEPTH_MAX = 100
LARGE = 128 * 1024
"""Requests of at least this many bytes are checked in a thread, so that other calls are not delayed."""
ONLY_WITH_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
WANTED = ("required", "any")


@dataclass(frozen=True, slots=True)
class Checked:
    """A request as it may be sent."""

    document: dict[str, Any]
    content: bytes
    """The document, serialised."""


async def checked(dialect: Dialect, content: bytes, left_out: LeftOut) -> Checked:
    """The checked request; what is not copied is recorded in `left_out`. Raises Denied(malformed)."""
    try:
        if len(content) < LARGE:
            return check(dialect, content, left_out)
        return await asyncio.to_thread(check, dialect, content, left_out)
    except NotAllowed as error:
        raise Denied("malformed", str(error), param=error.path) from None


def check(dialect: Dialect, content: bytes, left_out: LeftOut) -> Checked:
    """Like `checked`, synchronously. Raises NotAllowed."""
    original = _parsed(content)
    document: dict[str, Any] = FIELDS[dialect.name].take(original, "", left_out)
    if document.get("tools") != original.get("tools"):
        document = _without_lost_tools(document, original)
    return Checked(document, serialised(document))


def serialised(document: Mapping[str, Any]) -> bytes:
    """The bytes of the document that a provider gets."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can express
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _without_lost_tools(document: dict[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """The document after tools were left out. Raises NotAllowed if `tool_choice` asks for one of them."""
    kept = _names(document.get("tools"))
    for name in _chosen(document.get("tool_choice")):
        if name not in kept and name in _names(original.get("tools")):
            raise NotAllowed("tool_choice", f'names "{name[:64]}", a tool that the client does not run; it is removed')
    if document.get("tools"):
        return document
    choice = document.get("tool_choice")
    wanted = choice.get("type") if isinstance(choice, Mapping) else choice
    if wanted in WANTED:
        raise NotAllowed("tool_choice", "requires a tool call, but the client runs none of the tools")
    return {name: value for name, value in document.items() if name not in ONLY_WITH_TOOLS}


def _names(tools: object) -> set[str]:
    return {name for tool in (tools if isinstance(tools, list) else []) for name in _named(tool)}


def _chosen(choice: object) -> list[str]:
    """Names in a tool_choice, in the form of any dialect."""
    if not isinstance(choice, Mapping):
        return []
    allowed = choice.get("allowed_tools", choice)
    several = allowed.get("tools") if isinstance(allowed, Mapping) else None
    return [name for one in (choice, *(several or ())) for name in _named(one)]


def _named(tool: object) -> list[str]:
    if not isinstance(tool, Mapping):
        return []
    holders = (tool, tool.get("function"), tool.get("custom"))
    return [one["name"] for one in holders if isinstance(one, Mapping) and isinstance(one.get("name"), str)]


def _parsed(content: bytes) -> dict[str, Any]:
    """The JSON object. Raises NotAllowed for everything that two parsers could interpret differently."""
    try:
        document = json.loads(
            content, object_pairs_hook=_without_doubles, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise NotAllowed("the body", "is no JSON") from None
    if not isinstance(document, dict):
        raise NotAllowed("the body", "must be a JSON object")
    level: list[Any] = [document]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return document
    raise NotAllowed("the body", f"is nested more than {DEPTH_MAX} levels deep")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise NotAllowed(twice[:64], "occurs twice in one object; send it once")
    return found


def _no_constant(name: str) -> Any:
    raise NotAllowed("the body", f"contains {name}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotAllowed("the body", f"contains the number {text[:32]}, which is too large")
    return number
