"""Claude Code, started with `claude -p`.

Used by `clients.table`. The options are those of 2.1: without its own instructions and tools a request is a tenth as
long (`--bare`, `--tools`), and it asks nobody (`dontAsk`), which root may do too.
"""

from __future__ import annotations

import json
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
            seen.words = "\n".join(texts(inside(event, "message").get("content"))) or seen.words
        case "result":
            seen.words = str(event.get("result") or seen.words)
            usage = inside(event, "usage")
            cached = number(usage.get("cache_read_input_tokens")) + number(usage.get("cache_creation_input_tokens"))
            seen.input_tokens = number(usage.get("input_tokens")) + cached
            seen.output_tokens = number(usage.get("output_tokens"))
        case _:
            pass  # other events say nothing that is kept


CLAUDE_CODE = Client(argv, environment, files, read)
