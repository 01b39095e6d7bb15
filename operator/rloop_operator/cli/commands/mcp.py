"""`rloop mcp --join`: become the MCP server that gives a person's agent the sessions of a campaign.

Called by the command line, which a coding agent starts. Only the campaign is found here; the server is
`rloop_agent.clients.join`, a program of the agent's package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rloop.errors import RloopError
from rloop_operator.cli.sources.choice import Where, chosen
from rloop_operator.cli.sources.run_folder import LocalSource


def join(folder: Path | None, name: str | None) -> None:
    """Replace this process by the server. Raises NotFound."""
    with chosen(Where(folder), name) as (source, _):
        if not isinstance(source, LocalSource):
            raise RloopError("rloop mcp --join works with a run on this machine only: give its folder with --dir")
        source.look()  # raises NotFound where no campaign was started
        meeting = source.folder.join
    meeting.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-P", "-m", "rloop_agent.clients.join"]
    os.execve(command[0], command, {**os.environ, "RLOOP_JOIN": str(meeting)})  # noqa: S606 - our own program
