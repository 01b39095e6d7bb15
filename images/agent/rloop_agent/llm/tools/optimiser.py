"""The tools of the policy beside a model or a client: the optimiser chooses numbers, the model everything else.

Called by the session through the table in `registry`, where `agent.policy` stands beside `agent.llm` or `agent.client`.
The frame, the code and the ranges are the model's. The policies, and what they are told of earlier experiments, are
those of an agent without a model (`rloop_agent.policies`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated

from pydantic import Field, ValidationError
from typing_extensions import override

from rloop.api.agent import PolicyAgent
from rloop.api.space import Dimension, Point, Scalar, Space
from rloop_agent import recipe
from rloop_agent.gateway import Refused
from rloop_agent.llm.tools.research import submitted
from rloop_agent.llm.tools.session_state import Arguments, SessionState, ToolError, as_json, first_problem
from rloop_agent.policies.ground import Ground, centre
from rloop_agent.policies.table import POLICIES
from rloop_agent.start import records, tried_points

REFUSALS = 20
"""Consecutive points that were tried before, after which `tune` stops."""
ALL_TRIED = "all values of this frame, or of the ranges in within, were tried: change frame, code or ranges"

Within = dict[str, list[str | int | float | bool]]


class Suggest(Arguments):
    """Values that the optimiser would try next in the frame of your copy. Nothing is written or submitted."""

    count: Annotated[int, Field(ge=1, le=5)] = 1
    within: Within = {}
    """Search only here: a dimension's name -> [low, high] of a range, or the values to choose from; one value fixes it.
    """

    @override
    def run(self, state: SessionState) -> str:
        search = _Search.of(state, self.within)
        found: list[Point] = []
        while len(found) < self.count and (point := search.next()) is not None:
            found.append(point)
        if not found:
            raise ToolError(ALL_TRIED)
        return as_json(suggested=found)


class Tune(Arguments):
    """Let the optimiser spend experiments: your copy is submitted several times, each time with other numbers that it
    chooses from all results so far. Frame and code stay as in your copy.
    """

    title: str
    """What your copy changes, and what you expect of it."""
    experiments: Annotated[int, Field(ge=1, le=100)]
    """Number of experiments to submit. The first has the numbers of your copy, if they were not tried yet."""
    direction: str = ""
    """A direction's name; empty: the present one."""
    within: Within = {}
    """Search only here: a dimension's name -> [low, high] of a range, or the values to choose from; one value fixes it.
    """

    @override
    def run(self, state: SessionState) -> str:
        if not state.experiments_left:
            raise ToolError("no experiment is left: finish")
        if obstacle := state.obstacle():
            raise ToolError(obstacle)
        search = _Search.of(state, self.within)
        made: list[tuple[str, Point]] = []
        try:
            stopped = self._spend(state, search, made)
        finally:
            state.scratch.write(search.whole.file, search.text)
        if not made:
            raise ToolError(stopped)
        state.submitted = state.scratch.changes().files
        rows = [{"name": name, "values": {one: point[one] for one in search.varied}} for name, point in made]
        return as_json(submitted=rows, experiments_left=state.experiments_left, stopped=stopped)

    def _spend(self, state: SessionState, search: _Search, made: list[tuple[str, Point]]) -> str:
        """Submit point after point; returns why it stopped early. Raises Refused if nothing could be submitted."""
        refusals = 0
        while len(made) < self.experiments and state.experiments_left:
            point = search.next()
            if point is None or refusals >= REFUSALS:
                return ALL_TRIED
            try:
                made.append((self._submit(state, search, point), point))
                refusals = 0
            except Refused as refused:
                if refused.reason == "Duplicate":
                    refusals += 1
                elif made:
                    return f"{refused.reason}: {refused.message}"
                else:
                    raise
        return ""

    def _submit(self, state: SessionState, search: _Search, point: Point) -> str:
        state.scratch.write(search.whole.file, recipe.render(search.whole, search.text, search.document, point))
        state.tuned.setdefault(search.code, []).append(point)
        shown = ", ".join(f"{name}={point[name]}" for name in search.varied)
        title = f"{self.title} [{search.policy.name}: {shown}]" if shown else self.title
        return submitted(state, state.scratch.changes(), title, self.direction, smoke=False).name


@dataclass(frozen=True, slots=True)
class _Search:
    """What the optimiser may vary, and what it knows, in one call of a tool."""

    policy: PolicyAgent
    dice: Random
    whole: Space
    """The task's space."""
    part: Space
    """Only the dimensions that may vary, within their ranges, and the structural ones."""
    fixed: Point
    """Values of the dimensions that are in `whole` and not in `part`."""
    text: str
    document: Mapping[str, object]
    here: Point
    """The point of the copy."""
    code: str
    """Digest of the copy's changed files without the recipe; empty if there are none."""
    known: list[Point]
    """Points in `whole` that were tried with this code, or returned by `next`."""
    ground: Ground

    @classmethod
    def of(cls, state: SessionState, within: Within) -> _Search:
        """Read the copy and the results. Raises ToolError."""
        context, space, policy = state.context, state.context.space, state.context.session.policy
        if space is None or policy is None:
            raise ToolError("this campaign has no optimiser: set values yourself, and call submit_experiment")
        text = state.scratch.read(space.file)
        try:
            document = recipe.parse(space, {space.file: text})
            here = recipe.point(space, document)
        except recipe.BadRecipe as error:
            raise ToolError(f"{error}; write the file again, or restore it with reset_files") from None
        part, fixed = _part(space, here, within)
        code, task, experiments = _code(state, space), _task_point(state, space), state.gateway.experiments()
        tried = [] if code else [*tried_points(space, experiments), *([task] if task is not None else [])]
        told = [
            replace(one, point=point)
            for one in records(space, task, experiments, context)
            if (point := _inside(part, fixed, one.point)) is not None
        ]
        frame = space.frame_of(here)
        ground = Ground(
            space=part,
            frame=frame,
            centre=centre(part, frame, here),
            results=sum(one.value is not None and space.frame_of(one.point) == frame for one in told),
            records=told,
            goal=context.objective.goal,
        )
        known = [*tried, *state.tuned.get(code, [])]
        dice = Random(f"{policy.seed}/{context.session.name}/{state.sequence}")
        return cls(policy, dice, space, part, fixed, text, document, here, code, known, ground)

    @property
    def varied(self) -> list[str]:
        """Names of the dimensions that the optimiser varies."""
        return [one.name for one in self.ground.coordinates]

    def next(self) -> Point | None:
        """A point that is not known: the copy's own, if it is in range, then the policy's. It is known from then on."""
        found: Point | None = self.here
        if self.here in self.known or _inside(self.part, self.fixed, self.here) is None:
            inside = [point for one in self.known if (point := _inside(self.part, self.fixed, one)) is not None]
            found = POLICIES[self.policy.name](self.ground, inside, self.dice)
        if found is None:
            return None
        self.known.append({**found, **self.fixed})
        return self.known[-1]


def _inside(part: Space, fixed: Point, point: Point) -> Point | None:
    """The point in the terms of `part`; None if it lies outside."""
    if any(point.get(name) != value for name, value in fixed.items()):
        return None
    names = {one.name: one for one in part.dimensions}
    found = {name: value for name, value in point.items() if name in names}
    return found if all(names[name].admits(value) for name, value in found.items()) else None


def _task_point(state: SessionState, space: Space) -> Point | None:
    try:
        return recipe.point(space, recipe.parse(space, state.scratch.task))
    except recipe.BadRecipe:
        return None


def _code(state: SessionState, space: Space) -> str:
    """A digest of what the copy changes beside the recipe; empty if that is nothing."""
    changed = {path: text for path, text in state.scratch.changes().files.items() if path != space.file}
    if not changed:
        return ""
    return hashlib.sha256(json.dumps([state.scratch.parent, sorted(changed.items())]).encode()).hexdigest()


def _part(space: Space, here: Point, within: Within) -> tuple[Space, Point]:
    """The part of the space that `within` describes, and the values that it fixes. Raises ToolError."""
    exist = {one.name: one for one in space.existing(space.frame_of(here)) if not one.structural}
    fixed: Point = {}
    changed: dict[str, Dimension] = {}
    for name, given in within.items():
        if name not in exist:
            known = ", ".join(exist) or "none"
            raise ToolError(f'within: "{name[:100]}" is no dimension that varies in this frame; there are {known}')
        values = [_admitted(exist[name], value) for value in given]
        if not values:
            raise ToolError(f"within: {name} has no value: give [low, high], or values to choose from")
        if len(set(values)) == 1:
            fixed[name] = values[0]
        else:
            changed[name] = _narrowed(exist[name], values, here[name])
    kept = [changed.get(one.name, one) for one in space.dimensions if one.name not in fixed]
    if not kept:
        raise ToolError("within fixes everything: call submit_experiment")
    return Space(file=space.file, dimensions=kept), fixed


def _admitted(dimension: Dimension, value: Scalar) -> Scalar:
    found = value if dimension.admits(value) else dimension.of_text(str(value))
    if found is None:
        raise ToolError(f"within: {dimension.name} has {value!r}; space.yaml allows {dimension.extent}")
    return found


def _narrowed(dimension: Dimension, values: Sequence[Scalar], present: Scalar) -> Dimension:
    """The dimension with these values, or the range between two; its default is the value that is nearest to now's."""
    if dimension.values is not None:
        wanted = {"values": [one for one in dimension.values if one in values]}
        default = present if present in values else values[0]
        return Dimension.model_validate(dimension.model_dump() | wanted | {"default": default})
    if len(values) != 2:
        raise ToolError(f"within: {dimension.name} is a range: give its two ends, [low, high]")
    low, high = sorted(float(one) for one in values)
    default = min(max(float(present), low), high)
    try:
        return Dimension.model_validate(dimension.model_dump() | {"low": low, "high": high, "default": default})
    except ValidationError as error:
        raise ToolError(f"within: {first_problem(error)}") from None
