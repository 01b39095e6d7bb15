"""A session that is given to an agent which a person has started: `rloop mcp --join`.

Started by the local shell in place of its own agent. It hands the session's address and token over to the waiting MCP
server (`rloop_agent.clients.join`), beats while that lives, and hands over for an agent that has left.

The two meet in a file. The MCP server creates `request` in the folder, and keeps it locked as long as it lives: the
kernel releases the lock however it ends. This process renames the file, so that nobody else can take the request, and
writes the session into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from pathlib import Path

from rloop_agent import handoff
from rloop_agent.gateway import Gateway, Refused
from rloop_agent.heart import Heart

REQUEST = "request"
FOLDER = "RLOOP_JOIN"
"""The variable that names the folder."""
POLL_SECONDS = 0.5
LEFT = "The agent that had joined this session left without calling finish."


def give(folder: Path, session: str) -> Path | None:
    """Hand this process's session to whoever waits; returns the file of both. None if nobody waits any more."""
    taken = folder / f"{session}.joined"
    with contextlib.suppress(OSError):
        (folder / REQUEST).rename(taken)
        if held(taken):
            facts = {name: os.environ[name] for name in ("RLOOP_GATEWAY", "RLOOP_TOKEN", "RLOOP_SESSION")}
            taken.write_text(json.dumps(facts), encoding="utf-8")
            return taken
        taken.unlink()
    return None


def held(file: Path) -> bool:
    """Whether another process keeps the file locked; False if there is no such file."""
    with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def run(gateway: Gateway, folder: Path, session: str, heart: Heart, stop: threading.Event) -> int:
    """Keep the session until it is over. Returns the exit code. Raises Unauthorized and Unreachable."""
    before, file = gateway.context(), give(folder, session)
    if file is None:
        print("the agent that wanted to join has left", flush=True)
        return 1
    try:
        while not heart.closing and not stop.wait(POLL_SECONDS):
            if not held(file):
                heart.beat()  # it may have left because it has finished
                if not heart.closing:
                    print(LEFT, flush=True)
                    with contextlib.suppress(Refused):
                        handoff.hand_over(gateway, before, LEFT)
                return 0
    finally:
        file.unlink(missing_ok=True)
    return 0
