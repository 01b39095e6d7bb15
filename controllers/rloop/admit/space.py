"""Checks the task's space.yaml at Accept: whether it and the recipe are valid, and whether it can be exhausted.

Called by the store of each shell before it freezes the task (`rloop_operator.task_files`), and before that by `rloop
validate` and `rloop run` (`rloop_operator.user_files.folders`). Errors that would hold up agents for days are reported
before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import ValidationError

from rloop.api.loop_status import SealedSpace
from rloop.api.reading import document
from rloop.api.reading.globs import matches
from rloop.api.reading.problems import WHOLE, problems
from rloop.api.reading.wording import shown
from rloop.api.space import Point, Space
from rloop.errors import BadInput, InputProblem

FILE = "space.yaml"
EXTENT = 1000
MOST_POINTS = 1_000_000
"""No campaign tries more points than this."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the decisions need to know of a space.yaml."""

    space: SealedSpace | None
    """None if the task has no space.yaml or its points cannot all be tried."""
    one_frame: bool
    """Whether it has no structural dimension."""


def look(task: Mapping[str, str], editable: Sequence[str]) -> Look:
    """Check the space.yaml in the task's text files. Raises BadInput with every problem, naming the file."""
    space = _read(task)
    if space is None:
        return Look(None, one_frame=False)
    if space.file not in task:
        near = get_close_matches(space.file, task, n=1)
        told = f"did you mean {near[0]}?" if near else "give the file that holds the values"
        told = f'"{space.file}" is not among the text files of the task; {told}'
        raise BadInput(InputProblem(f"{FILE}: file", told))
    found = []
    if not matches(space.file, editable):
        told = f'does not cover "{space.file}", which {FILE} varies, so every experiment would be rejected: add it'
        found.append(InputProblem("spec.boundaries.editable", told))
    try:
        recipe = document.read(space.file, task[space.file])
        point = space.read(recipe)
    except ValueError as error:
        raise BadInput(*found, InputProblem(space.file, str(error))) from error
    if found := [*found, *_differences(space, recipe, point)]:
        raise BadInput(*found)
    one_frame = not space.structural
    # If other files may be changed too, experiments at the same point can differ.
    if list(editable) != [space.file] or (size := space.size) > MOST_POINTS:
        return Look(None, one_frame)
    extent = "; ".join(one.extent for one in space.dimensions)[:EXTENT]
    return Look(SealedSpace(points=int(size), task=space.as_text(point), extent=extent), one_frame)


def _read(task: Mapping[str, str]) -> Space | None:
    if FILE not in task:
        return None
    try:
        parsed = document.read(FILE, task[FILE])
    except ValueError as error:
        raise BadInput(InputProblem(FILE, str(error))) from error
    if not isinstance(parsed, Mapping):
        raise BadInput(InputProblem(FILE, "must be a mapping with file and dimensions"))
    try:
        return Space.model_validate(parsed, by_alias=True, by_name=False)
    except ValidationError as error:
        raise BadInput(*(_of_dimension(one, parsed) for one in problems(error, parsed, Space))) from error


def _of_dimension(problem: InputProblem, space: Mapping[str, object]) -> InputProblem:
    """The problem with the name of its dimension instead of an index: dimensions[7] is hard to find in a file."""
    index, bracket, rest = problem.field.removeprefix("dimensions[").partition("]")
    dimensions = space.get("dimensions")
    name = None
    if bracket and index.isdigit() and isinstance(dimensions, list):
        one = dimensions[int(index)]
        name = one.get("name") if isinstance(one, Mapping) else None
    if not name:
        return InputProblem(FILE if problem.field == WHOLE else f"{FILE}: {problem.field}", problem.message)
    dimension = f'dimension "{name}"'
    field = ": ".join(filter(None, (FILE, dimension, rest.removeprefix("."))))
    return InputProblem(field, problem.message.removeprefix(f"{dimension}: "))


def _differences(space: Space, recipe: object, point: Point) -> Iterator[InputProblem]:
    """Differences between the unchanged task and space.yaml: they would credit a gain to the wrong value.

    The value of a misspelt key would be written next to the one that the program reads, and have no effect.
    """
    for one in space.dimensions:
        if one.name not in point:
            continue
        at = f'{FILE}: dimension "{one.name}"'
        if not one.stands_in(recipe):
            near = get_close_matches(one.key, _keys(recipe), n=1)
            told = f'did you mean "{near[0]}"?' if near else "add it to the file, with the value that the task uses now"
            yield InputProblem(at, f'"{space.file}" has no "{one.key}": {told}')
        elif point[one.name] != one.default:
            told = f'default is {shown(one.default)}, but "{space.file}" has {shown(point[one.name])}'
            yield InputProblem(at, f"{told}: the default must be the value of the unchanged task; make them equal")


def _keys(recipe: object, before: str = "") -> Iterator[str]:
    """All keys of a parsed file that hold a value, in the notation of space.yaml."""
    for key, value in recipe.items() if isinstance(recipe, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"
