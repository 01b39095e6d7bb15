"""Checks the task's space.yaml at Accept: whether it and the recipe are valid, and whether it can be exhausted.

Called by `rloop_operator.reconcile` with the sealed task, in every shell. Errors that would hold up agents for days are
reported before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from pydantic import ValidationError

from rloop.api.loop_status import SealedSpace
from rloop.api.reading import document
from rloop.api.space import Point, Space
from rloop.errors import BadInput, InputProblem

FILE = "space.yaml"
EXTENT = 1000
MOST_POINTS = 1_000_000
"""No campaign tries more points than this."""


def look(task: Mapping[str, str], editable: Sequence[str]) -> SealedSpace | None:
    """The space in the task's text files; None if the task has no space.yaml or its points cannot all be tried.

    Raises BadInput, naming the file.
    """
    space = _read(task)
    if space is None:
        return None
    if space.file not in task:
        raise BadInput(InputProblem(f"{FILE}: file", f'"{space.file}" is missing in the task, or is not a text file'))
    try:
        recipe = document.read(space.file, task[space.file])
        point = space.read(recipe)
    except ValueError as error:
        raise BadInput(InputProblem(space.file, str(error))) from error
    if problems := list(_differences(space, recipe, point)):
        raise BadInput(*problems)
    # If other files may be changed too, experiments at the same point can differ.
    if list(editable) != [space.file] or (size := space.size) > MOST_POINTS:
        return None
    extent = "; ".join(one.extent for one in space.dimensions)[:EXTENT]
    return SealedSpace(points=int(size), task=space.as_text(point), extent=extent)


def has_one_frame(task: Mapping[str, str]) -> bool:
    """Whether the task has a space.yaml without structural dimensions. Raises BadInput, naming the file."""
    space = _read(task)
    return space is not None and not space.structural


def _read(task: Mapping[str, str]) -> Space | None:
    if FILE not in task:
        return None
    try:
        return Space.model_validate(document.read(FILE, task[FILE]), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BadInput(InputProblem(FILE, f"{where}: {first['msg']}")) from error
    except ValueError as error:
        raise BadInput(InputProblem(FILE, str(error))) from error


def _differences(space: Space, recipe: object, point: Point) -> Iterator[InputProblem]:
    """Differences between the unchanged task and space.yaml: they would credit a gain to the wrong value.

    The value of a misspelt key would be written next to the one that the program reads, and have no effect.
    """
    for one in space.dimensions:
        if one.name not in point:
            continue
        at = f"{FILE}: dimension {one.name}"
        if not one.stands_in(recipe):
            near = get_close_matches(one.key, _keys(recipe), n=1)
            told = f'did you mean "{near[0]}"?' if near else "add it to the file, with the value that the task uses now"
            yield InputProblem(at, f'"{space.file}" has no "{one.key}": {told}')
        elif point[one.name] != one.default:
            told = f'default is {one.default!r}, but "{space.file}" has {point[one.name]!r}'
            yield InputProblem(at, f"{told}: the default must be the value of the unchanged task; make them equal")


def _keys(recipe: object, before: str = "") -> Iterator[str]:
    """All keys of a parsed file that hold a value, in the notation of space.yaml."""
    for key, value in recipe.items() if isinstance(recipe, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"
