"""The tools that work in the scratch: files, and one command at a time.

Called by the session through the table in `tools`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from rloop_agent.gateway import Refused
from rloop_agent.llm import command
from rloop_agent.llm.desk import Arguments, Desk, ToolError
from rloop_agent.llm.fence import clip, fenced

COMMAND_SECONDS_MAX = 600


class ListFiles(Arguments):
    """List the files of your copy of the task, with sizes. Files marked (sealed) may be changed here to try things
    out, but never in an experiment.
    """

    @override
    def run(self, desk: Desk) -> str:
        return fenced("files", clip("\n".join(desk.scratch.files()), desk.result_max))


class ReadFile(Arguments):
    """Read a text file of your copy of the task."""

    path: str
    """Relative to the task's folder."""
    first_line: Annotated[int, Field(ge=1)] = 1
    lines: Annotated[int, Field(ge=1, le=100_000)] = 2000

    @override
    def run(self, desk: Desk) -> str:
        every = desk.scratch.read(self.path).splitlines(keepends=True)
        shown = every[self.first_line - 1 : self.first_line - 1 + self.lines]
        head = f"lines {self.first_line} to {self.first_line - 1 + len(shown)} of {len(every)}\n"
        whole = len(shown) == len(every)
        return ("" if whole else head) + fenced(self.path, clip("".join(shown).removesuffix("\n"), desk.result_max))


class WriteFile(Arguments):
    """Create or replace a text file in your copy of the task."""

    path: str
    content: str

    @override
    def run(self, desk: Desk) -> str:
        desk.scratch.write(self.path, self.content)
        return f"wrote {self.path}, {len(self.content.encode())} bytes"


class EditFile(Arguments):
    """Replace a piece of a text file that stands in it exactly once."""

    path: str
    old: str
    """Exactly as it stands in the file."""
    new: str

    @override
    def run(self, desk: Desk) -> str:
        desk.scratch.edit(self.path, self.old, self.new)
        return f"changed {self.path}"


class ResetFiles(Arguments):
    """Lay your copy of the task out again, as it is in a parent. The next experiment is compared with that parent."""

    parent: str = "incumbent"
    """incumbent, task, or the name of an experiment."""

    @override
    def run(self, desk: Desk) -> str:
        incumbent = desk.context.incumbent
        if self.parent == "task":
            desk.scratch.lay("task", {})
        elif self.parent in ("incumbent", incumbent.name):
            # By its name: a keep in mid-session would make "incumbent" mean other files than these.
            desk.scratch.lay(incumbent.name, incumbent.files)
        else:
            try:
                found = desk.gateway.experiment(self.parent)
            except Refused:
                raise ToolError(f'there is no experiment "{self.parent}": read_results lists them') from None
            desk.scratch.lay(found.name, found.files)
        return f"your copy is as in {desk.scratch.parent} now"


class RunCommand(Arguments):
    """Run a shell command in your copy of the task, to look at things or to try a change out cheaply. It has no
    network but the gateway, which takes nothing from it. Time, memory, processes and output are limited; what it
    leaves running is ended. What it prints is no result: only experiments are measured.
    """

    command: str
    seconds: Annotated[int, Field(ge=1, le=COMMAND_SECONDS_MAX)] = 60

    @override
    def run(self, desk: Desk) -> str:
        seconds = min(float(self.seconds), desk.seconds_left())
        if seconds < 1:
            raise ToolError("the session's time is nearly over: finish")
        limits = replace(desk.limits, seconds=seconds)
        return command.run(self.command, desk.scratch.root, limits, desk.stop, desk.result_max)
