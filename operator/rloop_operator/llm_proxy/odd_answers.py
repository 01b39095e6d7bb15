"""Answers that are none: an error inside a stream of status 200, an answer without content, a request that is refused.

Called by `attempt`, `answers` and `app`. What is found here becomes `failure` of the session's usage, so that the
campaign knows why a session got nowhere; nothing that a client is sent depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rloop.api.iteration import CallFailure
from rloop.api.model_errors import context_too_long
from rloop_operator.llm_proxy.dialects import Dialect

MESSAGE_MAX = 600
CALLERS_FAULT = frozenset({"invalid_request_error", "invalid_request", "invalid_prompt", "not_found_error"})
"""Types of an error that another try would meet again."""
BUSY = frozenset({"overloaded_error", "rate_limit_error", "rate_limit_exceeded", "requests", "tokens"})
"""Types of an error that asks for patience."""
EMPTY_KEYS = frozenset({"role", "refusal", "annotations", "audio", "index", "id", "type", "object"})
"""Fields of a message of chat.completions that are no content of their own."""
EMPTY = CallFailure(reason="AnswerEmpty", message="the provider's answer holds neither text nor a tool call")
CUT = CallFailure(reason="StreamBroken", message="the provider's stream ended before its last event")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A provider's error."""

    code: str
    kind: str
    message: str

    @property
    def permanent(self) -> bool:
        """Whether another try would be refused again."""
        return context_too_long(self.code, self.message) or bool(CALLERS_FAULT & {self.code, self.kind})

    @property
    def busy(self) -> bool:
        """Whether the provider lives, and wants to be asked less."""
        return bool(BUSY & {self.code, self.kind})

    def failure(self, how: str) -> CallFailure:
        """As the campaign is told of it; `how` says where it stood: HTTP 400, or a stream."""
        reason = "StreamBroken"
        if context_too_long(self.code, self.message):
            reason = "ContextTooLong"
        elif self.permanent or how.startswith("HTTP"):
            reason = "RequestRefused"
        return CallFailure(reason=reason, message=f"the provider answers ({how}): {self.message}"[:MESSAGE_MAX])


def error_of(document: object) -> Said | None:
    """The error that a body or an event of a stream holds, in any of the three dialects; None if it holds none."""
    if not isinstance(document, Mapping):
        return None
    inner = document.get("response")
    error = document.get("error") or (inner.get("error") if isinstance(inner, Mapping) else None)
    if not error and document.get("type") == "error":
        error = document
    if not error:
        return None
    if not isinstance(error, Mapping):
        return Said("", "", " ".join(str(error).split()))
    message = error.get("message") or error.get("detail") or error
    return Said(str(error.get("code") or ""), str(error.get("type") or ""), " ".join(str(message).split()))


def says_something(dialect: Dialect, document: Json) -> bool:
    """Whether a whole answer, or one event of a stream, holds a piece of an answer."""
    if dialect.name == "chat":
        return any(_in_choice(one) for one in _list(document, "choices"))
    if dialect.name == "messages":
        if document.get("type") in ("content_block_start", "content_block_delta"):
            return _in_block(document.get("content_block") or document.get("delta"))
        return any(_in_block(one) for one in _list(document, "content"))
    kind = str(document.get("type") or "")
    return kind.endswith(".delta") or kind == "response.output_item.done" or bool(_list(document, "output"))


def _in_choice(choice: object) -> bool:
    if not isinstance(choice, Mapping):
        return False
    if choice.get("text"):
        return True
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, Mapping):
        return False
    return any(value for name, value in message.items() if name not in EMPTY_KEYS) or bool(message.get("refusal"))


def _in_block(block: object) -> bool:
    """Of Anthropic's: a text block is empty until its text comes, a call of a tool is content by itself."""
    if not isinstance(block, Mapping):
        return False
    texts = [value for name, value in block.items() if name != "type" and isinstance(value, str) and value]
    return bool(texts) or block.get("type") in ("tool_use", "redacted_thinking")


def _list(document: Json, name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []
