"""One answer of the model, and its form in the history.

Created by the endpoint, used by the session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ToolCall:
    """One tool call of a reply."""

    id: str
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    """One complete answer."""

    text: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    written: bool = False
    """True if the calls were written as text. They stay text in the history: the provider sent no tool calls."""
    finish: str = ""
    model: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0

    def message(self) -> dict[str, Any]:
        """The answer as a message of the history."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls and not self.written:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls
            ]
            if self.reasoning:
                # Some providers require the reasoning that led to a tool call; those that send no reasoning get none.
                message["reasoning_content"] = self.reasoning
        elif not self.text:
            message["content"] = "(no words)"
        return message
