"""Codex, started with `codex exec`.

Used by `clients.table`. The options are those of 0.171. Its configuration is given as arguments, so that a user's own
configuration file stays what it is; the token is in none of them.
"""

from __future__ import annotations

import json
from typing import Any

from rloop_agent.clients.launch import TOOLS, TOOLS_COMMAND, Client, Launch, Seen, inside, number

START_SECONDS = 120
TOOL_SECONDS = 700
"""`try` may take 600 seconds."""


def argv(launch: Launch) -> list[str]:
    """Arguments after `codex`."""
    server = f"mcp_servers.{TOOLS}"
    settings: dict[str, object] = {
        f"{server}.command": TOOLS_COMMAND[0],
        f"{server}.args": list(TOOLS_COMMAND[1:]),
        f"{server}.env_vars": list(launch.tools),
        f"{server}.required": True,
        # Nobody is there to be asked; the gateway decides what is admitted.
        f"{server}.default_tools_approval_mode": "approve",
        f"{server}.startup_timeout_sec": START_SECONDS,
        f"{server}.tool_timeout_sec": TOOL_SECONDS,
        "web_search": "disabled",
    }
    if not launch.home:
        provider = "model_providers.rloop"
        settings |= {
            "model_provider": "rloop",
            f"{provider}.name": "rloop",
            f"{provider}.base_url": launch.proxy,
            f"{provider}.env_key": "RLOOP_TOKEN",
            f"{provider}.wire_api": "responses",
        }
    model = ["--model", launch.model] if launch.model else []
    # A JSON value is a TOML value too, as far as these are concerned.
    told = [word for name, value in settings.items() for word in ("-c", f"{name}={json.dumps(value)}")]
    limits = ["--disable", "multi_agent", "--disable", "goals", "-s", "workspace-write"]
    return ["exec", "--json", "--skip-git-repo-check", *limits, *model, *told, *launch.args, "-"]


def environment(launch: Launch) -> dict[str, str]:
    """Where its login lies, and what our MCP server needs, which it passes on by name."""
    return dict(launch.tools) | {"RLOOP_TOKEN": launch.token} | ({"HOME": launch.home} if launch.home else {})


def files(_: Launch) -> dict[str, str]:
    """No configuration file."""
    return {}


def read(event: dict[str, Any], seen: Seen) -> None:
    """One event of its stream."""
    match event.get("type"):
        case "thread.started":
            seen.conversation = str(event.get("thread_id") or "")
        case "item.completed":
            item = inside(event, "item")
            seen.turns += 1
            match item.get("type"):
                case "agent_message":
                    seen.words = str(item.get("text") or seen.words)
                    seen.says("model", item.get("text"))
                case "mcp_tool_call":
                    seen.calls(item.get("tool"), item.get("arguments"))
                case "error":
                    seen.says("client", item.get("message"))
                case kind if found := [item[one] for one in ("command", "changes", "query") if one in item]:
                    seen.calls(kind, found[0])  # its own tools
                case _:
                    pass  # reasoning, and its list of what is to do
        case "turn.completed":
            usage = inside(event, "usage")
            seen.input_tokens += number(usage.get("input_tokens"))
            seen.cached_tokens += number(usage.get("cached_input_tokens"))
            seen.output_tokens += number(usage.get("output_tokens"))
        case "turn.failed":
            seen.words = str(inside(event, "error").get("message") or seen.words)
            seen.says("client", inside(event, "error").get("message"))
        case "error":
            seen.words = str(event.get("message") or seen.words)
            seen.says("client", event.get("message"))
        case _:
            pass  # other events say nothing that is kept


CODEX = Client(argv, environment, files, read)
