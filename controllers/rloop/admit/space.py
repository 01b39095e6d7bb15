"""The task's space.yaml at Accept: whether it and the recipe can be read, and whether all its points can be tried.

Called by `rloop_operator.reconcile` with the sealed task, in every shell: what agents would stumble over for days is
named before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from rloop.api import document
from rloop.api.loop_status import SealedSpace
from rloop.api.space import Space
from rloop.errors import BadInput, InputProblem

FILE = "space.yaml"
EXTENT = 1000
MOST_POINTS = 1_000_000
"""No campaign tries more."""


def look(task: Mapping[str, str], editable: Sequence[str]) -> SealedSpace | None:
    """The space in the task's text files; None if the task has no space.yaml or its points cannot all be tried.

    Raises BadInput, naming the file.
    """
    if FILE not in task:
        return None
    try:
        space = Space.model_validate(document.read(FILE, task[FILE]), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BadInput(InputProblem(FILE, f"{where}: {first['msg']}")) from error
    except ValueError as error:
        raise BadInput(InputProblem(FILE, str(error))) from error
    if space.file not in task:
        raise BadInput(InputProblem(f"{FILE}: file", f'"{space.file}" is not in the task, or is no text'))
    try:
        point = space.read(document.read(space.file, task[space.file]))
    except ValueError as error:
        raise BadInput(InputProblem(space.file, str(error))) from error
    # Where another file may be changed too, equal points are not equal experiments.
    if list(editable) != [space.file] or (size := space.size) > MOST_POINTS:
        return None
    extent = "; ".join(one.extent for one in space.dimensions)[:EXTENT]
    return SealedSpace(points=int(size), task=space.as_text(point), extent=extent)
