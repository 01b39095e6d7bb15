"""Responses that are not usable answers: an error in a stream of status 200, an empty answer, a rejected request.

Called by `exchange`, `answers` and `app`. What is found becomes `failure` of the session's usage, so that the campaign
knows why a session achieved nothing. The responses to clients do not depend on it, except that a temporary error at the
beginning of a stream is retried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rloop.api.iteration import CallFailure
from rloop.api.reading.model_errors import context_too_long
from rloop_operator.llm_proxy.dialects.apis import Dialect

MESSAGE_MAX = 600
CALLERS_FAULT = frozenset({"invalid_request_error", "invalid_request", "invalid_prompt", "not_found_error"})
"""Error types that a retry would get again."""
BUSY = frozenset({"overloaded_error", "rate_limit_error", "rate_limit_exceeded", "requests", "tokens"})
"""Error types that ask to retry later."""
UNPAID = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
UNPAID_WORDS = re.compile(r"credit balance is too low|insufficient (balance|credits?|funds)", re.IGNORECASE)
"""Codes of OpenAI; words of Anthropic, DeepSeek and OpenRouter. A quota of a minute has others, and is waited for."""
NO_MODEL_WORDS = re.compile(
    r"not a valid model id|invalid model name|model\b.{1,200}\b(does not exist|not found)", re.IGNORECASE
)
"""Words of OpenRouter, LiteLLM, vLLM and Ollama."""
EMPTY_KEYS = frozenset({"role", "refusal", "annotations", "audio", "index", "id", "type", "object"})
"""Fields of a chat.completions message that are not content."""
EMPTY = CallFailure(reason="AnswerEmpty", message="the provider's response contains neither text nor a tool call")
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
        """Whether a retry would be rejected again."""
        return context_too_long(self.code, self.message) or bool(CALLERS_FAULT & {self.code, self.kind})

    @property
    def unpaid(self) -> bool:
        """Whether the account has no credit left: some providers say so with the status of a busy one."""
        return bool(UNPAID & {self.code, self.kind}) or UNPAID_WORDS.search(self.message) is not None

    @property
    def no_model(self) -> bool:
        """Whether the provider does not know the model."""
        return "model_not_found" in (self.code, self.kind) or NO_MODEL_WORDS.search(self.message) is not None

    @property
    def busy(self) -> bool:
        """Whether the provider is healthy but asks for fewer requests."""
        return bool(BUSY & {self.code, self.kind})

    def failure(self, how: str) -> CallFailure:
        """The failure recorded for the campaign; `how` says where the error occurred: HTTP 400, or in a stream."""
        reason = "StreamBroken"
        if context_too_long(self.code, self.message):
            reason = "ContextTooLong"
        elif self.permanent or how.startswith("HTTP"):
            reason = "RequestRefused"
        return CallFailure(reason=reason, message=f"the provider answers ({how}): {self.message}"[:MESSAGE_MAX])


def error_of(document: object) -> Said | None:
    """The error in a body or in an event of a stream, in any of the three dialects; None if it contains none."""
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
    """Whether a body, or one event of a stream, contains a part of an answer."""
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
    """Whether Anthropic's block has content: a text block needs text, a tool call is always content."""
    if not isinstance(block, Mapping):
        return False
    texts = [value for name, value in block.items() if name != "type" and isinstance(value, str) and value]
    return bool(texts) or block.get("type") in ("tool_use", "redacted_thinking")


def _list(document: Json, name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []
