"""A run's curves from what it appends to progress.jsonl: few points, however long the file.

Used by the sidecar in a cluster and by the shim on a laptop, where a run's files are read; it knows no model, because
both have to start fast. What is not understood is passed over: a run may write anything there.
"""

from __future__ import annotations

import json
import re
from typing import TypeGuard

LARGEST = 1e150
"""Largest magnitude of a number that is taken over from a run or a verdict: the square of a larger one overflows."""
MAX_CURVES = 4
MAX_POINTS = 32
MAX_STEP = 2**53 - 1
LINE_BYTES = 8192
"""A longer line is passed over."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
Point = tuple[int, float]


class Curves:
    """Takes the file in pieces, in order; a line may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._series: dict[str, _Series] = {}

    def feed(self, chunk: bytes) -> None:
        """Take the next piece in."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            self._rest = self._rest[: LINE_BYTES + 1]  # it stays too long, whatever comes
        for line in lines:
            if len(line) <= LINE_BYTES:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            return
        step = document.get("step") if isinstance(document, dict) else None
        if not is_step(step):
            return
        for name, value in document.items():
            if name == "step" or not NAME.fullmatch(name) or not is_usable(value):
                continue
            if name in self._series or len(self._series) < MAX_CURVES:
                self._series.setdefault(name, _Series()).add((step, float(value)))

    def points(self) -> dict[str, list[Point]]:
        """At most MAX_POINTS (step, value) of each of the first MAX_CURVES numbers, the first and the newest among
        them.
        """
        return {name: series.points() for name, series in self._series.items()}


class _Series:
    """Keeps every n-th point; n doubles when there are too many."""

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._every = 1
        self._seen = 0
        self._newest: Point = (0, 0.0)

    def add(self, point: Point) -> None:
        if self._seen % self._every == 0:
            self._kept.append(point)
            if len(self._kept) > 4 * MAX_POINTS:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1
        self._newest = point

    def points(self) -> list[Point]:
        found = self._kept if self._kept[-1] == self._newest else [*self._kept, self._newest]
        count = min(len(found), MAX_POINTS)
        chosen = [found[round(index * (len(found) - 1) / max(1, count - 1))] for index in range(count)]
        return [(step, float(f"{value:.5g}")) for step, value in chosen]


def is_step(value: object) -> TypeGuard[int]:
    """Whether a run may have meant it as the number of a step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP


def is_usable(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be computed with: finite, and at most LARGEST."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
