"""The clients by name. Used by the wrapper."""

from __future__ import annotations

from rloop.api.agent import ClientName
from rloop_agent.clients.claude_code import CLAUDE_CODE
from rloop_agent.clients.codex import CODEX
from rloop_agent.clients.gemini_cli import GEMINI_CLI
from rloop_agent.clients.launch import Client
from rloop_agent.clients.opencode import OPENCODE

CLIENTS: dict[ClientName, Client] = {
    "claude-code": CLAUDE_CODE,
    "codex": CODEX,
    "opencode": OPENCODE,
    "gemini-cli": GEMINI_CLI,
}
