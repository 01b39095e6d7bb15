"""The search space of a sealed task. Called by `gateway.verbs.caller_view`."""

from __future__ import annotations

from functools import lru_cache

from rloop.api.reading import document
from rloop.api.space import Space
from rloop.errors import Refused


@lru_cache(maxsize=8)  # every request needs it, and YAML is slow to parse
def space_of(content: bytes) -> Space:
    """The space in a space.yaml. Raises Refused(SpaceInvalid), a defect: it was valid at acceptance."""
    try:
        return Space.model_validate(document.read("space.yaml", content.decode()))
    except ValueError as error:
        raise Refused("SpaceInvalid", f"space.yaml of the task cannot be read: {str(error).splitlines()[0]}") from error
