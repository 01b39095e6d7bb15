"""The policy tpe: Optuna's Tree-structured Parzen Estimator.

Called by `rloop_agent.session`. It models where good results lie and where the others lie, from all results of the
frame, and proposes where the first are likely and the others are not. The first proposals are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from rloop.api.space import Point
from rloop_agent.policies import trials
from rloop_agent.policies.ground import Ground

if TYPE_CHECKING:
    from optuna.samplers import TPESampler


def propose(ground: Ground, known: Sequence[Point], dice: Random) -> Point | None:
    """A new point of the frame, or None if none was found."""
    if not ground.coordinates:
        return ground.centre if ground.centre not in known else None
    study = trials.study(ground, known, sampler(dice.getrandbits(32)))
    return trials.first_new(ground, known, dice, lambda: trials.asked(ground, study))


def sampler(seed: int) -> TPESampler:
    """The sampler with Optuna's own settings: multivariate, with constant liar."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=trials.ENOUGH)
