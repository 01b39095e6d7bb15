"""What a script sees: one request of chat.completions, read back into calls and results.

Used by the scripts. They keep nothing between two requests, as a model keeps nothing: the whole history comes with
each one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """A tool call of an earlier reply, and what came of it."""

    name: str
    arguments: str
    result: str = ""


@dataclass
class Reply:
    """What the script says: words, tool calls, or both."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name and arguments; the arguments as text, because a script may want them broken."""

    def call(self, tool: str, /, **arguments: Any) -> Reply:
        """Add one call."""
        self.calls.append((tool, json.dumps(arguments)))
        return self


@dataclass
class Conversation:
    """The history of one session so far."""

    model: str = ""
    """As it was asked for; a script that needs chance takes its seed from it."""
    brief: str = ""
    """The first message of the user: what the session was told."""
    calls: list[Call] = field(default_factory=list)
    replies: int = 0
    tools: set[str] = field(default_factory=set)
    schema: bool = False
    """The answer's text is to obey a JSON schema."""

    def results(self, name: str) -> list[str]:
        """What the calls of one tool gave, oldest first."""
        return [call.result for call in self.calls if call.name == name]

    def rows(self, source: str) -> list[dict[str, Any]]:
        """The JSON lines of one block of data in the brief."""
        found = re.search(rf'<data source="{re.escape(source)}">\n(.*?)\n</data>', self.brief, re.DOTALL)
        return [json.loads(line) for line in found[1].splitlines()] if found else []


def read(request: dict[str, Any]) -> Conversation:
    """The conversation in a request's body."""
    tools = {one["function"]["name"] for one in request.get("tools") or []}
    conversation = Conversation(model=request["model"], tools=tools)
    conversation.schema = "response_format" in request
    waiting: dict[str, Call] = {}
    for message in request["messages"]:
        if message["role"] == "user" and not conversation.brief:
            conversation.brief = message["content"]
        elif message["role"] == "assistant":
            conversation.replies += 1
            for one in message.get("tool_calls") or []:
                call = Call(one["function"]["name"], one["function"]["arguments"])
                waiting[one["id"]] = call
                conversation.calls.append(call)
        elif message["role"] == "tool":
            waiting[message["tool_call_id"]].result = _text(message["content"])
    return conversation


def _text(content: str | list[dict[str, str]]) -> str:
    """A message's text: some clients send it in parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def data(result: str) -> str:
    """The text between the fences of a tool's result, or the whole result where it has none."""
    found = re.search(r'<data source="[^"]*">\n(.*?)\n?</data>', result, re.DOTALL)
    return found[1] if found else result
