"""The start of a session: the recipe that it builds on, and the points known so far.

Called by `rloop_agent.session` with the gateway's responses; pure. It is a separate module because most faults of a
task show here (no space, no readable recipe), before anything is proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rloop.api.iteration import Direction
from rloop.api.session_context import Context
from rloop.api.space import Frame, Point, Space
from rloop.api.wire import ExperimentView, TaskFiles
from rloop_agent import recipe
from rloop_agent.policies.ground import Ground, Record, centre, structural_values

FAILED = frozenset({"Failed", "Invalid"})
"""Phases of experiments that have ended and will never have a value."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a session builds on: the incumbent, or the task if the incumbent's recipe cannot be read."""

    space: Space
    parent: str
    """Name of the incumbent, or `task` if the incumbent's recipe is outside the space."""
    files: Mapping[str, str]
    """The parent's changed files: an experiment's files are self-contained, so it repeats them."""
    text: str
    document: Mapping[str, Any]
    point: Point
    known: Sequence[Point]
    """Points of the task and the incumbent: proposing them again would be refused."""
    task: Point | None = None
    """Point of the untouched task; None if its recipe cannot be read."""
    warning: str = ""

    @property
    def frame(self) -> Frame:
        """Frame of the start point."""
        return self.space.frame_of(self.point)

    def changed_files(self, values: Point) -> dict[str, str]:
        """The files of the experiment with these values."""
        return {**self.files, self.space.file: recipe.render(self.space, self.text, self.document, values)}


def look(space: Space, context: Context, task: TaskFiles) -> Start:
    """Read the incumbent's recipe, or else the task's. Raises BadRecipe if neither can be read."""
    known = _task_point(space, task)
    changed = dict(context.incumbent.files)
    try:
        # By name: after a keep during the session, "incumbent" would mean other files.
        start = _start(space, context.incumbent.name, changed, task, known)
    except recipe.BadRecipe as error:
        if not changed:
            raise
        return _start(space, "task", {}, task, known, f"the incumbent's recipe is ignored: {error}")
    return start


def _start(
    space: Space,
    parent: str,
    changed: Mapping[str, str],
    task: TaskFiles,
    known: Sequence[Point],
    warning: str = "",
) -> Start:
    files = {**task.files, **changed}
    document = recipe.parse(space, files)
    point = recipe.point(space, document)
    untouched = known[0] if known else None
    return Start(space, parent, changed, files[space.file], document, point, [*known, point], untouched, warning)


def _task_point(space: Space, task: TaskFiles) -> list[Point]:
    try:
        return [recipe.point(space, recipe.parse(space, task.files))]
    except recipe.BadRecipe:
        return []


def current_direction(context: Context) -> Direction | None:
    """The direction to which experiments belong; None if there is no current one."""
    found = [one for one in context.directions if one.name == context.current_direction]
    return found[0] if found else None


def frame_to_stay_in(space: Space, context: Context) -> Frame:
    """The current direction's frame, or the default frame if that is not a frame of this space."""
    direction = current_direction(context)
    if direction is not None and structural_values(space, direction.frame) is not None:
        return direction.frame
    return space.default_frame


def tried_frames(start: Start, context: Context) -> list[Frame]:
    """Frames that a pivot need not try. The baseline has tried the default frame."""
    directions = [direction.frame for direction in context.directions]
    results = [view.frame for view in context.results]
    return [*directions, *results, start.space.default_frame, start.frame]


def tried_points(space: Space, experiments: Sequence[ExperimentView]) -> list[Point]:
    """The points of earlier experiments, which would be refused; without those withdrawn before they ran."""
    return [point for point, _ in _tried(space, experiments)]


def _tried(space: Space, experiments: Sequence[ExperimentView]) -> Iterator[tuple[Point, ExperimentView]]:
    for view in experiments:
        point = space.of_text(view.point) if view.point and not view.smoke and not _never_ran(view) else None
        if point is not None:
            yield point, view


def _never_ran(view: ExperimentView) -> bool:
    """Whether its point may be proposed again. What the end of the budget withdrew returns with a larger budget."""
    return view.phase == "Withdrawn" and view.reason != "BudgetExhausted" and not view.runs


def has_points_left(start: Start, frame: Frame) -> bool:
    """Whether the frame has a point that is not known yet."""
    own = {tuple(sorted(start.space.as_text(one).items())) for one in start.known if start.space.frame_of(one) == frame}
    return len(own) < start.space.points(frame)


def ground(start: Start, frame: Frame, experiments: Sequence[ExperimentView], context: Context) -> Ground:
    """The input of the policy."""
    return Ground(
        space=start.space,
        frame=frame,
        centre=centre(start.space, frame, start.point),
        results=sum(view.frame == frame and view.value is not None for view in experiments),
        records=records(start.space, start.task, experiments, context),
        goal=context.objective.goal,
    )


def records(space: Space, task: Point | None, experiments: Sequence[ExperimentView], context: Context) -> list[Record]:
    """What an optimiser may be told: the baseline, whose point is that of the task, and all experiments."""
    baseline = [] if task is None or context.baseline is None else [Record(task, context.baseline)]
    return baseline + [
        Record(point, view.value, view.runs, failed=view.value is None and view.phase in FAILED)
        for point, view in _tried(space, experiments)
    ]
