"""opencode, started with `opencode run`.

Used by `clients.table`. The options are those of 1.18.
"""

from __future__ import annotations

import json
from typing import Any

from rloop_agent.clients.launch import TOOLS, TOOLS_COMMAND, Client, Launch, Seen, inside, number

CONFIGURATION = "opencode.json"
TOOL_MILLISECONDS = 700_000
"""`try` may take 600 seconds."""


def argv(launch: Launch) -> list[str]:
    """Arguments after `opencode`."""
    name = launch.model if launch.home else f"rloop/{launch.model}"
    model = ["--model", name] if launch.model else []
    return ["run", "--format", "json", "--pure", *model, *launch.args]


def environment(launch: Launch) -> dict[str, str]:
    """Where its login lies."""
    return {"OPENCODE_DISABLE_AUTOUPDATE": "1"} | ({"HOME": launch.home} if launch.home else {})


def files(launch: Launch) -> dict[str, str]:
    """Its configuration, which asks for no permission."""
    document: dict[str, Any] = {
        "$schema": "https://opencode.ai/config.json",
        "permission": "allow",
        "share": "disabled",
        "mcp": {
            TOOLS: {
                "type": "local",
                "command": list(TOOLS_COMMAND),
                "environment": dict(launch.tools),
                "enabled": True,
                "timeout": TOOL_MILLISECONDS,
            }
        },
    }
    if not launch.home:
        document["provider"] = {
            "rloop": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "rloop",
                "options": {"baseURL": launch.proxy, "apiKey": "{env:RLOOP_TOKEN}"},
                "models": {launch.model: {"name": launch.model}},
            }
        }
        # Titles of conversations are written by a small model; here there is one model.
        document["small_model"] = f"rloop/{launch.model}"
    return {CONFIGURATION: json.dumps(document)}


def read(event: dict[str, Any], seen: Seen) -> None:
    """One event of its stream."""
    seen.conversation = str(event.get("sessionID") or seen.conversation)
    part = inside(event, "part")
    match event.get("type"):
        case "text":
            seen.words = str(part.get("text") or seen.words)
            seen.says("model", part.get("text"))
        case "tool_use":
            seen.calls(part.get("tool"), inside(part, "state").get("input"))
        case "step_finish":
            tokens = inside(part, "tokens")
            cache = inside(tokens, "cache")
            seen.turns += 1
            cached = number(cache.get("read")) + number(cache.get("write"))
            seen.input_tokens += number(tokens.get("input")) + cached
            seen.cached_tokens += number(cache.get("read"))
            seen.output_tokens += number(tokens.get("output")) + number(tokens.get("reasoning"))
        case "error":
            error = inside(event, "error")
            message = inside(error, "data").get("message") or error.get("name")
            seen.words = str(message or seen.words)
            seen.says("client", message)
        case _:
            pass  # other events say nothing that is kept


OPENCODE = Client(argv, environment, files, read)
