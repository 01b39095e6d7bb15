"""Reads a provider's answer: a body as a whole, a stream event by event, both bounded in size and in silence.

Called by `upstream`. An event is passed on as its bytes came; it is looked into only where it may count tokens.
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
from rloop_operator.llm_proxy.dialects import CHAT, MESSAGES, Dialect, answered_by, together, tokens_of
from rloop_operator.llm_proxy.odd_answers import CUT, EMPTY, Said, error_of, says_something
from rloop_operator.llm_proxy.usage import Tokens

BODY_BYTES = 16 * 1024 * 1024
EVENT_BYTES = 4 * 1024 * 1024
STREAM_BYTES = 64 * 1024 * 1024
END_OF_EVENT = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
"""Two ends of lines, each in any of the three ways."""
CONTENT = re.compile(rb"(?:^|[\r\n])data:")
ANNOUNCES = re.compile(
    rb"""(?x)
    "type" \s* : \s* "(?:message_start | ping | response\.(?:created | queued | in_progress))"
    | "delta" \s* : \s* \{ \s* "role" \s* : \s* "assistant" \s* (?: , \s* "content" \s* : \s* (?:""|null) \s* )? \}
    """
)
"""Events that some providers send before the model has read the prompt."""


class Malformed(RloopError):
    """An answer is not what the API promises."""


async def body(chunks: AsyncIterator[bytes], idle_seconds: float) -> bytes:
    """All of it. Raises Malformed, and TimeoutError after a silence in the middle of it."""
    content = bytearray()
    try:
        while True:
            # Headers may come long before the answer is made.
            async with asyncio.timeout(idle_seconds if content else None):
                content += await anext(chunks)
            if len(content) > BODY_BYTES:
                raise Malformed(f"its answer is larger than {BODY_BYTES // 2**20} MiB")
    except StopAsyncIteration:
        return bytes(content)


def parsed(content: bytes) -> Any:
    """The JSON in it. Raises Malformed."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Malformed("its answer is no JSON") from None


async def events(
    chunks: AsyncIterator[bytes], idle_seconds: float, first_token_until: float, deadline: float
) -> AsyncGenerator[bytes, None]:
    """A stream's events, each as its bytes came. Raises Malformed, TimeoutError after a silence and at the deadline.

    Silence ends with a whole event that holds data: neither a comment nor a byte now and then is an answer. Until the
    first token, and events that only announce an answer are none, the limit is `first_token_until`.
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
            raise Malformed("its stream is too large")
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
    """Whether it holds data. What else it may be is a comment, by which a server only says that it is there."""
    return CONTENT.search(event) is not None


LAST = (b"data: [DONE]", b"event: message_stop", b"event: response.completed")
NO_USAGE = re.compile(rb'"usage":\s*null')
END = re.compile(rb'"(?:finish|stop)_reason":\s*"|response\.(?:completed|incomplete|failed)|\[DONE\]|message_stop')


class Counted:
    """What a stream's events say of the tokens that it took."""

    def __init__(self, dialect: Dialect, *, drops_usage: bool) -> None:
        self._dialect = dialect
        self._drops_usage = drops_usage
        self._tokens: Tokens | None = None
        self._final = False
        self.model: str | None = None
        """Which model says that it answers."""
        self.whole = False
        """The event that ends a stream has come."""
        self.ended = False
        """Some event has said that the answer ends: unlike `whole`, the count of its tokens may still come."""
        self.content = False
        """Some piece of an answer has come."""
        self.error: Said | None = None
        """The provider's, inside the stream."""
        self.pieces = 0
        """Events so far. A provider sends no more of them than tokens, but for a few at its beginning and end."""

    @property
    def tokens(self) -> Tokens | None:
        """None if it never said: what messages counts at its start is only half of it."""
        return self._tokens if self._final else None

    @property
    def failure(self) -> CallFailure | None:
        """Why the stream was no usable answer; None if it was one."""
        if self.error is not None:
            return self.error.failure("in its stream")
        if not self.ended:
            return CUT
        return None if self.content else EMPTY

    @property
    def free(self) -> bool:
        """Whether nothing of an answer came: before an error, or at all. No provider bills that uncounted."""
        return not self.content and (self.ended or self.error is not None)

    def passes(self, event: bytes) -> bool:
        """Take the event in; False for one that only counts tokens, if the client did not ask for that."""
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
    """The JSON object that an event carries."""
    lines = [line.partition(b":")[2].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        found = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return None  # [DONE], or the client's problem
    return found if isinstance(found, dict) else None
