"""The history of a session, and what to do when it outgrows the model's window.

Called by the session. Messages are only appended, so that a provider's cache of the prefix works; a compaction breaks
that once, and so it makes room for long. Tokens are estimated from bytes until the provider has counted some.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

BYTES_PER_TOKEN = 3.0
"""Careful: English text has four, code and numbers about three."""
KEPT = 4
"""The newest messages, which a compaction leaves alone unless nothing else helps."""
LONG = 600
"""Characters of a tool's result, or of a call's argument, that are not worth taking out."""
Message = dict[str, Any]


class History:
    """The messages, as they are sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._bytes_per_token = BYTES_PER_TOKEN
        self._overhead = 0

    def add(self, message: Message) -> None:
        """Append one message; one that follows another of the user becomes a part of it, as strict templates want."""
        newest = self.messages[-1] if self.messages else None
        if newest is not None and newest["role"] == message["role"] == "user":
            newest["content"] += f"\n\n{message['content']}"
        else:
            self.messages.append(message)

    def carry(self, tools: list[dict[str, Any]]) -> None:
        """Count the tools' description in: it goes with each request."""
        self._overhead = _size(tools)

    def counted(self, prompt_tokens: int) -> None:
        """Learn from the provider's own count how long a token is, within reason."""
        if prompt_tokens > 0:
            self._bytes_per_token = min(max(self._bytes() / prompt_tokens, 1.5), 5.0)

    def tokens(self) -> int:
        """About how many the next request has."""
        return int(self._bytes() / self._bytes_per_token)

    def compact(self, most: int) -> int:
        """Take old tool results and long arguments out until at most `most` tokens are left; how many were taken."""
        taken = 0
        for kept in (KEPT, 0):
            for message in self.messages[2 : len(self.messages) - kept]:
                if self.tokens() <= most:
                    return taken
                taken += _shorten(message)
        return taken

    def _bytes(self) -> int:
        return self._overhead + sum(_size(message) for message in self.messages)


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _shorten(message: Message) -> bool:
    if message["role"] == "tool" and len(message["content"]) > LONG:
        message["content"] = (
            f"[compacted: this result had {len(message['content'])} characters and was taken out, because the "
            "conversation outgrew the model's window. Call the tool again if you need it.]"
        )
        return True
    if message.get("tool_calls") is None and message["content"] and len(message["content"]) > LONG:
        # Calls written as text, and their results.
        message["content"] = f"[compacted: {len(message['content'])} characters were taken out]"
        return True
    shortened = False
    for call in message.get("tool_calls") or []:
        if len(call["function"]["arguments"]) > LONG:
            call["function"]["arguments"] = json.dumps(_short_arguments(call["function"]["arguments"]))
            shortened = True
    return shortened


def _short_arguments(text: str) -> dict[str, object]:
    """The arguments with a word in the place of each long text; still JSON, because a provider parses it."""
    try:
        given = json.loads(text)
    except ValueError:
        return {}
    return dict(_short_values(given)) if isinstance(given, dict) else {}


def _short_values(given: dict[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        long = isinstance(value, str) and len(value) > LONG // 4
        yield name, f"[compacted: {len(str(value))} characters]" if long else value
