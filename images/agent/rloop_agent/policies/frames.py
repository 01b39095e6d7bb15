"""Chooses the frame of a pivot, and writes a frame as a direction.

Called by `rloop_agent.session`. Frames are numbered, never listed: 20 structural dimensions with 10 values each have
more frames than fit in memory. The choice must still be uniform, and independent of names and of the order of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from rloop.api.common import StructuralField
from rloop.api.space import Frame, Space
from rloop.api.wire import DirectionRequest

LINE = 1024
"""Maximum length of a title and of a field of a direction."""
FEW = 4096
"""Up to this number, frames are shuffled; of more, random ones are drawn."""


def untried(space: Space, start: Frame, tried: Iterable[Frame], dice: Random) -> Iterator[Frame]:
    """All frames except `start` and the tried ones, the nearest first: one structural change away, then two.

    At each distance the order is uniformly random. Lazy: a caller takes the first one that is admitted.
    """
    known = {frozenset(frame.items()) for frame in tried}
    tree = _Frames(space, start)
    for changes in range(1, tree.dimensions + 1):
        for index in _shuffled(tree.count(changes), dice):
            frame = tree.frame(changes, index)
            if frozenset(frame.items()) not in known:
                yield frame


class _Frames:
    """The frames at each distance from one frame, numbered."""

    def __init__(self, space: Space, start: Frame) -> None:
        self._start = start
        self._others = {
            dimension.name: [text for text in map(str, dimension.values or []) if text != start[dimension.name]]
            for dimension in space.structural
        }
        self._names = list(self._others)
        # _ways[i][c]: number of ways in which the dimensions from the i-th on can have c changes.
        self._ways = [[0] * (self.dimensions + 1) for _ in range(self.dimensions + 1)]
        self._ways[-1][0] = 1
        for i in reversed(range(self.dimensions)):
            choices = len(self._others[self._names[i]])
            for changes, unchanged in enumerate(self._ways[i + 1]):
                changed = self._ways[i + 1][changes - 1] if changes else 0
                self._ways[i][changes] = unchanged + choices * changed

    @property
    def dimensions(self) -> int:
        return len(self._names)

    def count(self, changes: int) -> int:
        return self._ways[0][changes]

    def frame(self, changes: int, index: int) -> Frame:
        frame = dict(self._start)
        for i, name in enumerate(self._names):
            unchanged = self._ways[i + 1][changes]
            if index < unchanged:
                continue
            choice, index = divmod(index - unchanged, self._ways[i + 1][changes - 1])
            frame[name] = self._others[name][choice]
            changes -= 1
        return frame


def _shuffled(total: int, dice: Random) -> Iterator[int]:
    if total <= FEW:
        yield from dice.sample(range(total), total)
        return
    seen: set[int] = set()
    while len(seen) < total:
        index = dice.randrange(total)
        if index not in seen:
            seen.add(index)
            yield index


def as_text(frame: Frame) -> str:
    """The frame as text: `averaging=ema, opponent=pool`."""
    return ", ".join(f"{name}={value}" for name, value in frame.items()) or "the only frame"


def as_direction(space: Space, frame: Frame) -> DirectionRequest:
    """The frame as a direction: its title, and for each structural field the values of its dimensions."""
    fields: dict[StructuralField, Frame] = {}
    for dimension in space.structural:
        if dimension.field is not None:
            fields.setdefault(dimension.field, {})[dimension.name] = frame[dimension.name]
    return DirectionRequest(
        title=as_text(frame)[:LINE],
        fields={field: as_text(part)[:LINE] for field, part in fields.items()},
        frame=frame,
    )
