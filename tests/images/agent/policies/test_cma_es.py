"""The policy cma-es: its scales, its replay and its restarts; test_tpe.py has what it shares with tpe."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from tests.images.agent.policies.test_tpe import BOWL, height, space

from rloop.api.space import Point
from rloop_agent.policies import cma_es, trials
from rloop_agent.policies.ground import Ground, Record, centre, draw


@pytest.mark.parametrize(
    ("dimension", "position"),
    [
        ({"low": 0, "high": 8, "default": 2}, 0.25),
        ({"low": 0.01, "high": 100, "log": True, "default": 0.1}, 0.25),
        ({"low": 1, "high": 4, "integer": True, "default": 1}, 0.125),
        ({"values": [3, 1, 7, 2], "default": 1}, 0.125),
    ],
)
def test_a_scale_goes_there_and_back(dimension: dict[str, object], position: float) -> None:
    one = space(dimension).dimensions[0]
    scale = cma_es.Scale(trials.axis(one))
    assert scale.of(one.default) == pytest.approx(position)
    assert scale.value(position) == pytest.approx(one.default)
    dice = Random(1)
    for value in (draw(one, dice) for _ in range(50)):
        assert scale.value(scale.of(value)) == pytest.approx(value)
    assert all(one.admits(scale.value(at)) for at in (-1.0, 0.0, 1.0, 2.0))


def replayed(points: list[Point]) -> tuple[Ground, list[cma_es.Scale]]:
    records = [Record(point, height(point), 1) for point in points]
    ground = Ground(BOWL, {}, centre(BOWL, {}, {}), len(points), records)
    return ground, [cma_es.Scale(trials.axis(one)) for one in BOWL.dimensions]


def drawn(count: int) -> list[Point]:
    dice = Random(4)
    return [{one.name: draw(one, dice) for one in BOWL.dimensions} for _ in range(count)]


def test_a_replay_is_the_state_of_one_long_run() -> None:
    ground, scales = replayed(drawn(20))
    optimiser = cma_es.started(np.array([one.of(ground.records[0].point[one.name]) for one in scales]), 1)
    size = optimiser.population_size
    for start in range(0, 20 - size + 1, size):
        batch = ground.records[start : start + size]
        optimiser.tell(
            [(np.array([one.of(record.point[one.name]) for one in scales]), record.value or 0.0) for record in batch]
        )
    again = cma_es.replayed(ground, scales, 1)
    assert again.generation == 20 // size
    assert np.allclose(again.mean, optimiser.mean)


def test_where_one_point_is_repeated_it_restarts_around_the_best_with_a_larger_population() -> None:
    ground, scales = replayed([*drawn(1) * 8, *drawn(3)])
    first = cma_es.started(np.full(4, 0.5), 1).population_size
    again = cma_es.replayed(ground, scales, 1)
    assert (again.generation, again.population_size) == (0, 2 * first)
    best = min(drawn(1), key=height)
    assert np.allclose(again.mean, [one.of(best[one.name]) for one in scales])


def test_a_failed_result_does_not_move_it_to_infinity() -> None:
    ground, scales = replayed(drawn(7))
    failed = [*ground.records, Record(drawn(9)[8], failed=True)]
    found = cma_es.replayed(Ground(BOWL, {}, ground.centre, 7, failed), scales, 1)
    assert found.generation == 1
    assert all(math.isfinite(value) for value in found.mean)
