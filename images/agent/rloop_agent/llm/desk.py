"""The desk of a session: what its tools work on, and what they have done so far.

Made by the session, used by every tool. A tool is a class of arguments, whose docstring is what the model reads of it;
it answers with text, or raises ToolError with a sentence for the model.
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
from rloop.api.space import Dimension
from rloop.api.wire import ExperimentView
from rloop_agent import recipe
from rloop_agent.gateway import Gateway, Refused
from rloop_agent.llm.command import Limits
from rloop_agent.llm.scratch import Scratch, ScratchError

ERROR_MAX = 300
LINE = 1024
"""Characters of a title or a reason, as the gateway takes them."""
RESULT_MAX = 16_000
"""Characters of one tool's result, where the model's window does not ask for fewer."""


class ToolError(Exception):
    """The call failed, and this is what the model is told of it."""


@dataclass(slots=True)
class Desk:
    """Everything that a tool may touch."""

    gateway: Gateway
    context: Context
    scratch: Scratch
    wait: Callable[[float], bool]
    """Waits so many seconds; True when the process was told to end."""
    stop: Callable[[], bool]
    seconds_left: Callable[[], float]
    limits: Limits = field(default_factory=Limits)
    result_max: int = RESULT_MAX
    sequence: int = 1
    """The next experiment's, or smoke test's."""
    proposed: list[str] = field(default_factory=list)
    smokes: list[str] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    """Claims that a checker has given its verdict on."""
    handoff: str | None = None
    """Set when the model has finished."""
    drafts: dict[str, str] = field(default_factory=dict)
    """What it leaves unfinished, by path."""
    frame: dict[str, str] = field(default_factory=dict)
    """The present direction's, where the task has a space."""
    submitted: dict[str, str] = field(default_factory=dict)
    """The changed files of the last experiment that was admitted."""
    shown: dict[str, str] = field(default_factory=dict)
    """What the model has before it: texts of whole files, by path, all paths, the state of the last try."""
    pushed_back: bool = False
    """It was told once that finishing with nothing proposed is early."""

    @property
    def experiments_left(self) -> int:
        return max(0, experiments_left(self.context) - len(self.proposed))

    @property
    def has_direction(self) -> bool:
        """Whether an experiment may be submitted under a direction that was admitted."""
        return bool(self.directions or (self.context.current_direction and not self.context.demand))

    def state(self) -> str:
        """All that a tool can change, as a digest: a call that is repeated in the same state gives nothing new."""
        try:
            changes = self.scratch.changes()
            copy: object = [self.scratch.parent, sorted(changes.files.items()), changes.sealed]
        except ScratchError as error:
            copy = str(error)
        counts = [len(one) for one in (self.directions, self.proposed, self.smokes, self.findings, self.judged)]
        return hashlib.sha256(json.dumps([copy, counts]).encode()).hexdigest()

    def obstacle(self) -> str:
        """What would make the gateway refuse the copy as an experiment; empty where nothing is known."""
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
            task = recipe.parse(space, self.scratch.task)
        except recipe.BadRecipe as error:
            return f"{error}."
        dropped = [one.key for one in space.dimensions if one.name in point and _is_dropped(one, task, document)]
        if dropped:
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
        """Experiments that a finding may have as evidence, oldest first, as far as is known without asking."""
        return [one.name for one in self.context.results if one.value is not None] + self.proposed

    def unjudged(self) -> list[str]:
        """Claims that a checker has still to judge."""
        return [one.name for one in self.context.claims if one.name not in self.judged]

    def missing(self) -> str:
        """What is missing until the changed files are an experiment; empty where nothing is."""
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
    """What a tool takes, and the tool itself. The docstring is what the model reads of it."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @abstractmethod
    def run(self, desk: Desk) -> str:
        """What the call comes to. Raises ToolError, ScratchError and the gateway's errors."""


def described(name: str, tool: type[Arguments]) -> dict[str, Any]:
    """A tool as chat.completions wants it."""
    schema = tool.model_json_schema()
    # Each word of it is read in every call: what says nothing to a model is left out, and `called` checks the rest.
    for unwanted in ("title", "description", "additionalProperties"):
        schema.pop(unwanted, None)
    for one in schema.get("properties", {}).values():
        one.pop("title", None)
        if one.get("default") in ("", [], {}, False):
            del one["default"]
    told = " ".join((tool.__doc__ or "").split())
    return {"type": "function", "function": {"name": name, "description": told, "parameters": schema}}


def called(name: str, tool: type[Arguments], desk: Desk, text: str) -> str:
    """What a call comes to. Raises the gateway's errors that end a session, and nothing else."""
    try:
        return tool.model_validate_json(text or "{}").run(desk)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "arguments"
        takes = ", ".join(tool.model_fields) or "nothing"
        return f"Error: {name}: {where}: {first['msg']}. It takes a JSON object with: {takes}."
    except (ToolError, ScratchError) as error:
        return f"Error: {error}"
    except (OSError, MemoryError, RecursionError) as error:
        # A full disk, a pipe among its files, a text nested too deeply: what a model has made ends no session.
        return f"Error: {name}: {type(error).__name__}: {str(error)[:ERROR_MAX] or 'it was too much'}"
    except Refused as refused:
        return f"Refused ({refused.reason}): {refused.message}"


def _is_dropped(dimension: Dimension, task: object, copy: object) -> bool:
    return dimension.stands_in(task) and not dimension.stands_in(copy)


def first_problem(error: ValidationError) -> str:
    """What is wrong with a request, for the model."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def experiments_left(context: Context) -> int:
    """Of the session's experiments, before this process: an earlier one may have proposed some before it died."""
    prefix = f"{context.session.name.removesuffix('-s1')}-e"
    earlier = sum(one.name.startswith(prefix) for one in context.results)
    return max(0, context.session.max_experiments - earlier)


def as_row(view: ExperimentView) -> dict[str, Any]:
    """An experiment without what it does not have."""
    row = view.model_dump(mode="json", exclude_none=True, exclude={"files", "difference", "log_tail", "curves"})
    return {name: value for name, value in row.items() if value not in ("", {}, []) and value is not False}


def as_json(**facts: object) -> str:
    """A short result that a program can read too."""
    return json.dumps({name: value for name, value in facts.items() if value not in ("", [], None)})
