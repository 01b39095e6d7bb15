"""The history of a session, and its compaction when it exceeds the model's context window.

Called by the session. Messages are only appended, so that a provider's prefix cache works. A compaction invalidates the
cache, so it frees much space at once. Tokens are estimated from bytes until the provider has counted some.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

BYTES_PER_TOKEN = 3.0
"""A cautious value: English text has four, code and numbers about three."""
KEPT = 4
"""Number of newest messages that a compaction keeps unless nothing else is enough."""
LONG = 600
"""Tool results and arguments of calls up to this number of characters are not removed."""
Message = dict[str, Any]


class History:
    """The messages as they are sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._bytes_per_token = BYTES_PER_TOKEN
        self._overhead = 0

    def add(self, message: Message) -> None:
        """Append one message. Consecutive messages of the user are merged, because strict chat templates require it."""
        newest = self.messages[-1] if self.messages else None
        if newest is not None and newest["role"] == message["role"] == "user":
            newest["content"] += f"\n\n{message['content']}"
        else:
            self.messages.append(message)

    def carry(self, tools: list[dict[str, Any]]) -> None:
        """Include the description of the tools in the size: it is part of each request."""
        self._overhead = _size(tools)

    def counted(self, prompt_tokens: int) -> None:
        """Calibrate the bytes per token with the provider's own count, within bounds."""
        if prompt_tokens > 0:
            self._bytes_per_token = min(max(self._bytes() / prompt_tokens, 1.5), 5.0)

    def tokens(self) -> int:
        """Estimated tokens of the next request."""
        return int(self._bytes() / self._bytes_per_token)

    def compact(self, most: int) -> int:
        """Remove old tool results and long arguments until at most `most` tokens are left. Returns their number."""
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
            f"[compacted: this result had {len(message['content'])} characters and was removed, because the "
            "conversation did not fit into the model's window. Call the tool again if you need it.]"
        )
        return True
    if message.get("tool_calls") is None and message["content"] and len(message["content"]) > LONG:
        # Calls written as text, and their results.
        message["content"] = f"[compacted: {len(message['content'])} characters were removed]"
        return True
    shortened = False
    for call in message.get("tool_calls") or []:
        if len(call["function"]["arguments"]) > LONG:
            call["function"]["arguments"] = json.dumps(_short_arguments(call["function"]["arguments"]))
            shortened = True
    return shortened


def _short_arguments(text: str) -> dict[str, object]:
    """The arguments with a placeholder for each long text; still JSON, because providers parse it."""
    try:
        given = json.loads(text)
    except ValueError:
        return {}
    return dict(_short_values(given)) if isinstance(given, dict) else {}


def _short_values(given: dict[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        long = isinstance(value, str) and len(value) > LONG // 4
        yield name, f"[compacted: {len(str(value))} characters]" if long else value
