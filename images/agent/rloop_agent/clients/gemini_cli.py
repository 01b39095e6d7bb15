"""Gemini CLI, started with `gemini -p`, with its own login.

Used by `clients.table`. The options are those of 0.61. The LLM proxy does not serve the API that it calls.
"""

from __future__ import annotations

import json
from typing import Any

from rloop_agent.clients.launch import TOOLS, TOOLS_COMMAND, Client, Launch, Seen, inside, number

TOOL_MILLISECONDS = 700_000
"""`try` may take 600 seconds."""


def argv(launch: Launch) -> list[str]:
    """Arguments after `gemini`."""
    model = ["--model", launch.model] if launch.model else []
    fixed = ["--skip-trust", "--approval-mode", "yolo", "--output-format", "stream-json"]
    return [*fixed, *model, *launch.args]


def environment(launch: Launch) -> dict[str, str]:
    """Where its login lies."""
    return {"HOME": launch.home} if launch.home else {}


def files(launch: Launch) -> dict[str, str]:
    """Its settings."""
    server = {
        "command": TOOLS_COMMAND[0],
        "args": list(TOOLS_COMMAND[1:]),
        "env": dict(launch.tools),
        "trust": True,
        "timeout": TOOL_MILLISECONDS,
    }
    document = {"mcpServers": {TOOLS: server}, "context": {"fileName": ["AGENTS.md"]}}
    return {".gemini/settings.json": json.dumps(document)}


def read(event: dict[str, Any], seen: Seen) -> None:
    """One event of its stream."""
    match event.get("type"):
        case "init":
            seen.conversation = str(event.get("session_id") or "")
        case "message" if event.get("role") == "assistant":
            said = str(event.get("content") or "")
            seen.words = seen.words + said if event.get("delta") else said
        case "tool_use":
            seen.turns += 1
            seen.says("model", seen.words)
            seen.words = ""
            seen.calls(event.get("tool_name"), event.get("parameters"))
        case "error":
            seen.says("model", seen.words)
            seen.says("client", event.get("message"))
            seen.words = str(event.get("message") or seen.words)
        case "result":
            seen.says("model", seen.words)
            stats = inside(event, "stats")
            seen.input_tokens = number(stats.get("input_tokens"))
            seen.cached_tokens = number(stats.get("cached"))
            seen.output_tokens = number(stats.get("output_tokens"))
        case _:
            pass  # other events say nothing that is kept


GEMINI_CLI = Client(argv, environment, files, read, no_login=41)
