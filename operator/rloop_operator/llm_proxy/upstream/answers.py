"""Reads a provider's response: a body as a whole, a stream event by event, with limits on size and on silence.

Called by `exchange`; `streaming` counts a stream's tokens with `Counted`. Events are passed on byte for byte and parsed
only where they may count tokens.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from rloop.api.iteration import CallFailure
from rloop.errors import RloopError
from rloop_operator.llm_proxy.dialects.apis import CHAT, MESSAGES, Dialect, answered_by, together, tokens_of
from rloop_operator.llm_proxy.dialects.odd_answers import CUT, EMPTY, Said, error_of, says_something
from rloop_operator.llm_proxy.terms.usage import Tokens

BODY_BYTES = 16 * 1024 * 1024
EVENT_BYTES = 4 * 1024 * 1024
STREAM_BYTES = 64 * 1024 * 1024
END_OF_EVENT = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
"""Two line ends, each in any of the three forms."""
CONTENT = re.compile(rb"(?:^|[\r\n])data:")
ANNOUNCES = re.compile(
    rb"""(?x)
    "type" \s* : \s* "(?:message_start | ping | response\.(?:created | queued | in_progress))"
    | "delta" \s* : \s* \{ \s* "role" \s* : \s* "assistant" \s* (?: , \s* "content" \s* : \s* (?:""|null) \s* )? \}
    """
)
"""Events that some providers send before the model has read the prompt."""


class Malformed(RloopError):
    """A response is not what the API specifies."""


async def body(chunks: AsyncIterator[bytes], idle_seconds: float) -> bytes:
    """The whole body. Raises Malformed, and TimeoutError if it pauses too long after its first bytes."""
    content = bytearray()
    try:
        while True:
            # Headers may arrive long before the answer is complete.
            async with asyncio.timeout(idle_seconds if content else None):
                content += await anext(chunks)
            if len(content) > BODY_BYTES:
                raise Malformed(f"the response is larger than {BODY_BYTES // 2**20} MiB")
    except StopAsyncIteration:
        return bytes(content)


def parsed(content: bytes) -> Any:
    """The parsed JSON. Raises Malformed."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Malformed("the response is not JSON") from None


async def events(
    chunks: AsyncIterator[bytes], idle_seconds: float, first_token_until: float, deadline: float
) -> AsyncGenerator[bytes, None]:
    """The events of a stream, byte for byte. Raises Malformed, and TimeoutError after a silence and at the deadline.

    Only a complete event with data ends a silence; comments and incomplete events do not. Until the first token, which
    events that merely announce an answer are not, the limit is `first_token_until`.
    """
    pending, total, looked = b"", 0, 0
    silent_until, begun = first_token_until, False
    while True:
        try:
            async with asyncio.timeout_at(min(silent_until, deadline)):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            if pending:
                yield pending
            return
        pending += chunk
        total += len(chunk)
        if total > STREAM_BYTES or len(pending) > EVENT_BYTES:
            raise Malformed("the stream is too large")
        start = 0
        for found in END_OF_EVENT.finditer(pending, looked):
            event = pending[start : found.end()]
            start = found.end()
            begun = begun or (is_content(event) and ANNOUNCES.search(event) is None)
            if begun and is_content(event):
                silent_until = time.monotonic() + idle_seconds
            yield event
        pending = pending[start:]
        looked = max(0, len(pending) - 3)


def is_content(event: bytes) -> bool:
    """Whether the event contains data. Otherwise it is a comment, with which a server only shows that it is alive."""
    return CONTENT.search(event) is not None


LAST = (b"data: [DONE]", b"event: message_stop", b"event: response.completed")
NO_USAGE = re.compile(rb'"usage":\s*null')
END = re.compile(rb'"(?:finish|stop)_reason":\s*"|response\.(?:completed|incomplete|failed)|\[DONE\]|message_stop')


class Counted:
    """What the events of a stream report about its tokens and its end."""

    def __init__(self, dialect: Dialect, *, drops_usage: bool) -> None:
        self._dialect = dialect
        self._drops_usage = drops_usage
        self._tokens: Tokens | None = None
        self._final = False
        self.model: str | None = None
        """The model that the provider names as the answering one."""
        self.whole = False
        """The last event of the stream has arrived."""
        self.ended = False
        """An event has announced the end of the answer. Unlike with `whole`, the token count may still follow."""
        self.content = False
        """A part of an answer has arrived."""
        self.error: Said | None = None
        """The provider's error inside the stream."""
        self.pieces = 0
        """Events with data so far. Except for a few at start and end, a provider sends at most one per token."""

    @property
    def tokens(self) -> Tokens | None:
        """Tokens of the answer; None if not reported. What messages counts in its first event is only the input."""
        return self._tokens if self._final else None

    @property
    def failure(self) -> CallFailure | None:
        """Why the stream was not a usable answer; None if it was one."""
        if self.error is not None:
            return self.error.failure("in its stream")
        if not self.ended:
            return CUT
        return None if self.content else EMPTY

    @property
    def free(self) -> bool:
        """True if no answer came before the error or the end; providers bill that only with a token count."""
        return not self.content and (self.ended or self.error is not None)

    def passes(self, event: bytes) -> bool:
        """Process an event. Returns False for one that only counts tokens if the client did not ask for it."""
        self.whole = self.whole or any(mark in event for mark in LAST)
        self.pieces += is_content(event)
        usage = event.count(b'"usage"') > len(NO_USAGE.findall(event))
        seen = self.model is not None and self.content and b'"error"' not in event
        self.ended = self.ended or END.search(event) is not None
        if not usage and seen:
            return True
        data = data_of(event)
        if data is None:
            return True
        self.content = self.content or says_something(self._dialect, data)
        self.error = self.error or error_of(data)
        self.model = self.model or answered_by(data)
        found = tokens_of(data)
        if found is None:
            return True
        self._tokens = together(self._tokens, found)
        self._final = self._final or self._dialect is not MESSAGES or "message" not in data
        return not (self._drops_usage and self._dialect is CHAT and data.get("choices") == [])


def data_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object that an event contains; None if it contains none."""
    lines = [line.partition(b":")[2].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        found = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return None  # [DONE], or malformed data, which is passed on to the client
    return found if isinstance(found, dict) else None
