"""`python -m benchmarks.pivots`: what a forced change of frame is worth on example 01, and what it is not.

Real training and scoring in simulated time (see `benchmarks.campaigns.kuhn`), the same acceptance and budget for three
loops: one that never pivots, ours, and one without frames whose agent draws frame and coefficients of every proposal at
random. The last imitates no agent's habit; it is the yardstick that says how hard the space itself is.
"""

from __future__ import annotations

import argparse
import json
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import repeat
from random import Random
from statistics import median
from typing import Any, Final

import structlog
from scipy.special import betaincinv

from benchmarks.campaigns import kuhn
from benchmarks.report import Goal, Report, emit
from rloop.api.space import Point, Space
from rloop.api.wire import DirectionRequest, ExperimentRequest, FinishRequest
from rloop_agent.gateway import Refused
from rloop_agent.policies.ground import draw

NEVER: Final = 100
"""The largest pivotAfter: more stale iterations than the budget has."""
LOOPS: Final = ("never pivots", "pivots after two stale iterations", "random over the whole space")


@cache
def space() -> Space:
    """The example's."""
    return Space.model_validate(kuhn.example_space())


def anywhere(gateway: kuhn.InMemory, seed: int) -> None:
    """One session of the unconstrained search: every proposal in a frame of its own."""
    dice = Random(f"{seed}/{gateway.name}")
    if not gateway.context().directions:
        gateway.post_direction(DirectionRequest(title="anywhere", fields={"method": "random over the whole space"}))
    for sequence in range(1, gateway.context().session.max_experiments + 1):
        text = json.dumps(space().write({}, random_point(dice)))
        try:
            gateway.post_experiment(ExperimentRequest(sequence=sequence, title="anywhere", files={kuhn.RECIPE: text}))
        except Refused:
            break
    gateway.finish(FinishRequest())


def random_point(dice: Random) -> Point:
    """Uniform over frames, then over the coefficients that exist there, as the product's policy draws them."""
    point: Point = {one.name: draw(one, dice) for one in space().structural}
    frame = space().frame_of(point)
    return point | {one.name: draw(one, dice) for one in space().existing(frame) if not one.structural}


def one(loop: str, seed: int, runs: int | None = None) -> kuhn.Result:
    """One campaign of one of the LOOPS."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    task = kuhn.example_task()
    if loop == LOOPS[1]:
        return kuhn.campaign(kuhn.example_loop(seed, runs), task, kuhn.policy_agent(), seed)
    manifest = kuhn.example_loop(seed, runs, pivot_after=NEVER, attention_after=1000)
    if loop == LOOPS[0]:
        return kuhn.campaign(manifest, task, kuhn.policy_agent(), seed)
    # Without space.yaml the gateway knows no frames, and every recipe is admitted.
    frameless = replace(task, files={kuhn.RECIPE: task.files[kuhn.RECIPE]})
    return kuhn.campaign(manifest, frameless, anywhere, seed)


def interval(met: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Clopper & Pearson 1934)."""
    low = 0.0 if met == 0 else float(betaincinv(met, of - met + 1, 0.025))
    high = 1.0 if met == of else float(betaincinv(met + 1, of - met, 0.975))
    return round(low, 3), round(high, 3)


def summary(results: list[kuhn.Result]) -> dict[str, Any]:
    """What is told of one loop."""
    met = [result for result in results if result.met]
    return {
        "campaigns": len(results),
        "met": len(met),
        "share": round(len(met) / len(results), 3),
        "interval95": interval(len(met), len(results)),
        "medians": _medians(results),
        "mediansOfThoseThatMet": _medians(met) if met else None,
    }


def _medians(results: list[kuhn.Result]) -> dict[str, float]:
    return {
        "proposals": median(one.proposals for one in results),
        "runs": median(one.runs for one in results),
        "pivots": median(one.pivots for one in results),
        "value": round(median(one.value for one in results), 4),
    }


def report(seeds: int, processes: int, runs: int | None) -> Report:
    """Run all three loops with the same seeds."""
    figures: dict[str, Any] = {}
    found: dict[str, list[kuhn.Result]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for loop in LOOPS:
            found[loop] = list(pool.map(one, repeat(loop, seeds), range(1, seeds + 1), repeat(runs)))
            figures[loop] = summary(found[loop])
    shares = {loop: figures[loop]["share"] for loop in LOOPS}
    goals = [
        Goal("share that met the target with pivots", shares[LOOPS[1]], ">= 0.9", shares[LOOPS[1]] >= 0.9),
        Goal(
            "the same without pivots (the starting frame cannot reach it)",
            shares[LOOPS[0]],
            "<= 0.05",
            shares[LOOPS[0]] <= 0.05,
        ),
    ]
    pivoted = [one.pivots for one in found[LOOPS[1]] if one.met]
    least = min(pivoted, default=0)
    goals.append(Goal("fewest pivots of those that met it", least, ">= 1", least >= 1))
    return Report("pivots", figures, goals)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What a forced change of frame is worth.")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--campaigns", type=int, default=20, help="seeds of the agent for each loop")
    parser.add_argument("--runs", type=int, help="another budget than the example's")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    emit(report(chosen.campaigns, chosen.processes, chosen.runs), as_json=chosen.json, check=chosen.check)


if __name__ == "__main__":
    main()
