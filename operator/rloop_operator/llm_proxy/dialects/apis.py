"""The APIs of language models: where a request sets its limits, and where a response counts tokens.

Used by `reservations`, `answers` and others. The tables in `allowed` say which other fields a request may contain.
Responses are passed on unchanged, including tool calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rloop_operator.llm_proxy.terms.usage import Tokens

Name = Literal["chat", "responses", "messages", "count"]
Json = Mapping[str, Any]
MOST = 10_000_000
"""Maximum tokens of one call. If a count is larger, negative or not an integer, the whole usage is ignored."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the APIs."""

    name: Name
    limits: tuple[str, ...]
    """Fields that limit the tokens of an answer. The last one is added if the request has none."""
    free: bool = False
    """It does not call a model."""


CHAT = Dialect("chat", ("max_completion_tokens", "max_tokens"))
RESPONSES = Dialect("responses", ("max_output_tokens",))
MESSAGES = Dialect("messages", ("max_tokens",))
COUNT = Dialect("count", (), free=True)
"""Anthropic's count_tokens."""


def asked_output(dialect: Dialect, request: Json) -> int | None:
    """The output limit in the request. If it has two such fields, the larger counts: an endpoint may know only one."""
    asked = (request.get(name) for name in dialect.limits)
    return max((value for value in asked if type(value) is int and value > 0), default=None)


def limited(dialect: Dialect, request: Json, tokens: int, *, other_field: bool = False) -> dict[str, Any]:
    """The request with this output limit, in the fields that it has, else in the last of `limits`.

    With `other_field` a missing limit is added as the first of `limits`, for models that know only that one.
    """
    asked = [name for name in dialect.limits if request.get(name) is not None]
    names = asked or [dialect.limits[0 if other_field else -1]]
    return {**request, **dict.fromkeys(names, tokens)}


def answers(request: Json) -> int:
    """Number of answers that one request asks for."""
    value = request.get("n", 1)
    return value if type(value) is int and value > 0 else 1


def with_usage(dialect: Dialect, request: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The request for a stream that counts its tokens, and whether the client itself asked for the count.

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
    """Tokens that a response, or one event of a stream, reports; None if it reports none.

    Handles all three dialects, because their fields do not collide: prompt_tokens occurs in chat, input_tokens in the
    other two, and only messages counts cache reads and writes separately from it.
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
    """Combined counts of a stream: events of messages report totals, the first of the input, the last of the output."""
    if before is None or now is None:
        return now or before
    return Tokens(max(before.input, now.input), max(before.cached, now.cached), max(before.output, now.output))


def answered_by(answer: Json) -> str | None:
    """The model that a response, or the event of a stream, names."""
    for holder in (answer, _mapping(answer.get("response")), _mapping(answer.get("message"))):
        if isinstance(name := holder.get("model"), str):
            return name
    return None


def is_answer(dialect: Dialect, answer: object) -> bool:
    """Whether it has the form of an answer: an endpoint with another API must not be mistaken for a model."""
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
    """A field that counts tokens contains something else."""


def _number(holder: Json, name: str) -> int:
    value = holder.get(name)
    if type(value) is float and value.is_integer():
        value = int(value)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MOST:
        raise _NoCount
    return value
