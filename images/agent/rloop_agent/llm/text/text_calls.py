"""Recognises tool calls that a model has written as text, in a reply without real tool calls.

Called by the session. Many open models write a call into the content of their answer, and their server does not
recognise it. Pure functions of the text: only form and position decide what is a call. The rule is in
docs/llm-agent.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from rloop_agent.llm.text.text_parts import RESULT_OF, decoded, own_words

CALLS_MAX = 16
"""Maximum number of calls from one reply; the rest is cut off."""
NAME_KEYS = ("name", "tool", "function")
ARGUMENT_KEYS = ("arguments", "parameters", "args")
OTHER_KEYS = frozenset({"id", "type", "index"})
"""Keys that a call may have besides its name and arguments."""
FENCES = frozenset({"", "json", "jsonc", "json5", "xml", "tool_call", "tool_calls", "tool", "text", "plaintext"})
"""Languages of code blocks that may contain a call."""
MARK = re.compile(
    r"<\|?(?P<tag>tool_calls?|tools|function_calls?)\|?>"
    r"|(?P<open>\[TOOL_CALLS?\]|<\|python_tag\|>|\bfunctools(?=\s*\[))"
    r"|<function=(?P<function>\w+)>"
    r"|^[ \t]*(?P<fence>```+)(?P<language>\w*)[ \t]*\n"
    r"|^[ \t]*(?=[{\[])",
    re.MULTILINE | re.IGNORECASE,
)
"""Everything that may begin a call; the last alternative is a bare object or list at the beginning of a line."""
CLOSING_TAG = re.compile(r"\s*(?:```\s*)?</\|?(?:tool_calls?|tools|function_calls?)\|?>", re.IGNORECASE)
CLOSING_FUNCTION = re.compile(r"\s*</function>(?:\s*</tool_call>)?")
PARAMETER = re.compile(r"\s*<parameter=(?P<name>\w+)>\n?(?P<value>.*?)\n?</parameter>", re.DOTALL)
NAMED_VALUE = re.compile(r"[\s,;]*(?:```(?:json)?\s*)?(?:(?P<name>\w+)\s*(?:\[ARGS\]\s*)?)?(?=[{\[])")
SPACE = re.compile(r"\s*")
SEPARATOR = re.compile(r"[\s,;]*")
NEXT_ON_LINE = re.compile(r"[ \t]*[;,][ \t]*(?=[{\[])")
LINE_END = re.compile(r"[ \t;,]*(?=\n|\Z|<)")
LOOKS_LIKE = re.compile(r"<\|?tool_call|\"(?:arguments|parameters)\"\s*:")
OBJECT = re.compile(r"\{(?=\s*\"(?:name|tool|function|type|id|arguments|parameters|args)\")")


@dataclass(frozen=True, slots=True)
class Written:
    """One call in the text."""

    name: str
    arguments: str
    """A JSON object with sorted keys, so that equal calls compare equal."""


@dataclass(slots=True)
class Reading:
    """The result of searching a reply's text."""

    calls: list[Written] = field(default_factory=list)
    text: str = ""
    """The text for the history: up to the last call, or to the beginning of invented text."""
    quoted: bool = False
    """It repeats a call that occurs in data; such a call is not carried out."""
    broken: bool = False
    """It contains something that looks like a call but is not valid."""


def read(text: str, tools: Collection[str], quotations: Collection[Written] = ()) -> Reading:
    """The calls of these tools in a text. `quotations` are calls that occur in data shown to the model."""
    kept, seen = own_words(text)
    reading = Reading(text=kept.rstrip())
    position = 0
    while len(reading.calls) < CALLS_MAX and (mark := MARK.search(seen, position)):
        found, end = _at(seen, mark, tools)
        position = max(end, mark.end(), mark.start() + 1)
        own = [call for call in found if call.arguments == "{}" or call not in quotations]
        reading.quoted |= len(own) < len(found)
        reading.calls += own
        if own:
            reading.text = kept[:position].rstrip()
    del reading.calls[CALLS_MAX:]
    reading.broken = not reading.calls and not reading.quoted and LOOKS_LIKE.search(seen) is not None
    return reading


def quotations(material: str, tools: Collection[str]) -> set[Written]:
    """Every call anywhere in a text, also inside a JSON string."""
    found: set[Written] = set()
    for text in {material, material.replace('\\"', '"')}:
        for start in OBJECT.finditer(text):
            try:
                value, _ = decoded(text, start.start())
            except ValueError:
                continue
            found |= set(_calls(value, tools))
    return found


def _at(text: str, mark: re.Match[str], tools: Collection[str]) -> tuple[list[Written], int]:
    """The calls that begin at a mark, and the position after them and their closing mark."""
    start = mark.end()
    if mark["function"]:
        return _function(text, mark["function"], start, tools)
    if mark["tag"] or mark["open"]:
        found, end = _tagged(text, start, tools)
        return found, _after(CLOSING_TAG, text, end)
    if mark["fence"]:
        return _fenced(text, mark, tools)
    return _bare(text, start, tools)


def _bare(text: str, start: int, tools: Collection[str]) -> tuple[list[Written], int]:
    """Calls alone on their lines: an object in the middle of a sentence is an example."""
    found: list[Written] = []
    end = start
    while True:
        more, end = _values(text, end, tools, single=True)
        found += more
        if more and LINE_END.match(text, end):
            return found, end
        following = NEXT_ON_LINE.match(text, end)
        if not more or not following:
            return [], end
        end = following.end()


def _fenced(text: str, mark: re.Match[str], tools: Collection[str]) -> tuple[list[Written], int]:
    """The calls of a code block that contains nothing else; any other block is skipped as a whole."""
    fence = re.compile(rf"\s*{mark['fence']}[ \t]*(?=\n|\Z)")
    if mark["language"].lower() in FENCES:
        found, end = _values(text, mark.end(), tools)
        if not found:
            end = _after(SPACE, text, mark.end())
            while (inner := MARK.match(text, end)) and not inner["fence"] and (inner["tag"] or inner["function"]):
                more, end = _at(text, inner, tools)
                found += more
                end = _after(SPACE, text, max(end, inner.end()))
        closing = fence.match(text, end)
        if found and (closing or not text[end:].strip()):
            return found, closing.end() if closing else len(text)
    closing = re.compile(rf"^[ \t]*{mark['fence']}", re.MULTILINE).search(text, mark.end())
    return [], closing.end() if closing else len(text)


def _values(text: str, start: int, tools: Collection[str], *, single: bool = False) -> tuple[list[Written], int]:
    """Consecutive JSON values, each of them a call or a list of calls; empty if one of them is not."""
    found: list[Written] = []
    position = _after(SEPARATOR, text, start)
    while text[position : position + 1] in ("{", "["):
        try:
            value, position = decoded(text, position)
        except ValueError:
            return [], start
        calls = _calls(value, tools)
        if not calls:
            return [], position
        found += calls
        if single:
            break
        position = _after(SEPARATOR, text, position)
    return found, position


def _tagged(text: str, start: int, tools: Collection[str]) -> tuple[list[Written], int]:
    """The calls after an opening mark: values, or a tool's name with its arguments."""
    found: list[Written] = []
    end = start
    while opening := NAMED_VALUE.match(text, end):
        try:
            value, after = decoded(text, opening.end())
        except ValueError:
            break
        calls = _named(opening["name"], value, tools) if opening["name"] else _calls(value, tools, tagged=True)
        if not calls:
            break
        found += calls
        end = after
    return found, end


def _function(text: str, name: str, start: int, tools: Collection[str]) -> tuple[list[Written], int]:
    """A call whose mark names the tool, with its arguments as JSON or each between its own marks."""
    given: dict[str, Any] = {}
    end = start
    while parameter := PARAMETER.match(text, end):
        given[parameter["name"]] = _plain(parameter["value"])
        end = parameter.end()
    if not given and (opening := NAMED_VALUE.match(text, start)) and not opening["name"]:
        try:
            value, end = decoded(text, opening.end())
        except ValueError:
            return [], start
        return _named(name, value, tools), _after(CLOSING_FUNCTION, text, end)
    closing = CLOSING_FUNCTION.match(text, end)
    if not given and not closing:
        return [], start
    return _named(name, given, tools), closing.end() if closing else end


def _plain(text: str) -> object:
    """A value between marks: JSON other than a string if it can be parsed, otherwise the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else value


def _calls(value: object, tools: Collection[str], *, tagged: bool = False) -> list[Written]:
    """The calls that a JSON value consists of; empty if any part of it is something else."""
    if isinstance(value, dict) and set(value) == {"tool_calls"}:
        value = value["tool_calls"]
    each = value if isinstance(value, list) else [value]
    found = [_call(one, tools, tagged=tagged) for one in each]
    return [one for one in found if one is not None] if None not in found else []


def _call(value: object, tools: Collection[str], *, tagged: bool) -> Written | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict) and set(value) - {"function"} <= OTHER_KEYS:
        return _call(inner, tools, tagged=tagged)
    names = [key for key in NAME_KEYS if isinstance(value.get(key), str)]
    given = [key for key in ARGUMENT_KEYS if key in value]
    extra = set(value) - {*names[:1], *given[:1]} - OTHER_KEYS
    if len(names) != 1 or extra or (not given and not tagged):
        return None
    found = _named(value[names[0]], value[given[0]] if given else {}, tools)
    return found[0] if found else None


def _named(name: str, given: object, tools: Collection[str]) -> list[Written]:
    """A call of a tool; empty if the tool does not exist or these are not arguments."""
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}", strict=False)
        except (ValueError, RecursionError):
            return []
    if name not in tools or not isinstance(given, dict):
        return []
    if given.get("type") == "object" and "properties" in given:
        return []  # the tool's own description, repeated
    return [Written(name, json.dumps(given, ensure_ascii=False, sort_keys=True))]


def shape(name: str, arguments: dict[str, object]) -> str:
    """A call in the form that the model is asked to use."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def results(each: Iterable[tuple[str, str]]) -> str:
    """Results as one user message, for a model whose calls were text."""
    return "\n\n".join(f"{RESULT_OF}{name}:\n{result}" for name, result in each)


def _after(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start
