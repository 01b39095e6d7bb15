"""The three ways in which models are spoken to: where a request names its limits, and where an answer counts tokens.

Called by `calls` and `answers`. Which other fields a request may hold is told by the tables in `allowed`; an answer
passes untouched, tool calls among it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rloop_operator.llm_proxy.usage import Tokens

Name = Literal["chat", "responses", "messages", "count"]
Json = Mapping[str, Any]
MOST = 10_000_000
"""Tokens of one call. A count that is larger, negative or no whole number is none, and neither are those beside it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the three."""

    name: Name
    limits: tuple[str, ...]
    """Fields that limit an answer's tokens; the last is the one to add where there is none."""
    free: bool = False
    """It asks no model."""


CHAT = Dialect("chat", ("max_completion_tokens", "max_tokens"))
RESPONSES = Dialect("responses", ("max_output_tokens",))
MESSAGES = Dialect("messages", ("max_tokens",))
COUNT = Dialect("count", (), free=True)
"""Anthropic's count_tokens."""


def asked_output(dialect: Dialect, request: Json) -> int | None:
    """The longest answer that the request asks for: where two fields say it, an endpoint may know either."""
    asked = (request.get(name) for name in dialect.limits)
    return max((value for value in asked if type(value) is int and value > 0), default=None)


def limited(dialect: Dialect, request: Json, tokens: int, *, other_field: bool = False) -> dict[str, Any]:
    """The request with that limit; in the other of two fields, for models that know only that one."""
    asked = [name for name in dialect.limits if request.get(name) is not None]
    names = asked or [dialect.limits[0 if other_field else -1]]
    return {**request, **dict.fromkeys(names, tokens)}


def answers(request: Json) -> int:
    """How many answers it asks for at once."""
    value = request.get("n", 1)
    return value if type(value) is int and value > 0 else 1


def with_usage(dialect: Dialect, request: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The request for a stream that counts its tokens, and whether the client itself asked for that.

    The other two dialects always count.
    """
    if dialect is not CHAT or not request.get("stream"):
        return request, True
    options = request.get("stream_options")
    options = dict(options) if isinstance(options, Mapping) else {}
    if options.get("include_usage") is True:
        return request, True
    return {**request, "stream_options": options | {"include_usage": True}}, False


def tokens_of(answer: Json) -> Tokens | None:
    """What an answer, or one event of a stream, says that was taken; None if it does not say.

    All three dialects at once, for their fields do not collide: prompt_tokens is chat's; input_tokens is of the other
    two, and only messages counts what it read from and wrote to a cache beside it.
    """
    usage = _usage(answer)
    try:
        return None if usage is None else _counted(usage)
    except _NoCount:
        return None


def _counted(usage: Json) -> Tokens | None:
    if "prompt_tokens" in usage:
        cached = _number(_mapping(usage.get("prompt_tokens_details")), "cached_tokens")
        cached = cached or _number(usage, "prompt_cache_hit_tokens")  # DeepSeek's
        taken = Tokens(_number(usage, "prompt_tokens"), cached, _number(usage, "completion_tokens"))
    else:
        beside = _number(usage, "cache_read_input_tokens")
        within = _number(_mapping(usage.get("input_tokens_details")), "cached_tokens")
        read = _number(usage, "input_tokens") + beside + _number(usage, "cache_creation_input_tokens")
        taken = Tokens(read, beside or within, _number(usage, "output_tokens"))
    return Tokens(taken.input, min(taken.cached, taken.input), taken.output) if taken.total else None


def together(before: Tokens | None, now: Tokens | None) -> Tokens | None:
    """Of a stream: messages counts the input in its first event and the output in its last ones, and always the sum."""
    if before is None or now is None:
        return now or before
    return Tokens(max(before.input, now.input), max(before.cached, now.cached), max(before.output, now.output))


def answered_by(answer: Json) -> str | None:
    """The model that an answer, or the event of a stream, names."""
    for holder in (answer, _mapping(answer.get("response")), _mapping(answer.get("message"))):
        if isinstance(name := holder.get("model"), str):
            return name
    return None


def is_answer(dialect: Dialect, answer: object) -> bool:
    """Whether it looks like one: an endpoint that speaks something else must not pass for a model."""
    if not isinstance(answer, Mapping):
        return False
    if dialect is COUNT:
        return isinstance(answer.get("input_tokens"), int)
    field = {"chat": "choices", "responses": "output", "messages": "content"}[dialect.name]
    return isinstance(answer.get(field), list)


def _usage(answer: Json) -> Json | None:
    for holder in (answer, _mapping(answer.get("response")), _mapping(answer.get("message"))):
        if isinstance(found := holder.get("usage"), Mapping):
            return found
    return None


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


class _NoCount(Exception):
    """A field that counts tokens holds something else."""


def _number(holder: Json, name: str) -> int:
    value = holder.get(name)
    if type(value) is float and value.is_integer():
        value = int(value)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MOST:
        raise _NoCount
    return value
