"""A run's curves from what it appends to progress.jsonl: few points, however long the file.

Used by the sidecar in a cluster and by the shim on a laptop, where a run's files are read; it knows no model, because
both have to start fast. What is not understood is passed over: a run may write anything there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

LARGEST = 1e150
"""Largest magnitude of a number that is taken over from a run or a verdict: the square of a larger one overflows."""
MAX_CURVES = 6
MAX_NAMES = 64
"""Numbers that are followed; which of them are shown is known when all have been seen."""
MAX_POINTS = 32
MAX_STEP = 2**53 - 1
LINE_BYTES = 8192
"""A longer line is passed over."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
FIRST = (
    "reward",
    "return",
    "accuracy",
    "score",
    "loss",
    "kl",
    "entropy",
    "reward_std",
    "frac_reward_zero_std",
    "perplexity",
    "error",
)
"""What tells most about a training, in this order, before all other numbers."""
LAST = ("grad_norm", "learning_rate", "lr", "epoch", "num_tokens")
"""What tells least: it is the same in every run, or counts."""
Point = tuple[int, float]


class Curves:
    """Takes the file in pieces, in order; a line may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._series: dict[str, _Series] = {}
        self.unusable: dict[str, int] = {}
        """The first step at which a number was NaN, infinite or beyond LARGEST, of those that ever were."""

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
            if name == "step" or not NAME.fullmatch(name):
                continue
            if not is_usable(value):
                if isinstance(value, float) and len(self.unusable) < MAX_CURVES:
                    self.unusable.setdefault(name, step)
                continue
            if name in self._series or len(self._series) < MAX_NAMES:
                self._series.setdefault(name, _Series()).add((step, float(value)))

    def points(self) -> dict[str, list[Point]]:
        """At most MAX_POINTS (step, value) of each of MAX_CURVES numbers, the first and the newest among them."""
        return {name: self._series[name].points() for name in chosen(self._series)}


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
        return [(step, float(f"{value:.5g}")) for step, value in thinned(found)]


def chosen(names: Iterable[str]) -> list[str]:
    """The MAX_CURVES that tell most; what is equal stays in the order of the file."""
    return sorted(names, key=_place)[:MAX_CURVES]


def _place(name: str) -> int:
    """By the whole name, or by its last word: `eval_accuracy` stands behind `accuracy`, before what comes next."""
    low = name.lower()
    if low in LAST:
        return 2 * len(FIRST) + 2 + LAST.index(low)
    word = re.split(r"[._-]", low)[-1]
    for more, one in enumerate((low, word)):
        if one in FIRST:
            return 2 * FIRST.index(one) + more
    return 2 * len(FIRST) + 1


def joined(earlier: Mapping[str, Sequence[Point]], later: Mapping[str, Sequence[Point]]) -> dict[str, list[Point]]:
    """The curves of a run whose later attempt went on: its own points from its first step on, before them the earlier.

    One that began anew has a first step of its own, and nothing of the earlier is left.
    """
    begun = min((point[0] for points in later.values() for point in points), default=MAX_STEP + 1)
    found = {
        name: [*(one for one in earlier.get(name, ()) if one[0] < begun), *later.get(name, ())]
        for name in dict.fromkeys([*later, *earlier])
    }
    return {name: thinned(found[name]) for name in chosen(name for name, points in found.items() if points)}


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS of them, evenly: the first and the newest stay."""
    count = min(len(points), MAX_POINTS)
    return [points[round(index * (len(points) - 1) / max(1, count - 1))] for index in range(count)]


def is_step(value: object) -> TypeGuard[int]:
    """Whether a run may have meant it as the number of a step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP


def is_usable(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be computed with: finite, and at most LARGEST."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
