"""What a client is given when it starts, and what a line of its output says.

The interface between the wrapper (`rloop_agent.clients.session`) and the file of each client.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

TOOLS = "rloop"
"""Name of our MCP server in a client's configuration."""
TOOLS_COMMAND = (sys.executable, "-P", "-m", "rloop_agent.clients.tools_server")
"""Our MCP server, which the client starts itself."""
TOOLS_VARIABLES = ("RLOOP_GATEWAY", "RLOOP_TOKEN", "RLOOP_TOKEN_FILE", "RLOOP_SESSION", "RLOOP_HEARTBEAT_SECONDS")
"""What the server needs, beside RLOOP_WORKSPACE."""
RULES = "AGENTS.md"
"""The file with the rules of a session, under the name that most clients look for."""
Speaker = Literal["model", "tool", "client"]
"""Whose words a line of the log has: the model's, a tool call, or the client's own about an error."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a client."""

    folder: Path
    """Its working directory: the rules, its configuration, and the copy of the task in the folder `task`."""
    token: str
    proxy: str
    """Base URL of the LLM proxy with /v1; empty for a client with its own login."""
    model: str
    args: tuple[str, ...]
    """`agent.client.args`."""
    home: str
    """The user's home, where the client's own login lies; empty for one that uses the LLM proxy."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Environment of our MCP server."""


@dataclass(slots=True)
class Seen:
    """What the output of a client has said so far."""

    words: str = ""
    """The last text of the model, or the client's own words for what went wrong."""
    conversation: str = ""
    """The client's name of its conversation."""
    turns: int = 0
    input_tokens: int = 0
    """Cached input included."""
    cached_tokens: int = 0
    output_tokens: int = 0
    replies: dict[str, tuple[int, int, int]] = field(default_factory=dict, compare=False)
    """Input, cached and output tokens of each reply of the model, by its id, where a client reports each of them."""
    plain: str = ""
    """The last line that is no JSON: a client that does not start says why in one."""
    characters: int = field(default=0, compare=False)
    """Size of the whole output."""
    tell: Callable[[Speaker, str], None] = field(default=lambda _who, _text: None, compare=False)
    """Called for each text of the model, tool call and error, for readers of the log."""
    told: str = field(default="", compare=False)
    """The last text told: a client may report a text twice, as an event and as its result."""

    def says(self, who: Speaker, found: object) -> None:
        """Tell a text, unless it is none or was the last one told."""
        text = found.strip() if isinstance(found, str) else ""
        if text and text != self.told:
            self.told = text
            self.tell(who, text)

    def calls(self, tool: object, arguments: object) -> None:
        """Tell a tool call. Equal calls in a row are several calls."""
        self.told = f"{tool} {json.dumps(arguments, ensure_ascii=False)}"
        self.tell("tool", self.told)

    def reply(self, id_: str, tokens: tuple[int, int, int]) -> None:
        """Take in the tokens of one reply. A client may report a reply several times."""
        self.replies[id_] = tokens
        self.input_tokens, self.cached_tokens, self.output_tokens = map(sum, zip(*self.replies.values(), strict=True))

    def line(self, text: str, read: Reader) -> None:
        """Take in one line of output."""
        self.characters += len(text)
        try:
            event = json.loads(text)
        except ValueError:
            event = None
        if isinstance(event, dict):
            read(event, self)
        elif text.strip():
            self.plain = text.strip()


Reader = Callable[[dict[str, Any], Seen], None]


@dataclass(frozen=True, slots=True)
class Client:
    """How one client is started and read."""

    argv: Callable[[Launch], list[str]]
    """Without the program itself. The prompt comes on standard input, which has no limit of length."""
    environment: Callable[[Launch], dict[str, str]]
    files: Callable[[Launch], dict[str, str]]
    """Configuration files, by their paths in the working directory."""
    read: Reader
    """Takes in one event of its output, which is a line of JSON."""
    no_login: int | None = None
    """Exit code by which it reports that nobody is logged in; None if only its words tell."""


def texts(parts: object) -> Iterator[str]:
    """The texts among the parts of a message."""
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def number(found: object) -> int:
    """A count that a client reports; 0 for what is no count."""
    return found if isinstance(found, int) and found > 0 else 0


def inside(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that is an object; empty if it is none."""
    found = event.get(name)
    return found if isinstance(found, dict) else {}
