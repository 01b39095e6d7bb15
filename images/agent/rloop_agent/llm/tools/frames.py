"""The tools that know the task's space: a direction with its frame, and values by name.

Called by the session through the table in `registry`. What a model has said once, in a frame or by a value's name, is
written into the file for it: small models fail at saying the same thing twice, in two notations.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from typing_extensions import override

from rloop.api.common import StructuralField
from rloop.api.space import Dimension, Point, Scalar, Space
from rloop.api.wire import DirectionRequest
from rloop_agent import recipe
from rloop_agent.llm.fence import fenced
from rloop_agent.llm.tools.scratch import ScratchError
from rloop_agent.llm.tools.session_state import LINE, Arguments, SessionState, ToolError, as_json, first_problem


class ProposeDirection(Arguments):
    """Propose a direction: what you believe, and what changes in kind. Needed before the first experiment, and again
    when a pivot is demanded; then rewording an old one does not pass.
    """

    title: str
    hypothesis: str = ""
    """What you believe, and could be wrong about."""
    method: str = ""
    data: str = ""
    representation: str = ""
    objective: str = ""
    frame: dict[str, str] = {}
    """Only if the task has a space.yaml: a value for each structural dimension. It is written into your copy."""

    @override
    def run(self, state: SessionState) -> str:
        fields: dict[StructuralField, str] = {
            "hypothesis": self.hypothesis,
            "method": self.method,
            "data": self.data,
            "representation": self.representation,
            "objective": self.objective,
        }
        given = {name: text[:LINE] for name, text in fields.items() if text}
        try:
            request = DirectionRequest(title=self.title[:LINE], fields=given, frame=self.frame)
        except ValidationError as error:
            raise ToolError(first_problem(error)) from None
        admitted = state.gateway.post_direction(request)
        if admitted.name not in state.directions:
            state.directions.append(admitted.name)
        state.frame = dict(admitted.frame)
        told = fenced("admitted", as_json(direction=admitted.name, title=admitted.title, frame=admitted.frame))
        return told + _written(state, state.frame) + state.next_step()


class SetValues(Arguments):
    """Set values of the task's space by name. They are written into your copy; what you leave out stays."""

    values: dict[str, str | int | float | bool]

    @override
    def run(self, state: SessionState) -> str:
        space = state.context.space
        if space is None:
            raise ToolError("this task has no space.yaml: change its files")
        known = {one.name: one for one in space.dimensions}
        wanted: Point = {}
        for name, value in self.values.items():
            if name not in known:
                raise ToolError(f'there is no dimension "{name[:100]}"; there are {", ".join(known)}')
            wanted[name] = _admitted(known[name], value)
        told = _write(state, space, wanted)
        return f"{told or f'nothing changed: {space.file} has these values already'}{state.next_step()}"


def _written(state: SessionState, frame: Mapping[str, str]) -> str:
    """Write the frame of a direction into the copy, where it can be written; what was done, as a line of a result."""
    space = state.context.space
    point = None if space is None else space.of_text(frame)
    if space is None or not point:
        return ""
    try:
        told = _write(state, space, point)
    except (ToolError, ScratchError):
        return ""  # the direction stands all the same; the next step says what is wrong with the file
    return f"\n{told}" if told else ""


def _write(state: SessionState, space: Space, wanted: Point) -> str:
    """Write values into the space's file; what it says now, or nothing where it said so before."""
    text = state.scratch.read(space.file)
    try:
        document = recipe.parse(space, {space.file: text})
        before = recipe.point(space, document)
        merged = before | wanted
        exist = list(space.existing(space.frame_of(merged)))
        missing = [name for name in wanted if name not in {one.name for one in exist}]
        if missing:
            raise ToolError(f"{missing[0]} does not exist in this frame, but {', '.join(one.name for one in exist)} do")
        after: Point = {one.name: merged.get(one.name, one.default) for one in exist}
        stands = all(one.stands_in(document) for one in exist if one.name in wanted)
        if after == before and stands:
            return ""
        state.scratch.write(space.file, recipe.render(space, text, document, after))
    except recipe.BadRecipe as error:
        raise ToolError(f"{error}; write the file again, or restore it with reset_files") from None
    return f"{space.file} now has {', '.join(f'{name} {value}' for name, value in after.items())}"


def _admitted(dimension: Dimension, value: Scalar) -> Scalar:
    """The value, or what its text means. Raises ToolError with what the dimension allows."""
    if dimension.admits(value):
        return value
    found = dimension.of_text(str(value))
    if found is None:
        raise ToolError(f"{dimension.name} is {value!r}; space.yaml allows {dimension.extent}")
    return found
