"""The direction gate: whether a direction is new, or repeats or rewords a tried one.

Called by the gateway before it records a direction. After a pivot was demanded, a direction must change a structural
field compared with every tried one. With a `space.yaml` the structural fields are its frame, which rewording cannot
change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import get_args

from rapidfuzz import fuzz

from rloop.api.common import StructuralField
from rloop.api.iteration import Direction
from rloop.api.space import Space
from rloop.api.wire import DirectionRequest
from rloop.errors import Refused

FIELDS = get_args(StructuralField)
SAME_FIELD = 80.0
"""Two texts of one structural field say the same from this similarity on (0..100, rapidfuzz' token_set_ratio)."""
SAME_WORDS = 85.0
"""The same for title and fields together: from this similarity on a direction is a rewording."""


def admit(
    request: DirectionRequest, *, space: Space | None, tried: Sequence[Direction], pivot_demanded: bool
) -> Direction | None:
    """The tried direction that the request repeats, or None if it is accepted as a new one.

    Raises Refused: FrameInvalid, NotNew, Rewording or FieldsMissing, with the remedy.
    """
    _check_frame(request, space)
    same = _same(request, space, tried)
    if same is not None and not pivot_demanded:
        return same
    if same is not None and space is not None and _used_up(space, tried):
        if request.frame != tried[-1].frame or _frames(space) == 1:
            return None
        raise Refused("NotNew", "every frame was tried: choose any earlier frame except the current one")
    if same is not None:
        raise Refused(
            "NotNew",
            f'a pivot is required, but "{same.title}" ({same.name}) was tried: change a structural field',
        )
    if space is None:
        _check_wording(request, tried if pivot_demanded else _left(tried))
    return None


def _left(tried: Sequence[Direction]) -> list[Direction]:
    """The directions that a pivot left behind. Rewording one of these to return to it is rejected as well."""
    newest = max((one.pivot for one in tried), default=0)
    return [one for one in tried if one.pivot < newest]


def _frames(space: Space) -> int:
    """Number of frames of the space."""
    return prod(len(dimension.values or []) for dimension in space.structural)


def _used_up(space: Space, tried: Sequence[Direction]) -> bool:
    """Whether every frame was tried. A demanded pivot could then never be answered, and the campaign would idle."""
    return len({frozenset(one.frame.items()) for one in tried}) >= _frames(space)


def _check_frame(request: DirectionRequest, space: Space | None) -> None:
    if space is None:
        if request.frame:
            raise Refused("FrameInvalid", "this task has no space.yaml: omit frame and fill in fields")
        if not request.fields:
            raise Refused(
                "FieldsMissing", f"fields is empty: fill in at least one of {', '.join(FIELDS)}, in a sentence"
            )
        return
    structural = {dimension.name: dimension for dimension in space.structural}
    if set(request.frame) != set(structural):
        wanted = ", ".join(sorted(structural))
        raise Refused("FrameInvalid", f"frame needs exactly one value for each structural dimension: {wanted}")
    for name, value in request.frame.items():
        allowed = [str(one) for one in structural[name].values or []]
        if value not in allowed:
            raise Refused("FrameInvalid", f'frame.{name} is "{value}"; it must be one of {", ".join(allowed)}')


def _same(request: DirectionRequest, space: Space | None, tried: Sequence[Direction]) -> Direction | None:
    if space is not None:
        return next((one for one in reversed(tried) if one.frame == request.frame), None)
    return next((one for one in reversed(tried) if (one.title, one.fields) == (request.title, request.fields)), None)


def _check_wording(request: DirectionRequest, tried: Sequence[Direction]) -> None:
    words = _words(request.title, request.fields)
    for one in tried:
        new_fields = [
            name
            for name, text in request.fields.items()
            if fuzz.token_set_ratio(text.lower(), one.fields.get(name, "").lower()) < SAME_FIELD
        ]
        if not new_fields:
            message = f'no structural field differs from "{one.title}" ({one.name}): change one of {", ".join(FIELDS)}'
            raise Refused("NotNew", message)
        if fuzz.token_set_ratio(words, _words(one.title, one.fields)) >= SAME_WORDS:
            told = f'it repeats "{one.title}" ({one.name}) in other words'
            raise Refused("Rewording", f"{told}: take the opposite hypothesis, or an analogy from another discipline")


def _words(title: str, fields: Mapping[StructuralField, str]) -> str:
    return " ".join([title, *(fields[name] for name in sorted(fields))]).lower()
