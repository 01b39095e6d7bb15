"""The tools that work in the scratch: files, and one command at a time.

Called by the session through the table in `registry`.
"""

from __future__ import annotations

import shlex
import shutil
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from rloop_agent.gateway import Refused
from rloop_agent.llm.fence import clip, fenced
from rloop_agent.llm.tools import command
from rloop_agent.llm.tools.scratch import DRAFTS
from rloop_agent.llm.tools.session_state import Arguments, SessionState, ToolError

COMMAND_SECONDS_MAX = 600
LISTED, TRIED = "/list_files", "/try"
"""Where `SessionState.shown` has the paths of all files, and the state of the last try: names that no path has."""


class ListFiles(Arguments):
    """List the files of your copy of the task. Those marked (sealed) cannot be part of an experiment."""

    @override
    def run(self, state: SessionState) -> str:
        state.shown[LISTED] = "\n".join(state.scratch.paths())
        return fenced("files", clip("\n".join(state.scratch.files()), state.result_max))


class ReadFile(Arguments):
    """Read a text file of your copy of the task."""

    path: str
    """Relative to the task's folder."""
    first_line: Annotated[int, Field(ge=1)] = 1
    lines: Annotated[int, Field(ge=1, le=100_000)] = 2000

    @override
    def run(self, state: SessionState) -> str:
        every = state.scratch.read(self.path).splitlines(keepends=True)
        shown = every[self.first_line - 1 : self.first_line - 1 + self.lines]
        head = f"lines {self.first_line} to {self.first_line - 1 + len(shown)} of {len(every)}\n"
        whole = len(shown) == len(every)
        text = "".join(shown).removesuffix("\n")
        if whole or not self.model_fields_set - {"path"}:  # also if it is clipped: the same call would show no more
            state.shown[self.path] = "".join(every)
        return ("" if whole else head) + fenced(self.path, clip(text, state.result_max))


class WriteFile(Arguments):
    """Create or replace a text file in your copy of the task."""

    path: str
    content: str

    @override
    def run(self, state: SessionState) -> str:
        if state.scratch.holds(self.path, self.content):
            return f"nothing changed: {self.path} has this content already{state.next_step()}"
        state.scratch.write(self.path, self.content)
        return f"wrote {self.path}, {len(self.content.encode())} bytes{state.next_step()}"


class EditFile(Arguments):
    """Replace a piece of a text file."""

    path: str
    old: str
    """Text exactly as in the file, where it must occur exactly once."""
    new: str

    @override
    def run(self, state: SessionState) -> str:
        if self.old == self.new:
            raise ToolError(f"old and new are the same: this changes nothing in {self.path}")
        state.scratch.edit(self.path, self.old, self.new)
        return f"changed {self.path}{state.next_step()}"


class ResetFiles(Arguments):
    """Put your copy of the task back to what it is in a parent, for example the incumbent."""

    parent: str = "incumbent"
    """incumbent, task, or the name of an experiment."""

    @override
    def run(self, state: SessionState) -> str:
        incumbent = state.context.incumbent
        if self.parent == "task":
            state.scratch.lay("task", {})
        elif self.parent in ("incumbent", incumbent.name):
            # By its name: a keep in mid-session would make "incumbent" mean other files than these.
            state.scratch.lay(incumbent.name, incumbent.files)
        else:
            try:
                found = state.gateway.experiment(self.parent)
            except Refused:
                raise ToolError(
                    f'there is no experiment "{self.parent}": read_results lists the names; or give "incumbent"'
                ) from None
            state.scratch.lay(found.name, found.files)
        return f"your copy now equals {state.scratch.parent}"


class RunCommand(Arguments):
    """Run a shell command in your copy of the task. RLOOP_SEED and RLOOP_ARTIFACTS are set as in a run. It has no
    network, and what it leaves running is ended.
    """

    command: str
    seconds: Annotated[int, Field(ge=1, le=COMMAND_SECONDS_MAX)] = 60

    @override
    def run(self, state: SessionState) -> str:
        seconds = min(float(self.seconds), state.seconds_left())
        if seconds < 1:
            raise ToolError("the session's time is nearly over: call finish")
        limits = replace(state.limits, seconds=seconds)
        return command.run(self.command, state.scratch.root, limits, state.stop, state.result_max)


class Try(Arguments):
    """Run the task once with your copy's files, as an experiment's run would. Nothing is scored or recorded."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    smoke: bool = False
    """A short run, where the task knows RLOOP_SMOKE."""
    seconds: Annotated[int, Field(ge=1, le=COMMAND_SECONDS_MAX)] = COMMAND_SECONDS_MAX

    @override
    def run(self, state: SessionState) -> str:
        started = state.context.run
        if started is None:
            raise ToolError("a run of this task consists of several processes: use submit_experiment with smoke")
        seconds = min(float(self.seconds), float(started.seconds), state.seconds_left())
        if seconds < 1:
            raise ToolError("the session's time is nearly over: call finish")
        extra = {**started.env, "RLOOP_SEED": str(self.seed)} | ({"RLOOP_SMOKE": "1"} if self.smoke else {})
        # In a copy, as a run has one: what it writes beside its artifacts becomes no part of an experiment.
        with tempfile.TemporaryDirectory(prefix="try-", ignore_cleanup_errors=True) as own:
            folder = Path(own, "task")
            shutil.copytree(state.scratch.root, folder, symlinks=True, ignore=_no_part_of_a_run)
            limits = replace(state.limits, seconds=seconds)
            told = command.run(shlex.join(started.command), folder, limits, state.stop, state.result_max, extra)
        scored = "" if "left in RLOOP_ARTIFACTS" in told else "\nit left nothing in RLOOP_ARTIFACTS for the scorer"
        state.shown[TRIED] = state.fingerprint()
        return f"unverified, one run with seed {self.seed}: {told}{scored}{state.next_step()}"


def _no_part_of_a_run(folder: str, names: list[str]) -> list[str]:
    """Drafts, and what is neither a file nor a folder nor a link: a pipe cannot be copied."""
    modes = {name: Path(folder, name).lstat().st_mode for name in names}
    return [
        name
        for name, mode in modes.items()
        if name == DRAFTS or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
    ]
