"""Claude Code, started with `claude -p`.

Used by `clients.table`. The options are those of 2.1: without its own instructions and tools a request is a tenth as
long (`--bare`, `--tools`), and it asks nobody (`dontAsk`), which root may do too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rloop_agent.clients.launch import RULES, TOOLS, TOOLS_COMMAND, Client, Launch, Seen, inside, number, texts

OWN_TOOLS = ("Bash", "Read", "Write", "Edit", "Glob", "Grep")
CONFIGURATION = "mcp.json"
START_MILLISECONDS = "120000"
"""A client that does not wait for our tools begins without them, and ends having done nothing."""
TOOL_MILLISECONDS = "700000"
"""`try` may take 600 seconds."""


def argv(launch: Launch) -> list[str]:
    """Arguments after `claude`."""
    # Bare mode never reads the user's login.
    bare = [] if launch.home else ["--bare"]
    model = ["--model", launch.model] if launch.model else []
    return [
        *bare,
        *model,
        "--print",
        "--output-format=stream-json",
        "--verbose",
        f"--append-system-prompt-file={RULES}",
        f"--mcp-config={CONFIGURATION}",
        "--strict-mcp-config",
        "--permission-mode=dontAsk",
        f"--tools={','.join(OWN_TOOLS)}",
        f"--allowedTools=mcp__{TOOLS},{','.join(OWN_TOOLS)}",
        *launch.args,
    ]


def environment(launch: Launch) -> dict[str, str]:
    """Its model, and nothing beside it in the network. The first turn waits for our tools."""
    quiet = {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "MCP_CONNECTION_NONBLOCKING": "false",
        "MCP_CONNECT_TIMEOUT_MS": START_MILLISECONDS,
        "MCP_TIMEOUT": START_MILLISECONDS,
        "MCP_TOOL_TIMEOUT": TOOL_MILLISECONDS,
        "BASH_DEFAULT_TIMEOUT_MS": TOOL_MILLISECONDS,
        "BASH_MAX_TIMEOUT_MS": TOOL_MILLISECONDS,
    }
    if launch.home:
        return quiet | {"HOME": launch.home}
    models = ("MODEL", "DEFAULT_HAIKU_MODEL", "DEFAULT_SONNET_MODEL", "DEFAULT_OPUS_MODEL", "SMALL_FAST_MODEL")
    return (
        quiet
        | {f"ANTHROPIC_{one}": launch.model for one in models}
        | {"ANTHROPIC_BASE_URL": launch.proxy.removesuffix("/v1"), "ANTHROPIC_API_KEY": launch.token}
    )


def files(launch: Launch) -> dict[str, str]:
    """Its MCP configuration."""
    server = {"command": TOOLS_COMMAND[0], "args": TOOLS_COMMAND[1:], "env": dict(launch.tools), "alwaysLoad": True}
    return {CONFIGURATION: json.dumps({"mcpServers": {TOOLS: server}})}


def read(event: dict[str, Any], seen: Seen) -> None:
    """One event of its stream."""
    match event.get("type"):
        case "system":
            seen.conversation = str(event.get("session_id") or seen.conversation)
        case "assistant":
            seen.turns += 1
            message = inside(event, "message")
            content = message.get("content")
            seen.words = "\n".join(texts(content)) or seen.words
            for part in content if isinstance(content, list) else []:
                if not isinstance(part, dict):
                    continue
                seen.says("model", part.get("text"))
                if part.get("type") == "tool_use":
                    seen.calls(part.get("name"), part.get("input"))
            seen.reply(str(message.get("id")), _tokens(inside(message, "usage")))
        case "result":
            seen.words = str(event.get("result") or seen.words)
            seen.says("client" if event.get("is_error") else "model", event.get("result"))
            if any(whole := _tokens(inside(event, "usage"))):
                seen.input_tokens, seen.cached_tokens, seen.output_tokens = whole
        case _:
            pass  # other events say nothing that is kept


def _tokens(usage: Mapping[str, Any]) -> tuple[int, int, int]:
    """Input, cached ones included, cached, and output tokens."""
    cached = number(usage.get("cache_read_input_tokens"))
    written = number(usage.get("cache_creation_input_tokens"))
    return number(usage.get("input_tokens")) + written + cached, cached, number(usage.get("output_tokens"))


CLAUDE_CODE = Client(argv, environment, files, read)
