"""Errors in the form that clients of each dialect expect: bodies, and the last event of a stream that breaks off.

Called by `app`, `exchange` and `streaming`. The proxy's own code is in the field in which clients look for a code:
OpenAI's in `error.code`, Anthropic's in `error.details.error_code`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from rloop_operator.llm_proxy.dialects.apis import CHAT, COUNT, MESSAGES, Dialect
from rloop_operator.llm_proxy.terms.denied import Code

OPENAI: Mapping[Code, str] = {
    "unauthorized": "authentication_error",
    "provider_forbidden": "permission_error",
    "provider_unknown": "permission_error",
    "price_unknown": "permission_error",
    "cap_too_small": "permission_error",
    "session_spent": "insufficient_quota",
    "budget_spent": "insufficient_quota",
    "hour_cap": "rate_limit_error",
    "provider_down": "server_error",
    "provider_refused": "server_error",
    "provider_malformed": "server_error",
}
"""OpenAI's error types by code; all other codes are faults of the request."""
ANTHROPIC: Mapping[Code, str] = {
    "unauthorized": "authentication_error",
    "provider_forbidden": "permission_error",
    "provider_unknown": "permission_error",
    "price_unknown": "permission_error",
    "cap_too_small": "permission_error",
    "model_unknown": "not_found_error",
    "session_spent": "billing_error",
    "budget_spent": "billing_error",
    "hour_cap": "rate_limit_error",
    "provider_down": "overloaded_error",
    "provider_refused": "api_error",
    "provider_malformed": "api_error",
}
BY_STATUS: Mapping[int, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: ("authentication_error", "authentication_error"),
    HTTPStatus.FORBIDDEN: ("permission_error", "permission_error"),
    HTTPStatus.NOT_FOUND: ("invalid_request_error", "not_found_error"),
}
"""The types of OpenAI and Anthropic for a provider's error without a type."""
FAULT = "invalid_request_error"


def refusal(dialect: Dialect, code: Code, message: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error that the proxy itself returns."""
    if _is_anthropics(dialect):
        error = {"type": ANTHROPIC.get(code, FAULT), "message": message, "details": {"error_code": code}}
        return {"type": "error", "error": error}
    return {"error": {"message": message, "type": OPENAI.get(code, FAULT), "code": code, "param": param}}


def event(dialect: Dialect, code: Code, message: str) -> bytes:
    """The last event of a stream that breaks off."""
    body = refusal(dialect, code, message)
    if dialect is CHAT:
        return f"data: {json.dumps(body)}\n\n".encode()
    if not _is_anthropics(dialect):  # responses: fields at the top level; `error` for clients that read it always
        body = {"type": "error", "sequence_number": 0, **body["error"], **body} | {"type": "error"}
    return f"event: error\ndata: {json.dumps(body)}\n\n".encode()


def in_shape(dialect: Dialect, document: Mapping[str, Any], status: int, message: str) -> dict[str, Any] | None:
    """A provider's error in the form of its dialect; None if it already has it."""
    error = document.get("error")
    proper = isinstance(error, Mapping) and isinstance(error.get("message"), str)
    if _is_anthropics(dialect):
        proper = proper and document.get("type") == "error"
    if proper:
        return None
    given = error if isinstance(error, Mapping) else document
    openais, anthropics = BY_STATUS.get(status, (FAULT, FAULT))
    if _is_anthropics(dialect):
        kind = given.get("type")
        known = isinstance(kind, str) and kind.endswith("_error")
        return {"type": "error", "error": {"type": kind if known else anthropics, "message": message}}
    code = given.get("code")
    return {"error": {"message": message, "type": openais, "code": None if code is None else str(code), "param": None}}


def _is_anthropics(dialect: Dialect) -> bool:
    return dialect in (MESSAGES, COUNT)
