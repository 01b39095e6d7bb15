"""What the gateway reads of frozen files: the texts among them, and the search space.

Called by `gateway.service`.
"""

from __future__ import annotations

from functools import lru_cache

import yaml
from pydantic import ValidationError

from rloop.api.space import Space
from rloop.errors import Refused
from rloop_operator.ports import Files


@lru_cache(maxsize=8)  # each request needs it, and YAML is slow to read
def space_of(content: bytes) -> Space:
    """The space in a space.yaml. Raises Refused(SpaceInvalid); at Accept it was valid, so that is a defect."""
    try:
        return Space.model_validate(yaml.safe_load(content))
    except (ValidationError, yaml.YAMLError) as error:
        raise Refused("SpaceInvalid", f"space.yaml of the task cannot be read: {str(error).splitlines()[0]}") from error


def texts(files: Files) -> dict[str, str]:
    """Those that are UTF-8, by path."""
    found = {}
    for path, file in files.items():
        try:
            found[path] = file.content.decode()
        except UnicodeDecodeError:
            continue
    return found
