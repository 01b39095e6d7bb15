"""The lines of progress.jsonl, one a step: what the watchdog and the pictures of a campaign live on.

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
    """Appends, and flushes each line: the step is seen at once, and a kill loses none."""

    def __init__(self, artifacts: Path, after: int) -> None:
        path = artifacts / NAME
        _cut(path, after)
        self._stream = path.open("a", encoding="utf-8")

    def step(self, number: int, logs: Mapping[str, float | None]) -> None:
        """One line; what is not finite is left out, because no reader of JSON knows NaN."""
        line: dict[str, float] = {"step": number}
        for name in SIGNALS:
            value = logs.get(name)
            if value is not None and math.isfinite(value):
                line[name] = round(value, 6)
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """No more lines."""
        self._stream.close()


def _cut(path: Path, after: int) -> None:
    """Take out the lines beyond step `after`, from where a run goes on: a step never comes twice."""
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
