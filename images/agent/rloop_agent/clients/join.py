"""`rloop mcp --join`: a person's own agent takes sessions of a running campaign.

Started by a coding agent as an MCP server over stdio, in the folder in which the agent works. The tool take_session
waits for the campaign's next session, writes the copy of the task into a folder of that session, and returns the brief;
the other tools are those of the session. `rloop_agent.clients.seat` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from typing_extensions import override

from rloop_agent.client import Client
from rloop_agent.clients.launch import RULES
from rloop_agent.clients.seat import FOLDER, REQUEST, held
from rloop_agent.clients.tools_server import THE_CLIENTS_OWN, Session, WaitBriefly, serve
from rloop_agent.clients.workspace import PROMPT, TASK, lay_out
from rloop_agent.gateway import AgentError
from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.session_state import Arguments, SessionState, described

TAKE = "take_session"
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""For a gateway that does not answer. After a Ctrl-C of rloop run it is gone, and somebody looks at the screen."""
INSTRUCTIONS = f"""\
These are the tools of a research campaign that runs on this machine. {TAKE} waits for its next session and gives it to
you, with a copy of the task and the brief. Until then the other tools have nothing to work on. When a session is
finished, {TAKE} takes the next one.
"""
NO_SESSION = f"Error: you have no session: call {TAKE} first."
NOT_YET = f"Not yet: the campaign gives you its next session once the present one is over. Call {TAKE} again."


class TakeSession(Arguments):
    """Wait for the campaign's next session, and take it. Returns where your copy of the task is, the rules and the
    brief.
    """

    seconds: Annotated[int, Field(ge=1, le=50)] = 45
    """How long to wait; if the time is over, call it again."""

    @override
    def run(self, state: SessionState) -> str:
        raise NotImplementedError  # there is no state before it: `Joined` does the work


class Joined:
    """The sessions that one agent takes, one after the other."""

    def __init__(self, campaign: Path, workspace: Path) -> None:
        """`campaign` is the folder in which both sides meet, in the run folder."""
        self.instructions = INSTRUCTIONS
        self.stopped = threading.Event()
        given: dict[str, type[Arguments]] = {TAKE: TakeSession, **registry.TOOLS, "wait_for_results": WaitBriefly}
        self.tools: dict[str, dict[str, Any]] = {
            name: described(name, tool)["function"] for name, tool in given.items() if name not in THE_CLIENTS_OWN
        }
        self._lock = threading.Lock()
        self._campaign = campaign
        self._workspace = workspace
        self._file: int | None = None
        self._client: Client | None = None
        self._session: Session | None = None

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of a call as text. One call at a time: the next ones wait."""
        with self._lock:
            return self._called(name, arguments)

    def _called(self, name: str, arguments: dict[str, Any]) -> str:
        if name == TAKE:
            return self._take(arguments)
        if self._session is None:
            return NO_SESSION
        try:
            told = self._session.call(name, arguments)
        except AgentError as error:
            self.leave()
            return f"Error: the session is over ({error}): call {TAKE} for another one"
        if self._session.finished:
            self.leave()
            return f"{told}. Call {TAKE} for the next one, or stop here."
        return told

    def leave(self) -> None:
        """Give the session back; its process then ends it."""
        if self._session is not None:
            self._session.stopped.set()
        if self._client is not None:
            self._client.close()
        if self._file is not None:
            os.close(self._file)
        self._session, self._client, self._file = None, None, None

    def _take(self, arguments: dict[str, Any]) -> str:
        if self._session is not None:
            return f"Error: you have {self._session.state.context.session.name} already: finish it first"
        try:
            last = time.monotonic() + TakeSession.model_validate(arguments).seconds
        except ValidationError as error:
            return f"Error: seconds: {error.errors()[0]['msg']}"
        if not self._request():
            return "Error: another agent waits for the next session of this campaign already"
        while not self.stopped.is_set():
            if facts := self._given():
                return self._begin(facts)
            if not held(self._campaign.parent / "run.lock"):
                self.leave()
                return "Error: rloop run does not work on this campaign now: start it, and call again"
            if time.monotonic() >= last:
                self.leave()  # an agent that does not come back must not get a session
                return NOT_YET
            self.stopped.wait(POLL_SECONDS)
        return NO_SESSION

    def _request(self) -> bool:
        """Ask for a session. False if another agent has asked."""
        while True:
            path = self._campaign / REQUEST
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(file).st_ino:
                    os.ftruncate(file, 0)
                    self._file = file
                    return True
            os.close(file)  # it was taken from an agent that has left, between the two calls

    def _given(self) -> dict[str, str] | None:
        assert self._file is not None
        text = os.pread(self._file, 65536, 0)
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None  # half written

    def _begin(self, facts: dict[str, str]) -> str:
        assert self._file is not None
        os.ftruncate(self._file, 0)  # the token is in no file any more
        name = facts["RLOOP_SESSION"]
        folder = self._workspace / name
        self._client = Client(facts["RLOOP_GATEWAY"], lambda: facts["RLOOP_TOKEN"], patience=PATIENCE_SECONDS)
        try:
            context = self._client.context()
            folder.mkdir(exist_ok=True)
            lay_out(folder, context, self._client.task())
            self._session = Session(self._client, folder)
        except (AgentError, OSError) as error:
            self.leave()
            return f"Error: {name} could not begin: {error}"
        rules = (folder / RULES).read_text(encoding="utf-8")
        brief = (folder / PROMPT).read_text(encoding="utf-8")
        return f"You have session {name}. Your copy of the task is {folder / TASK}.\n\n{rules}\n{brief}"


def main() -> int:
    """Serve until the agent ends. Returns the exit code."""
    folder = os.environ.get(FOLDER)
    if not folder:
        print(f"{FOLDER} is not set: rloop mcp --join starts this program", file=sys.stderr)
        return 2
    joined = Joined(Path(folder), Path.cwd())
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(joined))
    finally:
        joined.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
