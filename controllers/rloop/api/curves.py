"""A run's curves from what it appends to progress.jsonl: few points, however long the file.

Used by the sidecar in a cluster and by the shim on a laptop, where a run's files are read; it knows no model, because
both have to start fast. Lines that cannot be parsed are ignored: a run may write anything there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

LARGEST = 1e150
"""Largest accepted magnitude of a number from a run or a verdict: the square of a larger one overflows."""
MAX_CURVES = 6
MAX_NAMES = 64
"""Maximum number of metrics that are tracked; which of them are shown is decided at the end."""
MAX_POINTS = 32
MAX_STEP = 2**53 - 1
LINE_BYTES = 8192
"""Maximum length of a line; longer lines are ignored."""
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
"""Most informative metrics of a training, in this order; shown before all others."""
LAST = ("grad_norm", "learning_rate", "lr", "epoch", "num_tokens")
"""Least informative metrics, shown last: equal in every run, or counters."""
Point = tuple[int, float]


class Curves:
    """Parses the file in chunks, in order; a chunk may end inside a line."""

    def __init__(self) -> None:
        self._rest = b""
        self._series: dict[str, _Series] = {}
        self.unusable: dict[str, int] = {}
        """Metrics that were NaN, infinite or beyond LARGEST -> the first step at which they were."""

    def feed(self, chunk: bytes) -> None:
        """Parse the next chunk."""
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
        """At most MAX_POINTS points (step, value) of each of MAX_CURVES metrics, including the first and the latest."""
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
    """The MAX_CURVES most informative names; ties keep the order of the file."""
    return sorted(names, key=_place)[:MAX_CURVES]


def _place(name: str) -> int:
    """Rank of a name, by the whole name or by its last word: `eval_accuracy` follows directly after `accuracy`."""
    low = name.lower()
    if low in LAST:
        return 2 * len(FIRST) + 2 + LAST.index(low)
    word = re.split(r"[._-]", low)[-1]
    for more, one in enumerate((low, word)):
        if one in FIRST:
            return 2 * FIRST.index(one) + more
    return 2 * len(FIRST) + 1


def joined(earlier: Mapping[str, Sequence[Point]], later: Mapping[str, Sequence[Point]]) -> dict[str, list[Point]]:
    """Curves of a run with a later attempt: its points, preceded by the earlier points before its first step.

    If the later attempt started from the beginning, no earlier point remains.
    """
    begun = min((point[0] for points in later.values() for point in points), default=MAX_STEP + 1)
    found = {
        name: [*(one for one in earlier.get(name, ()) if one[0] < begun), *later.get(name, ())]
        for name in dict.fromkeys([*later, *earlier])
    }
    return {name: thinned(found[name]) for name in chosen(name for name, points in found.items() if points)}


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS of the points, evenly spaced, including the first and the latest."""
    count = min(len(points), MAX_POINTS)
    return [points[round(index * (len(points) - 1) / max(1, count - 1))] for index in range(count)]


def is_step(value: object) -> TypeGuard[int]:
    """Whether the value is a valid step number."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP


def is_usable(value: object) -> TypeGuard[float]:
    """Whether the value is a finite number of at most LARGEST in magnitude."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
