"""The part of a reply's text that counts: without reasoning, quoted data and invented results.

Called by `text_calls`, which searches it for calls. Pure functions of the text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from operator import itemgetter

RESULT_OF = "Result of "
"""Beginning of a result that is sent back as text."""
REASONING = re.compile(r"<(think|thinking)>.*?(?:</\1>|\Z)", re.DOTALL)
REASONING_END = re.compile(r"</think(?:ing)?>")
"""Some servers remove the opening mark."""
MATERIAL = re.compile(r"<data\b[^>]*>.*?(?:</data>|\Z)", re.DOTALL)
INVENTED = re.compile(
    r"<\|?(?:tool_response|tool_result|tool_output|function_response|im_start|start_header_id)\b"
    rf"|^[ \t]*(?:{RESULT_OF}\w+:|<data source=)",
    re.MULTILINE,
)
"""Where a model begins to invent the result of its own call, or a message of another role."""
VALUE = re.compile(r"\{(?=\s*\"|\s*\})|(?P<parameter><parameter=\w+>)")
PARAMETER_END = "</parameter>"
DECODER = json.JSONDecoder(strict=False)
"""Not strict: small models write unescaped line breaks in strings."""


def own_words(text: str) -> tuple[str, str]:
    """The text up to what the model has invented; and the same text with blanks instead of reasoning and data.

    Marks count only outside values: the content of a written file may well contain `<think>` or `<|im_start|>`.
    """
    values = _values_of(text)
    seen = _blanked(text, _outside(REASONING, text, values))
    end = next(_outside(REASONING_END, seen, values), None)
    if end and "<think" not in text[: end.start()]:
        seen = " " * end.end() + seen[end.end() :]
    invented = next(_outside(INVENTED, seen, values), None)
    kept = text[: invented.start()] if invented else text
    return kept, _blanked(seen[: len(kept)], _outside(MATERIAL, seen[: len(kept)], values))


def _values_of(text: str) -> list[tuple[int, int]]:
    """Start and end of the objects and marked parameters, in order, without nested ones."""
    found: list[tuple[int, int]] = []
    position, last_closed = 0, text.rfind(PARAMETER_END)
    while start := VALUE.search(text, position):
        position = start.end()
        if start["parameter"]:
            if position > last_closed:
                continue
            end = text.find(PARAMETER_END, position)
        else:
            try:
                _, end = decoded(text, start.start())
            except ValueError:
                continue
        found.append((start.start(), end))
        position = end
    return found


def _outside(pattern: re.Pattern[str], text: str, values: list[tuple[int, int]]) -> Iterator[re.Match[str]]:
    """The matches that do not begin inside a value."""
    position = 0
    while found := pattern.search(text, position):
        before = bisect(values, found.start(), key=itemgetter(0)) - 1  # the last value that begins at or before it
        inside = before >= 0 and found.start() < values[before][1]
        if not inside:
            yield found
        position = max(values[before][1] if inside else found.end(), found.start() + 1)


def _blanked(text: str, matches: Iterable[re.Match[str]]) -> str:
    parts, position = [], 0
    for found in matches:
        parts += [text[position : found.start()], " " * len(found[0])]
        position = found.end()
    return "".join([*parts, text[position:]])


def decoded(text: str, position: int) -> tuple[object, int]:
    """The JSON value at a position, and its end. Raises ValueError."""
    try:
        value, end = DECODER.raw_decode(text, position)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value, end
