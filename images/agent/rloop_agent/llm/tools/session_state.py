"""The state of a session: the objects that its tools work on, and what they have done so far.

Created by the session, used by every tool. A tool is a class of arguments; its docstring is the description for the
model. It returns text, or raises ToolError with a sentence for the model.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from rloop.api.session_context import Context
from rloop.api.space import Point
from rloop.api.wire import ExperimentView
from rloop_agent import recipe
from rloop_agent.gateway import Gateway, Refused
from rloop_agent.llm.tools.command import Limits
from rloop_agent.llm.tools.scratch import Scratch, ScratchError

ERROR_MAX = 300
LINE = 1024
"""Maximum characters of a title or a reason that the gateway accepts."""
RESULT_MAX = 16_000
"""Maximum characters of one tool's result, unless the model's window requires fewer."""


class ToolError(Exception):
    """The call failed; the message is for the model."""


@dataclass(slots=True)
class SessionState:
    """Everything that a tool may use."""

    gateway: Gateway
    context: Context
    scratch: Scratch
    wait: Callable[[float], bool]
    """Waits this many seconds; returns True if the process was asked to end."""
    stop: Callable[[], bool]
    seconds_left: Callable[[], float]
    limits: Limits = field(default_factory=Limits)
    result_max: int = RESULT_MAX
    sequence: int = 1
    """Sequence number of the next experiment or smoke test."""
    proposed: list[str] = field(default_factory=list)
    smokes: list[str] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    """Claims on which a checker has given its verdict."""
    handoff: str | None = None
    """Set when the model has finished."""
    drafts: dict[str, str] = field(default_factory=dict)
    """Unfinished files for the next session, by path."""
    frame: dict[str, str] = field(default_factory=dict)
    """Frame of the current direction, if the task has a space."""
    submitted: dict[str, str] = field(default_factory=dict)
    """The changed files of the last experiment that was admitted."""
    tuned: dict[str, list[Point]] = field(default_factory=dict)
    """Points that the tool tune has submitted, by a digest of the files beside the recipe."""
    shown: dict[str, str] = field(default_factory=dict)
    """Current content that the model already has, as far as one result can show it: files by path, the list of paths,
    the state of the last try.
    """
    pushed_back: bool = False
    """True after the model was informed once that it would finish without a proposal."""

    @classmethod
    def begin(
        cls,
        gateway: Gateway,
        context: Context,
        scratch: Scratch,
        wait: Callable[[float], bool],
        stop: Callable[[], bool],
        seconds_left: Callable[[], float],
    ) -> SessionState:
        """The state of a session whose process has just started."""
        frame = dict(context.directions[-1].frame) if context.directions and not context.demand else {}
        sequence = context.session.next_sequence
        return cls(gateway, context, scratch, wait, stop, seconds_left, sequence=sequence, frame=frame)

    @property
    def experiments_left(self) -> int:
        return max(0, experiments_left(self.context) - len(self.proposed))

    @property
    def has_direction(self) -> bool:
        """Whether an experiment may be submitted under an admitted direction."""
        return bool(self.directions or (self.context.current_direction and not self.context.demand))

    def fingerprint(self) -> str:
        """Digest of everything that a tool can change: repeating a call in the same state gives nothing new."""
        try:
            changes = self.scratch.changes()
            copy: object = [self.scratch.parent, sorted(changes.files.items()), changes.sealed]
        except ScratchError as error:
            copy = str(error)
        counts = [len(one) for one in (self.directions, self.proposed, self.smokes, self.findings, self.judged)]
        return hashlib.sha256(json.dumps([copy, counts]).encode()).hexdigest()

    def obstacle(self) -> str:
        """Why the gateway would refuse the copy as an experiment; empty if no reason is known."""
        try:
            changes = self.scratch.changes()
            if changes.sealed:
                named = ", ".join(changes.sealed[:3])
                return f"{named} is sealed and was changed or removed: call reset_files."
            flaw = next(filter(None, map(self.scratch.flaw, changes.files)), "")
            return f"{flaw}. Write it again." if flaw else self._outside_space()
        except ScratchError:
            return ""

    def _outside_space(self) -> str:
        space = self.context.space
        if space is None:
            return ""
        try:
            document = recipe.parse(space, {space.file: self.scratch.read(space.file)})
            point = recipe.point(space, document)
            missing = [one for one in space.dimensions if one.name in point and not one.stands_in(document)]
            task = recipe.parse(space, self.scratch.task) if missing and space.file in self.scratch.task else {}
        except recipe.BadRecipe as error:
            return f"{error}."
        if dropped := [one.key for one in missing if one.stands_in(task)]:
            return f'{space.file}: "{dropped[0]}" is missing, and the task has it. Write it again, or call set_values.'
        if not self.frame:
            return ""
        own = space.frame_of(point)
        for one in space.structural:
            wanted = self.frame.get(one.name, "")
            if own.get(one.name) != wanted:
                is_now = f'{space.file}: {one.key} is "{own.get(one.name)}", and the direction has "{wanted}"'
                return f"{is_now}. Change it (set_values), or propose a direction with the file's value."
        return ""

    def measured(self) -> list[str]:
        """Experiments that may be evidence of a finding, oldest first, as far as known without a request."""
        return [one.name for one in self.context.results if one.value is not None] + self.proposed

    def unjudged(self) -> list[str]:
        """Claims that a checker has not judged yet."""
        return [one.name for one in self.context.claims if one.name not in self.judged]

    def missing(self) -> str:
        """What is missing to submit the changed files as an experiment; empty if nothing is missing."""
        if not self.experiments_left:
            return ""
        obstacle = self.obstacle()
        if obstacle:
            return obstacle
        try:
            files = self.scratch.changes().files
        except ScratchError:
            return ""
        if not files or files == self.submitted:
            return ""
        calls = "submit_experiment" if self.has_direction else "propose_direction, then submit_experiment"
        names = ", ".join(sorted(files)[:5])
        verb = "differs" if len(files) == 1 else "differ"
        return f"{names} {verb} from {self.scratch.parent} and is not submitted: call {calls}."

    def next_step(self) -> str:
        """The same, as the end of a tool's result."""
        missing = self.missing()
        return f"\n{missing}" if missing else ""


class Arguments(BaseModel, ABC):
    """The arguments of a tool, and the tool itself. The docstring is the description for the model."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @abstractmethod
    def run(self, state: SessionState) -> str:
        """Execute the call and return its result. Raises ToolError, ScratchError and the gateway's errors."""


def described(name: str, tool: type[Arguments]) -> dict[str, Any]:
    """A tool in the format of chat.completions."""
    schema = tool.model_json_schema()
    # The model reads every word of it in each call: what it does not need is left out; `called` checks the rest.
    for unwanted in ("title", "description", "additionalProperties"):
        schema.pop(unwanted, None)
    for one in schema.get("properties", {}).values():
        one.pop("title", None)
        if one.get("default") in ("", [], {}, False):
            del one["default"]
    told = " ".join((tool.__doc__ or "").split())
    return {"type": "function", "function": {"name": name, "description": told, "parameters": schema}}


def called(name: str, tool: type[Arguments], state: SessionState, text: str) -> str:
    """The result of a call. Raises only those of the gateway's errors that end a session."""
    try:
        return tool.model_validate_json(text or "{}").run(state)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "arguments"
        takes = ", ".join(tool.model_fields) or "nothing"
        return f"Error: {name}: {where}: {first['msg']}. It takes a JSON object with: {takes}."
    except (ToolError, ScratchError) as error:
        return f"Error: {error}"
    except (OSError, MemoryError, RecursionError) as error:
        # A full disk, a pipe among the files, a text nested too deeply: the model's files must not end the session.
        return f"Error: {name}: {type(error).__name__}: {str(error)[:ERROR_MAX] or 'it was too much'}"
    except Refused as refused:
        return f"Refused ({refused.reason}): {refused.message}"


def first_problem(error: ValidationError) -> str:
    """The first error of a request, for the model."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def experiments_left(context: Context) -> int:
    """The session's experiments left at the start of this process: an earlier process may have proposed some."""
    prefix = f"{context.session.name.removesuffix('-s1')}-e"
    earlier = sum(one.name.startswith(prefix) for one in context.results)
    return max(0, context.session.max_experiments - earlier)


def as_row(view: ExperimentView) -> dict[str, Any]:
    """An experiment without its empty fields."""
    row = view.model_dump(mode="json", exclude_none=True, exclude={"files", "difference", "log_tail", "curves"})
    return {name: value for name, value in row.items() if value not in ("", {}, []) and value is not False}


def as_json(**facts: object) -> str:
    """A short result that is also machine-readable."""
    return json.dumps({name: value for name, value in facts.items() if value not in ("", [], None)})
