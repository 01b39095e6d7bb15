"""Writes progress.jsonl, one line per step: the input of the watchdog and of a campaign's plots.

Written by the first rank through `rloop_trainer.training`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

SIGNALS = ("loss", "reward", "reward_std", "frac_reward_zero_std", "kl", "entropy", "grad_norm", "learning_rate")
NAME = "progress.jsonl"


class Progress:
    """Appends lines and flushes each one: a step is visible at once, and a kill loses no line."""

    def __init__(self, artifacts: Path, after: int) -> None:
        path = artifacts / NAME
        _cut(path, after)
        self._stream = path.open("a", encoding="utf-8")

    def step(self, number: int, logs: Mapping[str, float | None]) -> None:
        """Write one line, without values that are not finite, because JSON has no NaN."""
        line: dict[str, float] = {"step": number}
        for name in SIGNALS:
            value = logs.get(name)
            if value is not None and math.isfinite(value):
                line[name] = round(value, 6)
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _cut(path: Path, after: int) -> None:
    """Remove the lines after step `after`, from which a run resumes: no step occurs twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    kept = "".join(f"{line}\n" for line in text.splitlines() if _step(line) <= after)
    if kept != text:
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(kept, encoding="utf-8")
        unfinished.replace(path)


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line cut short by a kill
