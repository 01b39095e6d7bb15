"""How the scripted model server can fail: by the name behind the plus in the model's name.

`+status-500` fails always, `+status-500x2` twice and then plays on, `+status-500@3` only the third time. Called by the
server at three places: instead of an answer, on the answer, and between two chunks of a stream.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.models.server import _Handler

DRIP_SECONDS = 30.0
SMALL_WINDOW_BYTES = 16_000
"""Of a whole request: system message and tools take about half of them."""
KINDS = (
    "rate-limit",
    "status-500",
    "unauthorized",
    "too-long",
    "prompt-too-long",
    "small-window",
    "error-event",
    "late-error",
    "cut",
    "content-null",
    "bad-request",
    "reset",
    "drip",
    "invalid-json",
    "not-a-model",
    "empty-choices",
    "no-usage",
    "wrong-model",
)


def _error(**told: str | None) -> dict[str, Any]:
    return {"error": told}


REFUSALS: dict[str, tuple[int, dict[str, Any], dict[str, str]]] = {
    "rate-limit": (
        429,
        _error(message="Rate limit reached", type="requests", code="rate_limit_exceeded"),
        {"Retry-After": "1"},
    ),
    "status-500": (500, _error(message="The server had an error", type="server_error", code=None), {}),
    "unauthorized": (401, _error(message="Incorrect API key provided", code="invalid_api_key"), {}),
    "too-long": (
        400,
        _error(message="This model's maximum context length is 100 tokens", code="context_length_exceeded"),
        {},
    ),
    "small-window": (
        400,
        _error(message="the request exceeds the available context size", type="exceed_context_size_error"),
        {},
    ),
    "prompt-too-long": (
        400,
        {"type": "error"}
        | _error(type="invalid_request_error", message="prompt is too long: 213462 tokens > 200000 maximum"),
        {},
    ),
    "bad-request": (
        400,
        _error(message="response_format is not supported", type="invalid_request_error"),
        {},
    ),
}
"""Status, body and headers of plain refusals."""


@dataclass(frozen=True)
class Failure:
    """One way to fail."""

    kind: str

    def instead(self, handler: _Handler) -> bool:
        """Answer in the script's place; False where this failure does not."""
        kind = self.kind
        if kind == "small-window" and handler.asked <= SMALL_WINDOW_BYTES:
            return False
        if kind in REFUSALS:
            status, body, headers = REFUSALS[kind]
            handler.send(status, body, headers)
        elif kind == "error-event":
            handler.begin_stream()
            told = {"message": "The server is overloaded", "type": "server_error", "code": "overloaded"}
            handler.wfile.write(f"data: {json.dumps({'error': told})}\n\n".encode())
        elif kind == "invalid-json":
            handler.send(200, '{"id": "scripted", "choices": [{')
        elif kind == "not-a-model":
            handler.send(200, "<html><body>It works!</body></html>")
        elif kind == "drip":
            _drip(handler)
        else:
            return False
        return True

    def spoilt(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer with something wrong in it."""
        if self.kind == "empty-choices":
            return answer | {"choices": []}
        if self.kind == "content-null":
            message = {"role": "assistant", "content": None}
            return answer | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        if self.kind == "no-usage":
            return {name: value for name, value in answer.items() if name != "usage"}
        if self.kind == "wrong-model":
            return answer | {"model": "another-model-9"}
        return answer

    def at_chunk(self, handler: _Handler, number: int) -> bool:
        """Break the stream before this chunk; False where this failure does not."""
        if number != 2:
            return False
        if self.kind == "cut":  # the connection ends as if all had been said
            return True
        if self.kind == "late-error":
            error = {"message": "The engine has stopped", "type": "server_error", "code": None}
            handler.wfile.write(f"data: {json.dumps({'error': error})}\n\n".encode())
            return True
        if self.kind != "reset":
            return False
        # With no time to linger, close sends a reset instead of an orderly end.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        return True


def named(name: str, number: int) -> Failure | None:
    """The failure of the `number`th request to a model whose name ends in this; None where it plays."""
    if not name:
        return None
    told = re.fullmatch(rf"({'|'.join(KINDS)})(?:(x|@)([0-9]+))?", name)
    if told is None:
        message = f"no failure is called {name!r}: use one of {', '.join(KINDS)}"
        raise ValueError(message)
    kind, how, times = told.groups()
    fails = how is None or (number <= int(times) if how == "x" else number == int(times))
    return Failure(kind) if fails else None


def _drip(handler: _Handler) -> None:
    """A stream that never dies and never says anything: one byte, and half a minute until the next."""
    handler.begin_stream()
    try:
        while True:
            handler.wfile.write(b":")
            handler.wfile.flush()
            threading.Event().wait(DRIP_SECONDS)
    except OSError:
        return  # the caller has hung up
