"""Reasons to end a training before its last step: a signal, or a recipe that cannot learn.

Called by `rloop_trainer.training` after each step. A failure caused by the recipe is reported in a sentence with cause
and remedy, because the next session of the campaign reads it.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

PATIENCE = 50
"""Steps without variance in any group after which the run is given up."""


class TrainingFailed(Exception):
    """The recipe is the cause: another attempt would fail in the same way."""


class Terminated(BaseException):
    """SIGTERM at a time at which there is nothing to save."""


class Sigterm:
    """Handles SIGTERM. Outside of the steps it ends the process at once; a step is first finished and saved."""

    def __init__(self) -> None:
        self.asked = False
        self.within_steps = False
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, *_: Any) -> None:
        self.asked = True
        if not self.within_steps:
            raise Terminated


def look(step: int, logs: Mapping[str, Any], history: Sequence[Mapping[str, Any]], *, best: float | None) -> None:
    """Raise TrainingFailed if the step shows that the run cannot learn.

    `history` contains the logs of all steps so far; `best` is the maximum possible reward, None if unknown.
    """
    for name in ("loss", "grad_norm"):
        value = logs.get(name)
        if value is not None and not math.isfinite(value):
            raise TrainingFailed(
                f"step {step}: {name} is {value}: the training has diverged; lower grpo.learning_rate, or give it "
                "grpo.warmup_steps"
            )
    if not all(map(_still, history[-PATIENCE:])) or len(history) < PATIENCE:
        return
    reward = _mean(history[-PATIENCE:])
    before = [one for one in history[:-PATIENCE] if not _still(one)]
    # A run that no longer changes after it improved has learned what it could.
    if (best is not None and reward >= best) or (before and reward > _mean(before)):
        return
    raise TrainingFailed(
        f"step {step}: for {PATIENCE} steps all completions of a group had the same reward (mean {reward:.3g}), so "
        "that there was no training signal; raise grpo.temperature or grpo.group, lower grpo.learning_rate, or "
        "begin with easier data or a better start (warm_start)"
    )


def _still(logs: Mapping[str, Any]) -> bool:
    return logs.get("frac_reward_zero_std") == 1


def _mean(history: Sequence[Mapping[str, Any]]) -> float:
    return fmean(one.get("reward") or 0.0 for one in history)
